// Package s3 stores objects in a bucket of Amazon S3 or of a server that
// speaks its protocol.
//
// An object of at most one part is one PutObject; a larger one is a multipart
// upload of equal parts (R2 takes no others). Both ask with "If-None-Match: *"
// that nothing is there yet, so that a Put repeated after a lost answer finds
// the first one's object and leaves it alone; the ID of the object, kept as the
// metadata entry "firehosed-id", tells it from somebody else's. Stores that do
// not know the header are written without it: the same key then gets the same
// bytes again.
//
// Memory: a Put holds at most three parts (two being sent, one being filled),
// a small object only its own size rounded up to 256 KiB.
//
// The package does not retry, neither itself nor in the SDK, makes no buckets
// and does not read objects.
package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/firehosed/firehosed/sinks"
)

// Conditional says when a Put asks with "If-None-Match: *" that no object is
// there.
type Conditional string

const (
	// ConditionalAuto asks until the store answers that it does not know how.
	ConditionalAuto Conditional = "auto"
	// ConditionalOn always asks; a store that does not know how is an error.
	ConditionalOn Conditional = "on"
	// ConditionalOff never asks: an object that is there is overwritten.
	ConditionalOff Conditional = "off"
)

// Limits of the protocol.
const (
	MinPartBytes     = 5 << 20
	MaxPartBytes     = 5 << 30
	DefaultPartBytes = 8 << 20
	MaxParts         = 10_000
)

// Options configure a Sink.
type Options struct {
	Bucket string
	// Region of the bucket. Default: that of the environment or the shared
	// profile, then us-east-1 if Endpoint is set.
	Region string
	// Endpoint is the URL of the store; default: Amazon S3 in Region. The
	// environment's AWS_ENDPOINT_URL is not used: it may well point at this
	// daemon.
	Endpoint    string
	PathStyle   bool // http://host/bucket/key instead of http://bucket.host/key
	Credentials Credentials
	// PartBytes is the size of the parts of a multipart upload, and the size
	// up to which an object is a single PutObject: MinPartBytes to
	// MaxPartBytes, default DefaultPartBytes. An object has at most MaxParts
	// parts.
	PartBytes         int64
	ConditionalWrites Conditional // default: ConditionalAuto
	StorageClass      string      // default: that of the bucket
	// Encryption is the server-side encryption to ask for: "AES256",
	// "aws:kms", "aws:kms:dsse"; default: that of the bucket. KMSKeyID names
	// the key for the latter two.
	Encryption string
	KMSKeyID   string
	// ContentMD5 sends the header Content-MD5 with each body; buckets with an
	// object lock ask for it. Without it bodies are guarded by the SHA-256 that
	// the signature covers.
	ContentMD5 bool
	HTTP       HTTPOptions
	Logger     *slog.Logger // default: discard
}

// Credentials say whose name requests carry. The zero value asks, in this
// order, the environment, the shared files, and the services of the machine
// (container, instance), as the AWS SDK does.
type Credentials struct {
	// AccessKeyID and SecretAccessKey, and SessionToken for temporary ones, are
	// used as they are if set.
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	// Profile names a profile of the shared files.
	Profile string
	// Anonymous sends unsigned requests.
	Anonymous bool
}

// LogValue hides the secrets.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("access_key_id", c.AccessKeyID), slog.String("profile", c.Profile))
}

// Sink is a bucket. It is safe for concurrent use.
type Sink struct {
	opt       Options
	client    *s3.Client
	transport *http.Transport
	log       *slog.Logger
	chunks    sync.Pool // of *chunk
	maxParts  int32     // MaxParts, but in tests
	// plain is set once the store said that it knows no conditional writes.
	plain  atomic.Bool
	closed atomic.Bool

	mu      sync.Mutex
	orphans []orphan // uploads whose abort did not succeed, at most maxOrphans
}

var _ sinks.ObjectSink = (*Sink)(nil)

// New returns a sink for the bucket opt.Bucket. It reads the shared files of
// the AWS SDK if it needs them and sends nothing; Check does.
func New(ctx context.Context, opt Options) (*Sink, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, fmt.Errorf("s3 sink: %w", err)
	}
	cfg, err := loadConfig(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("s3 sink: %w", err)
	}
	if cfg.Region == "" {
		if opt.Endpoint == "" {
			return nil, errors.New("s3 sink: no region: set region, AWS_REGION or a profile that has one")
		}
		cfg.Region = "us-east-1"
	}
	s := &Sink{opt: opt, transport: newTransport(opt.HTTP), maxParts: MaxParts}
	s.opt.Region = cfg.Region
	s.log = opt.Logger.With("sink", s.String())
	s.chunks.New = func() any { return new(chunk) }
	s.plain.Store(opt.ConditionalWrites == ConditionalOff)
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = nil
		if opt.Endpoint != "" {
			o.BaseEndpoint = aws.String(opt.Endpoint)
		}
		o.UsePathStyle = opt.PathStyle
		o.HTTPClient = &http.Client{
			Transport:     boundedBodies{s.transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		o.Retryer = aws.NopRetryer{} // package delivery retries
		// CRC trailers are what S3-compatible stores stumble over.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		if !opt.Credentials.Anonymous {
			o.Credentials = namedCredentials{o.Credentials}
		}
	})
	return s, nil
}

func (o *Options) setDefaults() error {
	var errs []error
	if o.Bucket == "" {
		errs = append(errs, errors.New("bucket is empty"))
	} else if strings.ContainsAny(o.Bucket, "/\\ \t\r\n?#") {
		errs = append(errs, fmt.Errorf("bucket %q is no bucket name", o.Bucket))
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		switch {
		case err != nil:
			errs = append(errs, errors.New("endpoint is no URL")) // it may hold a password
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			errs = append(errs, errors.New("endpoint must begin with http:// or https:// and a host"))
		case u.User != nil:
			errs = append(errs, errors.New("endpoint has a user name in it; use the credentials options"))
		}
	}
	if o.PartBytes == 0 {
		o.PartBytes = DefaultPartBytes
	}
	if o.PartBytes < MinPartBytes || o.PartBytes > MaxPartBytes {
		errs = append(errs, fmt.Errorf("part size %d is outside %d (5 MiB) to %d (5 GiB)", o.PartBytes, int64(MinPartBytes), int64(MaxPartBytes)))
	}
	switch o.ConditionalWrites {
	case "":
		o.ConditionalWrites = ConditionalAuto
	case ConditionalAuto, ConditionalOn, ConditionalOff:
	default:
		errs = append(errs, fmt.Errorf("conditional writes %q: want auto, on or off", o.ConditionalWrites))
	}
	switch types.ServerSideEncryption(o.Encryption) {
	case "", types.ServerSideEncryptionAes256, types.ServerSideEncryptionAwsKms, types.ServerSideEncryptionAwsKmsDsse:
	default:
		errs = append(errs, fmt.Errorf("encryption %q: want AES256, aws:kms or aws:kms:dsse", o.Encryption))
	}
	c := o.Credentials
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		errs = append(errs, errors.New("access key id and secret access key must be set together"))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.HTTP.setDefaults()
	return errors.Join(errs...)
}

func loadConfig(ctx context.Context, opt Options) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{config.WithAppID("firehosed")}
	if opt.Region != "" {
		load = append(load, config.WithRegion(opt.Region))
	}
	c := opt.Credentials
	switch {
	case c.Anonymous:
		load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case c.AccessKeyID != "":
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)))
	}
	if c.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(c.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("AWS configuration: %w", err)
	}
	return cfg, nil
}

// namedCredentials marks the errors of a provider, so that they can be told
// from those of the store.
type namedCredentials struct{ aws.CredentialsProvider }

func (n namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &credentialsError{err}
	}
	return c, nil
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// String returns "s3://", the bucket, and the endpoint if one is set.
func (s *Sink) String() string {
	if s.opt.Endpoint == "" {
		return "s3://" + s.opt.Bucket
	}
	return "s3://" + s.opt.Bucket + " at " + s.opt.Endpoint
}

// Close ends idle connections and makes later calls return sinks.ErrClosed.
// Puts that run go on to their end.
func (s *Sink) Close() error {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
	return nil
}

// Check asks for the bucket (HeadBucket), for which the credentials need
// s3:ListBucket; a Put does not. If the answer is no, it asks once more in a
// way that has the store say why.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := timed(ctx, s, func(ctx context.Context) (*s3.HeadBucketOutput, error) {
		return s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.opt.Bucket})
	})
	if err != nil && statusOf(err) != 0 && ctx.Err() == nil {
		// The answer to a HEAD has no body, and so no code and no words.
		_, err = timed(ctx, s, func(ctx context.Context) (*s3.ListObjectsV2Output, error) {
			return s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.opt.Bucket, MaxKeys: aws.Int32(1)})
		})
	}
	return s.classify(ctx, "find the bucket (needs s3:ListBucket)", err)
}

func (s *Sink) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return sinks.ErrClosed
	}
	return nil
}
