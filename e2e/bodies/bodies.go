// Package bodies keeps clients of aws-sdk-go-v2 from cutting connections under
// the answers they read.
//
// The SDK closes the body of its request as soon as the answer begins. The
// WriterTo of that body, of smithy-go 1.28.8, answers io.EOF from then on, and
// Go's transport for HTTP/1.1 asks it once more after the last byte, to see that
// there are no more. In a process that was short of processor time the answer
// comes first: the transport takes the io.EOF for a failed write and closes the
// connection. A subscription ends, and a put is tried again by the SDK and is
// there twice. A body without a WriterTo is asked by its Read, which answers
// io.EOF at its end in any case.
package bodies

import (
	"io"
	"net/http"
)

// Doer is what clients of the SDK send requests with.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Client sends requests by Next, without the WriterTo of their bodies.
type Client struct{ Next Doer }

// Do implements Doer.
func (c Client) Do(r *http.Request) (*http.Response, error) { return c.Next.Do(plain(r)) }

// Transport sends requests by Next, without the WriterTo of their bodies.
type Transport struct{ Next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.Next.RoundTrip(plain(r))
}

func plain(r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	r = r.Clone(r.Context())
	r.Body = struct{ io.ReadCloser }{r.Body}
	return r
}
