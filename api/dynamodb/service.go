package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// Options of a Service.
type Options struct {
	// Store keeps the tables. Required.
	Store *leases.Store
	// Region and AccountID (12 digits) appear in ARNs. Required.
	Region, AccountID string
	// Clock defaults to time.Now.
	Clock func() time.Time
}

// Service answers the operations. Its methods may be called concurrently.
type Service struct {
	store           *leases.Store
	region, account string
	clock           func() time.Time
	tokens          tokens
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// New returns a service. It starts nothing.
func New(opt Options) (*Service, error) {
	switch {
	case opt.Store == nil:
		return nil, errors.New("dynamodb: no store")
	case opt.Region == "":
		return nil, errors.New("dynamodb: region is empty")
	case !accountPattern.MatchString(opt.AccountID):
		return nil, fmt.Errorf("dynamodb: account id %q is not 12 digits", opt.AccountID)
	}
	s := &Service{store: opt.Store, region: opt.Region, account: opt.AccountID, clock: opt.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	return s, nil
}

// Codes of this API.
const (
	codeNotFound        = "ResourceNotFoundException"
	codeInUse           = "ResourceInUseException"
	codeTableNotFound   = "TableNotFoundException"
	codeLimit           = "LimitExceededException"
	codeCondition       = "ConditionalCheckFailedException"
	codeCanceled        = "TransactionCanceledException"
	codeMismatch        = "IdempotentParameterMismatchException"
	codeInProgress      = "TransactionInProgressException"
	codeInternal        = "InternalServerError"
	namespaceOwn        = "com.amazonaws.dynamodb.v20120810#"
	namespaceValidation = "com.amazon.coral.validate#"
	namespaceService    = "com.amazon.coral.service#"
)

// errorType puts a code into the namespace that clients expect it in.
func errorType(code string) string {
	switch code {
	case wire.CodeValidation:
		return namespaceValidation + code
	case wire.CodeInternal:
		return namespaceOwn + codeInternal
	case codeNotFound, codeTableNotFound, codeInUse, codeLimit, codeCondition, codeCanceled, codeMismatch, codeInProgress:
		return namespaceOwn + code
	}
	return namespaceService + code
}

func invalid(format string, args ...any) error {
	return wire.Errorf(wire.CodeValidation, format, args...)
}

// invalidParameter is the beginning of most messages about input.
func invalidParameter(format string, args ...any) error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

// absent refuses what the real service has and this one has not.
func absent(what string) error {
	return invalid("%s is not there: this is a store of leases, not all of DynamoDB.", what)
}

func tableNotFound(name string) error {
	return wire.Errorf(codeNotFound, "Requested resource not found: Table: %s not found", name)
}

var (
	errNotFound     = wire.Errorf(codeNotFound, "Requested resource not found")
	errKeyMismatch  = wire.Errorf(wire.CodeValidation, "The provided key element does not match the schema")
	errItemSize     = wire.Errorf(wire.CodeValidation, "Item size has exceeded the maximum allowed size")
	errItemDepth    = wire.Errorf(wire.CodeValidation, "Nesting Levels have exceeded supported limits")
	errStartInvalid = wire.Errorf(wire.CodeValidation, "The provided starting key is invalid")
)

// translate turns an error of the store into an answer. What has no answer of
// its own is a failure of this side.
func (s *Service) translate(err error) error {
	var answer *wire.Error
	var index *leases.IndexKeyError
	switch {
	case errors.As(err, &answer):
		return err
	case errors.Is(err, leases.ErrNotFound):
		return errNotFound
	case errors.Is(err, leases.ErrKey):
		return errKeyMismatch
	case errors.Is(err, leases.ErrKeyChanged):
		return invalidParameter("Cannot update the key of an item")
	case errors.Is(err, leases.ErrItemSize):
		return errItemSize
	case errors.Is(err, leases.ErrItemDepth):
		return errItemDepth
	case errors.Is(err, leases.ErrStart):
		return errStartInvalid
	case errors.Is(err, leases.ErrFull):
		used, limit := s.store.Usage()
		return wire.Errorf(codeLimit, "The lease store is full: its items take %d of %d bytes (api.lease_store.max_bytes).", used, limit)
	case errors.Is(err, context.Canceled):
		return wire.Internal(err)
	case errors.Is(err, context.DeadlineExceeded):
		return wire.Unavailable("The item is being written by others.")
	case errors.As(err, &index) && index.Empty:
		return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. "+
			"The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", longKind(index.Got), index.Index, index.Attribute)
	case errors.As(err, &index):
		return invalidParameter("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", index.Attribute, index.Want, index.Got, index.Index)
	}
	return wire.Internal(err)
}

func longKind(k leases.Kind) string {
	if k == leases.KindBinary {
		return "binary"
	}
	return "string"
}
