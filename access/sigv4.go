package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	terminator = "aws4_request"
	// stampLayout is the basic ISO 8601 form of X-Amz-Date.
	stampLayout = "20060102T150405Z"
	dayLayout   = "20060102"
)

// DefaultWindow is how far the clock of a client may be off.
const DefaultWindow = 5 * time.Minute

// SigV4Options are what SigV4 verifies against.
type SigV4Options struct {
	// Keys are the credentials that may call. At least one.
	Keys []Key
	// Regions are the regions a signature may be scoped to. Empty means any.
	Regions []string
	// Hosts, if not empty, are further names of this daemon, with a port if
	// clients sign one: a signature made for one of them is good whatever Host
	// the request arrives with. This is for reverse proxies that rewrite it. At
	// most MaxHosts, since a wrong signature is compared with each.
	Hosts []string
	// Window is how far the clock of a client may be off; 0 means DefaultWindow.
	Window time.Duration
	// Clock returns the present time; nil means time.Now.
	Clock func() time.Time
}

// MaxHosts bounds SigV4Options.Hosts.
const MaxHosts = 32

// SigV4 is the Verifier of signed requests.
type SigV4 struct {
	keys    map[string]Key
	regions []string
	hosts   []string
	window  time.Duration
	clock   func() time.Time
}

var _ Verifier = (*SigV4)(nil)

// NewSigV4 returns a verifier for a set of keys. Ids must differ, and neither
// ids nor secrets may be empty.
func NewSigV4(opt SigV4Options) (*SigV4, error) {
	if len(opt.Keys) == 0 {
		return nil, errors.New("no access keys")
	}
	if len(opt.Hosts) > MaxHosts {
		return nil, fmt.Errorf("%d names of hosts are more than %d", len(opt.Hosts), MaxHosts)
	}
	v := &SigV4{
		keys:    make(map[string]Key, len(opt.Keys)),
		regions: opt.Regions,
		hosts:   opt.Hosts,
		window:  opt.Window,
		clock:   opt.Clock,
	}
	if v.window <= 0 {
		v.window = DefaultWindow
	}
	if v.clock == nil {
		v.clock = time.Now
	}
	for i, k := range opt.Keys {
		if k.ID == "" || k.Secret == "" {
			return nil, fmt.Errorf("access key %d: id or secret is empty", i+1)
		}
		if strings.ContainsAny(k.ID, "/, ") {
			return nil, fmt.Errorf("access key %d: id has a slash, comma or space", i+1)
		}
		if _, ok := v.keys[k.ID]; ok {
			return nil, fmt.Errorf("access key %s: there are two of this id", k.ID)
		}
		v.keys[k.ID] = k
	}
	return v, nil
}

var errSignature = &Error{CodeInvalidSignature, "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}

var errRegion = &Error{CodeInvalidSignature, "Credential should be scoped to a valid region."}

var errClient = &Error{CodeUnrecognizedClient, "The security token included in the request is invalid."}

// Verify checks the signature of a request. The hash of the body is taken from
// the bytes that arrived. UNSIGNED-PAYLOAD in its place is taken over TLS only,
// where nobody can change the body on its way: that is also where SDKs send it.
// The signed chunks of S3 (STREAMING-...) are refused.
func (v *SigV4) Verify(r *http.Request, body []byte, service string) (Identity, error) {
	id, err := v.verify(r, body, service)
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

func (v *SigV4) verify(r *http.Request, body []byte, service string) (Identity, *Error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Identity{}, errSignature // nobody signs what cannot be read
	}
	c, refusal := readClaim(r, query)
	if refusal != nil {
		return Identity{}, refusal
	}
	s, refusal := c.scope()
	if refusal != nil {
		return Identity{}, refusal
	}
	if refusal := v.checkScope(s, service); refusal != nil {
		return Identity{}, refusal
	}
	at, refusal := v.checkTime(c, s)
	if refusal != nil {
		return Identity{}, refusal
	}
	signed, refusal := signedHeaders(r, c)
	if refusal != nil {
		return Identity{}, refusal
	}
	bodyHash, refusal := payload(r, body)
	if refusal != nil {
		return Identity{}, refusal
	}

	// An unknown key costs the same work as a known one.
	key, known := v.keys[s.keyID]
	stamp := at.UTC().Format(stampLayout)
	given, hexErr := hex.DecodeString(c.signature)
	match := v.matches(r.Host, func(host string) string { return canonicalRequest(r, host, query, c, signed, bodyHash) }, key.Secret, s, stamp, given)
	switch {
	case !known:
		return Identity{}, errClient
	case hexErr != nil || !match:
		return Identity{}, errSignature
	case subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(c.token)) != 1:
		return Identity{}, errClient
	case key.Region != "" && key.Region != s.region:
		return Identity{}, errRegion
	}
	id := Identity{AccessKeyID: key.ID, Name: key.Name, Account: key.Account}
	if id.Name == "" {
		id.Name = key.ID
	}
	return id, nil
}

// payload returns what stands for the body in what is signed.
func payload(r *http.Request, body []byte) (string, *Error) {
	const unsigned = "UNSIGNED-PAYLOAD"
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	switch given := r.Header.Values("X-Amz-Content-Sha256"); {
	case len(given) == 0 || len(given) == 1 && given[0] == hash:
		return hash, nil
	case len(given) == 1 && given[0] == unsigned && r.TLS != nil:
		return unsigned, nil
	case len(given) == 1 && given[0] == unsigned:
		return "", &Error{CodeInvalidSignature, "'x-amz-content-sha256' may be 'UNSIGNED-PAYLOAD' over TLS only; it must be the hash of the body."}
	case len(given) == 1 && strings.HasPrefix(given[0], "STREAMING-"):
		return "", &Error{CodeInvalidSignature, "'x-amz-content-sha256' must be the hash of the body; signed chunks such as '" + given[0] + "' are for S3 only."}
	}
	return "", errSignature
}

// matches tries the Host of the request and then the other names of this
// daemon.
func (v *SigV4) matches(host string, canonical func(host string) string, secret string, s scope, stamp string, given []byte) bool {
	key := signingKey(secret, s)
	try := func(request string) bool {
		sum := sha256.Sum256([]byte(request))
		toSign := algorithm + "\n" + stamp + "\n" + s.date + "/" + s.region + "/" + s.service + "/" + terminator + "\n" + hex.EncodeToString(sum[:])
		return hmac.Equal(mac(key, toSign), given)
	}
	if try(canonical(host)) {
		return true
	}
	for _, name := range v.hosts {
		if name != host && try(canonical(name)) {
			return true
		}
	}
	return false
}

func signingKey(secret string, s scope) []byte {
	k := mac([]byte("AWS4"+secret), s.date)
	k = mac(k, s.region)
	k = mac(k, s.service)
	return mac(k, terminator)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (v *SigV4) checkScope(s scope, service string) *Error {
	if s.region == "" || len(v.regions) > 0 && !slices.Contains(v.regions, s.region) {
		return errRegion
	}
	if s.service != service {
		return &Error{CodeInvalidSignature, "Credential should be scoped to correct service: '" + service + "'."}
	}
	return nil
}

// checkTime reads the time of a request and compares it with the clock and the
// day of the credential.
func (v *SigV4) checkTime(c claim, s scope) (time.Time, *Error) {
	at, err := time.Parse(stampLayout, c.date)
	if err != nil && !c.presigned {
		at, err = http.ParseTime(c.date)
	}
	if err != nil {
		return time.Time{}, &Error{CodeIncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '" + c.date +
			"'. See http://en.wikipedia.org/wiki/ISO_8601"}
	}
	at = at.UTC()
	if day := at.Format(dayLayout); day != s.date {
		return time.Time{}, &Error{CodeInvalidSignature, fmt.Sprintf(
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			s.date, day, at.Format(stampLayout))}
	}
	now := v.clock().UTC()
	minutes := int(v.window / time.Minute)
	switch {
	case at.Before(now.Add(-v.window)):
		return time.Time{}, &Error{CodeInvalidSignature, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			at.Format(stampLayout), now.Add(-v.window).Format(stampLayout), now.Format(stampLayout), minutes)}
	case at.After(now.Add(v.window)):
		return time.Time{}, &Error{CodeInvalidSignature, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			at.Format(stampLayout), now.Add(v.window).Format(stampLayout), now.Format(stampLayout), minutes)}
	}
	return at, nil
}

// signedHeaders takes the list of signed headers apart and demands the ones
// without which a signature could be carried over to another request: host,
// the date, and every x-amz-* header there is, among them the operation. The
// content type is not among them: the SDK for PHP does not sign it, and a body
// that is read as another format is none.
func signedHeaders(r *http.Request, c claim) ([]string, *Error) {
	names := strings.Split(c.signedHeaders, ";")
	need := func(name string) *Error {
		if slices.Contains(names, name) {
			return nil
		}
		return &Error{CodeInvalidSignature, "'" + name + "' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if !slices.Contains(names, "host") && !slices.Contains(names, authorityHeader) {
		return nil, &Error{CodeInvalidSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") {
			if err := need(lower); err != nil {
				return nil, err
			}
		}
	}
	if !c.presigned && r.Header.Get("X-Amz-Date") == "" {
		if err := need("date"); err != nil {
			return nil, err
		}
	}
	return names, nil
}
