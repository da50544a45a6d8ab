package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recordHandshake is the first byte of a TLS connection, the type of its
	// first record (RFC 8446, 5.1). No HTTP begins with it.
	recordHandshake = 0x16
	// handshakeTimeout is how long a client may take from its first byte to the
	// end of its handshake, a wait for its turn included.
	handshakeTimeout = 10 * time.Second
	// maxHandshakes is how many handshakes are under way at once; each takes
	// some tens of kilobytes. More wait for their turn.
	maxHandshakes = 1024
)

// MixedOptions say how a listener speaks TLS.
type MixedOptions struct {
	// Certificate returns what to show a client. It is called for every full
	// handshake, concurrently. Required.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Logger gets handshakes that fail (debug); nil discards.
	Logger *slog.Logger
	// Refused, if not nil, is called for every handshake that fails,
	// concurrently.
	Refused func()
}

// NewMixedListener returns a listener for TLS and plain HTTP on one port. The
// first byte of a connection says which it is. TLS is 1.2 or later, and offers
// HTTP/2 and HTTP/1.1 by ALPN.
//
// What a connection speaks is found out when it is first read from, by the
// goroutine that serves it: accepting never waits for a client, and the read
// deadline of the server holds until the first byte. The server sees decrypted
// bytes in either case and looks for the preface of HTTP/2 itself. So a client
// gets HTTP/2 that begins with it right after a handshake without ALPN, as
// SDKs for Java before 2.30 do.
//
// The listener is for NewServer, whose requests have TLS set as ever.
func NewMixedListener(inner net.Listener, opt MixedOptions) net.Listener {
	l := &mixedListener{
		Listener: inner,
		opt:      opt,
		log:      opt.Logger,
		turns:    make(chan struct{}, maxHandshakes),
		done:     make(chan struct{}),
		config: &tls.Config{
			GetCertificate: opt.Certificate,
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"h2", "http/1.1"},
			// For 1.2 those that HTTP/2 allows: what ALPN leads to is found out
			// above TLS, too late to ask for another one (RFC 9113, 9.2.2).
			CipherSuites: []uint16{
				tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
				tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
				tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			},
		},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

type mixedListener struct {
	net.Listener
	opt    MixedOptions
	log    *slog.Logger
	config *tls.Config
	turns  chan struct{}

	closing sync.Once
	done    chan struct{} // closed when the listener is
}

// Accept returns the next connection, of which nothing is known yet.
func (l *mixedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &mixedConn{Conn: c, listener: l}, nil
}

// Close also ends the waits of handshakes for their turn.
func (l *mixedListener) Close() error {
	l.closing.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// mixedConn is a connection that is plain or TLS; its first read decides. As
// with any connection of a server there is one reader at a time.
type mixedConn struct {
	net.Conn // as it was accepted; deadlines are its
	listener *mixedListener

	begun  atomic.Bool // set after secure
	secure atomic.Pointer[tls.Conn]
	state  tls.ConnectionState // not changed once secure is set
}

// Read decides on the first call what the connection speaks. A handshake that
// fails ends the connection as if the client had left: it has been told by an
// alert, and an answer in HTTP would not be understood.
func (c *mixedConn) Read(p []byte) (int, error) {
	if t := c.secure.Load(); t != nil {
		return t.Read(p)
	}
	if c.begun.Load() {
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return 0, err
	}
	if p[0] != recordHandshake {
		c.begun.Store(true)
		return n, err
	}
	t, err := c.handshake(append([]byte(nil), p[:n]...))
	if err != nil {
		c.listener.log.Debug("TLS handshake failed", "remote", c.RemoteAddr().String(), "error", err)
		if c.listener.opt.Refused != nil {
			c.listener.opt.Refused()
		}
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	c.state = t.ConnectionState()
	c.secure.Store(t)
	c.begun.Store(true)
	return t.Read(p)
}

var errTurn = errors.New("too many handshakes at once")

// handshake makes TLS of a connection whose first bytes were read. Afterwards
// the client has as long for its first header as on any new connection.
func (c *mixedConn) handshake(head []byte) (*tls.Conn, error) {
	over := time.Now().Add(handshakeTimeout)
	turn := time.NewTimer(handshakeTimeout)
	defer turn.Stop()
	select {
	case c.listener.turns <- struct{}{}:
		defer func() { <-c.listener.turns }()
	case <-turn.C:
		return nil, errTurn
	case <-c.listener.done:
		return nil, net.ErrClosed
	}
	if err := c.Conn.SetDeadline(over); err != nil {
		return nil, err
	}
	t := tls.Server(&headConn{Conn: c.Conn, head: head}, c.listener.config)
	if err := t.HandshakeContext(context.Background()); err != nil {
		return nil, err
	}
	if err := c.Conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return t, c.Conn.SetReadDeadline(time.Now().Add(readHeaderTimeout))
}

// Write sends to the client. A server has nothing to say before it has read.
func (c *mixedConn) Write(p []byte) (int, error) {
	if t := c.secure.Load(); t != nil {
		return t.Write(p)
	}
	if !c.begun.Load() {
		return 0, errEarly
	}
	return c.Conn.Write(p)
}

var errEarly = errors.New("write before the client said what it speaks")

// Close tells a TLS client that it was not cut off.
func (c *mixedConn) Close() error {
	if t := c.secure.Load(); t != nil {
		return t.Close()
	}
	return c.Conn.Close()
}

// CloseWrite says that nothing more comes, so that what was sent can still be
// read while the client goes on sending.
func (c *mixedConn) CloseWrite() error {
	if t := c.secure.Load(); t != nil {
		return t.CloseWrite()
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// headConn gives back bytes that were read before its time.
type headConn struct {
	net.Conn
	head []byte
}

func (c *headConn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		if len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

type connKey struct{}

// withConn lets requests know their connection; it is the ConnContext of a
// server.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if m, ok := c.(*mixedConn); ok {
		return context.WithValue(ctx, connKey{}, m)
	}
	return ctx
}

// tellTLS sets the TLS of requests on mixed connections, which the server could
// not know of.
func tellTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m, ok := r.Context().Value(connKey{}).(*mixedConn); ok && m.secure.Load() != nil {
			r.TLS = &m.state
		}
		next.ServeHTTP(w, r)
	})
}

// plainRefusal is the answer to plain HTTP where TLS is demanded. SDKs show
// their user the message.
const plainRefusal = `{"__type":"SecureTransportRequiredException","message":"This address takes requests over TLS only: use an endpoint that begins with https://."}`

// RequireTLS returns a handler that answers requests without TLS with status
// 400 and an error that says so, and hands the others on.
func RequireTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			next.ServeHTTP(w, r)
			return
		}
		// The server reads on in a body that nobody wants, for a while.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readHeaderTimeout))
		h := w.Header()
		h.Set("Content-Type", JSON.ContentType())
		h["x-amzn-RequestId"] = []string{newRequestID()}
		if r.ProtoMajor == 1 {
			h.Set("Connection", "close")
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, plainRefusal)
	})
}
