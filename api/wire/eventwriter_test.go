package wire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/firehosed/firehosed/api/wire"
)

// streaming has one operation, Watch, that streams as run says.
func streaming(stream func(ctx context.Context, r *wire.Request) (wire.StreamFunc, error)) []wire.Service {
	return []wire.Service{{Target: "Test_1", SigningName: "test", CBOR: true, Operations: []wire.Operation{{
		Name: "Watch", Input: wire.Structure(wire.Optional("Name", wire.String().Between(1, 10))), Stream: stream,
	}}}}
}

// run makes an operation of what streams alone.
func run(f func(ctx context.Context, out *wire.EventWriter) error) func(context.Context, *wire.Request) (wire.StreamFunc, error) {
	return func(ctx context.Context, _ *wire.Request) (wire.StreamFunc, error) {
		return func(out *wire.EventWriter) error { return f(ctx, out) }, nil
	}
}

func sendText(out *wire.EventWriter, s string) error {
	e := out.Begin("Text")
	e.BeginObject()
	e.StringMember("Text", s)
	e.EndObject()
	return out.Send()
}

func watch(t testing.TB, h http.Handler, media, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Header.Set("X-Amz-Target", "Test_1.Watch")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// frames renders the frames of a stream, one a line.
func frames(t testing.TB, r io.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		m, err := eventstream.NewDecoder().Decode(r, nil)
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		kind := m.Headers.Get(":event-type")
		if kind == nil {
			kind = m.Headers.Get(":exception-type")
		}
		fmt.Fprintf(&b, "%s %s %s\n", m.Headers.Get(":message-type"), kind, m.Payload)
	}
}

// TestStreams streams and fails in every way there is.
func TestStreams(t *testing.T) {
	const begin = "event initial-response {}\n"
	for _, tt := range []struct {
		name, want string
		status     int
		code       string
		stream     func(context.Context, *wire.Request) (wire.StreamFunc, error)
	}{
		{"nothing", begin, 200, "", run(func(context.Context, *wire.EventWriter) error { return nil })},
		{"events", begin + "event Text {\"Text\":\"a\"}\nevent Text {\"Text\":\"\\\"\"}\n", 200, "", run(func(_ context.Context, out *wire.EventWriter) error {
			return errors.Join(sendText(out, "a"), sendText(out, `"`))
		})},
		{"modelled error", begin + "event Text {\"Text\":\"a\"}\nexception GoneException {\"message\":\"x is gone\"}\n", 200, "GoneException", run(func(_ context.Context, out *wire.EventWriter) error {
			_ = sendText(out, "a")
			out.Begin("Text").String("never sent")
			return wire.Errorf("GoneException", "%s is gone", "x")
		})},
		{"failure", begin + "exception InternalFailureException {\"message\":\"Internal service failure.\"}\n", 200, "InternalFailureException", run(func(context.Context, *wire.EventWriter) error {
			return errors.New("disk says no")
		})},
		{"panic", begin + "exception InternalFailureException {\"message\":\"Internal service failure.\"}\n", 200, "InternalFailureException", run(func(_ context.Context, out *wire.EventWriter) error {
			out.Begin("Text").BeginObject()
			panic("at the disco")
		})},
		{"refused", `{"__type":"GoneException","message":"x is gone"}`, 400, "GoneException", func(context.Context, *wire.Request) (wire.StreamFunc, error) {
			return nil, wire.Errorf("GoneException", "x is gone")
		}},
		{"panic before", `{"__type":"InternalFailureException","message":"Internal service failure."}`, 500, "InternalFailureException", func(context.Context, *wire.Request) (wire.StreamFunc, error) {
			panic("at the disco")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logged logBuffer
			var seen wire.Event
			h := newHandler(t, wire.Options{
				Services: streaming(tt.stream), Observe: func(e wire.Event) { seen = e },
				Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			w := watch(t, h, "application/x-amz-cbor-1.1", "\xa1\x64Name\x61x") // answers are JSON all the same
			got, media := w.Body.String(), "application/x-amz-json-1.1"
			size := int64(len(got))
			if tt.status == 200 {
				got, media = frames(t, w.Body), "application/vnd.amazon.eventstream"
			}
			if w.Code != tt.status || got != tt.want || w.Header().Get("Content-Type") != media {
				t.Errorf("got %d %s\n%s\nwant %d %s\n%s", w.Code, w.Header().Get("Content-Type"), got, tt.status, media, tt.want)
			}
			if seen.Code != tt.code || seen.Status != tt.status || seen.Operation != "Watch" || seen.BytesOut != size {
				t.Errorf("observed %+v, want code %q and %d bytes", seen, tt.code, size)
			}
			if failed := strings.Contains(logged.String(), "level=ERROR"); failed != (tt.code == wire.CodeInternal) {
				t.Errorf("logged %q", logged.String())
			}
		})
	}
	if w := watch(t, newHandler(t, wire.Options{Services: streaming(nil2)}), "application/x-amz-json-1.1", `{"Name":""}`); w.Code != 400 ||
		!strings.Contains(w.Body.String(), "Member must have length greater than or equal to 1") {
		t.Errorf("constraint: %d %s", w.Code, w.Body)
	}
}

func nil2(context.Context, *wire.Request) (wire.StreamFunc, error) {
	return nil, errors.New("unreached")
}

// TestStreamsNeedOneForm refuses an operation that answers both ways, or none.
func TestStreamsNeedOneForm(t *testing.T) {
	for _, op := range []wire.Operation{
		{Name: "Both", Input: wire.Structure(), Stream: nil2, Handle: func(context.Context, *wire.Request, *wire.Encoder) error { return nil }},
		{Name: "None", Input: wire.Structure()},
	} {
		_, err := wire.NewHandler(wire.Options{Services: []wire.Service{{Target: "T", SigningName: "t", Operations: []wire.Operation{op}}}})
		if err == nil {
			t.Errorf("%s was taken", op.Name)
		}
	}
}

// TestReserve lets one stream have what there is for all streams: others wait
// for it, and other requests do not.
func TestReserve(t *testing.T) {
	const inFlight = 4 << 20
	first := make(chan *wire.EventWriter, 1)
	done := make(chan struct{})
	h := newHandler(t, wire.Options{
		MaxBodyBytes: 1 << 20, MaxBytesInFlight: inFlight,
		Services: streaming(func(ctx context.Context, r *wire.Request) (wire.StreamFunc, error) {
			name := r.Input.Get("Name").Text()
			return func(out *wire.EventWriter) error {
				switch name {
				case "first":
					if err := out.Reserve(ctx, inFlight); err != nil { // as much as there is
						return err
					}
					first <- out
					<-done
					return sendText(out, "a")
				case "second":
					short, cancel := context.WithCancel(ctx)
					cancel()
					if err := out.Reserve(short, 1); !errors.Is(err, context.Canceled) {
						return fmt.Errorf("reserved what another has: %w", err)
					}
					close(done)
					if err := out.Reserve(ctx, 1<<20); err != nil {
						return err
					}
					return sendText(out, "b")
				}
				return sendText(out, "c")
			}, nil
		}),
	})
	got := make(chan string, 1)
	go func() { got <- watch(t, h, "application/x-amz-json-1.1", `{"Name":"first"}`).Body.String() }()
	<-first
	if w := watch(t, h, "application/x-amz-json-1.1", `{"Name":"third","Other":"`+strings.Repeat("x", 900<<10)+`"}`); w.Code != 200 || !strings.Contains(w.Body.String(), `"c"`) {
		t.Errorf("a large request beside streams: %d %q", w.Code, w.Body)
	}
	if w := watch(t, h, "application/x-amz-json-1.1", `{"Name":"second"}`); !strings.Contains(w.Body.String(), `"b"`) {
		t.Errorf("second stream: %q", w.Body)
	}
	if s := <-got; !strings.Contains(s, `"a"`) {
		t.Errorf("first stream: %q", s)
	}
}

// TestDeadReader streams to a client that reads nothing, or nothing beyond its
// window: it is given up when it holds the stream up for too long, or soon after
// the stream is over.
func TestDeadReader(t *testing.T) {
	for _, tt := range []struct {
		name         string
		over         bool
		eventTimeout time.Duration
	}{
		{"unread for too long", false, time.Millisecond},
		{"over", true, time.Hour},
	} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprint(tt.name, " HTTP ", version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					blocked, ended := make(chan context.CancelFunc, 1), make(chan error, 1)
					l := serve(t, wire.Options{
						EventTimeout: tt.eventTimeout, MinBytesPerSec: 1 << 40,
						Services: streaming(run(func(ctx context.Context, out *wire.EventWriter) error {
							ctx, cancel := context.WithCancel(ctx)
							defer cancel()
							defer out.EndWith(ctx)()
							blocked <- cancel
							var err error
							for err == nil {
								err = sendText(out, strings.Repeat("x", 1<<20))
							}
							ended <- err
							return err
						})),
					})
					start := time.Now()
					hangUp := ask(t, l.dial(), version)
					defer hangUp()
					cancel := <-blocked
					if tt.over {
						cancel()
					}
					<-ended
					// The time of the write, which is as good as that of its first byte.
					if took := time.Since(start); took < 10*time.Second || took > 12*time.Second {
						t.Errorf("given up after %v, want 10 s", took)
					}
				})
			})
		}
	}
}

// ask asks for a stream and reads its beginning only. The returned function ends
// the connection.
func ask(t *testing.T, conn net.Conn, version int) (hangUp func()) {
	t.Helper()
	var g sync.WaitGroup
	if version == 2 {
		c := startH2(t, conn)
		g.Go(func() {
			c.send(frame{frameHeaders, flagEndHeaders, 1, requestBlock("content-type", jsonType, "x-amz-target", "Test_1.Watch")})
			c.send(frame{frameData, flagEndStream, 1, []byte("{}")})
			_ = c.flush() // the server shows what came
		})
		// Frames are taken from the connection; what they hold counts as not read.
		g.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	} else {
		g.Go(func() {
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: "+jsonType+"\r\nX-Amz-Target: Test_1.Watch\r\nContent-Length: 2\r\n\r\n{}")
			// A pipe holds nothing: what comes before the stream has to be taken.
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				_, _ = eventstream.NewDecoder().Decode(res.Body, nil)
			}
		})
	}
	return func() {
		_ = conn.Close()
		g.Wait()
	}
}
