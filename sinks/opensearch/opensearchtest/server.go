// Package opensearchtest is a small, strict server of the document APIs of
// OpenSearch and Elasticsearch for tests, in memory and in process.
//
// It knows GET /, _bulk with index and create, documents by ID, and creating,
// closing and blocking an index from Go. The framing of a _bulk body is
// checked line by line, and a mapping is made from the first value of each
// field, as the real servers do by default: a later value of another kind is
// refused with a mapper_parsing_exception of that document alone. What it does
// not know it answers with 400. The wording follows OpenSearch 2.
package opensearchtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Op is one request, as a fault sees it.
type Op struct {
	Name string // "info", "bulk", "doc"
	N    int    // counts the requests of this Name from 1
}

// Fault is what goes wrong with a request. The zero value lets it pass.
type Fault struct {
	Status int         // makes an error answer; nothing is done then
	Body   string      // of the error answer, or of a 200 in place of the true one
	Header http.Header // of the error answer
	// Reset breaks the connection: before anything is done, or, with Stored,
	// after the request was carried out and instead of the answer.
	Reset, Stored bool
	// Cut ends the answer in its middle.
	Cut bool
	// Wait holds the request up until the channel is closed or the client goes.
	Wait <-chan struct{}
	// Item decides about single documents of a _bulk request: a status, a type
	// and a reason make it fail.
	Item func(id string) (status int, kind, reason string)
}

// Index is one index.
type Index struct {
	Closed  bool
	Blocked string // reason of the block of writes, "" if there is none
	docs    map[string]json.RawMessage
	fields  map[string]string // path -> kind
}

// Server is a running server. Its methods may be called concurrently. Fields
// may be changed before the first request.
type Server struct {
	URL string
	// Elasticsearch makes the server that product instead of OpenSearch.
	Elasticsearch bool
	MaxBody       int64  // a longer body is answered with 413; default 100 MiB
	Username      string // asked for with Password if not empty
	Password      string
	// NoAutoCreate makes writes to an index that is not there fail.
	NoAutoCreate bool

	http *httptest.Server

	mu      sync.Mutex
	indices map[string]*Index
	fault   func(Op) Fault
	counts  map[string]int
	broken  []string
}

// New starts a server without indices.
func New() *Server {
	s := &Server{MaxBody: 100 << 20, indices: map[string]*Index{}, counts: map[string]int{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	return s
}

// Close stops the server, and with it all connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// SetFault makes f decide about each request that follows; nil ends it.
func (s *Server) SetFault(f func(Op) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Change lets f change an index, which is made if it is not there.
func (s *Server) Change(name string, f func(*Index)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.index(name))
}

func (s *Server) index(name string) *Index {
	ix := s.indices[name]
	if ix == nil {
		ix = &Index{docs: map[string]json.RawMessage{}, fields: map[string]string{}}
		s.indices[name] = ix
	}
	return ix
}

// Indices returns the names of the indices in order.
func (s *Server) Indices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.indices))
}

// Documents returns the documents of an index by their ID.
func (s *Server) Documents(index string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	docs := map[string]string{}
	if ix := s.indices[index]; ix != nil {
		for id, d := range ix.docs {
			docs[id] = string(d)
		}
	}
	return docs
}

// Count returns how many requests of a name came.
func (s *Server) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

// Broken returns what was wrong with requests that broke the protocol.
func (s *Server) Broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.broken)
}

type failure struct {
	status       int
	kind, reason string
}

func (f *failure) Error() string { return f.kind + ": " + f.reason }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	name := "doc"
	switch {
	case r.URL.Path == "/":
		name = "info"
	case strings.HasSuffix(r.URL.Path, "/_bulk"):
		name = "bulk"
	}
	s.mu.Lock()
	s.counts[name]++
	op := Op{Name: name, N: s.counts[name]}
	fault := s.fault
	s.mu.Unlock()
	var f Fault
	if fault != nil {
		f = fault(op)
	}
	if f.Reset && !f.Stored {
		reset(w)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, s.MaxBody+1))
	if err != nil {
		return // the client went away
	}
	if f.Wait != nil {
		select {
		case <-f.Wait:
		case <-r.Context().Done():
			return
		}
	}
	if f.Status != 0 {
		maps.Copy(w.Header(), f.Header)
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body) // the client may have gone away
		return
	}
	answer, fail := s.answer(r, name, raw, f)
	status := http.StatusOK
	if fail != nil {
		status = fail.status
		cause := map[string]any{"type": fail.kind, "reason": fail.reason}
		answer = map[string]any{"error": map[string]any{"root_cause": []any{cause}, "type": fail.kind, "reason": fail.reason}, "status": status}
		if fail.kind == "" {
			answer = nil
		}
	}
	if f.Reset {
		reset(w)
		return
	}
	body, _ := json.Marshal(answer) // made of strings and numbers
	if f.Body != "" {
		body = []byte(f.Body)
	}
	if s.Elasticsearch {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if f.Cut {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may have gone away
}

func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // the close below sends a RST then
	}
	_ = conn.Close()
}

func (s *Server) answer(r *http.Request, name string, raw []byte, f Fault) (any, *failure) {
	if int64(len(raw)) > s.MaxBody {
		return nil, &failure{status: http.StatusRequestEntityTooLarge}
	}
	if s.Username != "" {
		if u, p, ok := r.BasicAuth(); !ok || u != s.Username || p != s.Password {
			return nil, &failure{401, "security_exception", "missing or wrong credentials"}
		}
	}
	switch {
	case name == "info" && r.Method == http.MethodGet:
		version := map[string]any{"number": "2.19.1", "distribution": "opensearch"}
		if s.Elasticsearch {
			version = map[string]any{"number": "8.19.0", "build_flavor": "default"}
		}
		return map[string]any{"name": "test", "cluster_name": "test", "version": version}, nil
	case name == "bulk" && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		body, fail := s.content(r, raw)
		if fail == nil {
			var answer any
			if answer, fail = s.bulk(r, body, f.Item); fail == nil {
				return answer, nil
			}
		}
		s.mu.Lock()
		s.broken = append(s.broken, fail.Error())
		s.mu.Unlock()
		return nil, fail
	}
	return nil, &failure{400, "illegal_argument_exception", "no handler found for uri [" + r.URL.Path + "] and method [" + r.Method + "]"}
}

// content checks the type of a body and unpacks it.
func (s *Server) content(r *http.Request, raw []byte) ([]byte, *failure) {
	kind := r.Header.Get("Content-Type")
	if kind != "application/x-ndjson" && kind != "application/json" {
		return nil, &failure{406, "media_type_header_exception", "Content-Type header [" + kind + "] is not supported"}
	}
	switch r.Header.Get("Content-Encoding") {
	case "":
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(z, s.MaxBody+1))
		}
		if err != nil {
			return nil, &failure{400, "not_x_content_exception", "body is no gzip: " + err.Error()}
		}
		if int64(len(raw)) > s.MaxBody {
			return nil, &failure{status: http.StatusRequestEntityTooLarge}
		}
		return raw, nil
	}
	return nil, &failure{400, "illegal_argument_exception", "unknown Content-Encoding"}
}

// bulk carries out a body of lines. What breaks the framing fails the whole
// request before anything is stored.
func (s *Server) bulk(r *http.Request, body []byte, decide func(string) (int, string, string)) (any, *failure) {
	if len(body) == 0 {
		return nil, &failure{400, "parse_exception", "request body is required"}
	}
	if body[len(body)-1] != '\n' {
		return nil, &failure{400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]"}
	}
	type write struct {
		op, index, id string
		doc           []byte
	}
	var writes []write
	lines := bytes.Split(body[:len(body)-1], []byte{'\n'})
	for i := 0; i < len(lines); i += 2 {
		var action map[string]map[string]string
		dec := json.NewDecoder(bytes.NewReader(lines[i]))
		if err := dec.Decode(&action); err != nil || len(action) != 1 || dec.More() {
			return nil, &failure{400, "illegal_argument_exception", fmt.Sprintf("Malformed action/metadata line [%d]: %.100q", i+1, lines[i])}
		}
		if i+1 == len(lines) {
			return nil, &failure{400, "illegal_argument_exception", "an action without a document"}
		}
		for op, where := range action {
			for k := range where {
				if k != "_index" && k != "_id" {
					return nil, &failure{400, "illegal_argument_exception", "Action/metadata line contains an unknown parameter [" + k + "]"}
				}
			}
			if op != "index" && op != "create" {
				return nil, &failure{400, "illegal_argument_exception", "Malformed action/metadata line, expected one of [create, delete, index, update] but found [" + op + "]"}
			}
			if len(where["_id"]) > 512 {
				return nil, &failure{400, "action_request_validation_exception", "id is too long, must be no longer than 512 bytes"}
			}
			writes = append(writes, write{op, where["_index"], where["_id"], lines[i+1]})
		}
	}
	filtered := r.URL.Query().Get("filter_path") != ""
	s.mu.Lock()
	defer s.mu.Unlock()
	items, errs := []any{}, false
	for _, w := range writes {
		result := map[string]any{"_index": w.index, "_id": w.id}
		status, fail := 0, (*failure)(nil)
		if decide != nil {
			if st, kind, reason := decide(w.id); st != 0 {
				fail = &failure{st, kind, reason}
			}
		}
		if fail == nil {
			status, fail = s.write(w.op, w.index, w.id, w.doc)
		}
		if fail != nil {
			errs, status = true, fail.status
			result["error"] = map[string]any{"type": fail.kind, "reason": fail.reason, "index": w.index}
		}
		result["status"] = status
		items = append(items, map[string]any{w.op: result})
	}
	answer := map[string]any{"items": items}
	if !filtered {
		answer["took"], answer["errors"] = 1, errs
	}
	return answer, nil
}

func (s *Server) write(op, index, id string, doc []byte) (status int, fail *failure) {
	ix := s.indices[index]
	switch {
	case ix == nil && s.NoAutoCreate:
		return 0, &failure{404, "index_not_found_exception", "no such index [" + index + "]"}
	case ix == nil:
		ix = s.index(index)
	case ix.Closed:
		return 0, &failure{400, "index_closed_exception", "closed"}
	case ix.Blocked != "":
		return 0, &failure{403, "cluster_block_exception", "index [" + index + "] blocked by: [" + ix.Blocked + "];"}
	}
	_, there := ix.docs[id]
	if there && op == "create" {
		return 0, &failure{409, "version_conflict_engine_exception", "[" + id + "]: version conflict, document already exists (current version [1])"}
	}
	var fields map[string]any
	if !utf8.Valid(doc) || json.Unmarshal(doc, &fields) != nil || fields == nil {
		return 0, &failure{400, "mapper_parsing_exception", "failed to parse"}
	}
	kinds := maps.Clone(ix.fields)
	if bad := learn(kinds, "", fields); bad != "" {
		return 0, &failure{400, "mapper_parsing_exception", "failed to parse field [" + bad + "] of type [" + ix.fields[bad] + "] in document with id '" + id + "'"}
	}
	ix.fields, ix.docs[id] = kinds, bytes.Clone(doc)
	if there {
		return 200, nil
	}
	return 201, nil
}

// learn adds the kinds of the fields of a document, and returns the path of one
// that does not fit.
func learn(kinds map[string]string, prefix string, fields map[string]any) (bad string) {
	for name, v := range fields {
		path, kind := prefix+name, ""
		switch v := v.(type) {
		case nil, []any: // an array has no kind of its own
			continue
		case string:
			kind = "text"
			if k := kinds[path]; k == "float" {
				if _, err := strconv.ParseFloat(v, 64); err == nil {
					kind = k // the real ones coerce too
				}
			}
		case float64:
			kind = "float"
			if kinds[path] == "text" {
				kind = "text"
			}
		case bool:
			kind = "boolean"
			if kinds[path] == "text" {
				kind = "text"
			}
		case map[string]any:
			kind = "object"
			if bad := learn(kinds, path+".", v); bad != "" {
				return bad
			}
		}
		if known := kinds[path]; known != "" && known != kind {
			return path
		}
		kinds[path] = kind
	}
	return ""
}

// Map sets the kind of a field: "text", "float", "boolean" or "object".
func (ix *Index) Map(field, kind string) { ix.fields[field] = kind }
