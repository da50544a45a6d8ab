// Package access decides who may call.
//
// SigV4 verifies the AWS Signature Version 4 of a request, in its header and
// its query-string form, against configured keys. Anyone lets everybody in and
// looks at nothing; it is for a daemon that listens to its own machine only.
// The texts of refusals are those of the real service as far as they are
// known, because clients read them: SDKs correct their clock by them.
//
// The package does not know what an operation does, keeps no request and logs
// nothing. Policies are not part of it yet: a caller with a key may do
// everything.
package access

import (
	"log/slog"
	"net/http"
)

// Identity is who a request is from. It is the zero value if nobody asked.
type Identity struct {
	// AccessKeyID is the id of the key that signed.
	AccessKeyID string
	// Name is that of the key, its id if it has none. Keys that follow one
	// another in a rotation share a name.
	Name string
	// Account is that of the key, 12 digits, or empty for the one of the daemon.
	// What a caller makes belongs to the daemon's account whatever this is.
	Account string
}

// Verifier decides whether a request comes from somebody who may call. Methods
// may be called concurrently.
type Verifier interface {
	// Verify checks a request whose whole body has been read. service is the
	// name the signature must be scoped to, such as "kinesis". A refusal is an
	// *Error. Requests that came over TLS have r.TLS set.
	Verify(r *http.Request, body []byte, service string) (Identity, error)
}

// Error is a refusal, with the code and text an AWS client knows. Its HTTP
// status is 400.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Codes of refusals.
const (
	CodeMissingToken        = "MissingAuthenticationTokenException"
	CodeIncompleteSignature = "IncompleteSignatureException"
	CodeInvalidSignature    = "InvalidSignatureException"
	CodeUnrecognizedClient  = "UnrecognizedClientException"
)

// Anyone is the Verifier that lets everybody in.
type Anyone struct{}

var _ Verifier = Anyone{}

// Verify returns an empty identity.
func (Anyone) Verify(*http.Request, []byte, string) (Identity, error) { return Identity{}, nil }

// Key is one pair of credentials.
type Key struct {
	ID     string
	Secret string
	// SessionToken, if not empty, must come with every request of this key.
	SessionToken string
	// Name and Account are for the Identity of callers.
	Name    string
	Account string
	// Region, if not empty, is the only one that signatures of this key may be
	// scoped to.
	Region string
}

var _ slog.LogValuer = Key{}

// LogValue keeps the secrets out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

// String keeps the secrets out of formatted output.
func (k Key) String() string { return k.ID }

// GoString keeps the secrets out of %#v.
func (k Key) GoString() string { return "access.Key{ID: " + k.ID + "}" }
