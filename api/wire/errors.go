package wire

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer other than success, as a client sees it.
type Error struct {
	// Code is the name of the error, without a namespace.
	Code string
	// Message is for the reader; empty means that the answer has none.
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
	// Cause is logged and not sent.
	Cause error
	// More, if not nil, writes further members of the answer.
	More func(out *Encoder)

	capital bool // the key is "Message", as in errors of the protocol layer
}

func (e *Error) Error() string {
	s := e.Code
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

// Errorf returns an error with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Codes that several services share.
const (
	CodeSerialization    = "SerializationException"
	CodeValidation       = "ValidationException"
	CodeUnknownOperation = "UnknownOperationException"
	CodeInternal         = "InternalFailureException"
	CodeUnavailable      = "ServiceUnavailableException"
	CodeRequestTimeout   = "RequestTimeoutException"
	CodeTooLarge         = "RequestEntityTooLargeException"
	CodeDryRun           = "DryRunOperationException"
)

// CodeClientGone is in the Event of a request whose client left before its
// answer. It is never sent.
const CodeClientGone = "ClientGone"

// Internal returns the answer to a failure of this side: status 500, which
// clients try again. The cause is logged.
func Internal(cause error) *Error {
	return &Error{Code: CodeInternal, Message: "Internal service failure.", Status: http.StatusInternalServerError, Cause: cause}
}

// Unavailable returns the answer to "not now": status 503, which clients try
// again after a pause.
func Unavailable(message string) *Error {
	return &Error{Code: CodeUnavailable, Message: message, Status: http.StatusServiceUnavailable}
}

// serialization is the answer to a body that cannot be read as the input.
func serialization(message string) *Error {
	return &Error{Code: CodeSerialization, Message: message, capital: true}
}

// asError turns what an operation returned into an answer.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}
