package bodies_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/e2e/bodies"
)

// late is a body of which the transport asks whether it is at its end only
// after it was closed, as on a machine that is busy.
type late struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func (l *late) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// WriteTo is called behind the last byte, and answers as smithy-go does.
func (l *late) WriteTo(io.Writer) (int64, error) {
	<-l.closed
	return 0, io.EOF
}

// TestClosedWhileWritten closes the body of a request when the answer has begun,
// as the SDK does, and reads the rest of the answer.
func TestClosedWhileWritten(t *testing.T) {
	rest := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-rest
		if _, err := io.WriteString(w, "rest"); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for name, client := range map[string]bodies.Doer{
		"client":    bodies.Client{Next: &http.Client{Transport: transport}},
		"transport": &http.Client{Transport: bodies.Transport{Next: transport}},
	} {
		t.Run(name, func(t *testing.T) {
			// Longer than what the transport gathers before it sends.
			const size = 1 << 20
			body := &late{Reader: bytes.NewReader(make([]byte, size)), closed: make(chan struct{})}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = size
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := body.Close(); err != nil {
				t.Fatal(err)
			}
			rest <- struct{}{}
			var answer strings.Builder
			if _, err := io.Copy(&answer, resp.Body); err != nil || answer.String() != "rest" {
				t.Errorf("the answer is %q, %v", answer.String(), err)
			}
		})
	}
	for _, body := range []io.ReadCloser{nil, http.NoBody} {
		r := &http.Request{Body: body}
		seen := body
		_, err := bodies.Transport{Next: roundTrip(func(r *http.Request) { seen = r.Body })}.RoundTrip(r)
		if err != nil || seen != body {
			t.Errorf("the body %v is sent as %v, %v", body, seen, err)
		}
	}
}

type roundTrip func(*http.Request)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, nil
}
