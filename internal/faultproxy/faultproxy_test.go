package faultproxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/faultproxy"
)

// server answers each line with the same line, and notes it.
type server struct {
	net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen []string
	any  chan struct{} // one for each line
}

func start(t *testing.T) (*server, *faultproxy.Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, any: make(chan struct{}, 100)}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					s.mu.Lock()
					s.seen = append(s.seen, line)
					s.mu.Unlock()
					s.any <- struct{}{}
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			})
		}
	})
	p, err := faultproxy.New(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		_ = l.Close()
		s.wg.Wait()
	})
	return s, p
}

func (s *server) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a line and reads the answer.
func ask(c net.Conn, line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// try asks over a connection of its own; the reset may come while it dials.
func try(p *faultproxy.Proxy) error {
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = ask(c, "hello")
	return err
}

func wantReset(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v, want a reset", err)
	}
}

func wantAnswer(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := ask(c, "hello"); err != nil || got != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPass(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	wantAnswer(t, c)
	wantAnswer(t, c)
	if p.Broken() != 0 {
		t.Errorf("%d broken", p.Broken())
	}
}

func TestResets(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  faultproxy.Mode
		lines int // that the server saw
	}{
		{"before the server sees it", faultproxy.Mode{ResetRequest: true, Times: 1}, 0},
		{"after the server did it", faultproxy.Mode{ResetAnswer: true, Times: 1}, 1},
		{"at once", faultproxy.Mode{Refuse: true, Times: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, p := start(t)
			p.Set(tt.mode)
			wantReset(t, try(p))
			if n := s.lines(); n != tt.lines || p.Broken() != 1 {
				t.Errorf("the server saw %d lines, want %d; %d broken", n, tt.lines, p.Broken())
			}
			wantAnswer(t, dial(t, p)) // the mode is over
		})
	}
}

func TestResetInTheMiddle(t *testing.T) {
	s, p := start(t)
	p.Set(faultproxy.Mode{ResetRequest: true, AfterBytes: 12})
	c := dial(t, p)
	wantAnswer(t, c)
	wantAnswer(t, c) // 12 bytes by now
	_, err := ask(c, "hello")
	wantReset(t, err)
	if n := s.lines(); n != 2 {
		t.Errorf("the server saw %d lines, want 2", n)
	}
}

func TestRefuseBreaksOpenConnections(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	wantAnswer(t, c)
	p.Set(faultproxy.Mode{Refuse: true})
	_, err := ask(c, "hello")
	wantReset(t, err)
	p.Set(faultproxy.Mode{})
	wantAnswer(t, dial(t, p))
}

func TestSilent(t *testing.T) {
	s, p := start(t)
	p.Set(faultproxy.Mode{Silent: true})
	c := dial(t, p)
	got := make(chan error, 1)
	go func() {
		_, err := ask(c, "hello")
		got <- err
	}()
	other := dial(t, p)
	if err := other.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(other, "hello"); !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err) {
		t.Errorf("got %v, want a timeout", err)
	}
	if n := s.lines(); n != 0 {
		t.Errorf("the server saw %d lines", n)
	}
	p.Set(faultproxy.Mode{})
	if err := <-got; err != nil {
		t.Errorf("after the silence: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestDelay(t *testing.T) {
	_, p := start(t)
	p.Set(faultproxy.Mode{Delay: 5 * time.Millisecond})
	wantAnswer(t, dial(t, p))
	// A long delay does not hold Close up.
	p.Set(faultproxy.Mode{Delay: time.Hour})
	c := dial(t, p)
	if _, err := io.WriteString(c, "x\n"); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyBehind(t *testing.T) {
	p, err := faultproxy.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	wantReset(t, try(p))
}
