package opensearch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/opensearch"
	"github.com/firehosed/firehosed/sinks/opensearch/opensearchtest"
	"github.com/firehosed/firehosed/sinks/sinktest"
)

func newSink(t *testing.T, change func(*opensearch.Options), urls ...string) *opensearch.Sink {
	t.Helper()
	opt := opensearch.Options{URLs: urls, Index: "logs"}
	if change != nil {
		change(&opt)
	}
	s, err := opensearch.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newServer(t *testing.T) *opensearchtest.Server {
	t.Helper()
	srv := opensearchtest.New()
	t.Cleanup(func() {
		srv.Close()
		if b := srv.Broken(); len(b) > 0 {
			t.Errorf("the protocol was broken: %q", b)
		}
	})
	return srv
}

func TestContract(t *testing.T) {
	for _, es := range []bool{false, true} {
		for _, op := range []opensearch.OpType{opensearch.OpIndex, opensearch.OpCreate} {
			t.Run(fmt.Sprintf("elasticsearch=%v/%s", es, op), func(t *testing.T) {
				sinktest.RunDocuments(t, func(t *testing.T) sinktest.Documents { return open(t, es, op) })
			})
		}
	}
}

func open(t *testing.T, es bool, op opensearch.OpType) sinktest.Documents {
	srv := newServer(t)
	srv.Elasticsearch = es
	s := newSink(t, func(o *opensearch.Options) { o.OpType, o.MaxDocuments, o.Plain = op, 300, es }, srv.URL)
	d := sinktest.Documents{
		Sink:   s,
		Stored: func() []string { return slices.Collect(maps.Values(srv.Documents("logs"))) },
		Good:   func(i int) string { return fmt.Sprintf(`{"n":%d,"text":"line %d"}`, i, i) },
		Bad:    `{"n":{"an":"object"}}`,
	}
	// The mapping is known before, so that the first document may be the bad one.
	srv.Change("logs", func(ix *opensearchtest.Index) { ix.Map("n", "float") })
	bulk := func(name string, class sinks.Class, code string, f opensearchtest.Fault) sinktest.Fault {
		return sinktest.Fault{Name: name, Class: class, Code: code, Stored: f.Stored, Inject: func(*testing.T) func() {
			srv.SetFault(func(op opensearchtest.Op) opensearchtest.Fault {
				if op.Name == "bulk" {
					return f
				}
				return opensearchtest.Fault{}
			})
			return func() { srv.SetFault(nil) }
		}}
	}
	denied := `{"error":{"type":"security_exception","reason":"no permissions for [indices:data/write/bulk]"},"status":403}`
	disk := `{"error":{"type":"cluster_block_exception","reason":"index [logs] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"},"status":429}`
	starting := `{"error":{"type":"cluster_block_exception","reason":"blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];"},"status":503}`
	d.Faults = []sinktest.Fault{
		bulk("reset", sinks.Retry, "OpenSearch.ConnectionFailed", opensearchtest.Fault{Reset: true}),
		bulk("stored then reset", sinks.Retry, "OpenSearch.ConnectionFailed", opensearchtest.Fault{Reset: true, Stored: true}),
		bulk("cut answer", sinks.Retry, "OpenSearch.InvalidResponse", opensearchtest.Fault{Cut: true, Stored: true}),
		bulk("nonsense", sinks.Retry, "OpenSearch.InvalidResponse", opensearchtest.Fault{Body: `{"items":[]}`, Stored: true}),
		bulk("html", sinks.Retry, "502", opensearchtest.Fault{Status: 502, Body: "<html>bad gateway</html>"}),
		bulk("too many requests", sinks.Retry, "429", opensearchtest.Fault{Status: 429}),
		bulk("starting", sinks.Retry, "503", opensearchtest.Fault{Status: 503, Body: starting}),
		bulk("unauthorized", sinks.Fix, "401", opensearchtest.Fault{Status: 401, Body: "Unauthorized"}),
		bulk("forbidden", sinks.Fix, "403", opensearchtest.Fault{Status: 403, Body: denied}),
		bulk("disk is full", sinks.Fix, "429", opensearchtest.Fault{Status: 429, Body: disk}),
		bulk("moved", sinks.Fix, "301", opensearchtest.Fault{Status: 301, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}),
		bulk("bad request", sinks.Fix, "400", opensearchtest.Fault{Status: 400, Body: `{"error":"no handler found","status":400}`}),
	}
	return d
}

func document(id, data string) sinks.Document {
	return sinks.Document{ID: id, Data: []byte(data), Arrival: sinktest.Arrival}
}

func batch(docs ...sinks.Document) sinks.Batch {
	return sinks.Batch{ID: "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", Documents: docs}
}

// partial returns the documents not taken.
func partial(t *testing.T, err error) map[int]*sinks.Error {
	t.Helper()
	var p *sinks.PartialError
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a PartialError", err)
	}
	return p.Failed
}

// TestItems: each document has a fate of its own.
func TestItems(t *testing.T) {
	for _, tt := range []struct {
		status       int
		kind, reason string
		class        sinks.Class
	}{
		{400, "mapper_parsing_exception", "failed to parse field [n] of type [long]", sinks.Refuse},
		{400, "document_parsing_exception", "[1:6] failed to parse", sinks.Refuse},
		{400, "strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [x] is not allowed", sinks.Refuse},
		{400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", sinks.Refuse},
		{413, "", "too large", sinks.Refuse},
		{400, "illegal_argument_exception", "pipeline with id [p] does not exist", sinks.Fix},
		{400, "illegal_argument_exception", "no write index is defined for alias [logs]", sinks.Fix},
		{400, "validation_exception", "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open;", sinks.Fix},
		{400, "index_closed_exception", "closed", sinks.Fix},
		{401, "security_exception", "unauthorized", sinks.Fix},
		{403, "security_exception", "no permissions", sinks.Fix},
		{403, "cluster_block_exception", "index [logs] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];", sinks.Fix},
		{429, "cluster_block_exception", "index [logs] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];", sinks.Fix},
		{503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master];", sinks.Retry},
		{404, "index_not_found_exception", "no such index [logs]", sinks.Fix},
		{429, "es_rejected_execution_exception", "rejected execution of primary operation", sinks.Retry},
		{429, "circuit_breaking_exception", "[parent] Data too large", sinks.Retry},
		{500, "exception", "boom", sinks.Retry},
		{503, "unavailable_shards_exception", "primary shard is not active", sinks.Retry},
		{409, "version_conflict_engine_exception", "version conflict", sinks.Retry}, // cannot be with op index
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.kind, " ", tt.class), func(t *testing.T) {
			srv := newServer(t)
			s := newSink(t, nil, srv.URL)
			srv.SetFault(func(opensearchtest.Op) opensearchtest.Fault {
				return opensearchtest.Fault{Item: func(id string) (int, string, string) {
					if id == "b" {
						return tt.status, tt.kind, tt.reason
					}
					return 0, "", ""
				}}
			})
			err := s.PutDocuments(t.Context(), batch(document("a", `{"n":1}`), document("b", `{"n":2}`), document("c", `{"n":3}`)))
			failed := partial(t, err)
			if e := failed[1]; len(failed) != 1 || e == nil || e.Class != tt.class || e.Code != fmt.Sprint(tt.status) || !strings.Contains(e.Error(), tt.reason) {
				t.Fatalf("got %v, want document 1 of class %v", failed, tt.class)
			}
			if got := srv.Documents("logs"); len(got) != 2 || got["a"] == "" || got["c"] == "" {
				t.Errorf("stored %v", got)
			}
		})
	}
}

// TestDocuments: nothing that is no object on one line reaches the server.
func TestDocuments(t *testing.T) {
	srv := newServer(t)
	s := newSink(t, nil, srv.URL)
	bad := []string{
		"", " \n", "1", `"x"`, "[{}]", "null", "{", `{"a":1}{"b":2}`, "{\"a\":1}\n{\"index\":{}}", `{"a":"` + "\xff" + `"}`, "{\"a\":\"\n\"}",
		`{"a":1,}`, "{'a':1}", "{}\x00",
	}
	var docs []sinks.Document
	for i, d := range bad {
		docs = append(docs, document(fmt.Sprint("bad", i), d))
	}
	docs = append(docs, document("", "{}"), document(strings.Repeat("x", 513), "{}"))
	n := len(docs)
	docs = append(docs, document("crlf", "{\"a\":1}\r\n"), document("lines", "{\n  \"a\": 1,\r\n  \"b\": \"x\\ny\"\n}"), document(`"quoted"\`, "{}"))
	failed := partial(t, s.PutDocuments(t.Context(), batch(docs...)))
	for i := range docs {
		e := failed[i]
		if (e != nil) != (i < n) || e != nil && (e.Class != sinks.Refuse || e.Code != "OpenSearch.InvalidDocument") {
			t.Errorf("document %d, %q: got %v", i, docs[i].Data, e)
		}
	}
	want := map[string]string{"crlf": `{"a":1}`, "lines": `{   "a": 1,    "b": "x\ny" }`, `"quoted"\`: "{}"}
	if got := srv.Documents("logs"); !maps.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if n := srv.Count("bulk"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	// All bad: no request at all, not even the one for the flavor.
	fresh := newSink(t, nil, "http://127.0.0.1:1")
	if failed := partial(t, fresh.PutDocuments(t.Context(), batch(docs[:3]...))); len(failed) != 3 {
		t.Errorf("got %v", failed)
	}
}

// TestTooLarge: 413 halves the batch, down to a document that cannot go.
func TestTooLarge(t *testing.T) {
	srv := newServer(t)
	srv.MaxBody = 2000
	s := newSink(t, func(o *opensearch.Options) { o.Plain = true }, srv.URL)
	var docs []sinks.Document
	for i := range 100 {
		data := `{"n":1}`
		if i == 42 {
			data = `{"s":"` + strings.Repeat("x", 3000) + `"}`
		}
		docs = append(docs, document(fmt.Sprint(i), data))
	}
	failed := partial(t, s.PutDocuments(t.Context(), batch(docs...)))
	if e := failed[42]; len(failed) != 1 || e == nil || e.Class != sinks.Refuse || e.Code != "413" {
		t.Fatalf("got %v, want document 42 refused", failed)
	}
	if got := srv.Documents("logs"); len(got) != 99 {
		t.Errorf("stored %d documents, want 99", len(got))
	}
	// The second half meets a server that went away: the first is stored, and
	// only the others are named.
	srv.MaxBody = 8000
	srv.SetFault(func(op opensearchtest.Op) opensearchtest.Fault {
		if op.Name == "bulk" && len(srv.Documents("logs")) > 99 {
			return opensearchtest.Fault{Status: 503}
		}
		return opensearchtest.Fault{}
	})
	for i := range docs {
		docs[i].ID = fmt.Sprint("second", i)
		docs[i].Data = fmt.Appendf(nil, `{"n":%d,"pad":"%060d"}`, i, i)
	}
	failed = partial(t, s.PutDocuments(t.Context(), batch(docs...)))
	if n := len(failed); n == 0 || n == len(docs) {
		t.Fatalf("%d of %d failed, want some", n, len(docs))
	}
	for i := range docs {
		e := failed[i]
		if stored := srv.Documents("logs")[docs[i].ID] != ""; stored != (e == nil) || e != nil && e.Class != sinks.Retry {
			t.Fatalf("document %d: stored %v, error %v", i, stored, e)
		}
	}
}

// TestLimits: a batch larger than a request may be is sent as several.
func TestLimits(t *testing.T) {
	srv := newServer(t)
	s := newSink(t, func(o *opensearch.Options) { o.MaxDocuments, o.MaxBytes = 10, 400 }, srv.URL)
	if l := s.Limits(); l.Documents != 10 || l.Bytes != 400 {
		t.Errorf("limits %+v", l)
	}
	var docs []sinks.Document
	for i := range 25 {
		docs = append(docs, document(fmt.Sprint(i), `{"n":1}`))
	}
	docs[3].Data = []byte(`{"s":"` + strings.Repeat("x", 1000) + `"}`)
	if err := s.PutDocuments(t.Context(), batch(docs...)); err != nil {
		t.Fatal(err)
	}
	if got := srv.Documents("logs"); len(got) != 25 || srv.Count("bulk") < 4 {
		t.Errorf("stored %d documents with %d requests", len(got), srv.Count("bulk"))
	}
}

func TestRotation(t *testing.T) {
	for _, tt := range []struct {
		rotation opensearch.Rotation
		arrival  string
		want     string
	}{
		{"", "2016-02-25T13:00:00Z", "logs"},
		{opensearch.RotateNone, "2016-02-25T13:00:00Z", "logs"},
		{opensearch.RotateHour, "2016-02-25T13:59:59Z", "logs-2016-02-25-13"},
		{opensearch.RotateDay, "2016-02-25T13:00:00Z", "logs-2016-02-25"},
		{opensearch.RotateWeek, "2016-02-25T13:00:00Z", "logs-2016-w08"},
		{opensearch.RotateMonth, "2016-02-25T13:00:00Z", "logs-2016-02"},
		{opensearch.RotateDay, "2016-02-26T01:00:00+05:00", "logs-2016-02-25"},
		{opensearch.RotateWeek, "2027-01-01T00:00:00Z", "logs-2026-w53"},
		{opensearch.RotateWeek, "2024-12-30T00:00:00Z", "logs-2025-w01"},
	} {
		srv := newServer(t)
		s := newSink(t, func(o *opensearch.Options) { o.Rotation = tt.rotation }, srv.URL)
		at, err := time.Parse(time.RFC3339, tt.arrival)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutDocuments(t.Context(), batch(sinks.Document{ID: "a", Data: []byte("{}"), Arrival: at})); err != nil {
			t.Fatal(err)
		}
		if got := srv.Indices(); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s of %s: got %q, want %q", tt.rotation, tt.arrival, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	srv := newServer(t)
	srv.Username, srv.Password = "admin", "sesame"
	auth := func(o *opensearch.Options) { o.Username, o.Password = "admin", "sesame" }
	if err := newSink(t, auth, srv.URL).Check(t.Context()); err != nil {
		t.Error(err)
	}
	other := opensearchtest.New()
	defer other.Close()
	other.SetFault(func(opensearchtest.Op) opensearchtest.Fault {
		return opensearchtest.Fault{Body: `{"version":{"number":"7.10.0"}}`}
	})
	for _, tt := range []struct {
		name   string
		url    string
		change func(*opensearch.Options)
		class  sinks.Class
		code   string
	}{
		{"no credentials", srv.URL, nil, sinks.Fix, "401"},
		{"wrong password", srv.URL, func(o *opensearch.Options) { o.Username, o.Password = "admin", "x" }, sinks.Fix, "401"},
		{"nobody there", "http://127.0.0.1:1", nil, sinks.Retry, "OpenSearch.ConnectionFailed"},
		{"other product", other.URL, nil, sinks.Fix, "OpenSearch.UnknownProduct"},
	} {
		s := newSink(t, tt.change, tt.url)
		for what, err := range map[string]error{"check": s.Check(t.Context()), "put": s.PutDocuments(t.Context(), batch(document("a", "{}")))} {
			var e *sinks.Error
			if !errors.As(err, &e) || e.Class != tt.class || e.Code != tt.code {
				t.Errorf("%s, %s: got %v, want class %v, code %s", tt.name, what, err, tt.class, tt.code)
			}
		}
	}
	// A server that does not say what it is can be named.
	forced := newSink(t, func(o *opensearch.Options) { o.Flavor = opensearch.FlavorOpenSearch }, other.URL)
	other.SetFault(nil)
	if err := forced.PutDocuments(t.Context(), batch(document("a", "{}"))); err != nil || other.Count("info") != 2 {
		t.Errorf("got %v after %d questions", err, other.Count("info"))
	}
}

// TestNodes: with one node down every other request fails and is tried again
// by the caller; the node that lives takes all of them then.
func TestNodes(t *testing.T) {
	srv := newServer(t)
	s := newSink(t, nil, "http://127.0.0.1:1", srv.URL)
	failures := 0
	for i := range 10 {
		if err := s.PutDocuments(t.Context(), batch(document(fmt.Sprint(i), "{}"))); err != nil {
			if failures++; sinks.ClassOf(err) != sinks.Retry {
				t.Fatal(err)
			}
		}
	}
	if failures > 1 || len(srv.Documents("logs")) < 9 {
		t.Errorf("%d failures, %d documents", failures, len(srv.Documents("logs")))
	}
}

func TestSlow(t *testing.T) {
	srv := newServer(t)
	never := make(chan struct{})
	defer close(never)
	// What it talks to is said, so that nothing is asked before.
	s := newSink(t, func(o *opensearch.Options) {
		o.Timeout, o.Flavor = 50*time.Millisecond, opensearch.FlavorOpenSearch
	}, srv.URL)
	srv.SetFault(func(opensearchtest.Op) opensearchtest.Fault { return opensearchtest.Fault{Wait: never} })
	err := s.PutDocuments(t.Context(), batch(document("a", "{}")))
	var e *sinks.Error
	if !errors.As(err, &e) || e.Class != sinks.Retry || e.Code != "OpenSearch.Timeout" {
		t.Errorf("got %v, want a timeout", err)
	}
	patient := newSink(t, func(o *opensearch.Options) { o.Flavor = opensearch.FlavorOpenSearch }, srv.URL)
	ctx, cancel := context.WithCancel(t.Context())
	srv.SetFault(func(opensearchtest.Op) opensearchtest.Fault {
		cancel()
		return opensearchtest.Fault{Wait: never}
	})
	if err := patient.PutDocuments(ctx, batch(document("a", "{}"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRetryAfter(t *testing.T) {
	srv := newServer(t)
	s := newSink(t, nil, srv.URL)
	srv.SetFault(func(opensearchtest.Op) opensearchtest.Fault {
		return opensearchtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"9"}}}
	})
	var e *sinks.Error
	if err := s.PutDocuments(t.Context(), batch(document("a", "{}"))); !errors.As(err, &e) || e.After != 9*time.Second {
		t.Errorf("got %v, want to wait 9 s", err)
	}
}

func TestOptions(t *testing.T) {
	url := []string{"http://127.0.0.1:9200"}
	for _, tt := range []struct {
		opt  opensearch.Options
		want string
	}{
		{opensearch.Options{Index: "a"}, "no URL"},
		{opensearch.Options{URLs: []string{"localhost:9200"}, Index: "a"}, "http://"},
		{opensearch.Options{URLs: []string{"http://u:secret@h"}, Index: "a"}, "user name"},
		{opensearch.Options{URLs: url}, "index is empty"},
		{opensearch.Options{URLs: url, Index: "Logs"}, "upper-case"},
		{opensearch.Options{URLs: url, Index: "a b"}, "space"},
		{opensearch.Options{URLs: url, Index: "_a"}, "begins with"},
		{opensearch.Options{URLs: url, Index: strings.Repeat("a", 250)}, "limit"},
		{opensearch.Options{URLs: url, Index: "a", Rotation: "year"}, "rotation"},
		{opensearch.Options{URLs: url, Index: "a", OpType: "update"}, "op type"},
		{opensearch.Options{URLs: url, Index: "a", Flavor: "solr"}, "flavor"},
		{opensearch.Options{URLs: url, Index: "a", APIKey: "k", Username: "u"}, "both"},
		{opensearch.Options{URLs: url, Index: "a", MaxBytes: -1}, "negative"},
	} {
		if _, err := opensearch.New(tt.opt); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// TestClientRefusesOpenSearch fails when the client does not need the shim any
// more.
func TestClientRefusesOpenSearch(t *testing.T) {
	srv := newServer(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{srv.URL}, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := esapi.BulkRequest{Body: strings.NewReader("{\"index\":{\"_index\":\"x\",\"_id\":\"1\"}}\n{}\n")}.Do(t.Context(), c)
	if err == nil {
		_ = resp.Body.Close()
		t.Error("go-elasticsearch talks to OpenSearch without the shim: remove it")
	}
}
