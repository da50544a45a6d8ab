// Package faultproxy is a TCP proxy for tests that makes a network fail in
// chosen ways: it refuses, delays, goes silent, and breaks connections before a
// request reaches the server, in its middle, or after the server has carried
// it out but before the answer reaches the client.
//
// It looks at bytes only and knows no protocol. It is no part of the daemon.
package faultproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Mode is what the proxy does with connections. The zero value passes all on.
type Mode struct {
	// Refuse breaks each connection as soon as it is there, and those that are
	// open when the mode is set.
	Refuse bool
	// ResetRequest breaks a connection when the client sends something, before
	// the server sees it; with AfterBytes > 0 only after so many bytes of the
	// client, counted from when the mode was set, were passed on.
	ResetRequest bool
	AfterBytes   int64
	// ResetAnswer breaks a connection when the server answers: it has carried
	// out the request, and the client does not learn of it.
	ResetAnswer bool
	// Silent keeps connections open and passes nothing on.
	Silent bool
	// Delay holds each piece up, in both directions.
	Delay time.Duration
	// Times is how often the mode breaks a connection before the proxy goes
	// back to passing all on; 0 means always.
	Times int
}

// Proxy is a running proxy. Its methods may be called concurrently.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context //nolint:containedctx // That of the goroutines; ends with Close.
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	mode    Mode
	changed chan struct{} // closed when the mode changes
	passed  int64         // bytes of clients since the mode was set
	broken  int
	conns   map[net.Conn]struct{}
}

// New starts a proxy on a free port of 127.0.0.1 in front of target, a
// host:port that need not answer yet.
func New(target string) (*Proxy, error) {
	ctx, stop := context.WithCancel(context.Background())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{target: target, listener: l, ctx: ctx, stop: stop, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes the mode, also for connections that are open.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(m)
	if m.Refuse {
		for c := range p.conns {
			reset(c)
		}
	}
}

func (p *Proxy) set(m Mode) {
	p.mode, p.passed = m, 0
	close(p.changed)
	p.changed = make(chan struct{})
}

// Broken returns how many connections the modes broke so far; those that
// Refuse found open are not counted.
func (p *Proxy) Broken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// Close breaks all connections and returns when nothing runs any more.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		reset(c)
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// keep notes a connection, so that Close and Refuse can break it.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close() // nothing is to be saved
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	if p.breaks(func(m Mode) bool { return m.Refuse }) {
		reset(client)
		return
	}
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { p.pump(client, server, false, func(m Mode) bool { return m.ResetAnswer }) })
	p.pump(server, client, true, func(m Mode) bool { return m.ResetRequest && p.passed >= m.AfterBytes })
	answers.Wait()
}

// pump passes on what src sends. When an end comes it is passed on too; when
// the mode breaks the connection, both sides are reset.
func (p *Proxy) pump(dst, src net.Conn, count bool, breaks func(Mode) bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !p.hold() || p.breaks(breaks) {
				reset(src)
				reset(dst)
				return
			}
			if count {
				p.mu.Lock()
				p.passed += int64(n)
				p.mu.Unlock()
			}
			if _, werr := dst.Write(buf[:n]); werr != nil {
				reset(src)
				reset(dst)
				return
			}
		}
		if err == io.EOF { //nolint:errorlint // net.Conn returns it as it is.
			if c, ok := dst.(*net.TCPConn); ok {
				_ = c.CloseWrite() // the other side may be gone
			}
			return
		}
		if err != nil {
			reset(dst)
			return
		}
	}
}

// hold waits as long as the mode asks for; false means that the proxy closed.
func (p *Proxy) hold() bool {
	for {
		p.mu.Lock()
		m, changed := p.mode, p.changed
		p.mu.Unlock()
		var after <-chan time.Time
		switch {
		case m.Silent:
		case m.Delay > 0:
			t := time.NewTimer(m.Delay)
			defer t.Stop()
			after = t.C
		default:
			return true
		}
		select {
		case <-changed: // look again
		case <-after:
			return true
		case <-p.ctx.Done():
			return false
		}
	}
}

// breaks tells whether the mode breaks a connection now, and counts it.
func (p *Proxy) breaks(f func(Mode) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !f(p.mode) {
		return false
	}
	p.broken++
	if p.mode.Times > 0 {
		if p.mode.Times--; p.mode.Times == 0 {
			p.set(Mode{})
		}
	}
	return true
}

// reset closes a connection so that the other side sees a reset, not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only if it is closed already
	}
	_ = c.Close() // as above
}
