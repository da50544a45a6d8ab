package admin_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/api/admin"
	"github.com/firehosed/firehosed/api/wire"
)

// pipes is a listener of one connection at a time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { close(l.done); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowClients: who does not end a request or take an answer loses the
// connection, and the time of one request is not held against the next.
func TestSlowClients(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		take       bool // reads the answer
		after      time.Duration
		want       string
	}{
		{"no body", "GET /health/live HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", true, 10 * time.Second, `{"status":"live"}`},
		{"no end of chunks", "GET /metrics HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true, 10 * time.Second, "firehosed_up"},
		{"no reader", "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", false, 10 * time.Second, ""},
		{"nothing more to ask", "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", true, 120 * time.Second, "firehosed_up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, err := admin.New(admin.Options{
					Wire: http.NotFoundHandler(),
					Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						_, _ = io.WriteString(w, strings.Repeat("firehosed_up 1\n", 10_000))
					}),
					Ready: func() []admin.Reason { return nil },
				})
				if err != nil {
					t.Fatal(err)
				}
				l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				srv := wire.NewServer(h, nil)
				done := make(chan error, 1)
				go func() { done <- srv.Serve(l) }()
				defer func() {
					_ = srv.Close()
					<-done
				}()
				client, server := net.Pipe()
				defer client.Close()
				l.conns <- server
				start := time.Now()
				if _, err := io.WriteString(client, tt.send); err != nil {
					t.Fatal(err)
				}
				if !tt.take {
					time.Sleep(tt.after + time.Second)
				}
				got, _ := io.ReadAll(client)
				if !strings.Contains(string(got), tt.want) || tt.want == "" && len(got) > 0 {
					t.Errorf("got %d bytes: %.200q", len(got), got)
				}
				if took := time.Since(start); took < tt.after || took > tt.after+2*time.Second {
					t.Errorf("closed after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

func TestPaths(t *testing.T) {
	var reasons []admin.Reason
	wire := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "wire "+r.Method+" "+r.URL.Path)
	})
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "firehosed_up 1\n") })
	h, err := admin.New(admin.Options{Wire: wire, Metrics: metrics, Ready: func() []admin.Reason { return reasons }})
	if err != nil {
		t.Fatal(err)
	}
	disk := []admin.Reason{{Part: "log", Text: "the disk is full; free some space"}}
	for _, tt := range []struct {
		method, path string
		reasons      []admin.Reason
		status       int
		want         string
	}{
		{"GET", "/health/live", disk, 200, `{"status":"live"}` + "\n"},
		{"GET", "/health/ready", nil, 200, `{"status":"ready"}` + "\n"},
		{"GET", "/health/ready", disk, 503, `{"status":"not ready","reasons":[{"part":"log","reason":"the disk is full; free some space"}]}` + "\n"},
		{"GET", "/metrics", nil, 200, "firehosed_up 1\n"},
		{"GET", "/", nil, 418, "wire GET /"},
		{"GET", "/health", nil, 418, "wire GET /health"},
		{"POST", "/metrics", nil, 418, "wire POST /metrics"},
		{"POST", "/", nil, 418, "wire POST /"},
		{"OPTIONS", "/health/live", nil, 418, "wire OPTIONS /health/live"},
	} {
		reasons = tt.reasons
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader("")))
		if w.Code != tt.status || w.Body.String() != tt.want {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if _, err := admin.New(admin.Options{}); err == nil {
		t.Error("no error without a wire handler")
	}
	h, err = admin.New(admin.Options{Wire: wire, Ready: func() []admin.Reason { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("metrics that are off: got %d", w.Code)
	}
}
