// Package http hands documents to an HTTP endpoint with the contract of Amazon
// Data Firehose ("HTTP endpoint delivery request and response specifications"
// of its developer guide), which many observability products receive.
//
// A batch is one POST; its request ID is the ID of the batch, so that an
// endpoint can tell a second try. What the contract leaves to loss is not
// lost here: a batch that is too large (413) is halved, down to the document
// that is refused; Retry-After is honoured.
//
// The package does not retry and does not follow redirects.
package http

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/sinks"
)

// Limits of the contract.
const (
	MaxBody    = 64 << 20 // of a request, before compression
	MaxRecords = 10_000
	// MaxRecordBytes is a record of 1,365,336 base64 characters.
	MaxRecordBytes      = 1_365_336 / 4 * 3
	MaxAccessKey        = 4096
	MaxCommonAttributes = 50
	maxAnswer           = 1 << 20
)

// Options configure a Sink.
type Options struct {
	URL string // used as it is
	// AccessKey is sent as X-Amz-Firehose-Access-Key if not empty; at most
	// MaxAccessKey bytes.
	AccessKey string
	// SourceARN is sent as X-Amz-Firehose-Source-Arn: some receivers demand it.
	SourceARN string
	// CommonAttributes are sent with each request if there are any, at most
	// MaxCommonAttributes.
	CommonAttributes map[string]string
	Gzip             bool // compress bodies
	// Lenient takes any 2xx answer for success, instead of only a 200 whose
	// body is what the contract asks for.
	Lenient bool
	// RootCAs are trusted instead of those of the system if set.
	RootCAs *x509.CertPool
	Timeout time.Duration // of one request; default 3 min
	// MaxDocuments and MaxBytes bound one request, the latter in bytes of the
	// documents before base64; defaults 10,000 and 5 MiB.
	MaxDocuments int
	MaxBytes     int64
	// MaxDocumentBytes is the size above which a document is refused; default
	// MaxRecordBytes. More is not in the contract.
	MaxDocumentBytes int
	Now              func() time.Time // for the timestamp of requests; default: time.Now
	Logger           *slog.Logger     // default: discard
}

// Sink is an HTTP endpoint. It is safe for concurrent use.
type Sink struct {
	opt       Options
	name      string
	header    http.Header
	transport *http.Transport
	client    *http.Client
	log       *slog.Logger
	closed    atomic.Bool
}

var _ sinks.DocumentSink = (*Sink)(nil)

// New returns a sink for the endpoint opt.URL. It sends nothing.
func New(opt Options) (*Sink, error) {
	u, err := opt.setDefaults()
	if err != nil {
		return nil, fmt.Errorf("http sink: %w", err)
	}
	s := &Sink{opt: opt, name: "http:" + redact(u)}
	s.log = opt.Logger.With("sink", s.name)
	s.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: opt.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: opt.Timeout,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // the contract allows none
	}
	s.client = &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.header = http.Header{
		"Content-Type":                    {"application/json"},
		"User-Agent":                      {"firehosed"},
		"X-Amz-Firehose-Protocol-Version": {"1.0"},
	}
	if opt.SourceARN != "" {
		s.header.Set("X-Amz-Firehose-Source-Arn", opt.SourceARN)
	}
	if opt.AccessKey != "" {
		s.header.Set("X-Amz-Firehose-Access-Key", opt.AccessKey)
	}
	if len(opt.CommonAttributes) > 0 {
		attrs, err := json.Marshal(map[string]any{"commonAttributes": opt.CommonAttributes})
		if err != nil {
			return nil, fmt.Errorf("http sink: common attributes: %w", err)
		}
		s.header.Set("X-Amz-Firehose-Common-Attributes", ascii(attrs))
	}
	if opt.Gzip {
		s.header.Set("Content-Encoding", "gzip")
	}
	return s, nil
}

func (o *Options) setDefaults() (*url.URL, error) {
	var errs []error
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		errs = append(errs, errors.New("the URL is no URL")) // it may hold a token
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		errs = append(errs, errors.New("the URL must begin with http:// or https:// and a host"))
	}
	o.Timeout = cmp.Or(o.Timeout, 3*time.Minute)
	o.MaxDocuments = cmp.Or(o.MaxDocuments, MaxRecords)
	o.MaxBytes = cmp.Or(o.MaxBytes, 5<<20)
	o.MaxDocumentBytes = cmp.Or(o.MaxDocumentBytes, MaxRecordBytes)
	if o.MaxDocuments < 1 || o.MaxDocuments > MaxRecords {
		errs = append(errs, fmt.Errorf("the limit of %d documents is outside 1 to %d", o.MaxDocuments, MaxRecords))
	}
	if most := int64(MaxBody / 4 * 3); o.MaxBytes < 1 || o.MaxBytes > most {
		errs = append(errs, fmt.Errorf("the limit of %d bytes is outside 1 to %d (64 MiB in base64)", o.MaxBytes, most))
	}
	if o.MaxDocumentBytes < 1 || bodySize(1, o.MaxDocumentBytes) > MaxBody {
		errs = append(errs, fmt.Errorf("the limit of %d bytes for a document is too small or does not fit in a request", o.MaxDocumentBytes))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("the timeout is negative"))
	}
	for name, v := range map[string]string{"access key": o.AccessKey, "source ARN": o.SourceARN} {
		if len(v) > MaxAccessKey || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("the %s is not printable ASCII of at most %d bytes", name, MaxAccessKey))
		}
	}
	if len(o.CommonAttributes) > MaxCommonAttributes {
		errs = append(errs, fmt.Errorf("%d common attributes; the limit is %d", len(o.CommonAttributes), MaxCommonAttributes))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return u, errors.Join(errs...)
}

// redact returns a URL without what may be secret: user, query and fragment,
// and, since many receivers have a token in the path, all of the path.
func redact(u *url.URL) string { return u.Scheme + "://" + u.Host }

// ascii writes the characters of a JSON text that a header cannot hold as
// escapes.
func ascii(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// String returns "http:" and the scheme and host of the endpoint; the rest of
// a URL often holds a token.
func (s *Sink) String() string { return s.name }

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

// Check tests that somebody answers at the URL, with a HEAD request. Which
// answer does not matter: the contract has no request that changes nothing, and
// receivers answer others as they like.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(rctx, http.MethodHead, s.opt.URL, http.NoBody)
	if err != nil {
		return s.unsent(ctx, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return s.unsent(ctx, err)
	}
	return resp.Body.Close()
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
