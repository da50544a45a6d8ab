package access

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const algorithm = "AWS4-HMAC-SHA256"

// claim is what a request says about its signature. Nothing in it is verified.
type claim struct {
	credential    string
	signature     string
	signedHeaders string
	date          string // as sent: X-Amz-Date, or the Date header
	token         string
	presigned     bool
}

// readClaim takes the claim out of a request, from the Authorization header or
// from the query string. A refusal is an *Error.
func readClaim(r *http.Request, query url.Values) (claim, *Error) {
	header := r.Header.Get("Authorization")
	_, inQuery := query["X-Amz-Algorithm"]
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return claim{}, &Error{CodeIncompleteSignature, "Authorization header must be there once, not " + strconv.Itoa(len(r.Header.Values("Authorization"))) + " times."}
	case header != "" && inQuery:
		return claim{}, &Error{CodeInvalidSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	case inQuery:
		return readQueryClaim(query)
	case !strings.HasPrefix(strings.TrimSpace(header), "AWS4-"):
		return claim{}, &Error{CodeMissingToken, "Missing Authentication Token"}
	}
	return readHeaderClaim(r, header)
}

func readHeaderClaim(r *http.Request, header string) (claim, *Error) {
	c := parseAuthorization(header)
	c.token = r.Header.Get("X-Amz-Security-Token")
	c.date = r.Header.Get("X-Amz-Date")
	if c.date == "" {
		c.date = r.Header.Get("Date")
	}
	missing := ""
	if c.credential == "" {
		missing += "Authorization header requires 'Credential' parameter. "
	}
	if c.signature == "" {
		missing += "Authorization header requires 'Signature' parameter. "
	}
	if c.signedHeaders == "" {
		missing += "Authorization header requires 'SignedHeaders' parameter. "
	}
	if c.date == "" {
		missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	}
	if missing != "" {
		return claim{}, &Error{CodeIncompleteSignature, missing + "Authorization=" + header}
	}
	if word, _, _ := strings.Cut(strings.TrimSpace(header), " "); word != algorithm {
		return claim{}, &Error{CodeIncompleteSignature, "Unsupported AWS 'algorithm': '" + word + "'."}
	}
	return c, nil
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=...,
// Signature=..."; like the real service it takes commas, spaces or both
// between the parts. Of a part that comes twice the last one counts.
func parseAuthorization(header string) claim {
	var c claim
	parts := strings.FieldsFunc(header, func(r rune) bool { return r == ',' || r == ' ' })
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Credential":
			c.credential = value
		case "Signature":
			c.signature = value
		case "SignedHeaders":
			c.signedHeaders = value
		}
	}
	return c
}

func readQueryClaim(query url.Values) (claim, *Error) {
	c := claim{
		credential:    query.Get("X-Amz-Credential"),
		signature:     query.Get("X-Amz-Signature"),
		signedHeaders: query.Get("X-Amz-SignedHeaders"),
		date:          query.Get("X-Amz-Date"),
		token:         query.Get("X-Amz-Security-Token"),
		presigned:     true,
	}
	missing := ""
	for _, p := range []struct{ name, value string }{
		{"X-Amz-Algorithm", query.Get("X-Amz-Algorithm")},
		{"X-Amz-Credential", c.credential},
		{"X-Amz-Signature", c.signature},
		{"X-Amz-SignedHeaders", c.signedHeaders},
		{"X-Amz-Date", c.date},
	} {
		if p.value == "" {
			missing += "AWS query-string parameters must include '" + p.name + "'. "
		}
	}
	if missing != "" {
		return claim{}, &Error{CodeIncompleteSignature, missing + "Re-examine the query-string parameters."}
	}
	if a := query.Get("X-Amz-Algorithm"); a != algorithm {
		return claim{}, &Error{CodeIncompleteSignature, "Unsupported AWS 'algorithm': '" + a + "'."}
	}
	return c, nil
}

// scope is the taken-apart credential of a claim.
type scope struct {
	keyID, date, region, service string
}

func (c claim) scope() (scope, *Error) {
	p := strings.Split(c.credential, "/")
	if len(p) != 5 {
		return scope{}, &Error{
			CodeIncompleteSignature,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + c.credential + "'",
		}
	}
	if p[4] != terminator {
		return scope{}, &Error{CodeInvalidSignature, "Credential should be scoped with a valid terminator: 'aws4_request', not '" + p[4] + "'."}
	}
	return scope{keyID: p[0], date: p[1], region: p[2], service: p[3]}, nil
}
