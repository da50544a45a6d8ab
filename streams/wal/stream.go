package wal

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// stream is guarded by Log.mu.
type stream struct {
	name      string
	id        uint64
	created   time.Time
	retention time.Duration
	bound     int64 // of the bytes of its segments, 0 for none
	// durability of what is appended now.
	durability streams.Durability
	nextShard  streams.ShardID
	shards     map[streams.ShardID]*shard // open ones, and closed ones that have not expired
	route      *routing
	known      atomic.Pointer[[]shardFacts] // of shards, made when asked for
	// frozen is set while a split, merge or delete is being made durable, and
	// closed when it is decided. Appends wait for it.
	frozen chan struct{}
	gone   bool
}

// shardFacts is what changes of a shard only with its stream, or with damage.
type shardFacts struct {
	*shard
	closed   bool
	closedAt time.Time
	refuse   *streams.DamageError
}

// facts lists the shards in the order of their ids. The list is not changed any
// more, so that who goes through ten thousand shards need not hold Log.mu, which
// appends wait for, beyond this call. Log.mu is held, for reading at least.
func (st *stream) facts() []shardFacts {
	if p := st.known.Load(); p != nil {
		return *p
	}
	out := make([]shardFacts, 0, len(st.shards))
	for _, s := range st.shards {
		out = append(out, shardFacts{shard: s, closed: s.closed, closedAt: s.closedAt, refuse: s.refuse})
	}
	slices.SortFunc(out, func(a, b shardFacts) int { return cmp.Compare(a.id, b.id) })
	st.known.Store(&out)
	return out
}

// changed forgets what facts told. Whoever changes one of them calls it, with
// Log.mu held.
func (st *stream) changed() { st.known.Store(nil) }

// routing is an immutable table of the open shards by range.
type routing struct {
	starts []streams.HashKey
	shards []*shard
}

// find returns the place in the table of the shard that h belongs to.
func (r *routing) find(h streams.HashKey) int {
	return sort.Search(len(r.starts), func(i int) bool { return r.starts[i].Compare(h) > 0 }) - 1
}

// reroute rebuilds the table from the open shards.
func (st *stream) reroute() {
	st.changed()
	var open []*shard
	for _, s := range st.shards {
		if !s.closed {
			open = append(open, s)
		}
	}
	slices.SortFunc(open, func(a, b *shard) int { return a.rng.Start.Compare(b.rng.Start) })
	r := &routing{shards: open, starts: make([]streams.HashKey, len(open))}
	for i, s := range open {
		r.starts[i] = s.rng.Start
	}
	st.route = r
}

// shard keeps little while it is idle: no goroutine, no buffer, no file.
type shard struct {
	st               *stream
	id               streams.ShardID
	rng              streams.HashRange
	parent, adjacent streams.ShardID
	created          time.Time

	// Guarded by Log.mu.
	assigned streams.Sequence // the next sequence to hand out
	arrived  int64            // arrival of the last record that got one, Unix ms
	closed   bool
	closedAt time.Time
	refuse   *streams.DamageError // why nothing can be appended, if so
	touched  bool                 // in Log.touched: has data the last checkpoint has not
	queued   bool                 // in Log.flushQueue

	flushMu sync.Mutex // held while frames move from tail to segments

	mu       sync.Mutex
	next     streams.Sequence // after the last durable record
	last     int64            // arrival of the last durable record, Unix ms
	ended    bool             // closed, for readers
	gone     bool             // deleted or expired
	tail     []frame          // durable, not yet in a segment
	segs     []*segment       // oldest first; never changed in place
	damage   []damaged        // by sequence
	suspect  *streams.DamageError
	rotten   bool             // a read or the scrubber met damage
	first    streams.Sequence // the horizon when it was last looked up,
	firstAt  int64            // and the arrival of that record; -1 if unknown
	notify   chan struct{}    // closed when something of the above changes
	waited   int              // frames that the tail had when it was last emptied
	position position
}

// damaged is a range of records that cannot be read.
type damaged struct {
	from, to streams.Sequence
	err      *streams.DamageError
	givenUp  bool // by repair: reads pass over it
}

// position is what the last checkpoint knows to be in the segments.
type position struct {
	oldest streams.Sequence // base of the oldest segment, or next
	base   streams.Sequence // of the open segment, if bytes is not 0
	bytes  int64            // of the open segment
	next   streams.Sequence
	last   int64
}

// wake lets everybody look again who waits for the shard. s.mu is held.
func (s *shard) wake() {
	if s.notify != nil {
		close(s.notify)
		s.notify = nil
	}
}

func (s *shard) String() string { return fmt.Sprintf("stream %q %s", s.st.name, s.id) }

func newShard(st *stream, id streams.ShardID, rng streams.HashRange, created time.Time) *shard {
	s := &shard{
		st: st, id: id, rng: rng, parent: streams.NoShard, adjacent: streams.NoShard, created: created,
		assigned: 1, next: 1, first: 1, firstAt: -1,
	}
	s.position = position{oldest: 1, next: 1}
	return s
}

// active returns the segment that records go to, or nil. s.mu is held.
func (s *shard) active() *segment {
	if n := len(s.segs); n > 0 && !s.segs[n-1].sealed && !s.segs[n-1].full {
		return s.segs[n-1]
	}
	return nil
}

// Describe implements streams.Engine. First of a shard may lag behind what a
// read finds by the records of a few KiB.
func (l *Log) Describe(name string) (streams.StreamInfo, error) {
	cut := l.retentionNow()
	l.mu.RLock()
	st := l.byName[name]
	if st == nil {
		l.mu.RUnlock()
		return streams.StreamInfo{}, notFound(name)
	}
	info, shards := st.info(), st.facts()
	l.mu.RUnlock()
	cut -= info.Retention.Milliseconds()
	info.Shards = make([]streams.ShardInfo, 0, len(shards))
	for i := range shards {
		s := &shards[i]
		if s.expired(cut) {
			continue
		}
		s.mu.Lock()
		first, next := s.firstInMemory(cut), s.next
		s.mu.Unlock()
		info.Shards = append(info.Shards, streams.ShardInfo{
			ID: s.id, Range: s.rng, Parent: s.parent, AdjacentParent: s.adjacent,
			Created: s.created, Closed: s.closed, ClosedAt: s.closedAt, First: first, Next: next,
		})
	}
	return info, nil
}

// expired reports whether a closed shard and all its records are past the
// retention. Log.mu is held.
func (s *shard) expired(cut int64) bool { return pastRetention(s.closed, s.closedAt, cut) }

func (s *shardFacts) expired(cut int64) bool { return pastRetention(s.closed, s.closedAt, cut) }

func pastRetention(closed bool, at time.Time, cut int64) bool {
	return closed && at.UnixMilli() < cut
}

// firstInMemory is the horizon as far as it can be told without the disk.
// s.mu is held.
func (s *shard) firstInMemory(cut int64) streams.Sequence {
	if s.first >= s.next || s.last < cut {
		return s.next
	}
	if s.firstAt >= cut {
		return s.first
	}
	first := s.first
	for _, seg := range s.segs {
		switch {
		case seg.last < cut:
			first = max(first, seg.next)
			continue
		case seg.index != nil && seg.first >= 0:
			first = max(first, seg.base+streams.Sequence(seg.index.byArrival(seg, cut).seq))
		default:
			first = max(first, seg.base)
		}
		return first
	}
	i := sort.Search(len(s.tail), func(i int) bool { return s.tail[i].arrival >= cut })
	if i < len(s.tail) {
		return max(first, s.tail[i].base)
	}
	return first
}

func (st *stream) info() streams.StreamInfo {
	return streams.StreamInfo{
		Name: st.name, ID: st.id, Created: st.created, Status: streams.Active, Retention: st.retention, RetentionBytes: st.bound,
		Durability: st.durability,
	}
}

// List implements streams.Engine.
func (l *Log) List() []streams.StreamInfo {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]streams.StreamInfo, 0, len(l.byName))
	for _, st := range l.byName {
		if info := st.info(); !info.Internal() {
			out = append(out, info)
		}
	}
	slices.SortFunc(out, func(a, b streams.StreamInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// resolve finds the shard that ref names.
func (l *Log) resolve(ref streams.ShardRef) (*shard, time.Duration, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, 0, streams.ErrClosed
	}
	st := l.byName[ref.Stream]
	if st == nil || (ref.StreamID != 0 && ref.StreamID != st.id) {
		return nil, 0, notFound(ref.Stream)
	}
	s := st.shards[ref.Shard]
	if s == nil || s.closed && s.expired(l.retentionNow()-st.retention.Milliseconds()) {
		return nil, 0, fmt.Errorf("stream %q %s: %w", ref.Stream, ref.Shard, streams.ErrNotFound)
	}
	return s, st.retention, nil
}

func notFound(name string) error { return fmt.Errorf("stream %q: %w", name, streams.ErrNotFound) }
