package firehose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// DefaultStreamLimit is how many delivery streams there may be.
const DefaultStreamLimit = 5000

// Options of a Service.
type Options struct {
	// Streams are the delivery streams to serve. Required.
	Streams DeliveryStreams
	// Region and AccountID (12 digits) appear in ARNs and messages. Required.
	Region, AccountID string
	// StreamLimit is how many delivery streams there may be; 0 means 5,000.
	StreamLimit int
	// Logger gets what an operator should know; nil discards.
	Logger *slog.Logger
}

// Service is the Firehose API. Its operations may be called concurrently.
type Service struct {
	streams DeliveryStreams
	region  string
	account string
	limit   int
	log     *slog.Logger
	records sync.Pool // of *[][]byte
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// New returns a service. It starts nothing.
func New(opt Options) (*Service, error) {
	switch {
	case opt.Streams == nil:
		return nil, errors.New("firehose: no delivery streams")
	case opt.Region == "":
		return nil, errors.New("firehose: region is empty")
	case !accountPattern.MatchString(opt.AccountID):
		return nil, fmt.Errorf("firehose: account id %q is not 12 digits", opt.AccountID)
	}
	s := &Service{streams: opt.Streams, region: opt.Region, account: opt.AccountID, limit: opt.StreamLimit, log: opt.Logger}
	if s.limit <= 0 {
		s.limit = DefaultStreamLimit
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.records.New = func() any { return new([][]byte) }
	return s, nil
}

// Codes of this API.
const (
	codeNotFound = "ResourceNotFoundException"
	codeInUse    = "ResourceInUseException"
	codeArgument = "InvalidArgumentException"
	codeLimit    = "LimitExceededException"
)

// ARN returns the ARN of a delivery stream.
func (s *Service) ARN(name string) string {
	return "arn:aws:firehose:" + s.region + ":" + s.account + ":deliverystream/" + name
}

func (s *Service) notFound(name string) error {
	return wire.Errorf(codeNotFound, "Firehose %s under account %s not found.", name, s.account)
}

// translate turns an error about a delivery stream into an answer.
func (s *Service) translate(err error, name string) error {
	var answer *wire.Error
	switch {
	case errors.As(err, &answer):
		return err
	case errors.Is(err, ErrNotFound), errors.Is(err, streams.ErrNotFound):
		return s.notFound(name)
	case errors.Is(err, ErrExists), errors.Is(err, streams.ErrExists):
		return wire.Errorf(codeInUse, "Firehose %s under accountId %s already exists", name, s.account)
	case errors.Is(err, ErrNotDirectPut):
		return wire.Errorf(codeArgument, "This operation is not permitted on KinesisStreamAsSource delivery stream type.")
	case errors.Is(err, ErrDeclared):
		return wire.Errorf(codeInUse, "Firehose %s under account %s is declared in the configuration file of this server. Remove it there.", name, s.account)
	case errors.Is(err, ErrInvalid):
		return wire.Errorf(codeArgument, "%s", err)
	case errors.Is(err, ErrBusy), errors.Is(err, streams.ErrFull):
		e := wire.Unavailable("Slow down.")
		e.Cause = err
		return e
	case errors.Is(err, streams.ErrTooLarge):
		return wire.Errorf(codeArgument, "%s", err)
	}
	return wire.Internal(err)
}

// create makes a delivery stream. It is ACTIVE when the call returns.
func (s *Service) create(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	d, err := readDefinition(r.Input)
	if err != nil {
		return err
	}
	if _, ok := s.streams.Get(d.Name); ok {
		return s.translate(ErrExists, d.Name)
	}
	if n := len(s.streams.Names()); n >= s.limit {
		return wire.Errorf(codeLimit, "You have already consumed your firehose quota of %d hoses.", s.limit)
	}
	if err := s.streams.Create(ctx, d); err != nil {
		return s.translate(err, d.Name)
	}
	if d.Encryption != nil {
		s.log.Warn("delivery stream asks for encryption at rest, which is kept in its description but not done", "delivery_stream", d.Name)
	}
	out.BeginObject()
	out.StringMember("DeliveryStreamARN", s.ARN(d.Name))
	out.EndObject()
	return nil
}

func (s *Service) delete(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	name := r.Input.Get("DeliveryStreamName").Text()
	if err := s.streams.Delete(ctx, name); err != nil {
		return s.translate(err, name)
	}
	out.BeginObject()
	out.EndObject()
	return nil
}

func (s *Service) list(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	names := slices.Sorted(slices.Values(s.streams.Names()))
	if after := in.Get("ExclusiveStartDeliveryStreamName").Text(); after != "" {
		names = slices.DeleteFunc(names, func(n string) bool { return strings.Compare(n, after) <= 0 })
	}
	if kind := in.Get("DeliveryStreamType").Text(); kind != "" {
		names = slices.DeleteFunc(names, func(n string) bool {
			d, ok := s.streams.Get(n)
			return !ok || d.Definition.Type != kind
		})
	}
	limit := int(in.Get("Limit").Int(defaultListing))
	more := len(names) > limit
	if more {
		names = names[:limit]
	}
	out.BeginObject()
	out.Key("DeliveryStreamNames")
	out.BeginList()
	for _, n := range names {
		out.String(n)
	}
	out.EndList()
	out.BoolMember("HasMoreDeliveryStreams", more)
	out.EndObject()
	return nil
}
