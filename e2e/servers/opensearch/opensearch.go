// Package opensearch runs a real OpenSearch, one node without a security
// plugin, for tests of whatever indexes into OpenSearch or Elasticsearch.
//
// The node is the server of the OpenSearch project with its HTTP transport,
// analyzers, extra mappers and reindex module; e2e/opensearch says how it is
// put together. It has a heap of 512 MB, answers plain HTTP on 127.0.0.1, may
// run as root, and syncs what it acknowledged: stopping and killing it loses
// nothing.
//
// The package has no scripting language and no ingest pipelines: a request that
// needs them is refused by the server.
package opensearch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	startTimeout = 4 * time.Minute // a cold JVM on a busy machine
	probeTimeout = 5 * time.Second
	maxAnswer    = 64 << 20 // bytes of one answer that Do accepts
	pageSize     = 1000     // documents that Documents asks for at a time
	scrollAge    = "1m"
)

// Server is a running or stopped node. The Process in it stops, kills, pauses
// and starts it again, on the same port and data.
type Server struct {
	*servers.Process

	URL string // http://127.0.0.1:PORT
	Dir string // holds data/ and opensearch.log

	node string
}

// Start runs a node that keeps everything below dir, which is made if it is not
// there, and answers on the port of 127.0.0.1. Port 0 picks a free one. It
// returns when the node has a cluster state and its indexes can be searched and
// written; ctx bounds that wait. The caller ends the node with Close.
func Start(ctx context.Context, dir string, port int) (*Server, error) {
	built, err := servers.Cached(servers.OpenSearchDir)
	if err != nil {
		return nil, err
	}
	java, err := servers.Java()
	if err != nil {
		return nil, fmt.Errorf("opensearch: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("opensearch: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return nil, fmt.Errorf("opensearch: %w", err)
	}
	if port == 0 {
		if port, err = servers.FreePort(); err != nil {
			return nil, fmt.Errorf("opensearch: %w", err)
		}
	}
	s := &Server{
		URL:  "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Dir:  dir,
		node: "node-" + strings.ToLower(rand.Text()[:8]),
	}
	s.Process, err = servers.Launch(ctx, servers.Spec{
		Name: "opensearch",
		Path: java,
		Args: []string{
			"-Xms512m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m",
			// One collector thread and only the quick compiler: the node starts
			// in two thirds of the time and leaves the cores to what is tested.
			"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-XX:+ExitOnOutOfMemoryError",
			"-Djava.io.tmpdir=" + filepath.Join(dir, "tmp"),
			"-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
			"-Dlog4j2.disable.jmx=true", "-Dlog4j.shutdownHookEnabled=false",
			"-Dio.netty.noUnsafe=true", "-Dio.netty.allocator.numDirectArenas=0",
			"-cp", filepath.Join(built, "classes") + string(os.PathListSeparator) + filepath.Join(built, "lib", "*"),
			"e2e.SingleNode", dir, strconv.Itoa(port), s.node,
		},
		Env:          servers.WithoutJavaOptions(os.Environ()),
		Dir:          dir,
		LogFile:      filepath.Join(dir, "opensearch.log"),
		Ready:        s.ready,
		StartTimeout: startTimeout,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run starts a node in a temporary folder for one test and closes it with the
// test. It skips the test, or fails it under E2E_REQUIRED=1, when setup.sh has
// not been run. A failed test logs the end of the node's log.
func Run(t testing.TB) *Server {
	t.Helper()
	servers.Require(t, servers.OpenSearchMark)
	s, err := Start(t.Context(), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s:\n%s", s.LogFile(), s.LogTail())
		}
	})
	return s
}

// ready holds when this very node answers and all primary shards are assigned,
// which after a restart takes a moment longer than the first answer.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var who struct{ Name string }
	if err := s.Call(ctx, http.MethodGet, "/", nil, &who); err != nil {
		return err
	}
	if who.Name != s.node {
		return fmt.Errorf("node %q answers on %s", who.Name, s.URL)
	}
	var health struct {
		Status              string
		ActivePrimaryShards int `json:"active_primary_shards"`
	}
	if err := s.Call(ctx, http.MethodGet, "/_cluster/health", nil, &health); err != nil {
		return err
	}
	if health.Status != "green" && health.Status != "yellow" {
		return fmt.Errorf("cluster is %s with %d primary shards active", health.Status, health.ActivePrimaryShards)
	}
	return nil
}

// client reuses no connection, so that a stopped node leaves none behind here.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Do sends a request and gives status and body as they are; only a missing or
// endless answer is an error. A body that starts with { is sent as JSON with
// one document, or as application/x-ndjson if path ends in _bulk.
func (s *Server) Do(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
		if strings.HasSuffix(req.URL.Path, "/_bulk") {
			req.Header.Set("Content-Type", "application/x-ndjson")
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return resp.StatusCode, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if len(answer) > maxAnswer {
		return resp.StatusCode, nil, fmt.Errorf("%s %s: answer is over %d bytes", method, path, maxAnswer)
	}
	return resp.StatusCode, answer, nil
}

// Call sends a request, takes any status but 2xx as an error, and decodes the
// answer into result unless that is nil.
func (s *Server) Call(ctx context.Context, method, path string, body []byte, result any) error {
	status, answer, err := s.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("%s %s: status %d: %s", method, path, status, bytes.TrimSpace(answer))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// CreateIndex makes an index. mappings is the object under that name in the
// request, such as {"properties":{"status":{"type":"integer"}}}; nil leaves the
// fields to the server's guess.
func (s *Server) CreateIndex(ctx context.Context, index string, mappings json.RawMessage) error {
	request := map[string]any{
		// One node has nowhere to put a replica.
		"settings": map[string]any{"number_of_shards": 1, "number_of_replicas": 0},
	}
	if mappings != nil {
		request["mappings"] = mappings
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("index %s: %w", index, err)
	}
	return s.Call(ctx, http.MethodPut, "/"+url.PathEscape(index), body, nil)
}

// Refresh makes everything indexed so far visible to searches.
func (s *Server) Refresh(ctx context.Context, index string) error {
	return s.Call(ctx, http.MethodPost, "/"+url.PathEscape(index)+"/_refresh", nil, nil)
}

// Count refreshes the index and counts the documents that match a query, such
// as {"term":{"status":200}}; nil counts all.
func (s *Server) Count(ctx context.Context, index string, query json.RawMessage) (int64, error) {
	if err := s.Refresh(ctx, index); err != nil {
		return 0, err
	}
	if query == nil {
		query = json.RawMessage(`{"match_all":{}}`)
	}
	body, err := json.Marshal(map[string]any{"query": query})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", index, err)
	}
	var result struct{ Count int64 }
	if err := s.Call(ctx, http.MethodPost, "/"+url.PathEscape(index)+"/_count", body, &result); err != nil {
		return 0, err
	}
	return result.Count, nil
}

// Document is one hit of a search.
type Document struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// Documents refreshes the index, which may be a pattern, and calls each with
// all its documents, in no particular order. An error of each ends the walk and
// is returned.
func (s *Server) Documents(ctx context.Context, index string, each func(Document) error) (err error) {
	if err := s.Refresh(ctx, index); err != nil {
		return err
	}
	type page struct {
		ScrollID string `json:"_scroll_id"`
		Hits     struct{ Hits []Document }
	}
	var p page
	first := fmt.Appendf(nil, `{"size":%d,"sort":["_doc"]}`, pageSize)
	if err := s.Call(ctx, http.MethodPost, "/"+url.PathEscape(index)+"/_search?scroll="+scrollAge, first, &p); err != nil {
		return err
	}
	defer func() {
		body, e := json.Marshal(map[string]string{"scroll_id": p.ScrollID})
		if e == nil {
			e = s.Call(ctx, http.MethodDelete, "/_search/scroll", body, nil)
		}
		err = errors.Join(err, e)
	}()
	for len(p.Hits.Hits) > 0 {
		for _, d := range p.Hits.Hits {
			if err := each(d); err != nil {
				return err
			}
		}
		next, err := json.Marshal(map[string]string{"scroll": scrollAge, "scroll_id": p.ScrollID})
		if err != nil {
			return fmt.Errorf("documents of %s: %w", index, err)
		}
		p = page{ScrollID: p.ScrollID}
		if err := s.Call(ctx, http.MethodPost, "/_search/scroll", next, &p); err != nil {
			return err
		}
	}
	return nil
}
