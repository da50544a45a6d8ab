package access

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest rebuilds what the client signed: method, path, query and
// the listed headers as they arrived but for the host, which is given, and the
// hash of the body that arrived.
func canonicalRequest(r *http.Request, host string, query url.Values, c claim, signed []string, bodyHash string) string {
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(canonicalPath(r.URL))
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(query, c.presigned))
	b.WriteByte('\n')
	for _, name := range signed {
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(headerValue(r, host, name))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(c.signedHeaders)
	b.WriteByte('\n')
	b.WriteString(bodyHash)
	return b.String()
}

// canonicalPath escapes the path as it was sent once more, as every service
// but S3 does.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, true)
}

func canonicalQuery(query url.Values, presigned bool) string {
	pairs := make([]string, 0, len(query))
	for name, values := range query {
		if presigned && name == "X-Amz-Signature" {
			continue
		}
		for _, v := range values {
			pairs = append(pairs, escape(name, false)+"="+escape(v, false))
		}
	}
	// Order by name, then value: '=' sorts below every character that an
	// escaped name can have except '%', '-' and '.', so compare in two steps.
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		if c := strings.Compare(an, bn); c != 0 {
			return c
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(pairs, "&")
}

// authorityHeader is what clients over HTTP/2 sign in place of host, among them
// the SDK for JavaScript.
const authorityHeader = ":authority"

// headerValue returns the value of a header as it enters the signature:
// trimmed, runs of spaces as one, several values with commas between.
func headerValue(r *http.Request, host, name string) string {
	switch name {
	case "host", authorityHeader:
		return host
	case "content-length":
		// net/http keeps the header only in some cases.
		return strconv.FormatInt(max(r.ContentLength, 0), 10)
	}
	values := r.Header.Values(name)
	if len(values) == 1 {
		return trimAll(values[0])
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = trimAll(v)
	}
	return strings.Join(out, ",")
}

func trimAll(s string) string {
	s = strings.Trim(s, " \t")
	if !strings.Contains(s, "  ") {
		return s
	}
	var b strings.Builder
	space := false
	for i := range len(s) {
		if s[i] == ' ' && space {
			continue
		}
		space = s[i] == ' '
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape percent-encodes all but unreserved characters (RFC 3986) and, in a
// path, slashes.
func escape(s string, path bool) string {
	const hex = "0123456789ABCDEF"
	clean := true
	for i := range len(s) {
		if !unreserved(s[i]) && !(path && s[i] == '/') {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) || path && c == '/' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	return c-'0' <= 9 || c|0x20-'a' <= 25 && c|0x20 >= 'a' || c == '-' || c == '.' || c == '_' || c == '~'
}
