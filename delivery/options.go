package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

// Log is the part of streams.Engine that delivery needs.
type Log interface {
	Describe(stream string) (streams.StreamInfo, error)
	Append(ctx context.Context, stream string, b *streams.Batch) (streams.Result, error)
	Read(ctx context.Context, shard streams.ShardRef, from streams.Position, limit streams.Limit) (streams.Page, error)
	Wait(ctx context.Context, shard streams.ShardRef, from streams.Sequence) error
	Stat(shard streams.ShardRef, from streams.Sequence) (streams.Backlog, error)
	Configure(ctx context.Context, stream string, retention time.Duration) error
	State(key string) []byte
}

// Options describe a delivery stream. Name, Log, Source, Errors and one of
// Objects and Documents are required.
type Options struct {
	// Name is the name of the delivery stream; it stands in object keys.
	Name string
	// StateID tells this delivery stream's state from that of others, also of
	// one that had the same name before. Empty means Name.
	StateID string
	Log     Log
	// Source is the stream to read. It may come into being later.
	Source string
	// HoldRetention, if not 0, is the retention of a source that belongs to this
	// delivery stream alone. While delivery waits for a destination the source
	// is kept longer, so that an outage of any length costs disk and no records.
	HoldRetention time.Duration
	// Start is where to begin when there is no position yet: Horizon or Tip.
	Start streams.PositionKind
	// Transforms run in order over every record; nil means none.
	Transforms *transform.Chain
	Hints      buffer.Hints

	Objects   *ObjectOutput
	Documents *DocumentOutput
	// Errors takes the records that failed.
	Errors *Output
	// Backup takes all source records as they came; nil means no backup.
	Backup *ObjectOutput

	Retry backoff.Policy
	// Grace is how long a write under way may go on after Run was told to stop;
	// 0 means 10 s. What is not written then stays in the log and is written
	// after the next start.
	Grace time.Duration
	// Budget is what MemoryBytes are taken from while an object is written; nil
	// means that nothing is counted. MemoryBytes is what a write needs at its
	// peak.
	Budget      *buffer.Budget
	MemoryBytes int64
	// WorkDir is a directory that survives a restart: outcomes of transforms
	// that would differ the next time, and spools of failed records.
	WorkDir string

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard
}

// Output is a place for objects.
type Output struct {
	Sink        sinks.ObjectSink
	Prefix      *Prefix
	Compression formats.Compression
}

// ObjectOutput is a place for objects with a format.
type ObjectOutput struct {
	Output
	Format formats.Format
	// Extension of the objects, with the dot. Empty means that of the format
	// and the compression.
	Extension string
}

// DocumentOutput is a place for documents.
type DocumentOutput struct {
	Sink sinks.DocumentSink
	// ErrorType is the folder of refused documents in the error output, such as
	// "http-endpoint-failed".
	ErrorType string
	// GiveUpAfter is how long documents are tried before they go to the error
	// output; 0 means for ever. Errors that an operator has to fix do not count.
	GiveUpAfter time.Duration
}

func (o Options) withDefaults() Options {
	if o.StateID == "" {
		o.StateID = o.Name
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(o.Name != "", "a delivery stream needs a name")
	need(o.Log != nil, "a delivery stream needs a log")
	need(o.Source != "", "a delivery stream needs a source")
	need((o.Objects == nil) != (o.Documents == nil), "a delivery stream needs exactly one destination")
	need(o.Errors != nil, "a delivery stream needs an error output")
	need(o.Start == streams.Horizon || o.Start == streams.Tip, "a delivery stream starts at the horizon or the tip")
	need(o.WorkDir != "", "a delivery stream needs a work directory")
	return errors.Join(errs...)
}
