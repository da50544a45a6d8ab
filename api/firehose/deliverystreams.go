package firehose

import (
	"context"
	"errors"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// Errors of DeliveryStreams that have an answer of their own. Implementations
// wrap them; the text of ErrInvalid and ErrDeclared goes to the client.
var (
	// ErrNotFound means that there is no delivery stream of that name.
	ErrNotFound = errors.New("delivery stream not found")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("delivery stream already exists")
	// ErrNotDirectPut means that the delivery stream reads a source of its own
	// and takes no puts.
	ErrNotDirectPut = errors.New("delivery stream is not of type DirectPut")
	// ErrDeclared means that the delivery stream belongs to the configuration
	// file and cannot be changed by a call.
	ErrDeclared = errors.New("delivery stream is declared in the configuration file")
	// ErrBusy means that no records are taken now and the client should come
	// back later.
	ErrBusy = errors.New("delivery stream takes no records now")
	// ErrInvalid means that a definition is right as such but cannot be carried
	// out: a transform, compression or destination that is not there.
	ErrInvalid = errors.New("definition cannot be carried out")
)

// DeliveryStreams is what this API needs of the rest of the daemon. Methods
// may be called concurrently.
type DeliveryStreams interface {
	// Create makes a delivery stream that survives a restart and is delivering
	// when Create returns. ErrExists, ErrInvalid.
	Create(ctx context.Context, d Definition) error
	// Delete ends a delivery stream and forgets it, with the records it has not
	// delivered. ErrNotFound, ErrDeclared.
	Delete(ctx context.Context, name string) error
	// Get describes a delivery stream, those of the configuration file
	// included, as well as a Definition can say it.
	Get(name string) (Description, bool)
	// Names returns the names of all delivery streams.
	Names() []string
	// Put makes all records durable as one unit and returns where they went.
	// After an error none is taken. The slices are not kept. ErrNotFound,
	// ErrNotDirectPut, ErrBusy, streams.ErrFull.
	Put(ctx context.Context, name string, records [][]byte) (streams.Result, error)
}

// Types of delivery streams.
const (
	DirectPut             = "DirectPut"
	KinesisStreamAsSource = "KinesisStreamAsSource"
)

// Definition is the checked input of CreateDeliveryStream.
type Definition struct {
	Name string
	Type string // DirectPut or KinesisStreamAsSource
	// Source is set for KinesisStreamAsSource.
	Source *KinesisSource
	// Exactly one of S3 and HTTP is set.
	S3   *S3Destination
	HTTP *HTTPDestination
	// Encryption at rest as asked for, kept and described only. Nil if not.
	Encryption *Encryption
	Tags       []Tag
	// Raw is the input as compact JSON, with members this version does not know
	// and with secrets. ParseDefinition makes the same Definition of it.
	Raw []byte
}

// KinesisSource names the stream that a delivery stream reads.
type KinesisSource struct {
	StreamARN string
	Stream    string // the name in StreamARN
	RoleARN   string
}

// Encryption is what a client asked for.
type Encryption struct{ KeyType, KeyARN string }

// Tag is a label.
type Tag struct{ Key, Value string }

// Buffering says when a buffer closes: at a size in MiB or after an interval
// in seconds, whichever comes first. Defaults are filled in.
type Buffering struct{ SizeMB, IntervalSeconds int }

// Compression formats of objects.
const (
	Uncompressed = "UNCOMPRESSED"
	Gzip         = "GZIP"
	Zip          = "ZIP"
	Snappy       = "Snappy"
	HadoopSnappy = "HADOOP_SNAPPY"
)

// S3Location is a place in S3 and how objects lie there.
type S3Location struct {
	RoleARN           string
	BucketARN         string
	Bucket            string // the name in BucketARN
	Prefix            string
	ErrorOutputPrefix string
	Buffering         Buffering
	Compression       string // one of the formats above, never empty
	KMSKeyARN         string // kept and described only
	Logging           *Logging
}

// Logging is the CloudWatch option, kept and described only.
type Logging struct {
	Enabled       bool
	Group, Stream string
}

// S3Destination is a destination in S3.
type S3Destination struct {
	S3Location
	FileExtension string
	TimeZone      string // an IANA name, empty for UTC
	Processing    *Processing
	// Backup takes all source records; nil if S3BackupMode is Disabled.
	Backup *S3Location
}

// Processing is the list of steps before delivery.
type Processing struct {
	Enabled    bool
	Processors []Processor
}

// Processor is one step. Its parameters have the defaults of their type.
type Processor struct {
	Type       string
	Parameters []Parameter
}

// Parameter is one setting of a processor.
type Parameter struct{ Name, Value string }

// Parameter returns the value of a parameter, empty if it is not set.
func (p Processor) Parameter(name string) string {
	for _, q := range p.Parameters {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// HTTPDestination is an HTTP endpoint that speaks the delivery contract of
// Firehose.
type HTTPDestination struct {
	URL       string
	Name      string
	AccessKey string // never described
	// Gzip says that bodies are compressed.
	Gzip         bool
	Attributes   []Attribute
	Buffering    Buffering
	RetrySeconds int
	RoleARN      string
	Processing   *Processing
	// AllData says that S3 takes all source records, not only the failed ones.
	AllData bool
	S3      S3Location
	Logging *Logging
}

// Attribute is one common attribute of the requests to an endpoint.
type Attribute struct{ Name, Value string }

// Description is a delivery stream as it is now.
type Description struct {
	Definition Definition
	// Status is ACTIVE, CREATING, DELETING, CREATING_FAILED or DELETING_FAILED.
	Status string
	// Version counts from 1.
	Version          int
	Created, Updated time.Time
	// DeliveryStart is when a source began to be read; for a Source only.
	DeliveryStart time.Time
	// FailureType and FailureDetails tell why a status is failed.
	FailureType, FailureDetails string
}
