package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/api/admin"
)

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
