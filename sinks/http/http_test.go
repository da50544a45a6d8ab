package http_test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/http"
	"github.com/firehosed/firehosed/sinks/sinktest"
)

// receiver is an endpoint of the contract that is as strict as those of the
// OpenTelemetry collector and of Vector together: it demands the headers of
// the protocol and knows a request it took by its ID.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	taken    map[string][]string // by request ID
	order    []string
	requests int
	headers  nethttp.Header
	maxBody  int
	answer   func(w nethttp.ResponseWriter, id string) bool // true: it answered
	before   func(w nethttp.ResponseWriter) bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{taken: map[string][]string{}, maxBody: http.MaxBody}
	r.Server = httptest.NewServer(nethttp.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) serve(w nethttp.ResponseWriter, req *nethttp.Request) {
	if req.Method != nethttp.MethodPost {
		w.WriteHeader(nethttp.StatusMethodNotAllowed)
		return
	}
	r.mu.Lock()
	r.requests++
	before, answer := r.before, r.answer
	r.headers = req.Header.Clone()
	r.mu.Unlock()
	if before != nil && before(w) {
		return
	}
	fail := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"requestId":%q,"timestamp":1,"errorMessage":%q}`, req.Header.Get("X-Amz-Firehose-Request-Id"), text)
	}
	var body io.Reader = req.Body
	switch req.Header.Get("Content-Encoding") {
	case "":
	case "gzip":
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			fail(400, err.Error())
			return
		}
		body = z
	default:
		fail(400, "encoding")
		return
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		fail(400, err.Error())
		return
	}
	if len(raw) > r.maxBody {
		fail(413, "too large")
		return
	}
	var doc struct {
		RequestID string `json:"requestId"`
		Timestamp int64  `json:"timestamp"`
		Records   []struct {
			Data *string `json:"data"`
		} `json:"records"`
	}
	id := req.Header.Get("X-Amz-Firehose-Request-Id")
	if err := json.Unmarshal(raw, &doc); err != nil || doc.RequestID != id || id == "" || doc.Timestamp == 0 ||
		len(doc.Records) == 0 || len(doc.Records) > http.MaxRecords || req.ContentLength < 1 ||
		req.Header.Get("X-Amz-Firehose-Protocol-Version") != "1.0" || req.Header.Get("Content-Type") != "application/json" ||
		req.Header.Get("X-Amz-Firehose-Source-Arn") == "" {
		fail(400, "not the contract")
		return
	}
	var data []string
	for _, rec := range doc.Records {
		b, err := base64.StdEncoding.DecodeString(*rec.Data)
		if err != nil {
			fail(400, err.Error())
			return
		}
		data = append(data, string(b))
	}
	r.mu.Lock()
	if _, ok := r.taken[id]; !ok {
		r.taken[id] = data
		r.order = append(r.order, id)
	}
	r.mu.Unlock()
	if answer != nil && answer(w, id) {
		return
	}
	text := fmt.Sprintf(`{"requestId":%q,"timestamp":%d}`, id, 1578090901599)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text)
}

func (r *receiver) set(before func(nethttp.ResponseWriter) bool, answer func(nethttp.ResponseWriter, string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.answer = before, answer
}

func (r *receiver) stored() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Values(r.taken))...)
}

const arn = "arn:aws:firehose:us-east-1:000000000000:deliverystream/logs"

func newSink(t *testing.T, url string, change func(*http.Options)) *http.Sink {
	t.Helper()
	opt := http.Options{URL: url, SourceARN: arn}
	if change != nil {
		change(&opt)
	}
	s, err := http.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func reset(w nethttp.ResponseWriter) bool {
	conn, _, err := w.(nethttp.Hijacker).Hijack()
	if err != nil {
		panic(nethttp.ErrAbortHandler)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	return true
}

func status(code int, header ...string) func(nethttp.ResponseWriter) bool {
	return func(w nethttp.ResponseWriter) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

func TestContract(t *testing.T) {
	for _, zip := range []bool{false, true} {
		t.Run(fmt.Sprint("gzip=", zip), func(t *testing.T) {
			sinktest.RunDocuments(t, func(t *testing.T) sinktest.Documents { return open(t, zip) })
		})
	}
}

func open(t *testing.T, zip bool) sinktest.Documents {
	r := newReceiver(t)
	d := sinktest.Documents{
		Sink:   newSink(t, r.URL, func(o *http.Options) { o.Gzip = zip }),
		Stored: r.stored,
		Good:   func(i int) string { return fmt.Sprintf("record %d\n", i) },
		Bad:    strings.Repeat("x", http.MaxRecordBytes+1),
	}
	fault := func(name string, class sinks.Class, code string, before func(nethttp.ResponseWriter) bool, answer func(nethttp.ResponseWriter, string) bool) {
		d.Faults = append(d.Faults, sinktest.Fault{
			Name: name, Class: class, Code: code, Stored: answer != nil,
			Inject: func(*testing.T) func() {
				r.set(before, answer)
				return func() { r.set(nil, nil) }
			},
		})
	}
	const failed, invalid = "HttpEndpoint.DestinationException", "HttpEndpoint.InvalidResponseFromDestination"
	for _, code := range []int{400, 408, 429, 500, 502, 503, 504, 202, 204} {
		fault(fmt.Sprint(code), sinks.Retry, failed, status(code), nil)
	}
	for _, code := range []int{301, 307, 401, 403, 404, 405, 410} {
		fault(fmt.Sprint(code), sinks.Fix, failed, status(code, "Location", r.URL+"/elsewhere"), nil)
	}
	fault("reset", sinks.Retry, "HttpEndpoint.ConnectionReset", reset, nil)
	fault("stored then reset", sinks.Retry, "HttpEndpoint.ConnectionReset", nil, func(w nethttp.ResponseWriter, _ string) bool { return reset(w) })
	say := func(kind, text string) func(nethttp.ResponseWriter, string) bool {
		return func(w nethttp.ResponseWriter, id string) bool {
			text := strings.ReplaceAll(text, "ID", id)
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	fault("other id", sinks.Retry, invalid, nil, say("application/json", `{"requestId":"x","timestamp":1}`))
	fault("html", sinks.Retry, invalid, nil, say("text/html", `{"requestId":"ID","timestamp":1}`))
	fault("huge", sinks.Retry, "HttpEndpoint.ResponseTooLarge", nil, say("application/json", strings.Repeat(" ", 1<<20+1)))
	fault("compressed", sinks.Retry, invalid, nil, func(w nethttp.ResponseWriter, id string) bool {
		w.Header().Set("Content-Encoding", "gzip")
		return say("application/json", `{"requestId":"ID","timestamp":1}`)(w, id)
	})
	fault("chunked", sinks.Retry, invalid, nil, func(w nethttp.ResponseWriter, id string) bool {
		w.Header().Set("Content-Type", "application/json")
		w.(nethttp.Flusher).Flush()
		fmt.Fprintf(w, `{"requestId":%q,"timestamp":1}`, id)
		return true
	})
	return d
}

func batch(data ...string) sinks.Batch {
	b := sinks.Batch{ID: "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"}
	for i, d := range data {
		b.Documents = append(b.Documents, sinks.Document{ID: fmt.Sprint(i), Data: []byte(d), Arrival: sinktest.Arrival})
	}
	return b
}

// TestWire: the request is the contract's, byte for byte.
func TestWire(t *testing.T) {
	var got *nethttp.Request
	var body []byte
	srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":1578090903599}`)
	}))
	defer srv.Close()
	s := newSink(t, srv.URL+"/v1/input?token=secret", func(o *http.Options) {
		o.AccessKey = "key"
		o.CommonAttributes = map[string]string{"deployment": "canary", "ü": "😀"}
		o.Now = func() time.Time { return time.UnixMilli(1578090901599) }
	})
	if err := s.PutDocuments(t.Context(), batch("hello", "", "world")); err != nil {
		t.Fatal(err)
	}
	want := `{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":1578090901599,"records":[{"data":"aGVsbG8="},{"data":""},{"data":"d29ybGQ="}]}`
	if string(body) != want {
		t.Errorf("body:\n%s\nwant:\n%s", body, want)
	}
	for k, v := range map[string]string{
		"X-Amz-Firehose-Protocol-Version":  "1.0",
		"X-Amz-Firehose-Request-Id":        "ed4acda5-034f-9f42-bba1-f29aea6d7d8f",
		"X-Amz-Firehose-Source-Arn":        arn,
		"X-Amz-Firehose-Access-Key":        "key",
		"X-Amz-Firehose-Common-Attributes": `{"commonAttributes":{"deployment":"canary","\u00fc":"\ud83d\ude00"}}`,
		"Content-Type":                     "application/json",
		"Content-Length":                   strconv.Itoa(len(want)),
		"Content-Encoding":                 "",
	} {
		if g := got.Header.Get(k); g != v {
			t.Errorf("%s: %q, want %q", k, g, v)
		}
	}
	if got.URL.RequestURI() != "/v1/input?token=secret" {
		t.Errorf("sent to %s", got.URL)
	}
	if strings.Contains(s.String(), "secret") {
		t.Errorf("the name shows the token: %s", s)
	}
	srv.Close()
	if err := s.PutDocuments(t.Context(), batch("x")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the token", err)
	}
}

// TestTooLarge: 413 halves the batch; the parts have IDs of their own, the same
// in each try.
func TestTooLarge(t *testing.T) {
	r := newReceiver(t)
	r.maxBody = 300
	s := newSink(t, r.URL, nil)
	var data []string
	for i := range 32 {
		data = append(data, fmt.Sprintf("record %d\n", i))
	}
	data[17] = strings.Repeat("x", 400)
	for range 2 {
		err := s.PutDocuments(t.Context(), batch(data...))
		var p *sinks.PartialError
		if !errors.As(err, &p) || len(p.Failed) != 1 || p.Failed[17] == nil || p.Failed[17].Class != sinks.Refuse {
			t.Fatalf("got %v, want document 17 refused", err)
		}
		if got := r.stored(); len(got) != 31 {
			t.Fatalf("%d records stored, want 31 once", len(got))
		}
	}
	var got []string
	for _, id := range r.order {
		if len(id) != 36 || id[14] != '5' {
			t.Errorf("request ID %q", id)
		}
		got = append(got, r.taken[id]...)
	}
	if want := slices.Delete(slices.Clone(data), 17, 18); !slices.Equal(got, want) {
		t.Errorf("order %q", got)
	}
	// A server that goes away between the halves: what it took is not named.
	n := 0
	r.set(func(w nethttp.ResponseWriter) bool {
		if n++; n > 3 {
			return status(503)(w)
		}
		return false
	}, nil)
	r.maxBody = 200
	b := batch(data[:16]...)
	b.ID = "00000000-0000-4000-8000-000000000000"
	err := s.PutDocuments(t.Context(), b)
	var p *sinks.PartialError
	if !errors.As(err, &p) || len(p.Failed) == 0 || len(p.Failed) == 16 || p.Failed[15] == nil || p.Failed[15].Class != sinks.Retry || p.Failed[0] != nil {
		t.Errorf("got %v, want the last documents to be tried again", err)
	}
}

func TestLenient(t *testing.T) {
	r := newReceiver(t)
	s := newSink(t, r.URL, func(o *http.Options) { o.Lenient = true })
	for _, code := range []int{200, 201, 202, 204} {
		r.set(status(code), nil)
		if err := s.PutDocuments(t.Context(), batch("x")); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
	r.set(status(302), nil)
	if err := s.PutDocuments(t.Context(), batch("x")); err == nil {
		t.Error("302 was taken for success")
	}
}

func TestWaits(t *testing.T) {
	r := newReceiver(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newSink(t, r.URL, func(o *http.Options) { o.Now = func() time.Time { return now } })
	for value, want := range map[string]time.Duration{
		"17": 17 * time.Second, now.Add(time.Minute).Format(nethttp.TimeFormat): time.Minute, "-1": 0, "soon": 0, "99999999": sinks.MaxRetryAfter,
		now.Add(-time.Minute).Format(nethttp.TimeFormat): 0,
	} {
		r.set(status(503, "Retry-After", value), nil)
		var e *sinks.Error
		if err := s.PutDocuments(t.Context(), batch("x")); !errors.As(err, &e) || e.After != want {
			t.Errorf("Retry-After %q: got %v, want %v", value, e.After, want)
		}
	}
	never := make(chan struct{})
	defer close(never)
	r.set(func(nethttp.ResponseWriter) bool { <-never; return true }, nil)
	hasty := newSink(t, r.URL, func(o *http.Options) { o.Timeout = 50 * time.Millisecond })
	var e *sinks.Error
	if err := hasty.PutDocuments(t.Context(), batch("x")); !errors.As(err, &e) || e.Code != "HttpEndpoint.RequestTimeout" || e.Class != sinks.Retry {
		t.Errorf("got %v, want a timeout", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.set(func(nethttp.ResponseWriter) bool { cancel(); <-never; return true }, nil)
	if err := s.PutDocuments(ctx, batch("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestCheck(t *testing.T) {
	r := newReceiver(t)
	if err := newSink(t, r.URL, nil).Check(t.Context()); err != nil || r.requests != 0 {
		t.Errorf("got %v after %d POSTs", err, r.requests)
	}
	for url, code := range map[string]string{
		"http://127.0.0.1:1/x":                       "HttpEndpoint.ConnectionFailed",
		strings.Replace(r.URL, "http:", "https:", 1): "HttpEndpoint.NoTLS",
	} {
		var e *sinks.Error
		if err := newSink(t, url, nil).Check(t.Context()); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: got %v, want %s", url, err, code)
		}
	}
}

func TestOptions(t *testing.T) {
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	for _, tt := range []struct {
		opt  http.Options
		want string
	}{
		{http.Options{}, "http://"},
		{http.Options{URL: "h/x"}, "http://"},
		{http.Options{URL: "http://h", MaxDocuments: 10_001}, "documents"},
		{http.Options{URL: "http://h", MaxBytes: 64 << 20}, "64 MiB"},
		{http.Options{URL: "http://h", MaxDocumentBytes: 64 << 20}, "does not fit"},
		{http.Options{URL: "http://h", AccessKey: strings.Repeat("x", 4097)}, "access key"},
		{http.Options{URL: "http://h", AccessKey: "a\nb"}, "access key"},
		{http.Options{URL: "http://h", CommonAttributes: many}, "common attributes"},
	} {
		if _, err := http.New(tt.opt); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	s := newSink(t, "http://127.0.0.1:1", nil)
	b := batch("x")
	b.ID = ""
	if err := s.PutDocuments(t.Context(), b); sinks.ClassOf(err) != sinks.Fix {
		t.Errorf("a batch without ID: %v", err)
	}
}
