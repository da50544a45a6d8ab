package access_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/firehosed/firehosed/access"
)

var now = time.Date(2018, 9, 20, 17, 50, 4, 0, time.UTC)

const body = `{"StreamName":"clicks"}`

func hash(b string) string {
	sum := sha256.Sum256([]byte(b))
	return hex.EncodeToString(sum[:])
}

func verifier(t testing.TB, opt access.SigV4Options) *access.SigV4 {
	t.Helper()
	if opt.Keys == nil {
		opt.Keys = []access.Key{{ID: "AKID1", Secret: "one"}, {ID: "AKID2", Secret: "two"}, {ID: "ASIA3", Secret: "three", SessionToken: "token"}}
	}
	opt.Clock = func() time.Time { return now }
	v, err := access.NewSigV4(opt)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signing is what a client signs with.
type signing struct {
	key    aws.Credentials
	region string
	name   string
	at     time.Time
	url    string
}

func standard() signing {
	return signing{key: aws.Credentials{AccessKeyID: "AKID1", SecretAccessKey: "one"}, region: "eu-west-1", name: "kinesis", at: now, url: "http://localhost:4573/"}
}

// signed returns a request as the server sees it, signed by the AWS SDK.
func signed(t testing.TB, s signing) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.DescribeStream")
	r.Header.Set("User-Agent", "test/1")
	r.Header.Set("X-Amz-Meta", "  two   spaces  here ")
	if err := v4.NewSigner().SignHTTP(context.Background(), s.key, r, hash(body), s.name, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	return arrived(t, r)
}

// arrived carries a request over a wire.
func arrived(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	var got *http.Request
	rec := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		got.Host, got.ContentLength = r.Host, r.ContentLength
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer rec.Close()
	u, err := url.Parse(rec.URL)
	if err != nil {
		t.Fatal(err)
	}
	out := r.Clone(context.Background())
	out.Host = r.Host
	if out.Host == "" {
		out.Host = r.URL.Host
	}
	out.URL.Host = u.Host
	out.Body = io.NopCloser(strings.NewReader(body))
	res, err := rec.Client().Do(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return got
}

const mismatch = "InvalidSignatureException: The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

func TestSDKSignatures(t *testing.T) {
	v := verifier(t, access.SigV4Options{Regions: []string{"eu-west-1", "us-east-1"}})
	for _, tt := range []struct {
		name   string
		change func(*signing)
		want   string // the error, or the key
	}{
		{"first key", func(*signing) {}, "AKID1"},
		{"second key", func(s *signing) { s.key.AccessKeyID, s.key.SecretAccessKey = "AKID2", "two" }, "AKID2"},
		{"other region", func(s *signing) { s.region = "us-east-1" }, "AKID1"},
		{"session", func(s *signing) {
			s.key = aws.Credentials{AccessKeyID: "ASIA3", SecretAccessKey: "three", SessionToken: "token"}
		}, "ASIA3"},
		{"path and query", func(s *signing) { s.url = "http://localhost:4573/a%20b/c?x=1&y=a%2Fb&x=0&empty=&plus=a+b&%C3%A9=%7E" }, "AKID1"},
		{"names that sort below the equals sign", func(s *signing) { s.url = "http://h/?a=1&a-b=2&a.b=3&a%20=4" }, "AKID1"},
		{"5 minutes late", func(s *signing) { s.at = now.Add(-5 * time.Minute) }, "AKID1"},
		{"5 minutes early", func(s *signing) { s.at = now.Add(5 * time.Minute) }, "AKID1"},
		{
			"late", func(s *signing) { s.at = now.Add(-9*time.Minute - 3*time.Second) },
			"InvalidSignatureException: Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z (20180920T175004Z - 5 min.)",
		},
		{
			"early", func(s *signing) { s.at = now.Add(6 * time.Minute) },
			"InvalidSignatureException: Signature not yet current: 20180920T175604Z is still later than 20180920T175504Z (20180920T175004Z + 5 min.)",
		},
		{"wrong secret", func(s *signing) { s.key.SecretAccessKey = "two" }, mismatch},
		{
			"unknown key", func(s *signing) { s.key.AccessKeyID = "AKID9" },
			"UnrecognizedClientException: The security token included in the request is invalid.",
		},
		{
			"unknown key, wrong secret", func(s *signing) { s.key.AccessKeyID, s.key.SecretAccessKey = "AKID9", ""+"x" },
			"UnrecognizedClientException: The security token included in the request is invalid.",
		},
		{"wrong session token", func(s *signing) {
			s.key = aws.Credentials{AccessKeyID: "ASIA3", SecretAccessKey: "three", SessionToken: "other"}
		}, "UnrecognizedClientException: The security token included in the request is invalid."},
		{
			"no session token", func(s *signing) { s.key = aws.Credentials{AccessKeyID: "ASIA3", SecretAccessKey: "three"} },
			"UnrecognizedClientException: The security token included in the request is invalid.",
		},
		{
			"token for a key without", func(s *signing) { s.key.SessionToken = "token" },
			"UnrecognizedClientException: The security token included in the request is invalid.",
		},
		{
			"region that is not ours", func(s *signing) { s.region = "mars-1" },
			"InvalidSignatureException: Credential should be scoped to a valid region.",
		},
		{
			"other service", func(s *signing) { s.name = "firehose" },
			"InvalidSignatureException: Credential should be scoped to correct service: 'kinesis'.",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := standard()
			tt.change(&s)
			if got := outcome(v, signed(t, s), body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// outcome is the key that signed, or the error.
func outcome(v access.Verifier, r *http.Request, body string) string {
	id, err := v.Verify(r, []byte(body), "kinesis")
	if err != nil {
		var refused *access.Error
		if !errors.As(err, &refused) {
			return "not an *access.Error: " + err.Error()
		}
		return err.Error()
	}
	return id.AccessKeyID
}

// TestTampered changes every part of a good request, one at a time.
func TestTampered(t *testing.T) {
	v := verifier(t, access.SigV4Options{})
	replace := func(name, from, to string) func(r *http.Request) {
		return func(r *http.Request) {
			old := r.Header.Get(name)
			if !strings.Contains(old, from) {
				t.Fatalf("%s: %q has no %q", name, old, from)
			}
			r.Header.Set(name, strings.Replace(old, from, to, 1))
		}
	}
	unsigned := func(name string) string {
		return "InvalidSignatureException: '" + name + "' must be a 'SignedHeader' in the AWS Authorization."
	}
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
		want   string
	}{
		{"method", func(r *http.Request) { r.Method = "PUT" }, mismatch},
		{"path", func(r *http.Request) { r.URL.Path = "/x" }, mismatch},
		{"query", func(r *http.Request) { r.URL.RawQuery = "x=1" }, mismatch},
		{"host", func(r *http.Request) { r.Host = "localhost:4574" }, mismatch},
		{"target", replace("X-Amz-Target", "Describe", "Delete"), mismatch},
		{"content type", replace("Content-Type", "json", "cbor"), mismatch},
		{"date", replace("X-Amz-Date", "175004", "175005"), mismatch},
		{"other x-amz header", replace("X-Amz-Meta", "two", "three"), mismatch},
		{"content length", func(r *http.Request) { r.ContentLength++ }, mismatch},
		{"signature", func(r *http.Request) { flip(r, "Signature=") }, mismatch},
		{"signature not hex", replace("Authorization", "Signature=", "Signature=zz"), mismatch},
		{"signature cut", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-2])
		}, mismatch},
		{"signed headers", replace("Authorization", "SignedHeaders=content-length;", "SignedHeaders="), mismatch},
		{"key", replace("Authorization", "AKID1", "AKID2"), mismatch},
		{"added x-amz header", func(r *http.Request) { r.Header.Set("X-Amz-New", "1") }, unsigned("x-amz-new")},
		{"content type dropped from the list", replace("Authorization", "content-type;", ""), mismatch},
		{"target not signed", replace("Authorization", ";x-amz-target", ""), unsigned("x-amz-target")},
		{"date not signed", replace("Authorization", ";x-amz-date", ""), unsigned("x-amz-date")},
		{
			"host not signed", replace("Authorization", ";host", ""),
			"InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
		},
		{"body hash header", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hash("other")) }, unsigned("x-amz-content-sha256")},
		{
			"scope date", replace("Authorization", "/20180920/", "/20180919/"),
			"InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20180919' != '20180920', from '20180920T175004Z'.",
		},
		{"scope region", replace("Authorization", "eu-west-1", "eu-west-2"), mismatch},
		{
			"scope end", replace("Authorization", "aws4_request", "aws5_request"),
			"InvalidSignatureException: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'.",
		},
		{
			"scope short", replace("Authorization", "/eu-west-1", ""),
			"IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKID1/20180920/kinesis/aws4_request'",
		},
		{
			"date malformed", replace("X-Amz-Date", "T", "U"),
			"IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '20180920U175004Z'. See http://en.wikipedia.org/wiki/ISO_8601",
		},
		{"algorithm", replace("Authorization", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."},
		{"no authorization", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException: Missing Authentication Token"},
		{
			"authorization twice", func(r *http.Request) { r.Header.Add("Authorization", "Basic eDp5") },
			"IncompleteSignatureException: Authorization header must be there once, not 2 times.",
		},
		{"query that cannot be read", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, mismatch},
		{"query with a semicolon", func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" }, mismatch},
		{"session token added", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, unsigned("x-amz-security-token")},
		{"target twice", func(r *http.Request) { r.Header.Add("X-Amz-Target", "Kinesis_20131202.DeleteStream") }, mismatch},
		{"basic authorization", func(r *http.Request) { r.SetBasicAuth("AKID1", "one") }, "MissingAuthenticationTokenException: Missing Authentication Token"},
		{
			"header and query", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" },
			"InvalidSignatureException: Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
		},
		{
			"nothing in it", func(r *http.Request) {
				r.Header.Set("Authorization", "AWS4-HMAC-SHA256")
				r.Header.Del("X-Amz-Date")
				r.Header.Del("Date")
			},
			"IncompleteSignatureException: Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, standard())
			tt.change(r)
			if got := outcome(v, r, body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	t.Run("body", func(t *testing.T) {
		for i := range body {
			b := []byte(body)
			b[i] ^= 1
			if got := outcome(v, signed(t, standard()), string(b)); got != mismatch {
				t.Fatalf("byte %d: got %s", i, got)
			}
			if i > 3 {
				break
			}
		}
	})
}

func flip(r *http.Request, after string) {
	a := []byte(r.Header.Get("Authorization"))
	i := bytes.Index(a, []byte(after)) + len(after)
	if a[i] == '0' {
		a[i] = '1'
	} else {
		a[i] = '0'
	}
	r.Header.Set("Authorization", string(a))
}

func TestSeparators(t *testing.T) {
	v := verifier(t, access.SigV4Options{})
	for _, sep := range []string{",", ", ", " ", " , "} {
		r := signed(t, standard())
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", sep))
		if got := outcome(v, r, body); got != "AKID1" {
			t.Errorf("separator %q: got %s", sep, got)
		}
	}
}

// TestPayloadHash: the hash of the body that a request names is compared with
// the body. Over TLS the body may be left out of the signature.
func TestPayloadHash(t *testing.T) {
	v := verifier(t, access.SigV4Options{})
	secure := new(tls.ConnectionState)
	for _, tt := range []struct {
		name, given, body string
		tls               *tls.ConnectionState
		want              string
	}{
		{"real", hash(body), body, nil, "AKID1"},
		{"real, over TLS", hash(body), body, secure, "AKID1"},
		{"of another body", hash("other"), body, nil, mismatch},
		{"of another body, over TLS", hash("other"), body, secure, mismatch},
		{"capitals", strings.ToUpper(hash(body)), body, nil, mismatch},
		{"unsigned, over TLS", "UNSIGNED-PAYLOAD", "anything", secure, "AKID1"},
		{
			"unsigned, in plain HTTP", "UNSIGNED-PAYLOAD", body, nil,
			"InvalidSignatureException: 'x-amz-content-sha256' may be 'UNSIGNED-PAYLOAD' over TLS only; it must be the hash of the body.",
		},
		{
			"chunks of S3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", body, secure,
			"InvalidSignatureException: 'x-amz-content-sha256' must be the hash of the body; signed chunks such as 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' are for S3 only.",
		},
		{"nonsense", "none", body, secure, mismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://h/", nil)
			r.TLS = tt.tls
			r.Header.Set("X-Amz-Content-Sha256", tt.given)
			s := standard()
			if err := v4.NewSigner().SignHTTP(t.Context(), s.key, r, tt.given, s.name, s.region, s.at); err != nil {
				t.Fatal(err)
			}
			if got := outcome(v, r, tt.body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPresigned(t *testing.T) {
	v := verifier(t, access.SigV4Options{})
	presigned := func() *http.Request {
		s := standard()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		u, header, err := v4.NewSigner().PresignHTTP(t.Context(), s.key, r, hash(body), s.name, s.region, s.at)
		if err != nil {
			t.Fatal(err)
		}
		in := httptest.NewRequestWithContext(t.Context(), http.MethodPost, u, strings.NewReader(body))
		in.Header = header
		return in
	}
	edit := func(r *http.Request, f func(q url.Values)) {
		q := r.URL.Query()
		f(q)
		r.URL.RawQuery = q.Encode()
	}
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
		want   string
	}{
		{"good", func(*http.Request) {}, "AKID1"},
		{"query", func(r *http.Request) { edit(r, func(q url.Values) { q.Set("x", "1") }) }, mismatch},
		{"signature", func(r *http.Request) {
			edit(r, func(q url.Values) { q.Set("X-Amz-Signature", strings.Repeat("0", 64)) })
		}, mismatch},
		{"content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, mismatch},
		{
			"target not signed", func(r *http.Request) { r.Header.Set("X-Amz-Target", "a.b") },
			"InvalidSignatureException: 'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
		},
		{
			"algorithm", func(r *http.Request) { edit(r, func(q url.Values) { q.Set("X-Amz-Algorithm", "none") }) },
			"IncompleteSignatureException: Unsupported AWS 'algorithm': 'none'.",
		},
		{"session token that is none", func(r *http.Request) { edit(r, func(q url.Values) { q.Set("X-Amz-Security-Token", "t") }) }, mismatch},
		{
			"old", func(r *http.Request) { edit(r, func(q url.Values) { q.Set("X-Amz-Date", "20180920T174101Z") }) },
			"InvalidSignatureException: Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z (20180920T175004Z - 5 min.)",
		},
		{"date of the wrong form", func(r *http.Request) {
			edit(r, func(q url.Values) { q.Set("X-Amz-Date", now.Format(http.TimeFormat)) })
		}, "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got 'Thu, 20 Sep 2018 17:50:04 GMT'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{
			"other service", func(r *http.Request) {
				edit(r, func(q url.Values) { q.Set("X-Amz-Credential", "AKID1/20180920/eu-west-1/firehose/aws4_request") })
			},
			"InvalidSignatureException: Credential should be scoped to correct service: 'kinesis'.",
		},
		{
			"host not signed", func(r *http.Request) { edit(r, func(q url.Values) { q.Set("X-Amz-SignedHeaders", "content-type") }) },
			"InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
		},
		{
			"header too", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") },
			"InvalidSignatureException: Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
		},
		{
			"nothing but the algorithm", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=" },
			"IncompleteSignatureException: AWS query-string parameters must include 'X-Amz-Algorithm'. " +
				"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. " +
				"AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. " +
				"Re-examine the query-string parameters.",
		},
		{"incomplete", func(r *http.Request) {
			edit(r, func(q url.Values) { q.Del("X-Amz-SignedHeaders"); q.Del("X-Amz-Date") })
		}, "IncompleteSignatureException: AWS query-string parameters must include 'X-Amz-SignedHeaders'. " +
			"AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := presigned()
			tt.change(r)
			if got := outcome(v, r, body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOtherHosts(t *testing.T) {
	v := verifier(t, access.SigV4Options{Hosts: []string{"kinesis.example.org:8443", "kinesis.example.org"}})
	s := standard()
	s.url = "http://kinesis.example.org/"
	r := signed(t, s)
	r.Host = "10.0.0.1:4573" // a proxy rewrote it
	if got := outcome(v, r, body); got != "AKID1" {
		t.Errorf("got %s", got)
	}
	if r.Host != "10.0.0.1:4573" {
		t.Errorf("the request has host %s now", r.Host)
	}
	if got := outcome(verifier(t, access.SigV4Options{}), r, body); got != mismatch {
		t.Errorf("without the name: got %s", got)
	}
	s.url = "http://other.example.org/"
	if r = signed(t, s); outcome(v, r, body) != "AKID1" {
		t.Error("the host that the request arrived with is not taken beside the names")
	}
	r.Host = "10.0.0.1:4573"
	if got := outcome(v, r, body); got != mismatch {
		t.Errorf("a host that is no name of ours: got %s", got)
	}
}

// TestIdentity: who a key is comes with the request, and a key with a region is
// good for it alone.
func TestIdentity(t *testing.T) {
	v := verifier(t, access.SigV4Options{Keys: []access.Key{
		{ID: "OLD", Secret: "one", Name: "billing", Account: "111122223333", Region: "eu-west-1"},
		{ID: "NEW", Secret: "two", Name: "billing", Account: "111122223333", Region: "eu-west-1"}, // the rotation
		{ID: "PLAIN", Secret: "three"},
	}})
	call := func(id, secret, region string) (access.Identity, error) {
		s := standard()
		s.key, s.region = aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, region
		return v.Verify(signed(t, s), []byte(body), "kinesis")
	}
	for _, tt := range []struct {
		id, secret, region string
		want               access.Identity
		err                string
	}{
		{"OLD", "one", "eu-west-1", access.Identity{AccessKeyID: "OLD", Name: "billing", Account: "111122223333"}, ""},
		{"NEW", "two", "eu-west-1", access.Identity{AccessKeyID: "NEW", Name: "billing", Account: "111122223333"}, ""},
		{"PLAIN", "three", "us-east-1", access.Identity{AccessKeyID: "PLAIN", Name: "PLAIN"}, ""},
		{"NEW", "two", "us-east-1", access.Identity{}, "InvalidSignatureException: Credential should be scoped to a valid region."},
		// Whoever has not the secret does not learn the region of a key.
		{"NEW", "one", "us-east-1", access.Identity{}, mismatch},
	} {
		got, err := call(tt.id, tt.secret, tt.region)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || text != tt.err {
			t.Errorf("%s in %s: got %+v, %s; want %+v, %s", tt.id, tt.region, got, text, tt.want, tt.err)
		}
	}
}

func TestDateHeader(t *testing.T) {
	// Signed by hand: SDKs always send X-Amz-Date.
	v := verifier(t, access.SigV4Options{})
	r := signed(t, standard())
	r.Header.Del("X-Amz-Date")
	r.Header.Set("Date", now.Format(http.TimeFormat))
	want := "InvalidSignatureException: 'date' must be a 'SignedHeader' in the AWS Authorization."
	if got := outcome(v, r, body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadKeys(t *testing.T) {
	for _, tt := range []struct {
		keys []access.Key
		want string
	}{
		{nil, "no access keys"},
		{[]access.Key{{ID: "A"}}, "access key 1: id or secret is empty"},
		{[]access.Key{{ID: "A", Secret: "s"}, {ID: "A", Secret: "t"}}, "access key A: there are two of this id"},
		{[]access.Key{{ID: "A/B", Secret: "s"}}, "access key 1: id has a slash, comma or space"},
	} {
		if _, err := access.NewSigV4(access.SigV4Options{Keys: tt.keys}); err == nil || err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.keys, err, tt.want)
		}
	}
}

func TestTooManyHosts(t *testing.T) {
	_, err := access.NewSigV4(access.SigV4Options{Keys: []access.Key{{ID: "A", Secret: "s"}}, Hosts: make([]string, access.MaxHosts+1)})
	if err == nil || err.Error() != "33 names of hosts are more than 32" {
		t.Errorf("got %v", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	k := access.Key{ID: "AKID1", Secret: "hush", SessionToken: "hush too"}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("key", "key", k, "keys", []access.Key{k})
	fmt.Fprintf(&b, "%v %+v %#v %s", k, k, k, []access.Key{k})
	if strings.Contains(b.String(), "hush") {
		t.Errorf("a secret is in %s", b.String())
	}
}

func TestAnyone(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 garbage")
	if id, err := (access.Anyone{}).Verify(r, nil, "kinesis"); err != nil || id != (access.Identity{}) {
		t.Errorf("got %v, %v", id, err)
	}
}

// refuse demands that nothing of a forged request passes or panics.
func refuse(t *testing.T, v access.Verifier, r *http.Request) {
	t.Helper()
	id, err := v.Verify(r, []byte("{}"), "kinesis")
	var refused *access.Error
	if err == nil || !errors.As(err, &refused) || id != (access.Identity{}) {
		t.Fatalf("got %v, %v", id, err)
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	v := verifier(f, access.SigV4Options{})
	r := signed(f, standard())
	f.Add(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,SignedHeaders=;;host;,Signature=", "20180920T175004Z", "token", hash("{}"))
	f.Add("AWS4-HMAC-SHA256 Credential=AKID1/20180920/r/kinesis/aws4_request SignedHeaders=host;x-amz-date Signature=00", "20180920T175004Z", "", "UNSIGNED-PAYLOAD")
	f.Fuzz(func(t *testing.T, authorization, date, token, payload string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", nil)
		r.TLS = new(tls.ConnectionState)
		for name, value := range map[string]string{
			"Authorization": authorization, "X-Amz-Date": date, "X-Amz-Security-Token": token, "X-Amz-Content-Sha256": payload,
		} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		refuse(t, v, r)
	})
}

func FuzzPresignedQuery(f *testing.F) {
	v := verifier(f, access.SigV4Options{Hosts: []string{"other"}})
	f.Add("X-Amz-Algorithm=1")
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID1/20180920/r/kinesis/aws4_request&X-Amz-Signature=00&X-Amz-SignedHeaders=host&X-Amz-Date=20180920T175004Z")
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=x&x=%zz;&&=&X-Amz-SignedHeaders=host;;")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", nil)
		r.URL.RawQuery = query
		refuse(t, v, r)
	})
}

// FuzzSignedBySDK: what the SDK signs is good, whatever stands in the path, the
// query and a header; and not good any more when one of them changes.
func FuzzSignedBySDK(f *testing.F) {
	v := verifier(f, access.SigV4Options{})
	f.Add("/", "a", "b", "c")
	f.Add("/a b/%2F/\u00e9", "x+y", "1 2&3=4;5", "  two   spaces\t here ")
	f.Add("//..//a", "", "\x00\xff", "")
	f.Add("/~-._", "X-Amz-Credential", "%zz", "a,b , c")
	f.Fuzz(func(t *testing.T, path, name, value, header string) {
		u := url.URL{Scheme: "http", Host: "h", Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: url.Values{name: {value}}.Encode()}
		if _, ok := u.Query()["X-Amz-Algorithm"]; ok || strings.ContainsFunc(header, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			t.Skip("another form, or no header")
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", nil)
		r.URL, r.Host = &u, u.Host
		r.Header.Set("X-Amz-Meta", header)
		s := standard()
		if err := v4.NewSigner().SignHTTP(context.Background(), s.key, r, hash(body), s.name, s.region, s.at); err != nil {
			t.Skip(err)
		}
		if got := outcome(v, r, body); got != "AKID1" {
			t.Fatalf("%s, header %q: got %s", &u, header, got)
		}
		u.RawQuery += "&more=1"
		if got := outcome(v, r, body); got != mismatch {
			t.Fatalf("with more in its query: got %s", got)
		}
	})
}
