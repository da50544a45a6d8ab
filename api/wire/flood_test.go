package wire_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/firehosed/firehosed/api/wire"
)

// Frames of HTTP/2 (RFC 9113, 6) that the tests use, and codes of errors.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	codeCalm = 0xb // ENHANCE_YOUR_CALM

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// rawH2 is a client of HTTP/2 that keeps no rule it does not want to.
type rawH2 struct {
	t    *testing.T
	conn net.Conn
	out  *bufio.Writer
	in   *bufio.Reader
}

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// startH2 sends the preface and settings, pairs of a name and a value.
func startH2(t *testing.T, conn net.Conn, settings ...uint32) *rawH2 {
	t.Helper()
	c := &rawH2{t: t, conn: conn, out: bufio.NewWriterSize(conn, 64<<10), in: bufio.NewReader(conn)}
	var payload []byte
	for i := 0; i < len(settings); i += 2 {
		payload = binary.BigEndian.AppendUint16(payload, uint16(settings[i]))
		payload = binary.BigEndian.AppendUint32(payload, settings[i+1])
	}
	_, _ = c.out.WriteString(preface)
	c.send(frame{kind: frameSettings, payload: payload})
	return c
}

// send puts a frame into the buffer; what cannot be sent shows at the flush.
func (c *rawH2) send(f frame) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(f.payload))<<8|uint32(f.kind))
	head = binary.BigEndian.AppendUint32(append(head, f.flags), f.stream)
	_, _ = c.out.Write(head)
	_, _ = c.out.Write(f.payload)
}

func (c *rawH2) flush() error { return c.out.Flush() }

// block encodes headers as literals, which need no table.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true})
	}
	return b.Bytes()
}

func requestBlock(more ...string) []byte {
	return block(append([]string{":method", "POST", ":scheme", "http", ":authority", "h", ":path", "/"}, more...)...)
}

// read returns the next frame.
func (c *rawH2) read() (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	f := frame{kind: byte(n), flags: head[4], stream: binary.BigEndian.Uint32(head[5:]), payload: make([]byte, n>>8)}
	_, err := io.ReadFull(c.in, f.payload)
	return f, err
}

// until reads frames up to one of a kind, acknowledging settings on the way.
func (c *rawH2) until(kind byte) frame {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for a frame of kind %d: %v", kind, err)
		}
		if f.kind == frameSettings && f.flags&flagAck == 0 {
			c.send(frame{kind: frameSettings, flags: flagAck})
			if err := c.flush(); err != nil {
				c.t.Fatal(err)
			}
		}
		if f.kind == kind && (kind != frameSettings || f.flags&flagAck != 0) {
			return f
		}
	}
}

// serveRaw serves on a port of this machine until the test ends, and returns
// a connection to it.
func serveRaw(t *testing.T, h http.Handler) func() net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.NewServer(h, nil)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// stillServes demands that others are served.
func stillServes(t *testing.T, dial func() net.Conn) {
	t.Helper()
	c := dial()
	if _, err := io.WriteString(c, head(12)+`{"Name":"a"}`); err != nil {
		t.Fatal(err)
	}
	if status, body := readAnswer(t, c); status != 200 || body != `{"Name":"a"}` {
		t.Errorf("somebody else: %d %s", status, body)
	}
}

// crowd is a handler whose requests over HTTP/2 stay until they are let go, and
// that counts them. Others are answered.
type crowd struct {
	next      http.Handler
	leave     chan struct{}
	now, most atomic.Int64
	entered   chan struct{}
}

func newCrowd(t *testing.T) *crowd {
	return &crowd{next: newHandler(t, wire.Options{}), leave: make(chan struct{}), entered: make(chan struct{}, 100_000)}
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		c.next.ServeHTTP(w, r)
		return
	}
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	c.entered <- struct{}{}
	<-c.leave // whatever the client does meanwhile, as a handler in the middle of a write
}

const wantStreams = 500 // at once on a connection

// TestRapidReset opens streams and resets them at once (CVE-2023-44487). No
// more handlers run than streams may be open, and the connection ends.
func TestRapidReset(t *testing.T) {
	h := newCrowd(t)
	dial := serveRaw(t, h)
	c := startH2(t, dial())
	ended := make(chan frame, 1)
	go func() {
		for {
			f, err := c.read()
			if err != nil || f.kind == frameGoAway {
				ended <- f
				return
			}
		}
	}()
	request := requestBlock()
	sent := 0
	for ; sent < 100_000; sent++ {
		id := uint32(2*sent + 1)
		c.send(frame{frameHeaders, flagEndHeaders | flagEndStream, id, request})
		c.send(frame{frameReset, 0, id, []byte{0, 0, 0, 8}})
		if sent%100 == 0 && c.flush() != nil {
			break
		}
	}
	_ = c.flush()
	f := <-ended
	if f.kind != frameGoAway || binary.BigEndian.Uint32(f.payload[4:]) != codeCalm {
		t.Errorf("the connection ended with %+v, want GOAWAY with ENHANCE_YOUR_CALM", f)
	}
	if most := h.most.Load(); most > wantStreams {
		t.Errorf("%d handlers at once", most)
	}
	t.Logf("%d streams sent, %d handlers at once", sent, h.most.Load())
	stillServes(t, dial)
	close(h.leave)
}

// TestTooManyStreams opens more streams than may be open. The ones too many are
// refused, the others answered.
func TestTooManyStreams(t *testing.T) {
	h := newCrowd(t)
	dial := serveRaw(t, h)
	c := startH2(t, dial())
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	c.until(frameSettings) // both sides have agreed
	const tooMany = 3
	for i := range uint32(wantStreams + tooMany) {
		c.send(frame{frameHeaders, flagEndHeaders | flagEndStream, 2*i + 1, requestBlock()})
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	for range tooMany {
		if f := c.until(frameReset); f.stream <= 2*(wantStreams-1)+1 {
			t.Errorf("stream %d is refused", f.stream)
		}
	}
	for range wantStreams {
		<-h.entered
	}
	stillServes(t, dial)
	close(h.leave)
	for range wantStreams {
		c.until(frameHeaders)
	}
	if most := h.most.Load(); most != wantStreams {
		t.Errorf("%d handlers at once", most)
	}
}

// TestHeaderBombs: headers that are small on the wire and large in memory, or
// that never end.
func TestHeaderBombs(t *testing.T) {
	t.Run("small on the wire", func(t *testing.T) {
		dial := serveRaw(t, newHandler(t, wire.Options{}))
		c := startH2(t, dial())
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/"}} {
			_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		big := hpack.HeaderField{Name: "x-big", Value: strings.Repeat("v", 3500)}
		for range 10_000 {
			_ = e.WriteField(big) // a byte each, after the first
		}
		if b.Len() > 16_384 {
			t.Fatalf("%d bytes are more than a frame", b.Len())
		}
		c.send(frame{frameHeaders, flagEndStream | flagEndHeaders, 1, b.Bytes()})
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
		f := c.until(frameHeaders)
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.payload)
		if err != nil || len(fields) == 0 || fields[0].Value != "431" {
			t.Errorf("answered %v (%v)", fields, err)
		}
		stillServes(t, dial)
	})
	t.Run("without an end", func(t *testing.T) {
		dial := serveRaw(t, newHandler(t, wire.Options{}))
		c := startH2(t, dial())
		c.send(frame{frameHeaders, 0, 1, requestBlock()})
		go func() { _, _ = io.Copy(io.Discard, c.in) }()
		piece := block("x-more", strings.Repeat("v", 8000))
		const most = 64 << 20
		sent := 0
		for sent < most {
			c.send(frame{frameContinuation, 0, 1, piece})
			sent += len(piece)
			if c.flush() != nil {
				break
			}
		}
		if sent >= most {
			t.Errorf("%d bytes of headers were taken", sent)
		}
		t.Logf("cut off after %d bytes", sent)
		stillServes(t, dial)
	})
}

// TestPingFlood sends pings and reads no answer, until the server cuts the
// connection instead of keeping them.
func TestPingFlood(t *testing.T) {
	dial := serveRaw(t, newHandler(t, wire.Options{}))
	c := startH2(t, dial())
	const most = 5_000_000
	sent := 0
	for ; sent < most; sent++ {
		c.send(frame{framePing, 0, 0, make([]byte, 8)})
		if sent%1000 == 0 && c.flush() != nil {
			break
		}
	}
	if sent == most {
		t.Errorf("%d pings were taken", sent)
	}
	t.Logf("cut off after %d pings", sent)
	stillServes(t, dial)
}

// TestSettingsFlood sends settings without end. Their acknowledgements are not
// queued, one may stand for several, so nothing has to be cut.
func TestSettingsFlood(t *testing.T) {
	dial := serveRaw(t, newHandler(t, wire.Options{}))
	c := startH2(t, dial())
	const many = 100_000
	for range many {
		c.send(frame{frameSettings, 0, 0, []byte{0, 4, 0, 1, 0, 0}})
	}
	c.send(frame{framePing, 0, 0, []byte("the last")})
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	if f := c.until(framePing); string(f.payload) != "the last" {
		t.Errorf("got %+v", f)
	}
	stillServes(t, dial)
	// More than a hundred in one frame are not taken.
	c.send(frame{frameSettings, 0, 0, bytes.Repeat([]byte{0, 4, 0, 1, 0, 0}, 101)})
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	c.until(frameGoAway)
}

// TestWrongWindows: windows that overflow end the stream or the connection.
func TestWrongWindows(t *testing.T) {
	dial := serveRaw(t, newHandler(t, wire.Options{}))
	c := startH2(t, dial())
	c.send(frame{frameWindow, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff}})
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	if f := c.until(frameGoAway); binary.BigEndian.Uint32(f.payload[4:]) != 0x3 { // FLOW_CONTROL_ERROR
		t.Errorf("got %+v", f)
	}
	stillServes(t, dial)
}

// TestSlowReaderOfHTTP2: a client that opens no window for its answer loses the
// stream, and the goroutine ends.
func TestSlowReaderOfHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := make(chan wire.Event, 1)
		l := serve(t, wire.Options{Observe: func(e wire.Event) { finished <- e }})
		conn := l.dial()
		defer conn.Close()
		c := startH2(t, conn, 4, 0) // INITIAL_WINDOW_SIZE
		var sender sync.WaitGroup
		sender.Go(func() {
			c.send(frame{frameHeaders, flagEndHeaders, 1, requestBlock("content-type", jsonType, "x-amz-target", "Test_1.Echo")})
			c.send(frame{frameData, flagEndStream, 1, []byte(`{"Name":"a"}`)})
			_ = c.flush()
		})
		start := time.Now()
		reset := make(chan frame, 1)
		go func() {
			for {
				f, err := c.read()
				if err != nil || f.kind == frameReset {
					reset <- f
					_, _ = io.Copy(io.Discard, c.in)
					return
				}
			}
		}()
		<-finished
		if got := time.Since(start); got < 10*time.Second || got > 12*time.Second {
			t.Errorf("given up after %v, want 10 s", got)
		}
		if f := <-reset; f.kind != frameReset || f.stream != 1 {
			t.Errorf("got %+v, want the stream reset", f)
		}
		sender.Wait()
	})
}

// TestSilentHTTP2: connections that stop speaking are ended, in the middle of
// the preface as later.
func TestSilentHTTP2(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		pong       bool // answers pings
		after      time.Duration
	}{
		{"half a preface", preface[:20], false, 5 * time.Second},
		{"no settings", preface, false, 2 * time.Second},
		{"no answer to a ping", preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", false, 75 * time.Second},
		{"nothing to say", preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", true, 120 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := serve(t, wire.Options{})
				conn := l.dial()
				defer conn.Close()
				start := time.Now()
				var sender sync.WaitGroup
				sender.Go(func() { _, _ = io.WriteString(conn, tt.send) })
				c := &rawH2{t: t, conn: conn, out: bufio.NewWriter(conn), in: bufio.NewReader(conn)}
				var err error
				for err == nil {
					var f frame
					f, err = c.read()
					if err == nil && f.kind == framePing && tt.pong {
						c.send(frame{framePing, flagAck, 0, f.payload})
						err = c.flush()
					}
				}
				sender.Wait()
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("ended with %v", err)
				}
				if got := time.Since(start); got < tt.after || got > tt.after+3*time.Second {
					t.Errorf("ended after %v, want %v", got, tt.after)
				}
			})
		})
	}
}
