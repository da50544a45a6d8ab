package kinesis_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

const (
	account  = "123456789012"
	region   = "us-east-1"
	jsonType = "application/x-amz-json-1.1"
	cborType = "application/x-amz-cbor-1.1"
)

var tokenKey = []byte("0123456789abcdef0123456789abcdef")

// clock is a wall clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fixture is the API on a real log in a folder of the test.
type fixture struct {
	t       testing.TB
	dir     string
	clock   *clock
	engine  streams.Engine
	service *kinesis.Service
	handler http.Handler
	client  *sdk.Client
}

// open starts the log in dir and the API on it. change may alter the options.
func open(t testing.TB, dir string, change func(*kinesis.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: dir, clock: &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)}}
	log, err := wal.Open(dir, wal.Options{Clock: f.clock.now, MinFreeBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	f.engine = log
	opt := kinesis.Options{Engine: log, Region: region, AccountID: account, TokenKey: tokenKey, Clock: f.clock.now}
	if change != nil {
		change(&opt)
	}
	s, err := kinesis.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	f.service = s
	t.Cleanup(s.EndSubscriptions)
	verifier, err := access.NewSigV4(access.SigV4Options{Keys: []access.Key{{ID: "AKID", Secret: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := wire.NewHandler(wire.Options{Services: []wire.Service{s.Wire()}, Access: verifier})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(signed)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Start()
	t.Cleanup(srv.Close)
	f.client = sdk.New(sdk.Options{
		Region:       region,
		BaseEndpoint: &srv.URL,
		HTTPClient:   &http.Client{Transport: wholeBodies{srv.Client().Transport}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
		}),
		RetryMaxAttempts: 1,
	})
	f.handler, err = wire.NewHandler(wire.Options{Services: []wire.Service{s.Wire()}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func setup(t testing.TB) *fixture {
	t.Helper()
	return open(t, t.TempDir(), nil)
}

// raw sends a body as it is and returns the status and the answer.
func (f *fixture) raw(operation, media, body string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// ok sends a JSON body that must succeed.
func (f *fixture) ok(operation, body string) string {
	f.t.Helper()
	status, answer := f.raw(operation, jsonType, body)
	if status != http.StatusOK {
		f.t.Fatalf("%s %s: got %d %s", operation, body, status, answer)
	}
	return answer
}

// create makes a stream through the API.
func (f *fixture) create(name string, shards int32) {
	f.t.Helper()
	if _, err := f.client.CreateStream(f.t.Context(), &sdk.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		f.t.Fatal(err)
	}
}

// iterator returns an iterator of a shard.
func (f *fixture) iterator(in sdk.GetShardIteratorInput) string {
	f.t.Helper()
	out, err := f.client.GetShardIterator(f.t.Context(), &in)
	if err != nil {
		f.t.Fatal(err)
	}
	return *out.ShardIterator
}

// get reads a page.
func (f *fixture) get(iterator string, limit int32) *sdk.GetRecordsOutput {
	f.t.Helper()
	in := &sdk.GetRecordsInput{ShardIterator: &iterator}
	if limit > 0 {
		in.Limit = &limit
	}
	out, err := f.client.GetRecords(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// wholeBodies sends request bodies from memory of its own. The SDK (smithy-go
// 1.28) closes a body as soon as the response begins, and if the transport had
// not yet looked for the end of it, takes that for a failed write and closes
// the connection under the response. Far servers are too slow for that to
// happen; this one on a busy machine is not.
type wholeBodies struct{ http.RoundTripper }

func (t wholeBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(b))
	return t.RoundTripper.RoundTrip(r)
}
