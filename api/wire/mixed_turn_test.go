package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/certs"
)

// onePipe is a listener that hands out what is sent to it.
type onePipe struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *onePipe) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }

func (l *onePipe) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// TestHandshakesTakeTurns: no more than a number of handshakes are under way;
// others wait for their turn, and for no longer than a handshake may take.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := certs.NewAuthority("test", time.Now(), 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		certPEM, keyPEM, err := ca.Issue([]string{"localhost"}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		inner := &onePipe{conns: make(chan net.Conn), done: make(chan struct{})}
		refused := make(chan struct{}, 10)
		l := NewMixedListener(inner, MixedOptions{
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
			Refused:     func() { refused <- struct{}{} },
		}).(*mixedListener)
		l.turns = make(chan struct{}, 2)
		srv := NewServer(http.NotFoundHandler(), nil)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()

		half := func() net.Conn {
			c := inner.dial()
			if _, err := c.Write([]byte{recordHandshake, 3, 1}); err != nil {
				t.Fatal(err)
			}
			return c
		}
		whole := func() error {
			c := inner.dial()
			defer c.Close()
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}
		start := time.Now()
		first, second := half(), half()
		defer first.Close()
		defer second.Close()
		synctest.Wait()
		if len(l.turns) != 2 {
			t.Fatalf("%d handshakes under way", len(l.turns))
		}
		time.Sleep(time.Second)
		_ = first.Close() // makes room after a second
		if err := whole(); err != nil || time.Since(start) != time.Second {
			t.Errorf("a handshake after one left: %v after %v", err, time.Since(start))
		}
		third := half()
		defer third.Close()
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() { waiting <- whole() }()
		synctest.Wait()
		select {
		case err := <-waiting:
			t.Fatalf("a third handshake did not wait: %v", err)
		default:
		}
		// The second goes at 10 s and makes room for the one that waits.
		if err := <-waiting; err != nil || time.Since(start) != handshakeTimeout {
			t.Errorf("a handshake that waited: %v after %v", err, time.Since(start))
		}
		// Who waits when the listener is closed is sent away at once.
		fourth := half()
		defer fourth.Close()
		synctest.Wait()
		go func() { waiting <- whole() }()
		synctest.Wait()
		before := time.Now()
		_ = l.Close()
		if err := <-waiting; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) || time.Since(before) != 0 {
			t.Errorf("after the close: %v after %v", err, time.Since(before))
		}
		_ = srv.Close()
		<-done
	})
}

// TestNoWordBeforeTheFirst: a server that writes before it has read would send
// plain bytes to a client of TLS.
func TestNoWordBeforeTheFirst(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := &mixedConn{Conn: a}
	if _, err := c.Write([]byte("x")); !errors.Is(err, errEarly) {
		t.Errorf("got %v", err)
	}
}
