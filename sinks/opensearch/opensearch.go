// Package opensearch stores documents in an index of OpenSearch or
// Elasticsearch with the _bulk API.
//
// Each document is written under its own ID, so that one sent twice is stored
// once, and each has its own result: one that the index refuses does not hold
// up the others. A batch that is too large for the server is halved until it
// fits. Index names follow the arrival time of the record, in UTC.
//
// The package does not retry, makes no indices or mappings, and does not
// change documents, but that line breaks between the tokens of a document
// become spaces: the _bulk API is a format of lines.
package opensearch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8"

	"github.com/firehosed/firehosed/sinks"
)

// OpType says what to do with a document whose ID the index has already.
type OpType string

const (
	OpIndex  OpType = "index"  // replace it by itself
	OpCreate OpType = "create" // leave it; data streams want this
)

// Options configure a Sink.
type Options struct {
	URLs     []string // of the nodes, used in turn; at least one
	Index    string   // name, or the part of it before the time
	Rotation Rotation // default: RotateNone
	OpType   OpType   // default: OpIndex
	Flavor   Flavor   // default: FlavorAuto
	Pipeline string   // ingest pipeline; default: that of the index
	// Username and Password, or APIKey (base64, as the server gave it).
	Username, Password string
	APIKey             string
	// RootCAs are trusted instead of those of the system if set.
	RootCAs *x509.CertPool
	// Plain sends bodies as they are instead of compressed by gzip.
	Plain   bool
	Timeout time.Duration // of one request; default 60 s
	// MaxDocuments and MaxBytes bound one request; defaults 5,000 and 5 MiB.
	MaxDocuments int
	MaxBytes     int64
	Logger       *slog.Logger // default: discard
}

// Sink is an index. It is safe for concurrent use.
type Sink struct {
	opt       Options
	client    *elasticsearch.Client
	transport *http.Transport
	shim      *productShim
	log       *slog.Logger
	closed    atomic.Bool
	probe     sync.Mutex // held while the flavor is asked for
}

var _ sinks.DocumentSink = (*Sink)(nil)

// New returns a sink for the index opt.Index. It sends nothing; Check does.
func New(opt Options) (*Sink, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, fmt.Errorf("opensearch sink: %w", err)
	}
	s := &Sink{opt: opt}
	s.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: opt.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: opt.Timeout,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}
	s.shim = &productShim{next: s.transport}
	s.shim.settle(opt.Flavor)
	client, err := elasticsearch.NewClient(elasticsearch.Config{
		Addresses: opt.URLs, Username: opt.Username, Password: opt.Password, APIKey: opt.APIKey,
		Transport:           s.shim,
		DisableRetry:        true, // package delivery retries
		DisableMetaHeader:   true,
		CompressRequestBody: !opt.Plain, CompressRequestBodyLevel: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("opensearch sink: %w", err)
	}
	s.client = client
	s.log = opt.Logger.With("sink", s.String())
	return s, nil
}

func (o *Options) setDefaults() error {
	var errs []error
	if len(o.URLs) == 0 {
		errs = append(errs, errors.New("no URL"))
	}
	for i, text := range o.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("URL %d is no URL", i+1)) // it may hold a password
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			errs = append(errs, fmt.Errorf("URL %d must begin with http:// or https:// and a host", i+1))
		case u.User != nil:
			errs = append(errs, fmt.Errorf("URL %d has a user name in it; use the options for it", i+1))
		}
	}
	if err := checkIndex(o.Index); err != nil {
		errs = append(errs, err)
	}
	o.Rotation = cmp.Or(o.Rotation, RotateNone)
	if _, ok := rotations[o.Rotation]; !ok {
		errs = append(errs, fmt.Errorf("rotation %q: want none, hour, day, week or month", o.Rotation))
	}
	if o.OpType = cmp.Or(o.OpType, OpIndex); o.OpType != OpIndex && o.OpType != OpCreate {
		errs = append(errs, fmt.Errorf("op type %q: want index or create", o.OpType))
	}
	switch o.Flavor = cmp.Or(o.Flavor, FlavorAuto); o.Flavor {
	case FlavorAuto, FlavorOpenSearch, FlavorElasticsearch:
	default:
		errs = append(errs, fmt.Errorf("flavor %q: want auto, opensearch or elasticsearch", o.Flavor))
	}
	if o.APIKey != "" && o.Username != "" {
		errs = append(errs, errors.New("both an API key and a user name are set"))
	}
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.MaxDocuments = cmp.Or(o.MaxDocuments, 5000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 5<<20)
	if o.MaxDocuments < 0 || o.MaxBytes < 0 || o.Timeout < 0 {
		errs = append(errs, errors.New("a limit is negative"))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// String returns "opensearch:", the first URL and the index.
func (s *Sink) String() string {
	return "opensearch:" + strings.TrimSuffix(s.opt.URLs[0], "/") + "/" + s.opt.Index
}

// Limits returns the bounds of one request.
func (s *Sink) Limits() sinks.BatchLimits {
	return sinks.BatchLimits{Documents: s.opt.MaxDocuments, Bytes: s.opt.MaxBytes}
}

// Close ends idle connections and makes later calls return sinks.ErrClosed.
func (s *Sink) Close() error {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
	return nil
}

// Check asks the server what it is (GET /).
func (s *Sink) Check(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.ask(ctx)
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
