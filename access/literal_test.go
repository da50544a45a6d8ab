package access_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/firehosed/firehosed/access"
)

// signLiteral signs a canonical request that is written down in a test, with
// the secret "one" for kinesis in r at the time of the tests.
func signLiteral(canonical, stamp string) string {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	key := []byte("AWS4one")
	for _, part := range []string{stamp[:8], "r", "kinesis", "aws4_request"} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+stamp[:8]+"/r/kinesis/aws4_request\n"+hash(canonical)))
}

// TestLiteralRequests: requests byte for byte as they come over the wire, and
// the canonical request that a client signs for them, written out. BODYHASH
// stands for the hash of the body, SIGNATURE for what is signed.
func TestLiteralRequests(t *testing.T) {
	const (
		auth   = "Authorization: AWS4-HMAC-SHA256 Credential=AKID1/20180920/r/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=SIGNATURE\r\n"
		date   = "X-Amz-Date: 20180920T175004Z\r\n"
		end    = "Content-Length: 23\r\n\r\n" + body
		signed = "host:h\nx-amz-date:20180920T175004Z\n\nhost;x-amz-date\nBODYHASH"
	)
	with := func(names string) string {
		return strings.Replace(auth, "host;x-amz-date", names, 1)
	}
	for _, tt := range []struct {
		name, request, canonical, want string
	}{
		{"plain", "POST / HTTP/1.1\r\nHost: h\r\n" + date + auth + end, "POST\n/\n\n" + signed, "AKID1"},
		{"host as sent", "POST / HTTP/1.1\r\nHost: LocalHost:4573\r\n" + date + auth + end, "POST\n/\n\n" + strings.Replace(signed, "host:h", "host:LocalHost:4573", 1), "AKID1"},
		{"no comma", "POST / HTTP/1.1\r\nHost: h\r\n" + date + strings.ReplaceAll(auth, ",", "") + end, "POST\n/\n\n" + signed, "AKID1"},
		{"no space", "POST / HTTP/1.1\r\nHost: h\r\n" + date + strings.ReplaceAll(auth, ", ", ",") + end, "POST\n/\n\n" + signed, "AKID1"},
		{"other order", "POST / HTTP/1.1\r\nHost: h\r\n" + date +
			"Authorization: AWS4-HMAC-SHA256 Signature=SIGNATURE,SignedHeaders=host;x-amz-date Credential=AKID1/20180920/r/kinesis/aws4_request\r\n" + end, "POST\n/\n\n" + signed, "AKID1"},
		{
			"white space in a header", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Meta: \t  a   b \"c   d\"  \r\n" + date + with("host;x-amz-date;x-amz-meta") + end,
			"POST\n/\n\nhost:h\nx-amz-date:20180920T175004Z\nx-amz-meta:a b \"c d\"\n\nhost;x-amz-date;x-amz-meta\nBODYHASH", "AKID1",
		},
		{
			"a header several times", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Meta: b\r\n" + date + "x-amz-meta:  a  a\r\nX-AMZ-META:\r\n" + with("host;x-amz-date;x-amz-meta") + end,
			"POST\n/\n\nhost:h\nx-amz-date:20180920T175004Z\nx-amz-meta:b,a a,\n\nhost;x-amz-date;x-amz-meta\nBODYHASH", "AKID1",
		},
		{
			"a header that is signed and not there", "POST / HTTP/1.1\r\nHost: h\r\n" + date + with("host;x-amz-date;x-amz-meta") + end,
			"POST\n/\n\nhost:h\nx-amz-date:20180920T175004Z\nx-amz-meta:\n\nhost;x-amz-date;x-amz-meta\nBODYHASH", "AKID1",
		},
		{
			"content length and type", "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-amz-json-1.1\r\n" + date + with("content-length;content-type;host;x-amz-date") + end,
			"POST\n/\n\ncontent-length:23\ncontent-type:application/x-amz-json-1.1\nhost:h\nx-amz-date:20180920T175004Z\n\ncontent-length;content-type;host;x-amz-date\nBODYHASH", "AKID1",
		},
		{"a content type that is not signed, as from PHP", "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-amz-json-1.1\r\n" + date + auth + end, "POST\n/\n\n" + signed, "AKID1"},
		{
			"Date of RFC 1123", "POST / HTTP/1.1\r\nHost: h\r\nDate: Thu, 20 Sep 2018 17:50:04 GMT\r\n" + with("date;host") + end,
			"POST\n/\n\ndate:Thu, 20 Sep 2018 17:50:04 GMT\nhost:h\n\ndate;host\nBODYHASH", "AKID1",
		},
		{
			"Date of ISO 8601", "POST / HTTP/1.1\r\nHost: h\r\nDate: 20180920T175004Z\r\n" + with("date;host") + end,
			"POST\n/\n\ndate:20180920T175004Z\nhost:h\n\ndate;host\nBODYHASH", "AKID1",
		},
		{
			"Date that is old", "POST / HTTP/1.1\r\nHost: h\r\nDate: Thu, 20 Sep 2018 17:41:01 GMT\r\n" + with("date;host") + end,
			"POST\n/\n\ndate:Thu, 20 Sep 2018 17:41:01 GMT\nhost:h\n\ndate;host\nBODYHASH",
			"InvalidSignatureException: Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z (20180920T175004Z - 5 min.)",
		},
		{
			"Date that is not signed", "POST / HTTP/1.1\r\nHost: h\r\nDate: 20180920T175004Z\r\n" + with("host") + end,
			"POST\n/\n\nhost:h\n\nhost\nBODYHASH", "InvalidSignatureException: 'date' must be a 'SignedHeader' in the AWS Authorization.",
		},
		{"X-Amz-Date before Date", "POST / HTTP/1.1\r\nHost: h\r\nDate: Thu, 20 Sep 2008 17:50:04 GMT\r\n" + date + auth + end, "POST\n/\n\n" + signed, "AKID1"},
		{"query in any order", "POST /?b=2&a=1&a=0&c&=d HTTP/1.1\r\nHost: h\r\n" + date + auth + end, "POST\n/\n=d&a=0&a=1&b=2&c=\n" + signed, "AKID1"},
		{"query with escapes", "POST /?%c3%a9=%7e&plus=a+b&x=a/b,c HTTP/1.1\r\nHost: h\r\n" + date + auth + end, "POST\n/\n%C3%A9=~&plus=a%20b&x=a%2Fb%2Cc\n" + signed, "AKID1"},
		{"names below the equals sign", "POST /?a=1&a-b=2&a.b=3&a%20=4 HTTP/1.1\r\nHost: h\r\n" + date + auth + end, "POST\n/\na=1&a%20=4&a-b=2&a.b=3\n" + signed, "AKID1"},
		{"path with escapes", "POST /a%20b/c~d HTTP/1.1\r\nHost: h\r\n" + date + auth + end, "POST\n/a%2520b/c~d\n\n" + signed, "AKID1"},
		{
			"presigned", "POST /?X-Amz-Date=20180920T175004Z&X-Amz-Signature=SIGNATURE&X-Amz-SignedHeaders=host&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID1%2F20180920%2Fr%2Fkinesis%2Faws4_request HTTP/1.1\r\nHost: h\r\n" + end,
			"POST\n/\nX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID1%2F20180920%2Fr%2Fkinesis%2Faws4_request&X-Amz-Date=20180920T175004Z&X-Amz-SignedHeaders=host\nhost:h\n\nhost\nBODYHASH", "AKID1",
		},
		{
			"presigned with a token", "POST /?X-Amz-Date=20180920T175004Z&X-Amz-Signature=SIGNATURE&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t%2B&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=TOKEN%2F20180920%2Fr%2Fkinesis%2Faws4_request HTTP/1.1\r\nHost: h\r\n" + end,
			"POST\n/\nX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=TOKEN%2F20180920%2Fr%2Fkinesis%2Faws4_request&X-Amz-Date=20180920T175004Z&X-Amz-Security-Token=t%2B&X-Amz-SignedHeaders=host\nhost:h\n\nhost\nBODYHASH", "TOKEN",
		},
		{
			"presigned, with a name before X", "POST /?Y=1&X-Amz-Date=20180920T175004Z&A=2&X-Amz-Signature=SIGNATURE&X-Amz-SignedHeaders=host&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID1%2F20180920%2Fr%2Fkinesis%2Faws4_request HTTP/1.1\r\nHost: h\r\n" + end,
			"POST\n/\nA=2&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID1%2F20180920%2Fr%2Fkinesis%2Faws4_request&X-Amz-Date=20180920T175004Z&X-Amz-SignedHeaders=host&Y=1\nhost:h\n\nhost\nBODYHASH", "AKID1",
		},
		// Incomplete: nothing is signed.
		{
			"no credential", "POST / HTTP/1.1\r\nHost: h\r\n" + date + "Authorization: AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0\r\n" + end, "",
			"IncompleteSignatureException: Authorization header requires 'Credential' parameter. Authorization=AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0",
		},
		{
			"no signature, no date", "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature\r\n" + end, "",
			"IncompleteSignatureException: Authorization header requires 'Signature' parameter. " +
				"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature",
		},
		{
			"no signed headers", "POST / HTTP/1.1\r\nHost: h\r\n" + date + "Authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=, Signature=0\r\n" + end, "",
			"IncompleteSignatureException: Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256 Credential=a, SignedHeaders=, Signature=0",
		},
		{"no authorization", "POST / HTTP/1.1\r\nHost: h\r\n" + date + end, "", "MissingAuthenticationTokenException: Missing Authentication Token"},
		{"another scheme", "POST / HTTP/1.1\r\nHost: h\r\n" + date + "Authorization: Bearer AWS4-x\r\n" + end, "", "MissingAuthenticationTokenException: Missing Authentication Token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t, access.SigV4Options{Keys: []access.Key{{ID: "AKID1", Secret: "one"}, {ID: "TOKEN", Secret: "one", SessionToken: "t+"}}})
			signature := signLiteral(strings.Replace(tt.canonical, "BODYHASH", hash(body), 1), "20180920T175004Z")
			raw := strings.Replace(tt.request, "SIGNATURE", signature, 1)
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(v, r, body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestPublishedExample is the one worked out in the IAM user guide, "Create a
// signed AWS API request".
func TestPublishedExample(t *testing.T) {
	v, err := access.NewSigV4(access.SigV4Options{
		Keys:  []access.Key{{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}},
		Clock: func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "+
		"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	if id, err := v.Verify(r, nil, "iam"); err != nil || id.AccessKeyID != "AKIDEXAMPLE" {
		t.Errorf("got %+v, %v", id, err)
	}
}

// TestAuthorityIsSigned: over HTTP/2 the signed host is :authority, and behind
// a proxy that makes its own it is one of the other names.
func TestAuthorityIsSigned(t *testing.T) {
	for _, tt := range []struct {
		name, host string // host: what the client signs; empty: the address
		opt        access.SigV4Options
		rewritten  string // what the proxy makes of it
		want       string
	}{
		{name: "address", want: "AKID1"},
		{name: "name", host: "kinesis.example.org", want: "AKID1"},
		{name: "rewritten", host: "kinesis.example.org", rewritten: "backend:1", want: mismatch},
		{name: "rewritten, with the name", host: "kinesis.example.org", rewritten: "backend:1", opt: access.SigV4Options{Hosts: []string{"kinesis.example.org"}}, want: "AKID1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t, tt.opt)
			got := make(chan string, 1)
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || r.ProtoMajor != 2 {
					t.Errorf("HTTP/%d, %v", r.ProtoMajor, err)
				}
				got <- outcome(v, r, string(b))
			})}
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
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = tt.host
			r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
			s := standard()
			if err := v4.NewSigner().SignHTTP(t.Context(), s.key, r, hash(body), s.name, s.region, s.at); err != nil {
				t.Fatal(err)
			}
			if tt.rewritten != "" {
				r.Host = tt.rewritten
			}
			transport := &http.Transport{Protocols: protocols}
			defer transport.CloseIdleConnections()
			res, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if g := <-got; g != tt.want {
				t.Errorf("got %s, want %s", g, tt.want)
			}
		})
	}
}
