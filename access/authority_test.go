package access_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/access"
)

// TestAuthoritySigned verifies what @smithy/signature-v4 5.7, the signer of the
// SDK for JavaScript, made of a request over HTTP/2: it signs :authority, not host.
func TestAuthoritySigned(t *testing.T) {
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost:4573/", strings.NewReader(body))
		r.ProtoMajor, r.Proto = 2, "HTTP/2.0"
		for name, value := range map[string]string{
			"Content-Type":         "application/x-amz-json-1.1",
			"X-Amz-Target":         "Kinesis_20131202.DescribeStream",
			"X-Amz-Date":           "20180920T175004Z",
			"X-Amz-Content-Sha256": hash(body),
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKID1/20180920/eu-west-1/kinesis/aws4_request, " +
				"SignedHeaders=:authority;content-length;content-type;x-amz-content-sha256;x-amz-date;x-amz-target, " +
				"Signature=ff43e896085c9479f6542bd02c56969fb69e80a68f9f789193f39aa2f1b401a8",
		} {
			r.Header.Set(name, value)
		}
		return r
	}
	v := verifier(t, access.SigV4Options{})
	id, err := v.Verify(request(), []byte(body), "kinesis")
	if err != nil || id.AccessKeyID != "AKID1" {
		t.Errorf("%v, %v", id, err)
	}
	other := request()
	other.Host = "localhost:4574"
	if _, err := v.Verify(other, []byte(body), "kinesis"); err == nil || err.Error() != mismatch {
		t.Errorf("another authority: %v", err)
	}
}
