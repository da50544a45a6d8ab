package kinesis

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/limits"
)

// MinTokenKeyBytes is the least length of Options.TokenKey.
const MinTokenKeyBytes = 32

// DefaultShardLimit is how many open shards the account may have.
const DefaultShardLimit = 10_000

// Options of a Service.
type Options struct {
	// Engine keeps the streams. Required.
	Engine streams.Engine
	// Region and AccountID (12 digits) appear in ARNs and messages. Required.
	Region, AccountID string
	// TokenKey seals iterators and page tokens, so that they need no memory
	// here. At least 32 random bytes, the same at every start, or iterators die
	// with the process. Required.
	TokenKey []byte
	// ShardLimit is how many shards may be open over all streams; 0 means
	// 10,000.
	ShardLimit int
	// Declared reports whether a stream belongs to the configuration file and
	// so cannot be deleted by a call. Nil means that none does.
	Declared func(stream string) bool
	// Limits holds the streams that ask for it to the rates of shards. Nil means
	// that none is.
	Limits *limits.Limiter
	// Durability of the streams that are made by calls. Empty means
	// streams.Fsync.
	Durability streams.Durability
	// SubscriptionLife is how long a SubscribeToShard lasts, Heartbeat how long
	// it is silent at most; 0 means 5 minutes and 3 seconds, which is what
	// clients expect.
	SubscriptionLife, Heartbeat time.Duration
	// Clock returns the present time; nil means time.Now.
	Clock func() time.Time
	// Logger gets what an operator should know; nil discards.
	Logger *slog.Logger
}

// Service is the Kinesis Data Streams API over an engine. Its operations may
// be called concurrently.
type Service struct {
	engine   streams.Engine
	region   string
	account  string
	tokens   sealer
	shards   int
	declared func(string) bool
	limits   *limits.Limiter
	durable  streams.Durability
	clock    func() time.Time
	log      *slog.Logger
	batches  sync.Pool     // of *streams.Batch
	places   atomic.Uint64 // given out by anyPlace

	subscribed      subscriptions
	life, heartbeat time.Duration // of subscriptions

	// changes is held by all that changes what streams there are, how many
	// shards they have, and their attributes: what one has checked is still so
	// when it is done.
	changes    sync.Mutex
	attributes atomic.Pointer[map[string]*attributes] // by stream; replaced, never changed
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// New returns a service. It starts nothing.
func New(opt Options) (*Service, error) {
	switch {
	case opt.Engine == nil:
		return nil, errors.New("kinesis: no engine")
	case opt.Region == "":
		return nil, errors.New("kinesis: region is empty")
	case !accountPattern.MatchString(opt.AccountID):
		return nil, fmt.Errorf("kinesis: account id %q is not 12 digits", opt.AccountID)
	case len(opt.TokenKey) < MinTokenKeyBytes:
		return nil, fmt.Errorf("kinesis: token key of %d bytes is shorter than %d", len(opt.TokenKey), MinTokenKeyBytes)
	}
	s := &Service{
		engine:   opt.Engine,
		region:   opt.Region,
		account:  opt.AccountID,
		tokens:   sealer{key: opt.TokenKey},
		shards:   opt.ShardLimit,
		declared: opt.Declared,
		limits:   opt.Limits,
		durable:  opt.Durability,
		life:     opt.SubscriptionLife, heartbeat: opt.Heartbeat,
		clock: opt.Clock,
		log:   opt.Logger,
	}
	if s.shards <= 0 {
		s.shards = DefaultShardLimit
	}
	if s.life <= 0 {
		s.life = DefaultSubscriptionLife
	}
	if s.heartbeat <= 0 {
		s.heartbeat = DefaultHeartbeat
	}
	if s.declared == nil {
		s.declared = func(string) bool { return false }
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.batches.New = func() any { return new(streams.Batch) }
	if err := s.loadAttributes(); err != nil {
		return nil, fmt.Errorf("kinesis: %w", err)
	}
	return s, nil
}

// Codes of this API.
const (
	codeNotFound      = "ResourceNotFoundException"
	codeInUse         = "ResourceInUseException"
	codeArgument      = "InvalidArgumentException"
	codeLimit         = "LimitExceededException"
	codeThroughput    = "ProvisionedThroughputExceededException"
	codeExpired       = "ExpiredIteratorException"
	codeExpiredToken  = "ExpiredNextTokenException"
	arnStreamResource = ":stream/"
)

// StreamARN returns the ARN of a stream.
func (s *Service) StreamARN(name string) string {
	return "arn:aws:kinesis:" + s.region + ":" + s.account + arnStreamResource + name
}

// target is the stream a request is about.
type target struct {
	name  string
	label string // how the request named it: its name, or its ARN
}

// target resolves the name or ARN of a request. An ARN of another region or
// account is taken by its name: clients behind one endpoint sign for whatever
// region they are set to.
func (s *Service) target(in wire.Value) (target, error) {
	return s.targetOf(in.Get("StreamName").Text(), in.Get("StreamARN").Text())
}

// targetByARN resolves the stream of an operation that knows no names.
func (s *Service) targetByARN(in wire.Value) (target, error) {
	return s.targetOf("", in.Get("StreamARN").Text())
}

func (s *Service) targetOf(name, arn string) (target, error) {
	if arn == "" {
		if name == "" {
			return target{}, wire.Errorf(codeArgument, "Either StreamName or StreamARN should be provided.")
		}
		return target{name: name, label: name}, nil
	}
	_, resource, _ := strings.Cut(arn, arnStreamResource)
	if name != "" && name != resource {
		return target{}, wire.Errorf(codeArgument, "StreamName %s and StreamARN %s are not of the same stream.", name, arn)
	}
	t := target{name: resource, label: arn}
	if resource == "" || resource[0] == '$' {
		return target{}, s.notFound(t)
	}
	return t, nil
}

// describe returns what the engine knows of the stream of a request.
func (s *Service) describe(t target) (streams.StreamInfo, error) {
	info, err := s.engine.Describe(t.name)
	if err != nil || info.Internal() {
		return info, s.translate(err, t)
	}
	return info, nil
}

func (s *Service) notFound(t target) error {
	return wire.Errorf(codeNotFound, "Stream %s under account %s not found.", t.label, s.account)
}

func (s *Service) shardNotFound(shard string, t target) error {
	return wire.Errorf(codeNotFound, "Could not find shard %s in stream %s under account %s.", shard, t.label, s.account)
}

// translate turns an error of the engine about a stream into an answer. What
// has no answer of its own is a failure of this side.
func (s *Service) translate(err error, t target) error {
	var answer *wire.Error
	switch {
	case errors.As(err, &answer):
		return err
	case err == nil, errors.Is(err, streams.ErrNotFound):
		return s.notFound(t)
	case errors.Is(err, streams.ErrExists):
		return wire.Errorf(codeInUse, "Stream %s under account %s already exists.", t.label, s.account)
	case errors.Is(err, streams.ErrFull):
		// Clients wait and try again on this one; the disk may have room later.
		return &wire.Error{
			Code: codeThroughput, Cause: err,
			Message: fmt.Sprintf("Stream %s under account %s takes no records at the moment: the disk is full.", t.label, s.account),
		}
	case errors.Is(err, streams.ErrTooLarge), errors.Is(err, streams.ErrInvalid):
		return &wire.Error{Code: codeArgument, Message: err.Error(), Cause: err}
	}
	return wire.Internal(err)
}

// dryRun ends a request that asked only whether it would succeed.
func dryRun(in wire.Value) error {
	if in.Get("DryRun").Bool(false) {
		return wire.Errorf(wire.CodeDryRun, "The request would have succeeded, but the DryRun flag is set.")
	}
	return nil
}
