package s3test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// verify checks the signature, version 4, of a request, and the hash of its
// body that the signature covers. Source: Amazon S3 API reference, "Signature
// calculations for the Authorization header: transferring payload in a single
// chunk".
func verify(r *http.Request, body []byte) error {
	malformed := func(why string) error {
		return &apiError{400, "AuthorizationHeaderMalformed", "The authorization header is malformed; " + why}
	}
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return &apiError{403, "AccessDenied", "Anonymous access is forbidden"}
	}
	field := map[string]string{}
	for f := range strings.SplitSeq(auth, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		field[k] = v
	}
	scope := strings.Split(field["Credential"], "/")
	if len(scope) != 5 || scope[3] != "s3" || scope[4] != "aws4_request" {
		return malformed("the credential scope is wrong")
	}
	if scope[0] != AccessKeyID {
		return &apiError{403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."}
	}
	if scope[2] != Region {
		return malformed("the region '" + scope[2] + "' is wrong; expecting '" + Region + "'")
	}
	sent := r.Header.Get("X-Amz-Content-Sha256")
	if sum := sha256.Sum256(body); sent != hex.EncodeToString(sum[:]) && sent != "UNSIGNED-PAYLOAD" {
		return &apiError{400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."}
	}
	signed := strings.Split(field["SignedHeaders"], ";")
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return &apiError{403, "AccessDenied", "There were headers present in the request which were not signed: " + name}
		}
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range signed {
		v := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			v = r.Host
		case "content-length":
			v = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + strings.Join(strings.Fields(v), " ") + "\n")
	}
	canonical.WriteString("\n" + field["SignedHeaders"] + "\n" + sent)
	sum := sha256.Sum256([]byte(canonical.String()))
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + SecretAccessKey)
	for _, part := range scope[1:] {
		key = sign(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(sign(key, toSign))), []byte(field["Signature"])) {
		return &apiError{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."}
	}
	return nil
}

func sign(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(data)) // a hash takes everything
	return h.Sum(nil)
}

func canonicalQuery(q url.Values) string {
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}
