package config

// Transform is one step on the records: exactly one of its keys. Steps run in
// the order of the list. A record that fails a step goes to the error output.
type Transform struct {
	// Turns text into a JSON object.
	Parse *Parse `key:"parse" choice:"transform"`
	// Keeps the records for which an expression is true.
	Filter *Filter `key:"filter" choice:"transform"`
	// Changes JSON records with a jq program.
	JQ *JQ `key:"jq" choice:"transform"`
	// Hands records to a function, with the contract of Firehose.
	Lambda *Lambda `key:"lambda" choice:"transform"`
	// Hands records to a program that keeps running, with the same contract, one
	// request and one answer a line.
	Exec *Exec `key:"exec" choice:"transform"`
}

// Parse turns the text of a record into a JSON object.
type Parse struct {
	// How the text is laid out.
	Format string `key:"format" required:"yes" enum:"apache_combined|json|regex|csv|logfmt"`
	// For regex: the expression (RE2). Its named groups become fields.
	Pattern string `key:"pattern"`
	// For csv: the names of the columns, in their order.
	Columns []string `key:"columns"`
	// For csv: the character between columns.
	Delimiter string `key:"delimiter" otherwise:"a comma"`
	// Field of a JSON record that holds the text; the whole record if not given.
	Field string `key:"field"`
	// Field that keeps the text as it came; not kept if not given.
	RawField string `key:"raw_field"`
	// What becomes of a record that does not parse: fail sends it to the error output,
	// keep lets it pass as it is.
	OnError string `key:"on_error" default:"fail" enum:"fail|keep"`
}

// Filter keeps some records and drops the others.
type Filter struct {
	// Expression over the fields of the record (expr-lang), true to keep it.
	Expr string `key:"expr" required:"yes"`
}

// JQ changes JSON records.
type JQ struct {
	// Program that makes one value of each record.
	Query string `key:"query" required:"yes"`
	// How long it may run on one record.
	Timeout Duration `key:"timeout" default:"1s" range:"1ms..1m"`
}

// Lambda hands batches of records to a function. Exactly one of url and function.
type Lambda struct {
	// Address that takes the batch as a plain POST.
	URL string `key:"url" choice:"target"`
	// Headers of requests to url, such as Authorization. Values are never printed.
	Headers map[string]Secret `key:"headers" names:"^[A-Za-z0-9!#$%&'*+.^_|~-]{1,128}$" shape:"a header name"`
	// Function name or ARN, called through the Invoke API of Lambda.
	Function string `key:"function" choice:"target" match:"^[a-zA-Z0-9_:/$.-]{1,256}$" shape:"a function name or ARN"`
	// Address of the Lambda API, for another one than that of AWS.
	Endpoint string `key:"endpoint"`
	// Region of the function. It stands in each request, also to url.
	Region string `key:"region" otherwise:"the region of the file" match:"^[a-z0-9-]{1,32}$" shape:"a region name such as us-east-1"`
	// Access key for the Invoke API. Without it the credentials of the environment, of
	// the profile and of the machine are tried, as AWS tools do.
	AccessKey string `key:"access_key"`
	// Secret that belongs to access_key.
	SecretKey Secret `key:"secret_key"`
	// Token of temporary credentials.
	SessionToken Secret `key:"session_token"`
	// Profile of the AWS configuration files.
	Profile string `key:"profile"`
	// How long one call may take.
	Timeout Duration `key:"timeout" default:"5m" range:"100ms..15m"`
	// How often a call is tried again before its records fail.
	Retries int `key:"retries" default:"3" range:"0..300"`
	// Most bytes of records in a call.
	BatchSize Bytes `key:"batch_size" default:"1MiB" range:"1KiB..4MiB"`
	// Most records in a call.
	BatchRecords int `key:"batch_records" default:"500" range:"1..10000"`
	// Most calls at a time.
	Concurrency int `key:"concurrency" default:"5" range:"1..100"`
}

// Exec hands batches of records to a child process.
type Exec struct {
	// Program and its arguments. No shell is involved.
	Command []string `key:"command" required:"yes"`
	// Environment variables on top of those of the daemon. Values are never printed.
	Env map[string]Secret `key:"env" names:"^[A-Za-z_][A-Za-z0-9_]{0,127}$" shape:"a variable name"`
	// Directory that the program runs in; that of the daemon if not given.
	Dir string `key:"dir"`
	// How many copies of the program run.
	Workers int `key:"workers" default:"1" range:"1..64"`
	// How long one batch may take. The program is then ended and started again.
	Timeout Duration `key:"timeout" default:"1m" range:"100ms..15m"`
	// How often a batch is tried again before its records fail.
	Retries int `key:"retries" default:"3" range:"0..300"`
	// Pauses before the program is started again after it ended.
	Restart Restart `key:"restart"`
	// Most bytes of records in a batch.
	BatchSize Bytes `key:"batch_size" default:"1MiB" range:"1KiB..16MiB"`
	// Most records in a batch.
	BatchRecords int `key:"batch_records" default:"500" range:"1..10000"`
}

// Restart is the pause before a program is started again; it doubles each time
// from initial up to max.
type Restart struct {
	// First pause.
	Initial Duration `key:"initial" default:"1s" range:"10ms..1h"`
	// Longest pause.
	Max Duration `key:"max" default:"1m" range:"10ms..24h"`
}
