package config

// Destination is where records go: exactly one of its keys.
type Destination struct {
	// Objects in a bucket of S3, or of a server that speaks its protocol.
	S3 *S3 `key:"s3" choice:"destination"`
	// Files below a directory.
	Dir *Dir `key:"dir" choice:"destination"`
	// Documents in OpenSearch or Elasticsearch.
	OpenSearch *OpenSearch `key:"opensearch" choice:"destination"`
	// Batches to a server that speaks the HTTP endpoint protocol of Firehose.
	HTTP *HTTPEndpoint `key:"http" choice:"destination"`
}

// Objects reports whether the destination holds objects rather than documents.
func (d Destination) Objects() bool { return d.S3 != nil || d.Dir != nil }

// S3 is a bucket and how to reach it.
type S3 struct {
	// Bucket name, without s3:// and without a path.
	Bucket string `key:"bucket" required:"yes" match:"^[a-zA-Z0-9_.-]{1,255}$" shape:"a bucket name alone, without s3:// or a path"`
	// Beginning of object names, with !{timestamp:...} and !{firehose:...} as in Firehose.
	// A prefix without such an expression is followed by yyyy/MM/dd/HH/.
	Prefix string `key:"prefix" otherwise:"the date; for errors a folder for each kind of failure, and the date"`
	// Region of the bucket.
	Region string `key:"region" otherwise:"the region of the file" match:"^[a-z0-9-]{1,32}$" shape:"a region name such as us-east-1"`
	// Address of the server, for another one than AWS.
	Endpoint string `key:"endpoint"`
	// Puts the bucket in the path instead of the host name; most servers other than AWS
	// need it.
	PathStyle bool `key:"path_style" default:"false"`
	// Access key. Without it the credentials of the environment, of the profile and of the
	// machine are tried, as AWS tools do.
	AccessKey string `key:"access_key"`
	// Secret that belongs to access_key.
	SecretKey Secret `key:"secret_key"`
	// Token of temporary credentials.
	SessionToken Secret `key:"session_token"`
	// Profile of the AWS configuration files.
	Profile string `key:"profile"`
	// Larger objects are sent in parts of this size. S3 takes 10,000 parts.
	PartSize Bytes `key:"part_size" default:"8MiB" range:"5MiB..1GiB"`
	// Server-side encryption to ask for; that of the bucket if not given.
	Encryption string `key:"encryption" enum:"AES256|aws:kms|aws:kms:dsse"`
	// Key for aws:kms and aws:kms:dsse; that of the account if not given.
	KMSKeyID string `key:"kms_key_id" match:"^[a-zA-Z0-9:/_-]{1,1000}$" shape:"a key id, key ARN or alias"`
	// File with certificates (PEM) to believe in instead of those of the system.
	CAFile string `key:"ca_file"`
	// Storage class of the objects, such as STANDARD_IA; that of the bucket if not given.
	StorageClass string `key:"storage_class" match:"^[A-Z0-9_]{1,64}$" shape:"upper-case letters, digits and _"`
	// End of object names, in place of the one that format and compression give.
	Extension string `key:"extension" match:"^\\.[0-9a-zA-Z!_.*'()-]{1,127}$" shape:"a dot and 1 to 127 letters, digits or !-_.*'()"`
	// Whether objects are written with If-None-Match, so that a repeated write can never
	// make a second one; auto finds out whether the server can.
	ConditionalWrites string `key:"conditional_writes" default:"auto" enum:"auto|on|off"`
}

// Dir is a directory. Files appear in it whole, never half-written.
type Dir struct {
	// Directory; it is made if it is not there. It must not lie in data_dir.
	Path string `key:"path" required:"yes"`
	// Beginning of file names below the directory, as for s3.
	Prefix string `key:"prefix" otherwise:"the date; for errors a folder for each kind of failure, and the date"`
	// End of file names, in place of the one that format and compression give.
	Extension string `key:"extension" match:"^\\.[0-9a-zA-Z!_.*'()-]{1,127}$" shape:"a dot and 1 to 127 letters, digits or !-_.*'()"`
}

// OpenSearch is an index of OpenSearch or Elasticsearch. Exactly one of url and
// urls.
type OpenSearch struct {
	// Address of the server.
	URL string `key:"url" choice:"address"`
	// Addresses of several nodes.
	URLs []string `key:"urls" choice:"address"`
	// Index, or the beginning of its name when there is a rotation.
	Index string `key:"index" required:"yes"`
	// A new index for each hour, day, week or month, by the arrival of the record:
	// logs-2026-08-01.
	Rotation string `key:"rotation" default:"none" enum:"none|hour|day|week|month"`
	// User that the server knows.
	Username string `key:"username"`
	// Password of that user.
	Password Secret `key:"password"`
	// API key in place of user and password, as the server gave it (base64).
	APIKey Secret `key:"api_key"`
	// Ingest pipeline; that of the index if not given.
	Pipeline string `key:"pipeline"`
	// Which product the server is; auto asks it.
	Flavor string `key:"flavor" default:"auto" enum:"auto|opensearch|elasticsearch"`
	// index puts a document in place of one with the same id; create leaves the first one
	// (data streams need it).
	OpType string `key:"op_type" default:"index" enum:"index|create"`
	// How long one request may take.
	Timeout Duration `key:"timeout" default:"60s" range:"1s..15m"`
	// File with certificates (PEM) to believe in instead of those of the system.
	CAFile string `key:"ca_file"`
}

// HTTPEndpoint is a server that speaks the HTTP endpoint protocol of Firehose.
type HTTPEndpoint struct {
	// Address that takes the batches.
	URL string `key:"url" required:"yes"`
	// Sent as X-Amz-Firehose-Access-Key.
	AccessKey Secret `key:"access_key"`
	// Name of the endpoint, for logs and messages.
	Name string `key:"name" match:"^[^\\x00-\\x1f]{1,256}$" shape:"1 to 256 printable characters"`
	// Compression of request bodies.
	Compression string `key:"compression" default:"gzip" enum:"none|gzip"`
	// Common attributes, sent with each request; at most 50.
	Attributes map[string]string `key:"attributes" names:"^[^\\x00-\\x1f]{1,256}$" shape:"1 to 256 printable characters"`
	// How long the server may take to answer.
	Timeout Duration `key:"timeout" default:"3m" range:"1s..15m"`
	// File with certificates (PEM) to believe in instead of those of the system.
	CAFile string `key:"ca_file"`
}
