package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

const exposed = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"

// TestCrossOriginAnswers: a browser can read every answer, not only good ones.
func TestCrossOriginAnswers(t *testing.T) {
	h := newHandler(t, wire.Options{Access: refuser{}, MaxBodyBytes: 100})
	for _, tt := range []struct {
		name, method, body string
		status             int
		origin, expose     string // of the answer
	}{
		{"preflight", "OPTIONS", "", 200, "*", ""},
		{"preflight with a body", "OPTIONS", "{}", 200, "*", ""},
		{"refused", "POST", "{}", 400, "*", exposed},
		{"broken", "POST", "{", 400, "*", exposed},
		{"no POST", "GET", "", 403, "*", exposed},
		// The size comes first, whoever asks.
		{"too large", "POST", strings.Repeat(" ", 101), 413, "", ""},
		{"preflight too large", "OPTIONS", strings.Repeat(" ", 101), 413, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/", strings.NewReader(tt.body))
			r.Header.Set("Origin", "https://example.org")
			r.Header.Set("Content-Type", jsonType)
			r.Header.Set("X-Amz-Target", "Test_1.Echo")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Header()
			if w.Code != tt.status || got.Get("Access-Control-Allow-Origin") != tt.origin || got.Get("Access-Control-Expose-Headers") != tt.expose {
				t.Errorf("got %d, origin %q, exposed %q", w.Code, got.Get("Access-Control-Allow-Origin"), got.Get("Access-Control-Expose-Headers"))
			}
			//nolint:staticcheck // AWS writes the names this way, and so does the handler.
			id, extended := got["x-amzn-RequestId"], got["x-amz-id-2"]
			if len(id) != 1 || (len(extended) == 1) != (tt.method != "OPTIONS") {
				t.Errorf("ids %q, %q", id, extended)
			}
		})
	}
	// What is not asked for is not allowed, and nothing is said without Origin.
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil)
	r.Header.Set("Origin", "null")
	h.ServeHTTP(w, r)
	if _, ok := w.Header()["Access-Control-Allow-Headers"]; ok || w.Header().Get("Access-Control-Allow-Methods") != "" || w.Code != 200 {
		t.Errorf("a bare preflight: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil))
	if w.Code != 403 || w.Body.String() != deniedXML || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS without Origin: %d %q", w.Code, w.Body)
	}
}

// TestCredentialErrors: refusals of the verifier in the encoding of the request,
// before what is in the body is looked at, and after it was read.
func TestCredentialErrors(t *testing.T) {
	v, err := access.NewSigV4(access.SigV4Options{
		Keys:  []access.Key{{ID: "AKID", Secret: "secret"}},
		Clock: func() time.Time { return time.Date(2018, 9, 20, 17, 50, 4, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, wire.Options{Access: v})
	sign := func(header string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", header)
			r.Header.Set("X-Amz-Date", "20180920T175004Z")
		}
	}
	const whole = "AWS4-HMAC-SHA256 Credential=AKID/20180920/r/test/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00"
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		code   string
		text   string
	}{
		{"none", func(*http.Request) {}, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"both", func(r *http.Request) {
			sign(whole)(r)
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256"
		}, "InvalidSignatureException", "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
		{
			"incomplete header", sign("AWS4-HMAC-SHA256 SignedHeaders=host"), "IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256 SignedHeaders=host",
		},
		{
			"incomplete query", func(r *http.Request) {
				r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=b&X-Amz-Signature=c"
			},
			"IncompleteSignatureException", "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.",
		},
		{"unknown key", sign(strings.Replace(whole, "AKID", "OTHER", 1)), "UnrecognizedClientException", "The security token included in the request is invalid."},
		{
			"wrong signature", sign(whole), "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
		},
		{"other service", sign(strings.Replace(whole, "/test/", "/kinesis/", 1)), "InvalidSignatureException", "Credential should be scoped to correct service: 'test'."},
		{"no region", sign(strings.Replace(whole, "/r/", "//", 1)), "InvalidSignatureException", "Credential should be scoped to a valid region."},
	} {
		for media, body := range map[string]string{jsonType: `{"Name":1}`, cborType: "\xa1\x64Name\x01"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", media)
			r.Header.Set("X-Amz-Target", "Test_1.Echo")
			tt.change(r)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := fmt.Sprintf(`{"__type":"%s","message":"%s"}`, tt.code, tt.text)
			if media == cborType {
				want = "\xbf" + cborText("__type") + cborText(tt.code) + cborText("message") + cborText(tt.text) + "\xff"
			}
			if w.Code != 400 || w.Body.String() != want || w.Header().Get("Content-Type") != media {
				t.Errorf("%s, %s: got %d %q\nwant %q", tt.name, media, w.Code, w.Body, want)
			}
		}
	}
}

func cborText(s string) string {
	switch n := len(s); {
	case n < 24:
		return string([]byte{0x60 | byte(n)}) + s
	case n < 256:
		return string([]byte{0x78, byte(n)}) + s
	default:
		return string([]byte{0x79, byte(n >> 8), byte(n)}) + s
	}
}

// TestHeadersOnTheWire reads answers byte for byte: SDKs set their clock by
// Date, Java looks for both ids, and a connection goes on after any error that
// leaves the body read.
func TestHeadersOnTheWire(t *testing.T) {
	dial := serveRaw(t, newHandler(t, wire.Options{}))
	c := dial()
	in := bufio.NewReader(c)
	for _, tt := range []struct {
		request string
		status  int
		length  string
	}{
		{head(12) + `{"Name":"a"}`, 200, "12"},
		{head(1) + "{", 400, "69"},
		{strings.Replace(head(2), "Echo", "Missing", 1) + "{}", 400, "38"},
		{strings.Replace(head(2), "Echo", "Break", 1) + "{}", 500, "75"},
		{strings.Replace(head(2), "Echo", "Empty", 1) + "{}", 200, "0"},
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 403, "130"},
		{head(12) + `{"Name":"a"}`, 200, "12"},
	} {
		if _, err := io.WriteString(c, tt.request); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != tt.status || res.Header.Get("Content-Length") != tt.length || res.Close {
			t.Errorf("%.30q: got %d, %s bytes, close %v: %s", tt.request, res.StatusCode, res.Header.Get("Content-Length"), res.Close, body)
		}
		at, err := http.ParseTime(res.Header.Get("Date"))
		if d := time.Since(at); err != nil || d < -time.Minute || d > time.Minute {
			t.Errorf("Date: %q", res.Header.Get("Date"))
		}
		if res.Header.Get("X-Amzn-Requestid") == "" || len(res.Header.Get("X-Amz-Id-2")) != 96 {
			t.Errorf("ids: %v", res.Header)
		}
	}
}

// TestStrangeHTTP sends what no client of HTTP sends. Each is refused or ended,
// none is served as something else.
func TestStrangeHTTP(t *testing.T) {
	dial := serveRaw(t, newHandler(t, wire.Options{}))
	for _, tt := range []struct{ name, send, want string }{ // want: the first line of the answer begins so
		{"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 400"},
		{"length and chunks", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "HTTP/1.1"},
		{"a length below nothing", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"},
		{"another transfer coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501"},
		{"two hosts", "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		{"no host", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		{"a space before the colon", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target : a.b\r\n\r\n", "HTTP/1.1 400"},
		{"a line that goes on", "POST / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 4"},
		{"headers too large", "POST / HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"many headers", "POST / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 10_000) + "\r\n", "HTTP/1.1 431"},
		{"a chunk that promises much", head(2)[:strings.Index(head(2), "Content-Length")] + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "HTTP/1.1 400"},
		{"a chunk that is none", head(2)[:strings.Index(head(2), "Content-Length")] + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
		{"another version", "POST / HTTP/3.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505"},
		{"no words", "\x00\x01\x02\r\n\r\n", "HTTP/1.1 400"},
		{"a request for elsewhere", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "HTTP/1.1 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial()
			_, _ = io.WriteString(c, tt.send) // the answer may come before the end
			_ = c.(*net.TCPConn).CloseWrite()
			line, _ := bufio.NewReader(c).ReadString('\n')
			if !strings.HasPrefix(line, tt.want) || strings.HasPrefix(line, "HTTP/1.1 200") {
				t.Errorf("answered %q, want %s", line, tt.want)
			}
		})
	}
	stillServes(t, dial)
}
