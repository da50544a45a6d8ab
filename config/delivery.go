package config

// DeliveryStream takes records from a source, through transforms, to a
// destination.
type DeliveryStream struct {
	// Where records come from.
	Source Source `key:"source" required:"yes"`
	// Steps on the records, in order.
	Transforms []Transform `key:"transforms"`
	// When what was gathered is delivered.
	Buffer Buffer `key:"buffer"`
	// What objects look like inside: a word (`format: ndjson`) or a mapping with one key.
	// Only for destinations that hold objects.
	Format Format `key:"format" otherwise:"ndjson"`
	// Compression of whole objects. snappy is the framing of the snappy tools,
	// snappy_xerial that of snappy-java, which Firehose calls Snappy. Parquet compresses
	// inside the file and needs none here.
	Compression string `key:"compression" default:"none" enum:"none|gzip|zstd|snappy|snappy_xerial" later:"hadoop_snappy|zip"`
	// Where records go.
	Destination Destination `key:"destination" required:"yes"`
	// How a destination that does not take records is tried again.
	Retry Retry `key:"retry"`
	// Time zone of the times in prefixes, as in the IANA database: Europe/Berlin.
	TimeZone string `key:"time_zone" default:"UTC"`
	// Where records go that a transform, the format or the destination refused, with the
	// reason. Several delivery streams may share one place.
	Errors *ErrorOutput `key:"errors" otherwise:"below the destination if that holds objects, else errors/NAME/ in data_dir"`
	// Keeps the records as they came, before any transform.
	Backup *Backup `key:"backup"`
}

// Buffer says when what was gathered is delivered: whichever limit comes first.
type Buffer struct {
	// Bytes of records, before the format and compression.
	Size Bytes `key:"size" otherwise:"64MiB; 5MiB for opensearch and http" range:"1KiB..5GiB"`
	// Time since the first record. 0 delivers without waiting.
	Interval Duration `key:"interval" default:"60s" range:"0s..15m"`
	// Number of records; 0 means no limit.
	Records int `key:"records" default:"0" range:"0..100000000"`
}

// Retry is the pause before a try is repeated. It doubles from initial to max,
// with some chance mixed in.
type Retry struct {
	// First pause.
	Initial Duration `key:"initial" default:"1s" range:"10ms..1h"`
	// Longest pause.
	Max Duration `key:"max" default:"2m" range:"10ms..24h"`
	// For opensearch and http: records that the destination has not taken after this time
	// go to the error output. 0 means never: delivery waits and the log keeps the records.
	// Objects are always tried for ever.
	GiveUpAfter Duration `key:"give_up_after" default:"0s" range:"0s..168h"`
}

// ErrorOutput is where failed records go: exactly one of s3 and dir. Without a
// prefix there is a folder for each kind of failure.
type ErrorOutput struct {
	// Compression of the objects.
	Compression string `key:"compression" default:"none" enum:"none|gzip|zstd|snappy|snappy_xerial" later:"hadoop_snappy|zip"`
	// Failed records go to a bucket.
	S3 *S3 `key:"s3" choice:"sink"`
	// Failed records go to a directory.
	Dir *Dir `key:"dir" choice:"sink"`
}

// Backup keeps source records as they came. Exactly one of s3 and dir.
type Backup struct {
	// Which records: all of them.
	Mode string `key:"mode" default:"all" enum:"all" later:"failed"`
	// Compression of the objects.
	Compression string `key:"compression" default:"none" enum:"none|gzip|zstd|snappy|snappy_xerial" later:"hadoop_snappy|zip"`
	// The backup goes to a bucket.
	S3 *S3 `key:"s3" choice:"sink"`
	// The backup goes to a directory.
	Dir *Dir `key:"dir" choice:"sink"`
}
