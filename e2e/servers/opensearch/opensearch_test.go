package opensearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One node serves all subtests, each with indexes of its own: a start takes
// several seconds.
func TestOpenSearch(t *testing.T) {
	began := time.Now()
	s := Run(t)
	startup := time.Since(began)
	rss, err := s.RSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v with %d MB resident", startup.Round(time.Millisecond), rss>>20)

	t.Run("says what it is", func(t *testing.T) { testIdentity(t, s) })
	t.Run("bulk answers item by item", func(t *testing.T) { testBulk(t, s) })
	t.Run("bulk as a whole can be refused", func(t *testing.T) { testMalformedBulk(t, s) })
	t.Run("documents are walked page by page", func(t *testing.T) { testDocuments(t, s) })
	t.Run("search and aggregate", func(t *testing.T) { testSearch(t, s) })
	t.Run("index is made by the first document", func(t *testing.T) { testAutoCreate(t, s) })
	t.Run("stop, kill and start again", func(t *testing.T) { testRestart(t, s) })
}

func testIdentity(t *testing.T, s *Server) {
	var who struct {
		Version struct{ Distribution, Number string }
	}
	if err := s.Call(t.Context(), http.MethodGet, "/", nil, &who); err != nil {
		t.Fatal(err)
	}
	if who.Version.Distribution != "opensearch" || !strings.HasPrefix(who.Version.Number, "2.") {
		t.Errorf("GET / says version %+v, want opensearch 2.x", who.Version)
	}
}

// bulkItem is the outcome of one document.
type bulkItem struct {
	ID     string `json:"_id"`
	Status int
	Result string
	Error  *struct{ Type, Reason string }
}

type bulkResult struct {
	Errors bool
	Items  []map[string]bulkItem
}

func testBulk(t *testing.T, s *Server) {
	ctx := t.Context()
	mappings := json.RawMessage(`{"dynamic":"strict","properties":{"status":{"type":"integer"},"path":{"type":"keyword"}}}`)
	if err := s.CreateIndex(ctx, "access", mappings); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"index":{"_index":"access","_id":"1"}}
{"status":200,"path":"/a"}
{"index":{"_index":"access","_id":"2"}}
{"status":"teapot","path":"/b"}
{"create":{"_index":"access","_id":"1"}}
{"status":201,"path":"/c"}
{"index":{"_index":"access","_id":"3"}}
{"status":404,"path":"/d","agent":"new"}
{"index":{"_index":"Not-An-Index","_id":"4"}}
{"status":404}
{"index":{"_index":"access","_id":"5"}}
{"status":404,"path":"/e"}
`)
	var result bulkResult
	if err := s.Call(ctx, http.MethodPost, "/_bulk", body, &result); err != nil {
		t.Fatal(err)
	}
	if !result.Errors {
		t.Error("errors is false")
	}
	want := []struct {
		op     string
		status int
		error  string
	}{
		{"index", 201, ""},
		{"index", 400, "mapper_parsing_exception"},
		{"create", 409, "version_conflict_engine_exception"},
		{"index", 400, "strict_dynamic_mapping_exception"},
		{"index", 400, "invalid_index_name_exception"},
		{"index", 201, ""},
	}
	if len(result.Items) != len(want) {
		t.Fatalf("%d items, want %d", len(result.Items), len(want))
	}
	for i, w := range want {
		item, ok := result.Items[i][w.op]
		if !ok {
			t.Errorf("item %d: %v, want %s", i, result.Items[i], w.op)
			continue
		}
		got := ""
		if item.Error != nil {
			got = item.Error.Type
		}
		if item.Status != w.status || got != w.error {
			t.Errorf("item %d: status %d, error %q, want %d, %q", i, item.Status, got, w.status, w.error)
		}
	}
	for _, tt := range []struct {
		query string
		want  int64
	}{
		{``, 2},
		{`{"term":{"status":404}}`, 1},
		{`{"range":{"status":{"gte":200,"lt":300}}}`, 1},
		{`{"term":{"path":"/b"}}`, 0},
	} {
		var query json.RawMessage
		if tt.query != "" {
			query = json.RawMessage(tt.query)
		}
		n, err := s.Count(ctx, "access", query)
		if err != nil {
			t.Errorf("count %s: %v", tt.query, err)
		} else if n != tt.want {
			t.Errorf("count %s = %d, want %d", tt.query, n, tt.want)
		}
	}
}

func testMalformedBulk(t *testing.T, s *Server) {
	for _, tt := range []struct{ name, body string }{
		{"no newline at the end", `{"index":{"_index":"m"}}` + "\n" + `{"a":1}`},
		{"unknown action", `{"upsert":{"_index":"m"}}` + "\n" + `{"a":1}` + "\n"},
		{"empty", ""},
	} {
		status, answer, err := s.Do(t.Context(), http.MethodPost, "/_bulk", []byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if status != http.StatusBadRequest {
			t.Errorf("%s: status %d %s, want 400", tt.name, status, answer)
		}
	}
}

func testDocuments(t *testing.T, s *Server) {
	ctx := t.Context()
	if err := s.CreateIndex(ctx, "many", nil); err != nil {
		t.Fatal(err)
	}
	const n = 2*pageSize + 1
	var body bytes.Buffer
	for i := range n {
		fmt.Fprintf(&body, "{\"index\":{\"_id\":\"%d\"}}\n{\"n\":%d}\n", i, i)
	}
	var result bulkResult
	if err := s.Call(ctx, http.MethodPost, "/many/_bulk", body.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if result.Errors {
		t.Fatal("bulk has errors")
	}
	seen := map[string]bool{}
	err := s.Documents(ctx, "many", func(d Document) error {
		if want := fmt.Sprintf(`{"n":%s}`, d.ID); string(d.Source) != want || d.Index != "many" {
			return fmt.Errorf("document %s of %s is %s, want %s", d.ID, d.Index, d.Source, want)
		}
		if seen[d.ID] {
			return fmt.Errorf("document %s comes twice", d.ID)
		}
		seen[d.ID] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != n {
		t.Errorf("%d documents, want %d", len(seen), n)
	}
	stop := errors.New("enough")
	if err := s.Documents(ctx, "many", func(Document) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a walk that its caller ends gives %v", err)
	}
	if err := s.Documents(ctx, "none", func(Document) error { return nil }); err == nil {
		t.Error("the documents of a missing index are no error")
	}
}

func testSearch(t *testing.T, s *Server) {
	ctx := t.Context()
	body := []byte(`{"index":{"_id":"a"}}
{"message":"GET /images/logo.png","at":"2015-05-17T10:05:03Z"}
{"index":{"_id":"b"}}
{"message":"GET /index.html","at":"2015-05-18T10:05:03Z"}
`)
	if err := s.Call(ctx, http.MethodPost, "/words/_bulk?refresh=true", body, nil); err != nil {
		t.Fatal(err)
	}
	var found struct {
		Hits         struct{ Hits []Document }
		Aggregations struct {
			Days struct {
				Buckets []struct {
					Key string `json:"key_as_string"`
					N   int    `json:"doc_count"`
				}
			}
		}
	}
	query := []byte(`{"query":{"match":{"message":"logo.png"}},
		"aggs":{"days":{"date_histogram":{"field":"at","calendar_interval":"day","format":"yyyy-MM-dd"}}}}`)
	if err := s.Call(ctx, http.MethodPost, "/words/_search", query, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Hits.Hits) != 1 || found.Hits.Hits[0].ID != "a" {
		t.Errorf("hits %v, want document a", found.Hits.Hits)
	}
	if b := found.Aggregations.Days.Buckets; len(b) != 1 || b[0].Key != "2015-05-17" || b[0].N != 1 {
		t.Errorf("days %v, want one of 2015-05-17", b)
	}
}

func testAutoCreate(t *testing.T, s *Server) {
	ctx := t.Context()
	status, answer, err := s.Do(ctx, http.MethodGet, "/logs-2015.05.17/_search", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusNotFound || !bytes.Contains(answer, []byte("index_not_found_exception")) {
		t.Errorf("search of a missing index: status %d %s", status, answer)
	}
	body := []byte("{\"create\":{\"_id\":\"x\"}}\n{\"a\":1}\n")
	if err := s.Call(ctx, http.MethodPost, "/logs-2015.05.17/_bulk", body, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(ctx, "logs-*", nil); err != nil || n != 1 {
		t.Errorf("count of logs-* = %d, %v, want 1", n, err)
	}
}

func testRestart(t *testing.T, s *Server) {
	ctx := t.Context()
	if err := s.CreateIndex(ctx, "kept", nil); err != nil {
		t.Fatal(err)
	}
	index := func(id string) {
		t.Helper()
		body := fmt.Appendf(nil, "{\"create\":{\"_id\":%q}}\n{\"a\":1}\n", id)
		var result bulkResult
		if err := s.Call(ctx, http.MethodPost, "/kept/_bulk", body, &result); err != nil {
			t.Fatal(err)
		}
		if result.Errors {
			t.Fatalf("document %s: %v", id, result.Items)
		}
	}
	count := func(want int64) {
		t.Helper()
		n, err := s.Count(ctx, "kept", nil)
		if err != nil {
			t.Fatal(err)
		}
		if n != want {
			t.Errorf("%d documents, want %d", n, want)
		}
	}
	refused := func() {
		t.Helper()
		if s.Running() {
			t.Error("still running")
		}
		if _, _, err := s.Do(ctx, http.MethodGet, "/", nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a stopped node answers with %v, want connection refused", err)
		}
	}

	index("before stop")
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	count(1)

	index("before kill")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	count(2)
}
