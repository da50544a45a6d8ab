package wire_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/internal/certs"
)

// identity is a certificate for localhost and what trusts it.
func identity(t testing.TB, now time.Time) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), *x509.CertPool) {
	t.Helper()
	ca, err := certs.NewAuthority("test", now, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.Issue([]string{"localhost", "127.0.0.1"}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c, nil }, pool
}

// serveMixed serves on a port of this machine until the test ends.
func serveMixed(t *testing.T, handler http.Handler, opt wire.MixedOptions) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.NewServer(handler, nil)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(wire.NewMixedListener(l, opt)) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l.Addr().String()
}

// how one client talks to the port.
type dialect struct {
	name   string
	secure bool
	major  int // of the protocol it must end up with
	scheme string
	client func(roots *x509.CertPool) http.RoundTripper
}

func dialects() []dialect {
	protocols := func(h1, h2, h2c bool) *http.Protocols {
		p := new(http.Protocols)
		p.SetHTTP1(h1)
		p.SetHTTP2(h2)
		p.SetUnencryptedHTTP2(h2c)
		return p
	}
	config := func(roots *x509.CertPool, protos ...string) *tls.Config {
		return &tls.Config{RootCAs: roots, NextProtos: protos, ServerName: "localhost"}
	}
	withoutALPN := func(roots *x509.CertPool) func(context.Context, string, string) (net.Conn, error) {
		return (&tls.Dialer{Config: config(roots)}).DialContext
	}
	return []dialect{
		{"plain HTTP/1.1", false, 1, "http", func(*x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(true, false, false)}
		}},
		{"plain HTTP/2", false, 2, "http", func(*x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(false, false, true)}
		}},
		{"TLS, ALPN h2 and http/1.1", true, 2, "https", func(roots *x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(true, true, false), TLSClientConfig: config(roots)}
		}},
		{"TLS, ALPN http/1.1", true, 1, "https", func(roots *x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(true, false, false), TLSClientConfig: config(roots, "http/1.1")}
		}},
		{"TLS without ALPN, HTTP/1.1", true, 1, "https", func(roots *x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(true, false, false), DialTLSContext: withoutALPN(roots)}
		}},
		// The transport takes the connection for a plain one.
		{"TLS without ALPN, HTTP/2 at once", true, 2, "http", func(roots *x509.CertPool) http.RoundTripper {
			return &http.Transport{Protocols: protocols(false, false, true), DialContext: withoutALPN(roots)}
		}},
		{"TLS 1.2", true, 2, "https", func(roots *x509.CertPool) http.RoundTripper {
			c := config(roots)
			c.MaxVersion = tls.VersionTLS12
			return &http.Transport{Protocols: protocols(true, true, false), TLSClientConfig: c}
		}},
	}
}

// echo posts a body of some size and returns what came back.
func echo(t *testing.T, c *http.Client, url string, size int) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"Name":"a"}`+strings.Repeat(" ", size-12)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", jsonType)
	req.Header.Set("X-Amz-Target", "Test_1.Echo")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestOnePortForEverybody(t *testing.T) {
	certificate, roots := identity(t, time.Now())
	h := newHandler(t, wire.Options{})
	var secure atomic.Bool
	seen := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure.Store(r.TLS != nil && r.TLS.HandshakeComplete)
		h.ServeHTTP(w, r)
	})
	addr := serveMixed(t, seen, wire.MixedOptions{Certificate: certificate})
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			c := &http.Client{Transport: d.client(roots)}
			defer c.CloseIdleConnections()
			for _, size := range []int{12, 1 << 20, 5<<20 + 7} {
				res, body := echo(t, c, d.scheme+"://"+addr+"/", size)
				if res.StatusCode != 200 || res.ProtoMajor != d.major || body != `{"Name":"a"}` {
					t.Errorf("%d bytes: got HTTP/%d %d %s, want HTTP/%d", size, res.ProtoMajor, res.StatusCode, body, d.major)
				}
				if secure.Load() != d.secure {
					t.Errorf("TLS of the request: %v", secure.Load())
				}
			}
		})
	}
}

func TestTLSOnly(t *testing.T) {
	certificate, roots := identity(t, time.Now())
	addr := serveMixed(t, wire.RequireTLS(newHandler(t, wire.Options{})), wire.MixedOptions{Certificate: certificate})
	const refusal = `{"__type":"SecureTransportRequiredException","message":"This address takes requests over TLS only: use an endpoint that begins with https://."}`
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			c := &http.Client{Transport: d.client(roots)}
			defer c.CloseIdleConnections()
			status, want := 200, `{"Name":"a"}`
			if !d.secure {
				status, want = 400, refusal
			}
			res, body := echo(t, c, d.scheme+"://"+addr+"/", 12)
			if res.StatusCode != status || body != want || res.ProtoMajor != d.major {
				t.Errorf("got HTTP/%d %d %s", res.ProtoMajor, res.StatusCode, body)
			}
			if status == 400 && (res.Header.Get("Content-Type") != jsonType || res.Header.Get("X-Amzn-Requestid") == "") {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	certificate, roots := identity(t, time.Now())
	refused := make(chan struct{}, 10)
	addr := serveMixed(t, newHandler(t, wire.Options{}), wire.MixedOptions{Certificate: certificate, Refused: func() { refused <- struct{}{} }})
	for _, tt := range []struct {
		name   string
		change func(*tls.Config)
		want   string
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "protocol version"},
		{"CBC", func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, "handshake failure"},
		{"a protocol that is not ours", func(c *tls.Config) { c.NextProtos = []string{"imap"} }, "no application protocol"},
	} {
		c := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		tt.change(c)
		conn, err := tls.Dial("tcp", addr, c)
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
		<-refused
	}
	// A client that does not trust the authority leaves by itself.
	if conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost"}); err == nil {
		_ = conn.Close()
		t.Error("a client without the authority trusts the certificate")
	}
	<-refused
}

// pipeMixed serves over pipes, for tests with the fake clock.
func pipeMixed(t *testing.T, opt wire.MixedOptions) *pipeListener {
	t.Helper()
	l := newPipeListener()
	srv := wire.NewServer(newHandler(t, wire.Options{}), nil)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(wire.NewMixedListener(l, opt)) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l
}

// TestSlowHandshakes: clients that stop in the middle of a handshake are shown
// out, and hold nobody up meanwhile.
func TestSlowHandshakes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		send  func(t *testing.T, c net.Conn)
		after time.Duration
	}{
		{"nothing", func(*testing.T, net.Conn) {}, 5 * time.Second},
		{"a byte", func(t *testing.T, c net.Conn) {
			if _, err := c.Write([]byte{0x16}); err != nil {
				t.Error(err)
			}
		}, 10 * time.Second},
		{"half a greeting", func(t *testing.T, c net.Conn) {
			if _, err := c.Write([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}); err != nil {
				t.Error(err)
			}
		}, 10 * time.Second},
		{"no word after the server's", func(t *testing.T, c net.Conn) {
			cut := &cutConn{Conn: c, writes: 1}
			if err := tls.Client(cut, &tls.Config{InsecureSkipVerify: true}).Handshake(); !errors.Is(err, errCut) {
				t.Errorf("handshake: %v", err)
			}
		}, 10 * time.Second},
		{"TLS, then nothing", func(t *testing.T, c net.Conn) {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if err := tc.Handshake(); err != nil {
				t.Error(err)
			}
		}, 5 * time.Second},
		{"TLS, then half a header", func(t *testing.T, c net.Conn) {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if _, err := io.WriteString(tc, "POST / HTTP/1.1\r\nHost: h\r\nX-A: "); err != nil {
				t.Error(err)
			}
		}, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				certificate, _ := identity(t, time.Now())
				l := pipeMixed(t, wire.MixedOptions{Certificate: certificate})
				c := l.dial()
				defer c.Close()
				start := time.Now()
				tt.send(t, c)

				// Somebody else is served meanwhile, at once.
				other := l.dial()
				defer other.Close()
				if _, err := io.WriteString(other, head(12)+`{"Name":"a"}`); err != nil {
					t.Fatal(err)
				}
				if status, body := readAnswer(t, other); status != 200 || body != `{"Name":"a"}` || time.Since(start) != 0 {
					t.Errorf("another client: %d %s after %v", status, body, time.Since(start))
				}

				_, _ = io.Copy(io.Discard, c)
				if got := time.Since(start); got < tt.after || got > tt.after+time.Second {
					t.Errorf("closed after %v, want %v", got, tt.after)
				}
			})
		})
	}
}

// cutConn lets a number of writes pass.
type cutConn struct {
	net.Conn
	writes int
}

var errCut = errors.New("cut")

func (c *cutConn) Write(p []byte) (int, error) {
	if c.writes--; c.writes < 0 {
		return 0, errCut
	}
	return c.Conn.Write(p)
}

// TestGarbageAfterTheFirstByte: what only looks like TLS gets an alert, no
// HTTP, and the end.
func TestGarbageAfterTheFirstByte(t *testing.T) {
	certificate, _ := identity(t, time.Now())
	addr := serveMixed(t, newHandler(t, wire.Options{}), wire.MixedOptions{Certificate: certificate})
	for _, send := range []string{
		"\x16POST / HTTP/1.1\r\nHost: h\r\n\r\n",
		"\x16\x03\x01\x00\x05hello",
		"\x16\x03\x01\xff\xff" + strings.Repeat("x", 70_000),
		"\x16\x03\x01\x00\x00",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, send)
		_ = c.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c)
		if len(got) > 0 && got[0] != 0x15 || strings.Contains(string(got), "HTTP") {
			t.Errorf("%.20q: answered %q", send, got)
		}
		_ = c.Close()
	}
	// What begins with neither is HTTP, though none that can be read.
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "\x80\x2e\x01\x03\x01\r\n\r\n"); err != nil { // a greeting of SSL 2
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
}

// TestRenewal: a new certificate is for new connections; those that are open
// go on.
func TestRenewal(t *testing.T) {
	first, roots := identity(t, time.Now())
	second, newRoots := identity(t, time.Now())
	var renewed atomic.Bool
	addr := serveMixed(t, newHandler(t, wire.Options{}), wire.MixedOptions{Certificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if renewed.Load() {
			return second(h)
		}
		return first(h)
	}})
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer old.CloseIdleConnections()
	if res, body := echo(t, old, "https://"+addr+"/", 12); res.StatusCode != 200 {
		t.Fatalf("before: %d %s", res.StatusCode, body)
	}
	renewed.Store(true)
	// It trusts the old authority only, so this is the connection from before.
	if res, body := echo(t, old, "https://"+addr+"/", 12); res.StatusCode != 200 {
		t.Errorf("on the open connection: %d %s", res.StatusCode, body)
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots}); err == nil {
		_ = c.Close()
		t.Error("a new connection is shown the old certificate")
	}
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: newRoots})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
