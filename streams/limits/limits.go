package limits

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// Rates are the most that one shard takes and gives in a second. 0 means no
// limit.
type Rates struct {
	InBytes   int64 // data and partition keys
	InRecords int64
	OutBytes  int64
	OutCalls  int64 // reads, whether or not they find records
}

// AWS are the rates of the real service.
var AWS = Rates{InBytes: 1 << 20, InRecords: 1000, OutBytes: 2 << 20, OutCalls: 5}

// Options of a Limiter. Rates and Describe are required.
type Options struct {
	// Rates returns the limits of a stream. It is called for every request, must
	// be quick, and may be called concurrently.
	Rates func(stream string) Rates
	// Describe returns the shards of a stream, as Engine.Describe does. What it
	// said is believed for a second: records then still count for a shard that
	// was split meanwhile.
	Describe func(stream string) (streams.StreamInfo, error)
	// Clock returns the present time; nil means time.Now.
	Clock func() time.Time
}

// Limiter decides what passes. Its methods may be called concurrently.
type Limiter struct {
	opt   Options
	start time.Time

	mu      sync.Mutex
	streams map[string]*stream
	swept   time.Duration // when idle streams were looked for last
}

const (
	// tableLife is how long the shards of a stream are believed, sweepEvery how
	// often what is idle is forgotten.
	tableLife  = time.Second
	sweepEvery = 10 * time.Second
)

// stream is what is known of a stream in use.
type stream struct {
	records, reads atomic.Int64 // throttled

	mu     sync.Mutex
	gone   bool // not in Limiter.streams any more
	id     uint64
	at     time.Duration // when the table was made
	starts []streams.HashKey
	ids    []streams.ShardID // of the open shards, by range
	shards map[streams.ShardID]*shard
	swept  time.Duration
}

// shard is a shard in use.
type shard struct{ inBytes, inRecords, outBytes, outCalls bucket }

// New returns a limiter. It starts nothing.
func New(opt Options) *Limiter {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	return &Limiter{opt: opt, start: opt.Clock(), streams: map[string]*stream{}}
}

// now is the time since the start. It goes by the monotonic clock if the clock
// has one; one that goes back only stops the buckets from filling.
func (l *Limiter) now() time.Duration { return l.opt.Clock().Sub(l.start) }

// Put takes the records out of b that are over a limit, and returns their
// places in it with their shards; the others keep their order. Nil means that
// all of them pass. An error is one of Describe.
func (l *Limiter) Put(name string, b *streams.Batch) (map[int]streams.ShardID, error) {
	r := l.opt.Rates(name)
	if r.InBytes == 0 && r.InRecords == 0 {
		return nil, nil
	}
	now := l.now()
	st := l.use(name, now)
	defer st.mu.Unlock()
	if err := l.table(st, name, now); err != nil {
		return nil, err
	}
	var refused map[int]streams.ShardID
	kept := b.Records[:0]
	for i := range b.Records {
		rec := &b.Records[i]
		id := st.find(rec)
		if st.shard(id).put(r, int64(len(rec.Data)+len(rec.PartitionKey)), now) {
			kept = append(kept, *rec)
			continue
		}
		if refused == nil {
			refused = map[int]streams.ShardID{}
		}
		refused[i] = id
	}
	b.Records = kept
	st.records.Add(int64(len(refused)))
	return refused, nil
}

// put takes one record out of both buckets, or nothing of either.
func (s *shard) put(r Rates, bytes int64, now time.Duration) bool {
	if !s.inRecords.has(r.InRecords, 1, now) || !s.inBytes.has(r.InBytes, bytes, now) {
		return false
	}
	s.inRecords.take(r.InRecords, 1)
	s.inBytes.take(r.InBytes, bytes)
	return true
}

// Read reports whether a shard, which must exist, may be read now, and counts
// the read. Whoever is let through says what came of it with Done.
func (l *Limiter) Read(ref streams.ShardRef) bool {
	r := l.opt.Rates(ref.Stream)
	if r.OutBytes == 0 && r.OutCalls == 0 {
		return true
	}
	now := l.now()
	st := l.use(ref.Stream, now)
	defer st.mu.Unlock()
	st.become(ref.StreamID)
	s := st.shard(ref.Shard)
	if !s.outCalls.has(r.OutCalls, 1, now) || !s.outBytes.has(r.OutBytes, 1, now) {
		st.reads.Add(1)
		return false
	}
	s.outCalls.take(r.OutCalls, 1)
	return true
}

// Done counts the bytes of a read against the reads to come: after 10 MiB at
// 2 MiB a second the next one passes 5 seconds later.
func (l *Limiter) Done(ref streams.ShardRef, bytes int64) {
	r := l.opt.Rates(ref.Stream)
	if r.OutBytes == 0 || bytes == 0 {
		return
	}
	now := l.now()
	st := l.use(ref.Stream, now)
	defer st.mu.Unlock()
	st.become(ref.StreamID)
	b := &st.shard(ref.Shard).outBytes
	b.fill(r.OutBytes, now)
	if bytes > r.OutBytes {
		b.tokens = min(b.tokens, 0) // all of it is paid for, not what a second's rest leaves
	}
	b.take(r.OutBytes, bytes)
}

// use returns the entry of a stream, locked.
func (l *Limiter) use(name string, now time.Duration) *stream {
	for {
		l.mu.Lock()
		if now-l.swept >= sweepEvery {
			l.sweep(now)
		}
		st := l.streams[name]
		if st == nil {
			st = &stream{shards: map[streams.ShardID]*shard{}, at: -tableLife}
			l.streams[strings.Clone(name)] = st
		}
		l.mu.Unlock()
		st.mu.Lock()
		if st.gone {
			st.mu.Unlock()
			continue
		}
		if now-st.swept >= sweepEvery {
			st.sweep(l.opt.Rates(name), now)
		}
		return st
	}
}

// sweep forgets the streams that are idle and were never throttled, and those
// that are there no more. l.mu is held.
func (l *Limiter) sweep(now time.Duration) {
	l.swept = now
	for name, st := range l.streams {
		if !st.mu.TryLock() {
			continue // it is in use
		}
		st.sweep(l.opt.Rates(name), now)
		if len(st.shards) == 0 {
			st.starts, st.ids, st.at = nil, nil, now-tableLife
			st.gone = st.records.Load() == 0 && st.reads.Load() == 0
			if !st.gone {
				_, err := l.opt.Describe(name)
				st.gone = err != nil
			}
			if st.gone {
				delete(l.streams, name)
			}
		}
		st.mu.Unlock()
	}
}

// sweep forgets the shards whose buckets are full again: new ones would be no
// different. st.mu is held.
func (st *stream) sweep(r Rates, now time.Duration) {
	st.swept = now
	for id, s := range st.shards {
		if s.inBytes.full(r.InBytes, now) && s.inRecords.full(r.InRecords, now) &&
			s.outBytes.full(r.OutBytes, now) && s.outCalls.full(r.OutCalls, now) {
			delete(st.shards, id)
		}
	}
}

// become forgets what is known of an earlier stream of the name.
func (st *stream) become(id uint64) {
	if id != 0 && st.id != id {
		if st.id != 0 {
			clear(st.shards)
		}
		st.id, st.starts = id, nil
	}
}

// table looks up the open shards if what is known of them is too old.
func (l *Limiter) table(st *stream, name string, now time.Duration) error {
	if st.starts != nil && now-st.at < tableLife && now >= st.at {
		return nil
	}
	info, err := l.opt.Describe(name)
	if err != nil {
		// Names that clients make up leave nothing behind.
		l.mu.Lock()
		delete(l.streams, name)
		l.mu.Unlock()
		st.gone = true
		return err
	}
	st.become(info.ID)
	open := slices.DeleteFunc(info.Shards, func(s streams.ShardInfo) bool { return s.Closed })
	slices.SortFunc(open, func(a, b streams.ShardInfo) int { return a.Range.Start.Compare(b.Range.Start) })
	st.starts, st.ids = make([]streams.HashKey, len(open)), make([]streams.ShardID, len(open))
	for i := range open {
		st.starts[i], st.ids[i] = open[i].Range.Start, open[i].ID
	}
	st.at = now
	return nil
}

// find returns the shard a record belongs to. The ranges of open shards cover
// all keys.
func (st *stream) find(rec *streams.NewRecord) streams.ShardID {
	if len(st.ids) == 1 {
		return st.ids[0]
	}
	key := rec.HashKey
	if !rec.Explicit {
		key = streams.HashOf(rec.PartitionKey)
	}
	i, found := slices.BinarySearchFunc(st.starts, key, streams.HashKey.Compare)
	if !found {
		i--
	}
	return st.ids[max(i, 0)]
}

func (st *stream) shard(id streams.ShardID) *shard {
	s := st.shards[id]
	if s == nil {
		s = new(shard)
		st.shards[id] = s
	}
	return s
}

// Count tells how much of a stream was refused since the start.
type Count struct {
	Stream  string
	Records int64 // of puts
	Reads   int64
}

// Counts returns the streams that were throttled, by name.
func (l *Limiter) Counts() []Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Count
	for name, st := range l.streams {
		if c := (Count{name, st.records.Load(), st.reads.Load()}); c.Records > 0 || c.Reads > 0 {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Count) int { return strings.Compare(a.Stream, b.Stream) })
	return out
}
