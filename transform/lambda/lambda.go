// Package lambda is the transform that hands records to a function with the
// data transformation contract of Amazon Data Firehose, over a plain HTTP POST
// or over the Invoke API of AWS Lambda and of servers that speak it.
//
// What is the records' fault and what is not: a function that reports an error,
// answers too late or too much, or not by the contract fails the records it was
// given, after Options.Retries where a second try can help. Wrong credentials,
// a missing permission, a function that does not exist, a redirect and a server
// that cannot be reached are errors of Transform: the records wait until an
// operator has seen to it.
//
// The function may see a record more than once. The package does not deploy
// functions and does not read their logs.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/contract"
)

// Limits of the contract.
const (
	// MaxRequest is the size of a request and of an answer in bytes, as of AWS
	// Lambda.
	MaxRequest = 6 << 20
	// MaxRecord is the size of a record in bytes that always fits a request.
	MaxRecord = 4 << 20

	maxRetries = 300
)

// Options of a lambda step. Exactly one of URL and Function is required.
type Options struct {
	// URL takes the request as the body of a POST and answers 200 with the
	// answer as the body.
	URL string
	// Header is added to requests to URL: "Authorization" for example.
	Header http.Header

	// Function is a name or an ARN, called through the Invoke API.
	Function string
	// Endpoint is the address of the API if it is not that of AWS.
	Endpoint string
	// Region of the function. It is also in requests to URL.
	Region string
	// AccessKey and SecretKey sign the calls, with SessionToken if they are
	// temporary. Without them the default chain of the AWS SDK is asked:
	// environment, shared files with Profile, the machine's role.
	AccessKey, SecretKey, SessionToken string
	Profile                            string

	// DeliveryStreamARN and SourceStreamARN tell the function where records
	// come from. With a SourceStreamARN they have kinesisRecordMetadata.
	DeliveryStreamARN, SourceStreamARN string

	// Timeout of one call, to the end of its answer; default 5 min.
	Timeout time.Duration
	// Retries after a first call that failed, 0 to 300. AWS does 3.
	Retries int
	// Backoff between calls. The zero value waits 1 s, 2 s, 4 s, ...
	Backoff backoff.Policy
	// BatchBytes is the most bytes of records in a request of several, default
	// 1 MiB, at most MaxRecord. BatchRecords is the most records, default 500.
	BatchBytes   int
	BatchRecords int
	// Concurrency is how many calls may run at a time, default 5.
	Concurrency int
	// MaxResponse is where reading an answer stops, in bytes, default 6 MiB.
	MaxResponse int64
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.BatchBytes, 1<<20)
	def(&o.BatchRecords, 500)
	def(&o.Concurrency, 5)
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.MaxResponse == 0 {
		o.MaxResponse = MaxRequest
	}
	return o
}

func (o Options) validate() error {
	switch {
	case (o.URL == "") == (o.Function == ""):
		return errors.New("exactly one of url and function must be set")
	case o.Retries < 0 || o.Retries > maxRetries:
		return fmt.Errorf("retries %d is outside 0 to %d", o.Retries, maxRetries)
	case o.BatchBytes < 1 || o.BatchBytes > MaxRecord:
		return fmt.Errorf("batch size %d is outside 1 to %d bytes", o.BatchBytes, MaxRecord)
	case o.BatchRecords < 1 || o.BatchRecords > 10_000:
		return fmt.Errorf("batch records %d is outside 1 to 10000", o.BatchRecords)
	case o.Concurrency < 1 || o.Concurrency > 1000:
		return fmt.Errorf("concurrency %d is outside 1 to 1000", o.Concurrency)
	case o.Timeout < 0 || o.MaxResponse < 0:
		return errors.New("timeout and size of the answer must not be negative")
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return errors.New("access key and secret key belong together")
	case o.URL != "" && (o.Endpoint != "" || o.AccessKey != "" || o.Profile != ""):
		return errors.New("endpoint, keys and profile are for function, not for url")
	}
	return nil
}

// Transformer is a lambda step.
type Transformer struct {
	dispatch *contract.Dispatcher
	idle     func() // closes idle connections

	mu      sync.Mutex
	running sync.WaitGroup
	closed  bool
}

var _ transform.Transformer = (*Transformer)(nil)

// ErrClosed is what Transform returns after Close.
var ErrClosed = errors.New("lambda: step is closed")

// New makes the step. It does not call the function. The context is for reading
// the AWS configuration.
func New(ctx context.Context, opt Options) (*Transformer, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	var caller contract.Caller
	t := &Transformer{}
	var err error
	if opt.URL != "" {
		caller, t.idle, err = newPost(opt)
	} else {
		caller, t.idle, err = newInvoke(ctx, opt)
	}
	if err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	t.dispatch = contract.NewDispatcher(caller, contract.Options{
		Name:         "Lambda",
		Origin:       contract.Origin{DeliveryStreamARN: opt.DeliveryStreamARN, SourceStreamARN: opt.SourceStreamARN, Region: opt.Region},
		BatchRecords: opt.BatchRecords,
		BatchBytes:   opt.BatchBytes,
		MaxRequest:   MaxRequest,
		Concurrency:  opt.Concurrency,
		Timeout:      opt.Timeout,
		Retries:      opt.Retries,
		Backoff:      opt.Backoff,
	})
	return t, nil
}

// Deterministic is false: nobody knows what the function does.
func (t *Transformer) Deterministic() bool { return false }

// Transform hands the records to the function.
func (t *Transformer) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	t.running.Add(1)
	t.mu.Unlock()
	defer t.running.Done()
	out, err := t.dispatch.Transform(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	return out, nil
}

// Close waits for calls that run and closes connections.
func (t *Transformer) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
	t.idle()
	return nil
}

// errTooLong is what a limited body returns beyond its limit.
var errTooLong = errors.New("answer is too long")

// limited stops reading an answer.
type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left < 0 {
		return 0, errTooLong
	}
	if int64(len(b)) > l.left+1 {
		b = b[:l.left+1]
	}
	n, err := l.ReadCloser.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

func tooLong(limit int64) *contract.Fault {
	return &contract.Fault{
		Class: contract.Refused, Code: contract.FunctionError,
		Message: fmt.Sprintf("the answer is longer than %d bytes; a smaller batch_size gives shorter ones", limit),
	}
}

func parseURL(name, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The error quotes the address, which may hold a password.
		return nil, fmt.Errorf("%s is no address such as http://127.0.0.1:8080/", name)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s %q is no address such as http://127.0.0.1:8080/", name, u.Redacted())
	}
	return u, nil
}
