package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

const (
	idleConnections = 10_000
	// Memory that an idle connection may take, and what the rest of the program
	// may have grown by meanwhile.
	idleConnectionBytes = 32 << 10
	idleSlack           = 48 << 20
	// hostilePatience is more than any deadline of the daemon.
	hostilePatience = 120 * time.Second
)

// hostile knows the address of a daemon.
type hostile struct {
	*harness.Daemon
	addr   string
	config *tls.Config
}

// dial opens a connection that gives up by itself one day.
func (h *hostile) dial(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(hostilePatience))
}

// TestHostileClients opens slow, broken and idle connections to the daemon, all
// at a time, while others are served.
func TestHostileClients(t *testing.T) {
	d := harness.Run(t, harness.Settings{
		TLS: true, HTTP: fmt.Sprintf(", max_connections: %d", idleConnections),
		Body: "streams: { clicks: {} }\n",
	})
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{Daemon: d, addr: u.Host, config: d.TLSConfig(t)}
	h.config.ServerName = "127.0.0.1"
	began := time.Now()

	// Those that are slow have to be gone, at the latest, when the idle ones
	// need their places.
	var slow sync.WaitGroup
	h.slow(t, &slow)
	acknowledged := 0
	put := func(what string) {
		t.Helper()
		// Over a connection that it does not keep: there are none to spare.
		status, answer := d.Post(t, putRecord, jsonType, fmt.Appendf(nil, `{"StreamName":"clicks","PartitionKey":"k","Data":%q}`, encode(what)))
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", what, status, answer)
			return
		}
		acknowledged++
	}
	put("beside slow clients")
	t.Run("idle", func(t *testing.T) { h.idle(t, put) })
	slow.Wait()
	put("after all of them")
	t.Run("bodies", h.bodies)

	shards, err := listShards(t.Context(), d.Kinesis(), "clicks")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	if err := readToEnd(t.Context(), d.Kinesis(), "clicks", shards[0].id, func(types.Record) error { found++; return nil }); err != nil {
		t.Fatal(err)
	}
	if found != acknowledged {
		t.Errorf("%d records are stored, %d were acknowledged", found, acknowledged)
	}
	for _, line := range d.LogLines(t, "ERROR") {
		t.Errorf("hostile clients are no errors of the daemon: %v", line)
	}
	d.MustStop(t)
	t.Logf("%.1f s in all", time.Since(began).Seconds())
}

// slow starts clients that stop in the middle, or go on so slowly that they
// hold a place for nothing. Each is shown out.
func (h *hostile) slow(t *testing.T, running *sync.WaitGroup) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: " + putRecord + "\r\nContent-Type: " + jsonType + "\r\n"
	for _, tt := range []struct {
		name   string
		number int
		send   string
		drip   bool   // one more byte now and then
		want   string // in the answer; empty for none, or an alert of TLS
	}{
		{"nothing at all", 100, "", false, ""},
		{"half a header", 100, "POST / HTTP/1.1\r\nHost", false, ""},
		{"a header in drops", 20, "POST / HTTP/1.1\r\nX-A: ", true, ""},
		{"half a greeting of TLS", 100, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false, ""},
		{"half a preface of HTTP/2", 20, "PRI * HTTP/2.0\r\n\r\nSM", false, ""},
		{"no settings of HTTP/2", 20, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false, "\x00"},
		{"half a body", 20, head + "Content-Length: 100\r\n\r\n{\"StreamName\":\"clicks\"", false, "RequestTimeoutException"},
		{"a body in drops", 20, head + "Content-Length: 1000000\r\n\r\n", true, "RequestTimeoutException"},
		{"chunks in drops", 20, head + "Transfer-Encoding: chunked\r\n\r\nfffff\r\n", true, "RequestTimeoutException"},
	} {
		for range tt.number {
			running.Go(func() {
				c, err := h.dial(t.Context())
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					return
				}
				defer c.Close()
				began := time.Now()
				if _, err := io.WriteString(c, tt.send); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				var dripping sync.WaitGroup
				if tt.drip {
					dripping.Go(func() {
						for {
							if _, err := c.Write([]byte(" ")); err != nil {
								return
							}
							if !harness.Pause(t.Context(), 200*time.Millisecond) {
								return
							}
						}
					})
				}
				got, err := io.ReadAll(c)
				_ = c.Close()
				dripping.Wait()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: still open after %.1f s", tt.name, time.Since(began).Seconds())
				}
				if !bytes.Contains(got, []byte(tt.want)) || tt.want == "" && bytes.Contains(got, []byte("HTTP/1.1 200")) {
					t.Errorf("%s: answered %q, want %q", tt.name, got, tt.want)
				}
			})
		}
	}
}

// idle opens as many connections as the daemon takes, of every kind, and leaves
// them open.
func (h *hostile) idle(t *testing.T, put func(string)) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < 2*idleConnections {
		t.Skipf("%d connections need a hard limit of %d open files, and it is %d", idleConnections, 2*idleConnections, limit.Max)
	}
	before, err := h.RSS()
	if err != nil {
		t.Skip(err)
	}
	began := time.Now()
	conns := make([]net.Conn, idleConnections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var openers sync.WaitGroup
	const atOnce = 50
	for first := range atOnce {
		openers.Go(func() {
			for i := first; i < idleConnections && t.Context().Err() == nil; i += atOnce {
				var err error
				if conns[i], err = h.open(t.Context(), i); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	openers.Wait()
	if t.Failed() {
		return
	}
	opened := time.Since(began)
	after, err := h.RSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d idle connections (a tenth each over TLS and HTTP/2) in %.1f s: memory %.1f MB before, %.1f MB with them, %.1f KiB each",
		idleConnections, opened.Seconds(), float64(before)/1e6, float64(after)/1e6, float64(after-before)/1024/idleConnections)
	if most := before + idleSlack + idleConnections*idleConnectionBytes; after > most {
		t.Errorf("memory is %d bytes, more than %d", after, most)
	}

	// They are served when they ask again.
	for i := 2; i < idleConnections; i += 100 {
		if err := askHealth(conns[i]); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	// One more waits until one leaves.
	more, err := h.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	const leaving = 50
	for i := range leaving {
		_ = conns[i].Close()
		conns[i] = nil
	}
	if err := askHealth(more); err != nil {
		t.Errorf("one more connection: %v", err)
	}
	put("beside idle connections")
	if h := h.Health(t); h.Code != http.StatusOK {
		t.Errorf("health: %+v", h)
	}
	// When they leave nothing of them stays.
	for i := range conns {
		if conns[i] != nil {
			_ = conns[i].Close()
			conns[i] = nil
		}
	}
	harness.Eventually(t, harness.Patience, "the goroutines of connections that left", func() error {
		if n := h.Metrics(t)["go_goroutines"]; n > 500 {
			return fmt.Errorf("%.0f goroutines are left", n)
		}
		return nil
	})
}

// open makes one connection that was served once: over TLS, over HTTP/2, or
// plain.
func (h *hostile) open(ctx context.Context, i int) (net.Conn, error) {
	c, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	switch i % 10 {
	case 0:
		secure := tls.Client(c, h.config)
		return secure, askHealth(secure)
	case 1:
		// The preface and settings; the daemon says its own.
		if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
			return c, err
		}
		var frame [9]byte
		if _, err := io.ReadFull(c, frame[:]); err != nil {
			return c, err
		}
		if frame[3] != 4 {
			return c, fmt.Errorf("a frame of kind %d, want settings", frame[3])
		}
		return c, nil
	}
	return c, askHealth(c)
}

// askHealth does one request and leaves the connection open.
func askHealth(c net.Conn) error {
	if _, err := io.WriteString(c, "GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// bodies sends bodies that are cut off, too large, too deep, or say things
// twice; and asks as a browser does.
func (h *hostile) bodies(t *testing.T) {
	good := fmt.Sprintf(`{"StreamName":"clicks","PartitionKey":"k","Data":%q}`, encode("cut off"))
	for n := range len(good) {
		c, err := h.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", putRecord, jsonType, len(good), good[:n])
		if err != nil {
			t.Fatal(err)
		}
		if half, ok := c.(*net.TCPConn); ok && n%2 == 0 {
			_ = half.CloseWrite()
			if got, _ := io.ReadAll(c); !bytes.HasPrefix(got, []byte("HTTP/1.1 400")) || !bytes.Contains(got, []byte("The body ended early.")) {
				t.Errorf("the first %d bytes: %q", n, got)
			}
		}
		_ = c.Close()
	}
	for _, tt := range []struct{ name, body, want string }{
		{"a name twice", `{"StreamName":"clicks","StreamName":"clicks","PartitionKey":"k","Data":""}`, "SerializationException"},
		{"a name twice, escaped", `{"StreamName":"clicks","\u0053treamName":"clicks","PartitionKey":"k","Data":""}`, "SerializationException"},
		{"deep", `{"x":` + strings.Repeat("[", 1<<20), "nested deeper than 32 levels"},
		{"wide", `{"x":[` + strings.Repeat("1,", 1<<17) + `1]}`, "more than 65536 values"},
		{"a forged iterator", `{"ShardIterator":"AAAA"}`, "ValidationException"},
	} {
		if status, answer := h.Post(t, putRecord, jsonType, []byte(tt.body)); status != 400 || !bytes.Contains(answer, []byte(tt.want)) {
			t.Errorf("%s: %d %.300q, want %s", tt.name, status, answer, tt.want)
		}
	}
	if status, answer := h.Post(t, "Kinesis_20131202.GetRecords", jsonType, []byte(`{"ShardIterator":"AAAA"}`)); status != 400 ||
		string(answer) != `{"__type":"InvalidArgumentException","message":"Invalid ShardIterator."}` {
		t.Errorf("a forged iterator: %d %s", status, answer)
	}
	for _, url := range []string{h.URL, h.SecureURL} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Origin": "https://example.org", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-amz-target",
		} {
			req.Header.Set(name, value)
		}
		resp, err := h.SecureClient(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || len(body) != 0 || resp.Header.Get("Access-Control-Allow-Origin") != "*" ||
			resp.Header.Get("Access-Control-Allow-Headers") != "authorization,x-amz-target" || resp.Header.Get("Access-Control-Allow-Methods") != "POST" ||
			resp.Header.Get("Access-Control-Max-Age") != "172800" {
			t.Errorf("preflight at %s: %d %v %q (%v)", url, resp.StatusCode, resp.Header, body, err)
		}
	}
}
