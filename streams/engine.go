package streams

import (
	"context"
	"errors"
	"time"
)

// Errors that callers decide on. Engines wrap them with the name of the
// stream or shard.
var (
	// ErrNotFound means that the stream or shard does not exist (any more).
	ErrNotFound = errors.New("not found")
	// ErrExists means that a stream of that name exists.
	ErrExists = errors.New("already exists")
	// ErrInvalid means that the request cannot be right: a hash key outside
	// the shard to split, two shards that are not neighbours, a closed shard.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge means that a record or batch is larger than the engine takes.
	ErrTooLarge = errors.New("too large")
	// ErrFull means that the disk is too full to take records. Reads, delivery
	// and retention go on; the caller tells its client to come back later.
	ErrFull = errors.New("disk is full")
	// ErrReadOnly means that a failed write or sync stopped this engine from
	// taking anything. The process should end and be started again.
	ErrReadOnly = errors.New("log is read-only")
	// ErrClosed means that the engine was closed.
	ErrClosed = errors.New("log is closed")
)

// Limits of an engine, enforced by Append.
const (
	// MaxRecordBytes is the most data one record may have (Kinesis: 10 MiB).
	MaxRecordBytes = 10 << 20
	// MaxBatchRecords and MaxBatchBytes bound one Append.
	MaxBatchRecords = 10_000
	MaxBatchBytes   = 32 << 20
	// MaxStateKeyBytes and MaxStateValueBytes bound one StateUpdate.
	MaxStateKeyBytes   = 1 << 10
	MaxStateValueBytes = 1 << 20
)

// Engine is a set of streams whose appends are durable when they return, or as
// durable as the Durability of a stream says: where this interface speaks of
// durable records of a stream with another one than Fsync, it means those that
// were acknowledged. All methods may be called concurrently.
type Engine interface {
	// Create makes a stream; it is there, and survives a crash, when Create
	// returns. ErrExists if the name is taken, ErrInvalid for a bad spec.
	Create(ctx context.Context, spec StreamSpec) (StreamInfo, error)
	// Delete removes a stream and, in its own time, its data. ErrNotFound.
	// Readers waiting on it get ErrNotFound.
	Delete(ctx context.Context, stream string) error
	// Configure changes the retention of a stream. ErrNotFound, ErrInvalid.
	Configure(ctx context.Context, stream string, retention time.Duration) error
	// Bound changes how many bytes a stream may take, 0 for any number; see
	// StreamSpec. ErrNotFound, ErrInvalid.
	Bound(ctx context.Context, stream string, bytes int64) error
	// SetDurability changes the durability of what is appended to a stream from
	// then on. What was acknowledged before is on the disk when it returns.
	// ErrNotFound, ErrInvalid.
	SetDurability(ctx context.Context, stream string, d Durability) error
	// Split closes a shard and opens two that share its range: [start, at-1]
	// and [at, end]. The change is one durable unit with the data around it.
	// ErrNotFound, or ErrInvalid if the shard is closed or at is not inside
	// (start, end].
	Split(ctx context.Context, stream string, shard ShardID, at HashKey) error
	// Merge closes two neighbouring open shards, lower's range before upper's,
	// and opens one over both ranges. ErrNotFound, ErrInvalid.
	Merge(ctx context.Context, stream string, lower, upper ShardID) error
	// Reshard brings a stream to count open shards, 1 to 10,000, of equal width,
	// by splits and merges that are one durable unit: after a crash all of them
	// have happened or none. Shards that have the right range already stay open;
	// ranges may differ from equal ones by less than 2^32 keys, so that a doubling
	// only splits. Shards that are only a step on the way are closed and empty
	// from the beginning; they keep the lineage one of splits and merges, a shard
	// having two parents at most. Like after any split or merge, whoever wants the
	// order of a key reads parents to their end before their children.
	// ErrNotFound, ErrInvalid.
	Reshard(ctx context.Context, stream string, count int) error

	// Describe returns what is known of a stream. ErrNotFound. It never waits
	// for the disk. The shards are ordered by id.
	Describe(stream string) (StreamInfo, error)
	// List returns every stream by name, without internal ones and without
	// their shards.
	List() []StreamInfo

	// Append routes the records of b by hash key, makes all of them and all of
	// b.State durable as one unit, and returns where each went. A batch with
	// state waits for the disk whatever the durability of the stream is, and with
	// it what was acknowledged before. After an error
	// none is acknowledged (after a crash or ErrReadOnly, some or all may still
	// be found in the log, unaltered and once). b is not kept after the return.
	// A batch without records may name no stream (""): it only changes state,
	// and is taken even while ErrFull is the answer to records, so that delivery
	// goes on and frees the disk.
	// ErrNotFound, ErrTooLarge, ErrFull, ErrReadOnly, ErrClosed; ErrInvalid for
	// an empty batch.
	Append(ctx context.Context, stream string, b *Batch) (Result, error)

	// Read returns records from a position on, in order, as far as they are
	// durable. It never waits for new ones. A position before the horizon reads
	// from the horizon. ErrNotFound; a *DamageError names bytes that cannot be
	// read.
	Read(ctx context.Context, shard ShardRef, from Position, max Limit) (Page, error)
	// Wait returns nil when a record at or after from is durable, or when the
	// shard is closed and has no such record to come. ErrNotFound when the
	// stream goes away, ctx.Err() when ctx ends. It costs no polling.
	Wait(ctx context.Context, shard ShardRef, from Sequence) error
	// Stat counts what lies in a shard at and after from: for lags. It reads
	// indexes, not records, and may be off by an index entry in Bytes.
	Stat(shard ShardRef, from Sequence) (Backlog, error)

	// State returns the current value of a key, and nil if it has none.
	State(key string) []byte
	// StateAll returns the current keys and values under a prefix.
	StateAll(prefix string) map[string][]byte

	// Close makes everything durable and ends. Appends after it give ErrClosed.
	Close() error
}

// StreamSpec is what a new stream shall be.
type StreamSpec struct {
	// Name is 1 to 128 bytes; any bytes but 0 are fine for the engine. Names
	// that begin with '$' are internal: they belong to a delivery stream and
	// cannot be addressed through the Kinesis API.
	Name string
	// Shards is how many shards to open, 1 to 10,000, with uniform ranges.
	Shards int
	// Retention is how long a record can be read after its arrival, at least a
	// second, at most 8,760 h. 0 means 24 h.
	Retention time.Duration
	// RetentionBytes, if not 0, bounds the stored bytes of all shards together:
	// the oldest records go before their time, in units that the engine chooses.
	// What is still being written to counts, but does not go, so a stream may
	// take more by as much as one such unit for each shard.
	RetentionBytes int64
	// Durability of the records. Empty means Fsync.
	Durability Durability
}

// Status of a stream. Changes are atomic, so there is no CREATING or UPDATING.
type Status string

// The states of a stream.
const (
	Active   Status = "ACTIVE"
	Deleting Status = "DELETING"
)

// StreamInfo describes a stream.
type StreamInfo struct {
	Name      string
	ID        uint64 // unique over the life of the data directory; a stream made again has another
	Created   time.Time
	Status    Status
	Retention time.Duration
	// RetentionBytes bounds the stored bytes, 0 if nothing does.
	RetentionBytes int64
	Durability     Durability
	Shards         []ShardInfo // by id; open ones, and closed ones until their records have expired
}

// Internal reports whether the stream belongs to a delivery stream.
func (s StreamInfo) Internal() bool { return s.Name != "" && s.Name[0] == '$' }

// NoShard stands for "no parent" in ShardInfo.
const NoShard = ^ShardID(0)

// ShardInfo describes a shard.
type ShardInfo struct {
	ID             ShardID
	Range          HashRange
	Parent         ShardID // NoShard at the root
	AdjacentParent ShardID // the second parent after a merge, else NoShard
	// Created is the time the shard was opened; a child's is at least one whole
	// second after that of its parents, so that its sequence numbers sort after.
	Created time.Time
	Closed  bool
	// ClosedAt is set when Closed.
	ClosedAt time.Time
	// First is the sequence of the oldest record that can be read, or Next if
	// there is none. Next is the sequence the next durable record will get.
	First, Next Sequence
}

// ShardRef names a shard.
type ShardRef struct {
	Stream string
	// StreamID, if not 0, must be the ID of the stream: a position of a deleted
	// stream then does not read from a new one of the same name (ErrNotFound).
	StreamID uint64
	Shard    ShardID
}

// Record is one record of a shard.
type Record struct {
	PartitionKey    string
	ExplicitHashKey string    // decimal, or empty: the partition key was hashed
	Data            []byte    // raw bytes, never base64; not to be changed
	Arrival         time.Time // whole milliseconds, UTC
	Sequence        Sequence
}

// NewRecord is one record to append.
type NewRecord struct {
	PartitionKey string // 0 to 1,024 bytes; limits of an API are the API's
	// HashKey routes the record if Explicit, else the MD5 of PartitionKey does.
	// It is kept and returned as ExplicitHashKey.
	Explicit bool
	HashKey  HashKey
	Data     []byte
}

// Batch is one durable unit: records of one stream, and state.
type Batch struct {
	Records []NewRecord
	State   []StateUpdate
	// Placed is memory for the answer: Result.Placed lies in it if there is room
	// for all records. An append allocates it otherwise.
	Placed []Placed
}

// StateUpdate sets a key of the engine's state, or removes it if Value is nil.
// State is small keyed data that must change together with an append: the
// offset of a tailed file with its lines, the position of a delivery with the
// end of its plan. Only the newest value of a key is kept.
type StateUpdate struct {
	Key   string
	Value []byte
}

// Result tells where the records of a batch went, in their order.
type Result struct {
	Placed  []Placed
	Arrival time.Time // of all of them
}

// Placed is the place of an appended record.
type Placed struct {
	Shard        ShardID
	ShardCreated time.Time
	Sequence     Sequence
}

// Position is where to read.
type Position struct {
	Kind PositionKind
	Seq  Sequence  // for At
	Time time.Time // for AtTime
}

// PositionKind says what a Position means.
type PositionKind uint8

// The kinds of positions.
const (
	At      PositionKind = iota // the first record at or after Seq
	Horizon                     // the oldest record that can be read
	Tip                         // after the newest durable record
	AtTime                      // the first record that arrived at or after Time
)

// Limit bounds a Page. A page has at least one record if there is one, however
// large.
type Limit struct {
	Records int   // 0 means 10,000
	Bytes   int64 // of data and partition keys; 0 means 1 MiB
}

// Page is what one Read found. Records and their data may share the engine's
// memory: they stay as they are for as long as they are referenced, and must
// not be changed.
type Page struct {
	Records []Record
	// Next is where the next read continues.
	Next Sequence
	// Tip is the sequence the next durable record will get.
	Tip Sequence
	// Ended means that the shard is closed and nothing is left at Next.
	Ended bool
	// Behind is the age of the record at Next, 0 if Next is the tip.
	Behind time.Duration
}

// Backlog counts what lies in a shard after a position.
type Backlog struct {
	Records int64
	Bytes   int64
	// Oldest is the arrival of the first of them, zero if there is none.
	Oldest time.Time
}

// DamageError names bytes that did not match their checksum or are missing.
type DamageError struct {
	File     string
	From, To int64 // bytes [From, To) of the file
	Reason   string
}

func (e *DamageError) Error() string {
	return e.File + ": damaged: " + e.Reason
}
