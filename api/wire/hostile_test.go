package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/api/wire"
)

// pipeListener hands out one end of pipes; dial returns the other.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// serve runs a real server over pipes until the test ends; within synctest its
// deadlines use the fake clock.
func serve(t *testing.T, opt wire.Options) *pipeListener {
	t.Helper()
	l := newPipeListener()
	srv := wire.NewServer(newHandler(t, opt), nil)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l
}

func head(length int) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nX-Amz-Target: Test_1.Echo\r\nContent-Length: %d\r\n\r\n", jsonType, length)
}

func readAnswer(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

const timedOut = `{"__type":"RequestTimeoutException","message":"The body did not arrive in time."}`

func TestSlowBody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int              // of the body that is announced
		send  func(c net.Conn) // after the head
		after time.Duration    // of the answer, from the head on
	}{
		{"nothing", 10 << 20, func(net.Conn) {}, 10 * time.Second},
		// What is left of a small body the server would read after the answer.
		{"nothing of a small one", 100, func(net.Conn) {}, 10 * time.Second},
		{"half of a small one", 100, func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat(" ", 50)) }, 10 * time.Second},
		{"a byte a second", 10 << 20, func(c net.Conn) {
			for {
				if _, err := c.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 10 * time.Second},
		{"a megabyte, then nothing", 10 << 20, func(c net.Conn) {
			_, _ = c.Write(bytes.Repeat([]byte(" "), 1<<20))
		}, 26 * time.Second}, // 10 s and 64 KiB a second
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := serve(t, wire.Options{})
				c := l.dial()
				defer c.Close()
				start := time.Now()
				if _, err := io.WriteString(c, head(tt.size)); err != nil {
					t.Fatal(err)
				}
				var sender sync.WaitGroup
				sender.Go(func() { tt.send(c) })
				defer func() {
					_ = c.Close()
					sender.Wait()
				}()
				status, body := readAnswer(t, c)
				if status != http.StatusRequestTimeout || body != timedOut {
					t.Errorf("got %d %s", status, body)
				}
				if got := time.Since(start); got < tt.after || got > tt.after+time.Second {
					t.Errorf("answered after %v, want %v", got, tt.after)
				}
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("connection: got %v, want it closed", err)
				}
			})
		})
	}
}

// TestSlowReader: a client that does not take its response loses the
// connection, and the goroutine ends.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := make(chan wire.Event, 1)
		l := serve(t, wire.Options{Observe: func(e wire.Event) { finished <- e }})
		c := l.dial()
		defer c.Close()
		if _, err := io.WriteString(c, head(2)+"{}"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-finished // nobody reads from the pipe
		if got := time.Since(start); got < 10*time.Second || got > 12*time.Second {
			t.Errorf("given up after %v, want 10 s", got)
		}
	})
}

// TestDeadlineIsPerRequest: a body that took long leaves nothing behind for
// the next request of the connection, whenever that comes.
func TestDeadlineIsPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, wire.Options{})
		c := l.dial()
		defer c.Close()
		r := bufio.NewReader(c)
		for range 3 {
			if _, err := io.WriteString(c, head(12)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9 * time.Second)
			go func() { _, _ = io.WriteString(c, `{"Name":"a"}`) }()
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != `{"Name":"a"}` {
				t.Fatalf("got %s, %v", body, err)
			}
			_ = res.Body.Close()
			time.Sleep(100 * time.Second) // below the idle timeout
		}
	})
}

func TestHeadersWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, wire.Options{})
		c := l.dial()
		defer c.Close()
		start := time.Now()
		var sender sync.WaitGroup
		sender.Go(func() { _, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nX-A: ") })
		_, _ = io.Copy(io.Discard, c)
		sender.Wait()
		if got := time.Since(start); got > 6*time.Second {
			t.Errorf("closed after %v, want 5 s", got)
		}
	})
}

func TestLargeBodies(t *testing.T) {
	srv := httptest.NewServer(newHandler(t, wire.Options{}))
	defer srv.Close()
	tooLarge := `{"__type":"RequestEntityTooLargeException","message":"The body is larger than 16777216 bytes."}`
	padded := func(n int) string { return `{"Name":"a"}` + strings.Repeat(" ", n-12) }
	for _, tt := range []struct {
		name    string
		size    int
		chunked bool
		status  int
		want    string
	}{
		{"at the limit", 16 << 20, false, 200, `{"Name":"a"}`},
		{"at the limit, chunked", 16 << 20, true, 200, `{"Name":"a"}`},
		{"a byte over", 16<<20 + 1, false, 413, tooLarge},
		{"a byte over, chunked", 16<<20 + 1, true, 413, tooLarge},
		{"20 MiB", 20 << 20, false, 413, tooLarge},
		{"20 MiB, chunked", 20 << 20, true, 413, tooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(padded(tt.size))
			if tt.chunked {
				body = io.MultiReader(body) // hides the length
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", jsonType)
			req.Header.Set("X-Amz-Target", "Test_1.Echo")
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || string(got) != tt.want {
				t.Errorf("got %d %s (%v), want %d %s", res.StatusCode, got, err, tt.status, tt.want)
			}
		})
	}
	t.Run("a promise of a terabyte", func(t *testing.T) {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, strings.Replace(head(2), "Content-Length: 2", "Content-Length: 1099511627776", 1)); err != nil {
			t.Fatal(err)
		}
		if status, body := readAnswer(t, c); status != 413 || body != tooLarge {
			t.Errorf("got %d %s", status, body)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, head(100)+`{"Name":`); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if status, body := readAnswer(t, c); status != 400 || body != `{"__type":"SerializationException","Message":"The body ended early."}` {
			t.Errorf("got %d %s", status, body)
		}
	})
}

// TestOverload fills the bytes in flight with requests that do not end. More
// are sent away, in a way that clients come back on, and served again later.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block, entered := make(chan struct{}), make(chan struct{})
		h := newHandler(t, wire.Options{
			Services:         []wire.Service{echoService(block, entered)},
			MaxBodyBytes:     1 << 20,
			MaxBytesInFlight: 2 << 20,
		})
		call := func(op string) *httptest.ResponseRecorder {
			body := `{"Data":"` + strings.Repeat("QUJD", 200_000) + `"}`
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", jsonType)
			r.Header.Set("X-Amz-Target", "Test_1."+op)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		results := make(chan int, 2)
		for range 2 {
			go func() { results <- call("Block").Code }()
			<-entered
		}
		w := call("Empty")
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != `{"__type":"ServiceUnavailableException","message":"Slow down."}` {
			t.Errorf("overload: got %d %s", w.Code, w.Body)
		}
		close(block)
		for range 2 {
			if code := <-results; code != 200 {
				t.Errorf("blocked request: got %d", code)
			}
		}
		if w := call("Empty"); w.Code != 200 {
			t.Errorf("afterwards: got %d %s", w.Code, w.Body)
		}
	})
}

// TestWaitsForRoom: a request that finds no room waits for some.
func TestWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block, entered := make(chan struct{}), make(chan struct{})
		h := newHandler(t, wire.Options{
			Services:         []wire.Service{echoService(block, entered)},
			MaxBodyBytes:     1 << 20,
			MaxBytesInFlight: 1 << 20,
		})
		call := func(op string) int {
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(`{"Data":"`+strings.Repeat("QUJD", 150_000)+`"}`))
			r.Header.Set("Content-Type", jsonType)
			r.Header.Set("X-Amz-Target", "Test_1."+op)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		first := make(chan int, 1)
		go func() { first <- call("Block") }()
		<-entered
		go func() {
			time.Sleep(time.Second)
			close(block)
		}()
		if code := call("Empty"); code != 200 {
			t.Errorf("got %d, want 200 after a second", code)
		}
		if code := <-first; code != 200 {
			t.Errorf("first: got %d", code)
		}
	})
}

// TestHTTP2 speaks HTTP/2 without TLS to the same port as HTTP/1.1.
func TestHTTP2(t *testing.T) {
	srv := wire.NewServer(newHandler(t, wire.Options{}), nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		_ = srv.Close()
		<-done
	}()
	for _, major := range []int{1, 2} {
		p := new(http.Protocols)
		p.SetHTTP1(major == 1)
		p.SetUnencryptedHTTP2(major == 2)
		client := &http.Client{Transport: &http.Transport{Protocols: p}}
		for _, size := range []int{12, 1 << 20, 5<<20 + 7} {
			body := `{"Name":"a"}` + strings.Repeat(" ", size-12)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", jsonType)
			req.Header.Set("X-Amz-Target", "Test_1.Echo")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.ProtoMajor != major || string(got) != `{"Name":"a"}` {
				t.Errorf("HTTP/%d, %d bytes: got HTTP/%d %s (%v)", major, size, res.ProtoMajor, got, err)
			}
		}
		client.CloseIdleConnections()
	}
}
