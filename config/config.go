// Package config turns one YAML file into typed, defaulted and checked values.
//
// The types of this package are the field table of the file: each field carries
// its key, default, range and words in its tag, and its meaning in its comment.
// Decoding, defaults, docs/configuration.md and docs/config.schema.json all come
// from that one place (go generate ./config rewrites the two files, and a test
// fails when they are out of date).
//
// Every problem of a file is reported at once, each with its place. Text such as
// ${env:NAME}, ${env:NAME:-default} and ${file:PATH} is resolved on values that
// are parsed already, so what an environment variable holds is never read as
// YAML, and it is never printed.
//
// The package has no behaviour: it opens nothing that the file names, does not
// know how the parts of the daemon work, and does not judge what needs them to
// be judged (jq and filter expressions, the patterns inside a prefix). Whoever
// wires the parts reports such problems with a place through Config.Problem.
package config

//go:generate go run ./gen

import (
	"fmt"
	"log/slog"
)

// Config is one configuration file. It is not changed after Load and may be
// read concurrently.
type Config struct {
	// Directory for everything the daemon keeps: the log, positions, streams made
	// through the API. One daemon at a time can use it.
	DataDir string `key:"data_dir" default:"./firehosed-data"`
	// AWS region that names and answers carry, and the default for destinations.
	Region string `key:"region" default:"us-east-1" match:"^[a-z0-9-]{1,32}$" shape:"a region name such as us-east-1"`
	// AWS account that ARNs carry.
	AccountID string `key:"account_id" default:"000000000000" match:"^[0-9]{12}$" shape:"12 digits"`
	// How long a stop may take: after SIGTERM the daemon takes no more requests, ends
	// what it is writing, and exits at the latest after this time.
	ShutdownGrace Duration `key:"shutdown_grace" default:"30s" range:"1s..1h"`
	Log           Log      `key:"log"`
	HTTP          HTTP     `key:"http"`
	Memory        Memory   `key:"memory"`
	Storage       Storage  `key:"storage"`
	API           API      `key:"api"`
	// Streams by name, as Kinesis Data Streams has them. A stream that stands here is
	// owned by the file; others can be made through the API.
	Streams map[string]*Stream `key:"streams" names:"^[a-zA-Z0-9_.-]{1,128}$" shape:"1 to 128 letters, digits, _ . or -"`
	// Delivery streams by name, as Amazon Data Firehose has them.
	DeliveryStreams map[string]*DeliveryStream `key:"delivery_streams" names:"^[a-zA-Z0-9_.-]{1,64}$" shape:"1 to 64 letters, digits, _ . or -"`

	file   string
	places map[string]place
	notes  []Problem
}

// Log says what the daemon writes to standard error.
type Log struct {
	// The least important level that is written.
	Level string `key:"level" default:"info" enum:"debug|info|warn|error"`
	// How a line looks; auto is text on a terminal and JSON elsewhere.
	Format string `key:"format" default:"auto" enum:"auto|text|json"`
}

// HTTP is the one port of the daemon: the Kinesis and Firehose APIs, health and
// metrics.
type HTTP struct {
	// Address and port. Port 0 takes a free one, which the log names.
	Listen string `key:"listen" default:"127.0.0.1:4573"`
	// How requests prove who they are. sigv4: signed with one of the keys. none: not
	// at all. Without keys the daemon serves loopback addresses only, unless this says
	// none.
	Auth string `key:"auth" enum:"none|sigv4" otherwise:"sigv4 if there are keys, else none"`
	// Keys that may sign requests. To change a key without an interruption give the new one
	// beside the old, and remove the old when no client signs with it any more.
	Keys []Key `key:"keys"`
	// Other names of the daemon, with a port if clients use one that is not the usual. A
	// signature covers the host that a client asked for; a proxy that sends another one here
	// needs it to be listed. At most 32.
	Hosts []string `key:"hosts"`
	// Serves TLS on the same port, beside plain HTTP. See docs/guide/tls.md.
	TLS *TLS `key:"tls"`
	// Largest request body.
	MaxBody Bytes `key:"max_body" default:"16MiB" range:"64KiB..256MiB"`
	// Most connections open at once, and never more than half of the files that the
	// process may open; more wait to be accepted.
	MaxConnections int `key:"max_connections" default:"4096" range:"1..1000000"`
}

// TLS is the certificate that the port shows. The files are looked at again when
// clients connect, at most once a second, and a new pair is used from then on;
// connections that are open go on.
type TLS struct {
	// Certificate in PEM, followed by those that lead to its authority.
	Cert string `key:"cert" required:"yes"`
	// Private key of the certificate, in PEM. Only its owner should be able to read it.
	Key string `key:"key" required:"yes"`
	// Refuses plain HTTP with an error that asks for https://, health and metrics included.
	Only bool `key:"only" default:"false"`
}

// Key is one access key that clients sign with.
type Key struct {
	// Name of the caller, for logs and as the user that it is; the access key itself if there
	// is none. Keys that follow one another share it.
	Name string `key:"name" match:"^[^\\x00-\\x1f]{1,128}$" shape:"1 to 128 printable characters"`
	// Public half of the key.
	AccessKey string `key:"access_key" required:"yes" match:"^[A-Za-z0-9_./+=-]{1,128}$" shape:"1 to 128 letters, digits or _./+=-"`
	// Secret half of the key.
	SecretKey Secret `key:"secret_key" required:"yes"`
	// Token that must come with every request of this key, as with temporary credentials.
	SessionToken Secret `key:"session_token"`
	// AWS account of the caller. What it makes belongs to the account_id of the file all the same.
	Account string `key:"account" otherwise:"the account_id of the file" match:"^[0-9]{12}$" shape:"12 digits"`
	// The one region that this key may sign for.
	Region string `key:"region" otherwise:"any" match:"^[a-z0-9-]{1,32}$" shape:"a region name such as us-east-1"`
}

// Memory bounds what the daemon holds in memory.
type Memory struct {
	// One budget for all delivery streams together. When it is used up delivery waits;
	// what is not delivered yet is on disk already.
	Buffers Bytes `key:"buffers" default:"128MiB" range:"8MiB..1TiB"`
	// Records that are on disk in the journal and wait in memory for the files of their
	// shards; they are also what readers at the tip are served from.
	Log Bytes `key:"log" default:"64MiB" range:"1MiB..64GiB"`
}

// Storage tunes the log on disk.
type Storage struct {
	// A shard starts a new file at this size. Retention deletes whole files.
	SegmentSize Bytes `key:"segment_size" default:"64MiB" range:"1MiB..1GiB"`
	// Size of each journal file; a few exist at a time.
	JournalSize Bytes `key:"journal_size" default:"64MiB" range:"4MiB..1GiB"`
	// How much of what was written to the files of shards last stays in the system's page
	// cache, for readers that are behind what `memory.log` holds. What was written before is
	// given back, so that a busy log does not push out what others read. A log that writes
	// more than a sixteenth of this in a second writes past the page cache. 0 leaves all to
	// the system.
	PageCache Bytes `key:"page_cache" default:"256MiB" range:"0B..1PiB"` // -1 for 0 in the file
	// How long records with `durability: interval` are acknowledged before the disk is told
	// to keep them: the most that a loss of power may cost of them.
	SyncInterval Duration `key:"sync_interval" default:"1s" range:"10ms..1m"`
	// With less free disk space than this, records are refused with an answer that makes
	// clients try again; reads, delivery and retention go on. 0 means that only a full disk
	// refuses.
	MinFree Bytes `key:"min_free" range:"0B..1PiB" otherwise:"the larger of 1GiB and 2 % of the disk, but at most 10 % of it"` // 0 if not given, -1 for 0 in the file
	// Size of a file that holds nothing and is removed when the disk is full to the last
	// byte: deliveries, checkpoints and a restart then have its space, while records are
	// refused until it could be made again. 0 means none.
	Ballast Bytes `key:"ballast" range:"0B..64GiB" otherwise:"64MiB, but at most 1/32 of the disk"` // 0 if not given, -1 for 0 in the file
	// How much is read in a second, once a day, to compare what rests on the disk with its
	// checksums. Damage is logged and counted. 0 turns it off.
	Scrub Bytes `key:"scrub" default:"4MiB" range:"0B..1GiB"` // -1 for 0 in the file
	// What is done with segment files once they are full: left as they are, or compressed
	// in the background, which takes the room of one more file meanwhile. Either can be
	// read whatever is set later.
	Compression string `key:"compression" default:"none" enum:"none|zstd"`
	// What a read does where records cannot be read: answer with an error that names them,
	// or go on with the next that can be. What is passed over is counted and logged.
	OnDamage string `key:"on_damage" default:"error" enum:"error|skip"`
	// Encrypts what the log keeps on disk: records, state and names of streams.
	Encryption Encryption `key:"encryption"`
}

// Encryption names the master keys of the log. See docs/guide/encryption.md.
type Encryption struct {
	// Key that new files are encrypted with. Without it new files are not encrypted.
	Key *MasterKey `key:"key"`
	// Keys from before, which files from before may need still. A start that lacks one
	// says so and changes nothing.
	OldKeys []MasterKey `key:"old_keys"`
}

// MasterKey is where a key is: 32 random bytes as they are, as 64 hexadecimal
// digits, or in base64. It is read once, at the start, and never printed.
type MasterKey struct {
	// File that holds it. Only its owner should be able to read it.
	File string `key:"file" choice:"key source"`
	// Environment variable that holds it: its name, of at most 42 letters, digits and _.
	Env string `key:"env" choice:"key source"`
	// Program that prints it, and its arguments; no shell is involved. It has 30 s.
	Command []string `key:"command" choice:"key source"`
}

// API says what is true of what calls to the API make: throughput limits of
// streams, and how delivery streams reach what they name by an ARN.
type API struct {
	// Throughput limits of each shard of the streams that the file does not declare.
	Limits Limits `key:"limits"`
	// Durability of the streams that the file does not declare, those of delivery streams
	// included: see `durability` of a stream.
	Durability string `key:"durability" default:"fsync" enum:"fsync|interval|none"`
	// Leases of consumers such as the Kinesis Client Library, which keep them in
	// DynamoDB elsewhere.
	LeaseStore LeaseStore `key:"lease_store"`
	// Where buckets are.
	S3 *Service `key:"s3"`
	// Where Lambda functions are.
	Lambda *Service `key:"lambda"`
}

// LeaseStore is the part of DynamoDB that consumers of streams need, on the same
// port.
type LeaseStore struct {
	// Whether there is one.
	Enabled bool `key:"enabled" default:"true"`
	// Most that all items may take in memory. A lease takes about 2 KiB.
	MaxBytes Bytes `key:"max_bytes" default:"64MiB" range:"1MiB..4GiB"`
}

// Service is where a service of AWS, or a server that speaks its protocol, is
// and how to sign requests to it.
type Service struct {
	// Address of the server, for another one than AWS.
	Endpoint string `key:"endpoint"`
	// Puts the bucket in the path instead of the host name. For s3 only.
	PathStyle bool `key:"path_style" default:"false"`
	// Region to sign requests for.
	Region string `key:"region" otherwise:"the region of the file" match:"^[a-z0-9-]{1,32}$" shape:"a region name such as us-east-1"`
	// Access key. Without it the credentials of the environment, of the profile and of the
	// machine are tried, as AWS tools do.
	AccessKey string `key:"access_key"`
	// Secret that belongs to access_key.
	SecretKey Secret `key:"secret_key"`
	// Token of temporary credentials.
	SessionToken Secret `key:"session_token"`
	// Profile of the AWS configuration files.
	Profile string `key:"profile"`
}

// Stream is a stream that clients write to and read from.
type Stream struct {
	// Shards to open when the stream is first made.
	Shards int `key:"shards" default:"1" range:"1..10000"`
	// How long a record can be read after its arrival. Calls to the API can set 24 hours and
	// more; less is for tests.
	Retention Duration `key:"retention" default:"24h" range:"1s..8760h"`
	// Most disk space that the records of all shards may take: beyond it the oldest go
	// before their time, in whole files. The files that are being written to come on top,
	// one for each shard. Records that a delivery stream has not delivered are not spared.
	RetentionBytes Bytes `key:"retention_bytes" range:"1MiB..8191PiB" otherwise:"no bound"`
	// Throughput limits of each shard: none, aws, or numbers.
	Limits Limits `key:"limits"`
	// When records are acknowledged, and what a loss of power may cost. fsync: when the disk
	// has confirmed to hold them; nothing is lost. interval: when they are written; a loss of
	// power loses acknowledged records of at most `storage.sync_interval`. none: the same, but
	// of up to ten seconds. Without fsync, sequence numbers that consumers saw may be given
	// again after it. A process that is killed loses nothing in any case.
	Durability string `key:"durability" default:"fsync" enum:"fsync|interval|none"`
}

// File is the path of the file this configuration was read from.
func (c *Config) File() string { return c.file }

// Notes returns what deserves a look but stops nothing, such as a delivery from
// a stream that the file does not declare.
func (c *Config) Notes() []Problem { return c.notes }

// String names the configuration without its content, which may be secret.
func (c *Config) String() string { return "configuration " + c.file }

// Format keeps the content out of every verb of package fmt.
func (c *Config) Format(s fmt.State, _ rune) { fmt.Fprint(s, c.String()) }

// LogValue keeps the content out of logs.
func (c *Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
