package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/access"
)

// refuser is a verifier that lets nobody in.
type refuser struct{ err error }

func (r refuser) Verify(*http.Request, []byte, string) (access.Identity, error) {
	return access.Identity{}, r.err
}

// bodyKeeper keeps what a signature would be checked against.
type bodyKeeper struct{ body []byte }

func (k *bodyKeeper) Verify(_ *http.Request, body []byte, _ string) (access.Identity, error) {
	k.body = bytes.Clone(body)
	return access.Identity{}, nil
}

// shop is a service of every protocol, with an operation that sends back what
// it got and one for every way to end.
func shop() Service {
	input := shopInput()
	return Service{
		Target: "Shop_1", SigningName: "shop", JSON10: true, RPC: true, Compressed: true, MaxBodyBytes: 4 << 10,
		Query: &Query{Version: "2010-08-01", Namespace: "http://shop/doc/", Codes: map[string]string{"SoldOutException": "SoldOut.Now"}},
		Operations: []Operation{
			{Name: "Echo", Input: input, Handle: func(_ context.Context, r *Request, out *Encoder) error {
				out.BeginObject()
				out.StringMember("Name", r.Input.Get("Name").Text())
				out.IntMember("Count", r.Input.Get("Count").Int(0))
				out.BoolMember("On", r.Input.Get("On").Bool(false))
				if at := r.Input.Get("At"); at.Present() {
					out.TimeMember("At", at.Time())
				}
				out.Key("Words")
				out.BeginList()
				for w := range r.Input.Get("Words").Items() {
					out.String(w.Text())
				}
				out.EndList()
				out.Key("Data")
				out.Blob(r.Input.Get("Data").Bytes())
				out.EndObject()
				return nil
			}},
			{Name: "Empty", Input: input, Handle: func(context.Context, *Request, *Encoder) error { return nil }},
			{Name: "Strict", Input: Structure(Required("Name", String().AtMost(3))), Handle: func(context.Context, *Request, *Encoder) error { return nil }},
			{Name: "Refuse", Input: input, Handle: func(context.Context, *Request, *Encoder) error {
				return Errorf("SoldOutException", "No <%s> left & none comes.\x01", "pie")
			}},
			{Name: "Break", Input: input, Handle: func(context.Context, *Request, *Encoder) error { return errors.New("disk says no") }},
		},
	}
}

// plain is a service that speaks JSON 1.1 only.
func plain() Service {
	return Service{Target: "Plain_1", SigningName: "plain", Operations: []Operation{
		{Name: "Empty", Input: Structure(), Handle: func(context.Context, *Request, *Encoder) error { return nil }},
	}}
}

type call struct {
	method, path, body string
	header             map[string]string
	access             access.Verifier
}

func (c call) do(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	if c.access == nil {
		c.access = access.Anyone{}
	}
	h, err := NewHandler(Options{Services: []Service{shop(), plain()}, Access: c.access, MaxBodyBytes: 64 << 10, MaxBytesInFlight: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const requestIDLine = "<RequestId>ID</RequestId>\n"

func queryError(fault, code, message string) string {
	return "<ErrorResponse xmlns=\"http://shop/doc/\">\n  <Error>\n    <Type>" + fault + "</Type>\n    <Code>" + code +
		"</Code>\n    <Message>" + message + "</Message>\n  </Error>\n  " + requestIDLine + "</ErrorResponse>\n"
}

func TestQuery(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	const denied = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"
	const empty = "<EmptyResponse xmlns=\"http://shop/doc/\">\n  <ResponseMetadata>\n    " + requestIDLine + "  </ResponseMetadata>\n</EmptyResponse>\n"
	signed := "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/shop/aws4_request, SignedHeaders=host, Signature=00"
	for _, tt := range []struct {
		name, method, path, media, body string
		header                          map[string]string
		access                          access.Verifier
		status                          int
		want                            string
	}{
		{
			name: "echo", method: "POST", path: "/", media: form + "; charset=utf-8",
			body:   "Action=Echo&Version=2010-08-01&Name=%3Ca%3E+%26&Count=7&On=true&At=2026-11-23T06:58:02.48Z&Words.member.1=x&Words.member.2=y&Data=aGk%3D",
			status: 200,
			want: "<EchoResponse xmlns=\"http://shop/doc/\">\n  <EchoResult>\n    <Name>&lt;a&gt; &amp;</Name>\n    <Count>7</Count>\n    <On>true</On>\n" +
				"    <At>2026-11-23T06:58:02.480Z</At>\n    <Words>\n      <member>x</member>\n      <member>y</member>\n    </Words>\n    <Data>aGk=</Data>\n" +
				"  </EchoResult>\n  <ResponseMetadata>\n    " + requestIDLine + "  </ResponseMetadata>\n</EchoResponse>\n",
		},
		{name: "no output", method: "POST", path: "/", media: form, body: "Version=2010-08-01&Action=Empty", status: 200, want: empty},
		{name: "GET", method: "GET", path: "/?Action=Empty&Version=2010-08-01", status: 200, want: empty},
		{name: "POST with a query string", method: "POST", path: "/x?Action=Empty&Version=2010-08-01", status: 200, want: empty},
		{
			name: "refused", method: "POST", path: "/", media: form, body: "Action=Refuse&Version=2010-08-01", status: 400,
			want: queryError("Sender", "SoldOut.Now", "No &lt;pie&gt; left &amp; none comes.\ufffd"),
		},
		{
			name: "failure", method: "POST", path: "/", media: form, body: "Action=Break&Version=2010-08-01", status: 500,
			want: queryError("Receiver", "InternalFailure", "Internal service failure."),
		},
		{
			name: "unknown action", method: "POST", path: "/", media: form, body: "Action=Missing&Version=2010-08-01", status: 400,
			want: queryError("Sender", "InvalidAction", "Could not find operation Missing for version 2010-08-01"),
		},
		{
			name: "no action", method: "POST", path: "/", media: form, body: "Version=2010-08-01", status: 400,
			want: queryError("Sender", "MissingAction", "The request has no parameter Action."),
		},
		{
			name: "malformed", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01&Name=%", status: 400,
			want: queryError("Sender", "MalformedInput", "value of a parameter malformed at byte 31"),
		},
		{
			name: "type", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01&Count=x", status: 400,
			want: queryError("Sender", "MalformedInput", "The parameter Count must be a whole number."),
		},
		{
			name: "constraint", method: "POST", path: "/", media: form, body: "Action=Strict&Version=2010-08-01", status: 400,
			want: queryError("Sender", "ValidationError", "1 validation error detected: Value null at &#39;name&#39; failed to satisfy constraint: Member must not be null"),
		},
		{
			name: "other version of a signed service", method: "POST", path: "/", media: form, body: "Action=Echo&Version=1999-01-01", status: 400,
			header: map[string]string{"Authorization": signed},
			want:   queryError("Sender", "InvalidAction", "Could not find operation Echo for version 1999-01-01"),
		},
		{name: "other version", method: "POST", path: "/", media: form, body: "Action=Echo&Version=1999-01-01", status: 403, want: denied},
		{name: "no version", method: "POST", path: "/", media: form, body: "Action=Echo", status: 403, want: denied},
		{name: "GET without an action", method: "GET", path: "/?Version=2010-08-01", status: 403, want: denied},
		{name: "GET of a form", method: "GET", path: "/", media: form, body: "Action=Empty&Version=2010-08-01", status: 403, want: denied},
		{name: "PUT", method: "PUT", path: "/?Action=Empty&Version=2010-08-01", media: form, status: 403, want: denied},
		{
			name: "form with a target", method: "POST", path: "/", media: form, body: "Action=Empty&Version=2010-08-01", status: 404,
			header: map[string]string{"X-Amz-Target": "Shop_1.Echo"}, want: "<UnknownOperationException/>\n",
		},
		{
			name: "too large for the service", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01&Name=" + strings.Repeat("x", 4<<10), status: 413,
			want: queryError("Sender", "RequestEntityTooLarge", "The body is larger than 4096 bytes."),
		},
		{
			name: "too large", method: "POST", path: "/", media: form, body: strings.Repeat("x", 65<<10), status: 413,
			want: strings.Replace(queryError("Sender", "RequestEntityTooLarge", "The body is larger than 65536 bytes."), ` xmlns="http://shop/doc/"`, "", 1),
		},
		{
			name: "missing signature", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01", status: 403,
			access: refuser{&access.Error{Code: access.CodeMissingToken, Message: "Missing Authentication Token"}},
			want:   queryError("Sender", "MissingAuthenticationToken", "Request is missing Authentication Token"),
		},
		{
			name: "wrong signature", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01", status: 403,
			access: refuser{&access.Error{Code: access.CodeInvalidSignature, Message: "No match."}},
			want:   queryError("Sender", "SignatureDoesNotMatch", "No match."),
		},
		{
			name: "unknown key", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01", status: 403,
			access: refuser{&access.Error{Code: access.CodeUnrecognizedClient, Message: "No such key."}},
			want:   queryError("Sender", "InvalidClientTokenId", "No such key."),
		},
		{
			name: "incomplete signature", method: "POST", path: "/", media: form, body: "Action=Echo&Version=2010-08-01", status: 400,
			access: refuser{&access.Error{Code: access.CodeIncompleteSignature, Message: "Half of it."}},
			want:   queryError("Sender", "IncompleteSignature", "Half of it."),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call{method: tt.method, path: tt.path, body: tt.body, header: map[string]string{}, access: tt.access}
			for k, v := range tt.header {
				c.header[k] = v
			}
			if tt.media != "" {
				c.header["Content-Type"] = tt.media
			}
			w := c.do(t)
			//nolint:staticcheck // AWS writes the name this way, and so does the handler.
			id := w.Result().Header["x-amzn-RequestId"][0]
			got := strings.Replace(w.Body.String(), "<RequestId>"+id+"</RequestId>", strings.TrimSpace(requestIDLine), 1)
			want := strings.ReplaceAll(tt.want, "&#39;", "'")
			if w.Code != tt.status || got != want {
				t.Errorf("got %d %s\nwant %d %s", w.Code, got, tt.status, want)
			}
			if media := w.Header().Get("Content-Type"); strings.Contains(want, "RequestId") != (media == "text/xml") {
				t.Errorf("content type %q", media)
			}
			if err := xml.Unmarshal(w.Body.Bytes(), new(struct{})); err != nil {
				t.Errorf("no XML: %v", err)
			}
		})
	}
}

func rpcHeader(more ...string) map[string]string {
	h := map[string]string{"Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

func cborDouble(f float64) string {
	b := []byte{cborSimple<<5 | 27}
	for i := 56; i >= 0; i -= 8 {
		b = append(b, byte(math.Float64bits(f)>>i))
	}
	return string(b)
}

func TestRPC(t *testing.T) {
	const echo = "/service/Shop_1/operation/Echo"
	at := time.Date(2026, 11, 23, 6, 58, 2, 480e6, time.UTC)
	seconds := float64(at.UnixMilli()) / 1000
	answer := func(name, at, data string) string {
		out := "\xbf\x64Name" + name + "\x65Count\x07\x62On\xf4"
		if at != "" {
			out += "\x62At\xc1" + at
		}
		return out + "\x65Words\x9f\x61x\xff\x64Data" + data + "\xff"
	}
	fault := func(code, message string) string {
		out := "\xbf\x66__type" + string(appendCBORHead(nil, cborText, uint64(len(code)))) + code
		if message != "" {
			out += "\x67message" + string(appendCBORHead(nil, cborText, uint64(len(message)))) + message
		}
		return out + "\xff"
	}
	for _, tt := range []struct {
		name, path, body string
		header           map[string]string
		status           int
		want, queryError string
	}{
		{
			name: "echo, seconds as a float", path: echo, body: "\xa5\x64Name\x61n\x65Count\x07\x62At\xc1" + cborDouble(seconds) + "\x65Words\x81\x61x\x64Data\x42hi",
			status: 200, want: answer("\x61n", cborDouble(seconds), "\x42hi"),
		},
		{
			name: "echo, whole seconds", path: "/prefix" + echo, body: "\xbf\x64Name\x61n\x65Count\x07\x62At\xc1\x1a\x6b\x03\x95\x7a\x65Words\x81\x61x\xff",
			status: 200, want: answer("\x61n", cborDouble(0x6b03957a), "\x40"),
		},
		{name: "no output", path: "/service/Shop_1/operation/Empty", body: "\xa0", status: 200},
		{name: "no input", path: "/service/Shop_1/operation/Empty", status: 200, header: map[string]string{"Smithy-Protocol": "rpc-v2-cbor"}},
		{name: "refused", path: "/service/Shop_1/operation/Refuse", body: "\xa0", status: 400, want: fault("SoldOutException", "No <pie> left & none comes.\x01")},
		{
			name: "refused, with the code of awsQuery", path: "/service/Shop_1/operation/Refuse", body: "\xa0", status: 400,
			header: rpcHeader("x-amzn-query-mode", "true"), want: fault("SoldOutException", "No <pie> left & none comes.\x01"), queryError: "SoldOut.Now;Sender",
		},
		{
			name: "failure", path: "/service/Shop_1/operation/Break", body: "\xa0", status: 500, header: rpcHeader("x-amzn-query-mode", "true"),
			want: fault("InternalFailureException", "Internal service failure."), queryError: "InternalFailure;Receiver",
		},
		{name: "unknown operation", path: "/service/Shop_1/operation/Missing", body: "\xa0", status: 400, want: fault("UnknownOperationException", "")},
		{name: "unknown service", path: "/service/Other/operation/Echo", body: "\xa0", status: 400, want: fault("UnknownOperationException", "")},
		{name: "service without the protocol", path: "/service/Plain_1/operation/Empty", body: "\xa0", status: 400, want: fault("UnknownOperationException", "")},
		{name: "path of no service", path: "/", body: "\xa0", status: 400, want: fault("UnknownOperationException", "")},
		{name: "broken", path: echo, body: "\xa1", status: 400, want: fault("SerializationException", "head cut off or malformed at byte 1")},
		{name: "no map", path: echo, body: "\x80", status: 400, want: fault("SerializationException", "The body is not an object.")},
		{name: "type", path: echo, body: "\xa1\x65Count\x61x", status: 400, want: fault("SerializationException", "class java.lang.String can not be converted to an Integer")},
		{
			name: "constraint", path: "/service/Shop_1/operation/Strict", body: "\xa0", status: 400,
			want: fault("ValidationException", "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"),
		},
		{
			name: "other content type", path: echo, body: "{}", status: 415, header: rpcHeader("Content-Type", "application/json"),
			want: fault("UnsupportedMediaTypeException", "The content type must be application/cbor."),
		},
		{name: "too large for the service", path: echo, body: strings.Repeat("x", 5<<10), status: 413, want: fault("RequestEntityTooLargeException", "The body is larger than 4096 bytes.")},
		{name: "too large", path: echo, body: strings.Repeat("x", 65<<10), status: 413, want: fault("RequestEntityTooLargeException", "The body is larger than 65536 bytes.")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.header == nil {
				tt.header = rpcHeader()
			}
			w := call{method: "POST", path: tt.path, body: tt.body, header: tt.header}.do(t)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Errorf("got %d %q\nwant %d %q", w.Code, w.Body, tt.status, tt.want)
			}
			media := "application/cbor"
			if tt.want == "" {
				media = ""
			}
			if got := w.Header().Get("Content-Type"); got != media {
				t.Errorf("content type %q, want %q", got, media)
			}
			//nolint:staticcheck // The protocol writes its headers in this case.
			if got := w.Result().Header["smithy-protocol"]; len(got) != 1 || got[0] != "rpc-v2-cbor" {
				t.Errorf("protocol %q", got)
			}
			//nolint:staticcheck // As above.
			if got := strings.Join(w.Result().Header["x-amzn-query-error"], ""); got != tt.queryError {
				t.Errorf("query error %q, want %q", got, tt.queryError)
			}
		})
	}
	t.Run("JSON 1.0 has the code of awsQuery too", func(t *testing.T) {
		w := call{method: "POST", path: "/", body: "{}", header: map[string]string{
			"X-Amz-Target": "Shop_1.Refuse", "Content-Type": "application/x-amz-json-1.0", "x-amzn-query-mode": "true",
		}}.do(t)
		//nolint:staticcheck // As above.
		if got := w.Result().Header["x-amzn-query-error"]; w.Code != 400 || len(got) != 1 || got[0] != "SoldOut.Now;Sender" {
			t.Errorf("got %d %q %s", w.Code, got, w.Body)
		}
	})
}

func packed(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompressedRequests(t *testing.T) {
	long := strings.Repeat("a", 10_000)
	small := packed(t, `{"Name":"`+long+`"}`)
	for _, tt := range []struct {
		name, path, body string
		header           map[string]string
		status           int
		want             string // part of the answer
	}{
		{"JSON", "/", small, map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 200, `{"Name":"` + long + `"`},
		{"rpc-v2-cbor", "/service/Shop_1/operation/Echo", packed(t, "\xa1\x64Name\x79\x27\x10"+long), rpcHeader(), 200, long},
		{"query", "/", packed(t, "Action=Echo&Version=2010-08-01&Name="+long), map[string]string{"Content-Type": formType}, 200, "<Name>" + long + "</Name>"},
		{"several members of gzip", "/", packed(t, `{"Name":`) + packed(t, `"x"}`), map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 200, `{"Name":"x"`},
		{"damaged", "/", small[:len(small)-1] + "x", map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 400, "The compressed body is damaged: gzip: invalid checksum."},
		{"cut off", "/", small[:len(small)-9], map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 400, "The compressed body is damaged: unexpected EOF."},
		{"not compressed", "/", "{}", map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 400, "The body is not compressed with gzip: "},
		{"a bomb", "/", packed(t, strings.Repeat(" ", 100<<10)), map[string]string{"X-Amz-Target": "Shop_1.Echo", "Content-Type": "application/x-amz-json-1.0"}, 413, "The body is larger than 65536 bytes when it is not compressed."},
		{"service without compression", "/", packed(t, `{}`), map[string]string{"X-Amz-Target": "Plain_1.Empty", "Content-Type": "application/x-amz-json-1.1"}, 400, "SerializationException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.header["Content-Encoding"] = "gzip"
			keeper := new(bodyKeeper)
			w := call{method: "POST", path: tt.path, body: tt.body, header: tt.header, access: keeper}.do(t)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %.300q, want %d %.300q", w.Code, w.Body, tt.status, tt.want)
			}
			if w.Code == 200 && string(keeper.body) != tt.body {
				t.Error("the signature was not checked against the body as it was sent")
			}
		})
	}
}

func TestServicesOfQuery(t *testing.T) {
	a, b := shop(), shop()
	b.Target = "Shop_2"
	if _, err := NewHandler(Options{Services: []Service{a, b}, Access: access.Anyone{}}); err == nil || err.Error() != "version 2010-08-01 of awsQuery is there twice" {
		t.Errorf("two services of one version: %v", err)
	}
	a.Query, a.QueryOnly = nil, true
	if _, err := NewHandler(Options{Services: []Service{a}, Access: access.Anyone{}}); err == nil {
		t.Error("a service of no protocol is taken")
	}
	b.QueryOnly = true
	h, err := NewHandler(Options{Services: []Service{b}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	r.Header.Set("X-Amz-Target", "Shop_2.Empty")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 400 || !strings.Contains(w.Body.String(), CodeUnknownOperation) {
		t.Errorf("JSON to a service of awsQuery only: %d %s", w.Code, w.Body)
	}
}

// FuzzRPC reads arbitrary bodies of rpc-v2-cbor into a shape: what fits can be
// read and rendered.
func FuzzRPC(f *testing.F) {
	for _, seed := range []string{
		"\xa0", "\xbf\xff", "\xa1\x64Name\x61n", "\xa1\x62At\xc1\xfb\x41\xda\xc0\xe5\x5e\x80\x00\x00", "\xa1\x62At\xc1\x1a\x6b\x03\x95\x7a",
		"\xa1\x65Words\x9f\x61x\xff", "\xa1\x64Data\x5f\x41h\x41i\xff", "\xa1\x65Ratio\xf9\x7e\x00", "\xa1\x64Tags\xa1\x61k\x61v",
	} {
		f.Add([]byte(seed))
	}
	shape := shopInput()
	f.Fuzz(func(t *testing.T, body []byte) {
		var d document
		if d.parseCBOR(body) != nil || d.nodes[0].kind != nodeObject || d.fit(shape, rpc) != nil {
			return
		}
		v := Value{&d, 0}
		if at := v.Get("At"); at.Present() && (at.Millis() < minMillis || at.Millis() > maxMillis) {
			t.Fatalf("time %d", at.Millis())
		}
		_, _ = d.check(shape, false)
		out := NewEncoder(rpc, nil)
		out.BeginObject()
		out.StringMember("Name", v.Get("Name").Text())
		out.TimeMember("At", v.Get("At").Time())
		out.EndObject()
		var again document
		if err := again.parseCBOR(out.Output()); err != nil {
			t.Fatal(err)
		}
		if err := again.fit(shape, rpc); err != nil {
			t.Fatal(err)
		}
		if got := (Value{&again, 0}).Get("At").Time(); !got.Equal(v.Get("At").Time()) {
			t.Fatal(fmt.Sprint("time ", got, ", want ", v.Get("At").Time()))
		}
	})
}
