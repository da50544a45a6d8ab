package s3

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"time"
)

// HTTPOptions are the limits in time and number of the connections to a store.
type HTTPOptions struct {
	DialTimeout  time.Duration // default 10 s
	TLSTimeout   time.Duration // default 10 s
	StallTimeout time.Duration // a body of which nothing can be sent for so long; default 30 s
	// ResponseTimeout bounds the wait for the answer once a request was sent;
	// default 2 min: completing a large upload takes long.
	ResponseTimeout time.Duration
	RequestTimeout  time.Duration // one request, all in all; default 10 min
	IdleConns       int           // connections kept for later; default 16
	// RootCAs are trusted instead of those of the system if set.
	RootCAs *x509.CertPool
}

func (o *HTTPOptions) setDefaults() {
	o.DialTimeout = cmp.Or(o.DialTimeout, 10*time.Second)
	o.TLSTimeout = cmp.Or(o.TLSTimeout, 10*time.Second)
	o.StallTimeout = cmp.Or(o.StallTimeout, 30*time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 2*time.Minute)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 10*time.Minute)
	o.IdleConns = cmp.Or(o.IdleConns, 16)
}

func newTransport(o HTTPOptions) *http.Transport {
	dialer := &net.Dialer{Timeout: o.DialTimeout}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &movingConn{c, o.StallTimeout}, nil
		},
		TLSClientConfig:       &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   o.TLSTimeout,
		ResponseHeaderTimeout: o.ResponseTimeout,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          o.IdleConns,
		MaxIdleConnsPerHost:   o.IdleConns,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
	}
}

// movingConn gives each piece of a write its own deadline, so that a body may
// take long as long as it moves.
type movingConn struct {
	net.Conn
	stall time.Duration
}

func (c *movingConn) Write(p []byte) (n int, err error) {
	const piece = 64 << 10
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[:min(len(p), piece)])
		n, p = n+m, p[m:]
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// boundedBodies cuts answers: the SDK reads error documents whole, and the
// operations used here have short answers only.
type boundedBodies struct{ http.RoundTripper }

const maxAnswer = 1 << 20

func (b boundedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
