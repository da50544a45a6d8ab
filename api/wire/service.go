package wire

import (
	"context"
	"fmt"

	"github.com/firehosed/firehosed/access"
)

// Service is a table of operations under one target prefix.
type Service struct {
	// Target is the part of X-Amz-Target before the dot.
	Target string
	// SigningName is what signatures must be scoped to.
	SigningName string
	// CBOR says whether the service speaks CBOR besides JSON.
	CBOR bool
	// RPC says whether the service speaks smithy-rpc-v2-cbor besides JSON.
	RPC bool
	// Query, if not nil, is how the service speaks awsQuery.
	Query *Query
	// QueryOnly says that it speaks nothing else. Target is only its name then.
	QueryOnly bool
	// Compressed says whether bodies may be compressed with gzip.
	Compressed bool
	// MaxBodyBytes is the largest body the service takes, as it is sent, in
	// bytes; 0 means that of the handler.
	MaxBodyBytes int64
	// JSON10 says that the service speaks version 1.0 of JSON, and not 1.1.
	JSON10 bool
	// ErrorType, if not nil, renders the code of an error as a client gets it in
	// "__type". Otherwise that is the bare code.
	ErrorType func(code string) string
	// Checksum says whether responses carry the CRC-32 (IEEE) of their body in
	// x-amz-crc32.
	Checksum bool
	// HideValues leaves the value out of messages about constraints.
	HideValues bool
	Operations []Operation
}

// Operation is one operation of a service.
type Operation struct {
	Name string
	// Input is a Structure.
	Input *Shape
	// Handle answers a request whose input fits the shape. Output written
	// before an error is discarded. An error that is no *Error becomes a status
	// 500 and is logged.
	Handle func(ctx context.Context, r *Request, out *Encoder) error
	// Stream, instead of Handle, answers with a stream of events. It checks the
	// request, which is gone when it has returned, and returns what then writes
	// the events. An error is answered as by Handle, in JSON. ctx ends with the
	// response, or when its client leaves.
	Stream func(ctx context.Context, r *Request) (StreamFunc, error)
}

// StreamFunc writes the events of one response. It is called once for each
// Stream that gave one, also when the client has gone. The response ends with
// it: cleanly, or with an exception that tells its error.
type StreamFunc func(out *EventWriter) error

// Request is one call of an operation. It and its values belong to the call
// and are not to be kept.
type Request struct {
	Service   string // the Target of the service
	Operation string
	// ID is the request id that the client gets.
	ID     string
	Caller access.Identity
	Input  Value

	share *share
	// complete says what is wrong with absent conditional members; nil if none
	// is absent.
	complete func() error
}

// Complete returns the ValidationException for members made with Conditional
// that are absent, or nil.
func (r *Request) Complete() error {
	if r.complete == nil {
		return nil
	}
	return r.complete()
}

// Reserve asks for room for a response of want bytes among all that is in
// flight, until the call ends. It returns how much was granted: want, or less
// but at least least, or 0 if there is no room. Operations that read much
// data at a client's wish ask before they read.
func (r *Request) Reserve(want, least int64) int64 {
	if r.share == nil {
		return want
	}
	return r.share.upTo(want, least)
}

// validate checks the table of a service.
func (s *Service) validate() error {
	if s.Target == "" || s.SigningName == "" {
		return fmt.Errorf("service %q: target or signing name is empty", s.Target)
	}
	if s.Query != nil && (s.Query.Version == "" || s.Query.Namespace == "") || s.Query == nil && s.QueryOnly {
		return fmt.Errorf("service %s: version or namespace of awsQuery is empty", s.Target)
	}
	seen := make(map[string]bool, len(s.Operations))
	for _, op := range s.Operations {
		if op.Name == "" || (op.Handle == nil) == (op.Stream == nil) || op.Input == nil || op.Input.kind != kindStructure {
			return fmt.Errorf("service %s: operation %q lacks its name, input or handler", s.Target, op.Name)
		}
		if seen[op.Name] {
			return fmt.Errorf("service %s: operation %s is there twice", s.Target, op.Name)
		}
		seen[op.Name] = true
	}
	return nil
}
