package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

// echoService has operations that end in every way there is.
func echoService(block <-chan struct{}, entered chan<- struct{}) wire.Service {
	input := wire.Structure(wire.Optional("Name", wire.String().Between(1, 10)), wire.Optional("Data", wire.Blob()))
	op := func(name string, handle func(context.Context, *wire.Request, *wire.Encoder) error) wire.Operation {
		return wire.Operation{Name: name, Input: input, Handle: handle}
	}
	return wire.Service{Target: "Test_1", SigningName: "test", CBOR: true, Operations: []wire.Operation{
		op("Echo", func(_ context.Context, r *wire.Request, out *wire.Encoder) error {
			out.BeginObject()
			out.StringMember("Name", r.Input.Get("Name").Text())
			out.EndObject()
			return nil
		}),
		op("Empty", func(context.Context, *wire.Request, *wire.Encoder) error { return nil }),
		op("Refuse", func(_ context.Context, _ *wire.Request, out *wire.Encoder) error {
			out.BeginObject()
			return wire.Errorf("ResourceNotFoundException", "Stream %s not found.", "x")
		}),
		op("Break", func(context.Context, *wire.Request, *wire.Encoder) error {
			return errors.New("disk says no")
		}),
		op("Panic", func(context.Context, *wire.Request, *wire.Encoder) error { panic("at the disco") }),
		op("Block", func(ctx context.Context, _ *wire.Request, _ *wire.Encoder) error {
			entered <- struct{}{}
			select {
			case <-block:
			case <-ctx.Done():
			}
			return nil
		}),
	}}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHandler(t testing.TB, opt wire.Options) *wire.Handler {
	t.Helper()
	if opt.Services == nil {
		opt.Services = []wire.Service{echoService(nil, nil)}
	}
	if opt.Access == nil {
		opt.Access = access.Anyone{}
	}
	h, err := wire.NewHandler(opt)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const (
	jsonType  = "application/x-amz-json-1.1"
	cborType  = "application/x-amz-cbor-1.1"
	deniedXML = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"
)

func TestEnvelope(t *testing.T) {
	const cborSerialization = "\xbf\x66__type\x76SerializationException\xff"
	const cborUnknown = "\xbf\x66__type\x78\x19UnknownOperationException\xff"
	for _, tt := range []struct {
		name, method, target, media, body string
		status                            int
		wantMedia, want                   string
	}{
		{"success", "POST", "Test_1.Echo", jsonType, `{"Name":"a"}`, 200, jsonType, `{"Name":"a"}`},
		{"success, media type with parameter", "POST", "Test_1.Echo", jsonType + " ; charset=utf-8", `{"Name":"a"}`, 200, jsonType, `{"Name":"a"}`},
		{"success, CBOR", "POST", "Test_1.Echo", cborType, "\xa1\x64Name\x61a", 200, cborType, "\xbf\x64Name\x61a\xff"},
		{"no output", "POST", "Test_1.Empty", jsonType, `{}`, 200, jsonType, ""},
		{"modelled error", "POST", "Test_1.Refuse", jsonType, `{}`, 400, jsonType, `{"__type":"ResourceNotFoundException","message":"Stream x not found."}`},
		{"failure", "POST", "Test_1.Break", jsonType, `{}`, 500, jsonType, `{"__type":"InternalFailureException","message":"Internal service failure."}`},
		{"panic", "POST", "Test_1.Panic", jsonType, `{}`, 500, jsonType, `{"__type":"InternalFailureException","message":"Internal service failure."}`},
		{"GET", "GET", "Test_1.Echo", jsonType, ``, 403, "", deniedXML},
		{"PUT with body", "PUT", "Test_1.Echo", jsonType, `{}`, 403, "", deniedXML},
		{"no target, no type", "POST", "", "", `{}`, 403, "", deniedXML},
		{"no target, form", "POST", "", "application/x-www-form-urlencoded", `Action=PutMetricData`, 403, "", deniedXML},
		{"other type", "POST", "Test_1.Echo", "application/x-amz-json-1.0", `{}`, 404, "", "<UnknownOperationException/>\n"},
		{"application/json", "POST", "Test_1.Echo", "application/json", `{}`, 404, "application/json", `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`},
		{"application/json, broken", "POST", "Test_1.Echo", "application/json", `{`, 400, "application/json", `{"Output":{"__type":"com.amazon.coral.service#SerializationException"},"Version":"1.0"}`},
		{"unknown operation", "POST", "Test_1.Missing", jsonType, `{}`, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"operation of other case", "POST", "Test_1.echo", jsonType, `{}`, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"unknown service", "POST", "DynamoDB_20120810.GetItem", jsonType, `{}`, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"unknown operation, CBOR", "POST", "Test_1.Missing", cborType, "\xa0", 400, cborType, cborUnknown},
		{"no body", "POST", "Test_1.Echo", jsonType, ``, 400, jsonType, `{"__type":"SerializationException"}`},
		{"no body, no type", "POST", "Test_1.Echo", "", ``, 400, cborType, cborSerialization},
		{"no body, no target", "POST", "", jsonType, ``, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"no body, CBOR, unknown", "POST", "x", cborType, ``, 400, cborType, cborUnknown},
		{"broken before unknown", "POST", "Test_1.Missing", jsonType, `{`, 400, jsonType, `{"__type":"SerializationException","Message":"key missing at byte 1"}`},
		{"not an object", "POST", "Test_1.Echo", jsonType, `[]`, 400, jsonType, `{"__type":"SerializationException","Message":"The body is not an object."}`},
		{"null", "POST", "Test_1.Echo", jsonType, `null`, 400, jsonType, `{"__type":"SerializationException","Message":"The body is not an object."}`},
		{"CBOR as JSON", "POST", "Test_1.Echo", jsonType, "\xa0", 400, jsonType, `{"__type":"SerializationException","Message":"unexpected character at byte 0"}`},
		{"deep JSON", "POST", "Test_1.Echo", jsonType, strings.Repeat(`{"a":`, 50000), 400, jsonType, `{"__type":"SerializationException","Message":"The body is nested deeper than 32 levels."}`},
		{"wrong type", "POST", "Test_1.Echo", jsonType, `{"Name":1}`, 400, jsonType, `{"__type":"SerializationException","Message":"class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"}`},
		{"constraint", "POST", "Test_1.Echo", jsonType, `{"Name":""}`, 400, jsonType, `{"__type":"ValidationException","message":"1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var events []wire.Event
			log := new(logBuffer)
			h := newHandler(t, wire.Options{
				Observe: func(e wire.Event) { events = append(events, e) },
				Logger:  slog.New(slog.NewTextHandler(log, nil)),
			})
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/any/path?and=query", strings.NewReader(tt.body))
			if tt.media != "" {
				r.Header.Set("Content-Type", tt.media)
			}
			if tt.target != "" {
				r.Header.Set("X-Amz-Target", tt.target)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			res := w.Result()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || string(body) != tt.want || res.Header.Get("Content-Type") != tt.wantMedia {
				t.Errorf("got %d %q %q\nwant %d %q %q", res.StatusCode, res.Header.Get("Content-Type"), body, tt.status, tt.wantMedia, tt.want)
			}
			//nolint:staticcheck // AWS writes the name this way, and so does the handler.
			if id := res.Header["x-amzn-RequestId"]; len(id) != 1 || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id[0]) {
				t.Errorf("request id: %q", id)
			}
			//nolint:staticcheck // As above.
			if id := res.Header["x-amz-id-2"]; len(id) != 1 || len(id[0]) != 96 {
				t.Errorf("extended id: %q", id)
			}
			if len(events) != 1 || events[0].Status != tt.status || events[0].BytesOut != int64(len(body)) {
				t.Errorf("events: %+v", events)
			}
			if got := strings.Contains(log.String(), "level=ERROR"); got != (tt.status == 500) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestCrossOrigin(t *testing.T) {
	h := newHandler(t, wire.Options{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil)
	r.Header.Set("Origin", "https://example.org")
	r.Header.Set("Access-Control-Request-Headers", "x-amz-target,authorization")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Headers": "x-amz-target,authorization",
		"Access-Control-Allow-Methods": "POST",
		"Access-Control-Max-Age":       "172800",
		"Content-Length":               "0",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("preflight: got %d %q", w.Code, w.Body)
	}

	r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	r.Header.Set("Origin", "https://example.org")
	r.Header.Set("Content-Type", jsonType)
	r.Header.Set("X-Amz-Target", "Test_1.Empty")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Access-Control-Expose-Headers"); w.Code != 200 || !strings.Contains(got, "x-amzn-RequestId") {
		t.Errorf("call: got %d, exposed %q", w.Code, got)
	}
}

type refuser struct{}

func (refuser) Verify(*http.Request, []byte, string) (access.Identity, error) {
	return access.Identity{}, &access.Error{Code: access.CodeMissingToken, Message: "Missing Authentication Token"}
}

// TestOrderOfChecks sends requests with several faults; the first one in the
// order of the real service is named.
func TestOrderOfChecks(t *testing.T) {
	h := newHandler(t, wire.Options{Access: refuser{}})
	for _, tt := range []struct{ target, body, want string }{
		{"Test_1.Missing", `{`, "SerializationException"},
		{"Test_1.Missing", `{}`, "UnknownOperationException"},
		{"Test_1.Echo", `{"Name":1}`, "MissingAuthenticationTokenException"},
		{"Test_1.Echo", `{"Name":""}`, "MissingAuthenticationTokenException"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", tt.target)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"__type":"`+tt.want+`"`) {
			t.Errorf("%s %s: got %d %s, want %s", tt.target, tt.body, w.Code, w.Body, tt.want)
		}
	}
}

func TestBadTables(t *testing.T) {
	ok := echoService(nil, nil)
	noHandler := ok
	noHandler.Operations = []wire.Operation{{Name: "A", Input: wire.Structure()}}
	twice := ok
	twice.Operations = append(twice.Operations[:1:1], twice.Operations[0])
	for name, opt := range map[string]wire.Options{
		"no services":       {Access: access.Anyone{}},
		"no access":         {Services: []wire.Service{ok}},
		"service twice":     {Services: []wire.Service{ok, ok}, Access: access.Anyone{}},
		"no handler":        {Services: []wire.Service{noHandler}, Access: access.Anyone{}},
		"operation twice":   {Services: []wire.Service{twice}, Access: access.Anyone{}},
		"too little flight": {Services: []wire.Service{ok}, Access: access.Anyone{}, MaxBodyBytes: 10, MaxBytesInFlight: 9},
	} {
		if _, err := wire.NewHandler(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
