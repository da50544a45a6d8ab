package wal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// control is a change of the streams themselves, as the journal keeps it:
// JSON, docs/formats/journal.md, "Control".
type control struct {
	Op        string `json:"op"` // create, delete, configure, split, merge, reshard
	Stream    uint64 `json:"stream"`
	Name      *text  `json:"name,omitempty"`            // create
	Shards    int    `json:"shards,omitempty"`          // create
	Retention int64  `json:"retention_ms,omitempty"`    // create, configure
	Bound     *int64 `json:"retention_bytes,omitempty"` // create, configure; missing: none, as it was
	// Durability, of create and configure. Missing: fsync, as it was.
	Durability streams.Durability `json:"durability,omitempty"`
	Time       int64              `json:"time_ms,omitempty"`
	Shard      uint32             `json:"shard,omitempty"`    // split; merge: the lower one
	Adjacent   uint32             `json:"adjacent,omitempty"` // merge: the upper one
	At         string             `json:"at,omitempty"`       // split: decimal
	Child      uint32             `json:"child,omitempty"`    // split, merge, reshard: id of the first new shard
	Created    int64              `json:"created_ms,omitempty"`
	Steps      []step             `json:"steps,omitempty"` // reshard
}

func (c *control) encode() ([]byte, error) { return json.Marshal(c) }

func decodeControl(b []byte) (*control, error) {
	c := new(control)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("control record: %w: %w", errContent, err)
	}
	switch c.Op {
	case "create":
		if c.Name == nil || c.Shards < 1 || c.Shards > maxShards {
			return nil, fmt.Errorf("control record: %w: create without a name or with %d shards", errContent, c.Shards)
		}
	case "split":
		if _, err := streams.ParseHashKey(c.At); err != nil {
			return nil, fmt.Errorf("control record: split: %w", err)
		}
	case "reshard":
		if err := checkSteps(c.Steps); err != nil {
			return nil, err
		}
	case "delete", "configure", "merge":
	default:
		return nil, fmt.Errorf("control record: %w: operation %q is unknown; was it written by a newer version?", errContent, c.Op)
	}
	return c, nil
}

// apply changes the streams as c says. It is called when c is durable, and
// when it is replayed; then it may find its work done. l.mu is held.
func (l *Log) apply(c *control) {
	if c.Op == "create" {
		l.applyCreate(c)
		return
	}
	st := l.byID[c.Stream]
	if st == nil {
		return
	}
	signal(l.retainNow) // what expires next may be something else now
	switch c.Op {
	case "delete":
		l.applyDelete(st)
	case "configure":
		st.retention = time.Duration(c.Retention) * time.Millisecond
		if c.Bound != nil {
			st.bound = *c.Bound
		}
		if c.Durability != "" {
			st.durability = c.Durability
		}
	case "split":
		at, err := streams.ParseHashKey(c.At)
		s := st.shards[streams.ShardID(c.Shard)]
		if err != nil || s == nil || streams.ShardID(c.Child) < st.nextShard {
			return
		}
		st.split(s, at, streams.ShardID(c.Child), msTime(c.Time), msTime(c.Created))
		st.nextShard = streams.ShardID(c.Child) + 2
		st.reroute()
	case "merge":
		a, b := st.shards[streams.ShardID(c.Shard)], st.shards[streams.ShardID(c.Adjacent)]
		if a == nil || b == nil || streams.ShardID(c.Child) < st.nextShard {
			return
		}
		st.merge(a, b, streams.ShardID(c.Child), msTime(c.Time), msTime(c.Created))
		st.nextShard = streams.ShardID(c.Child) + 1
		st.reroute()
	case "reshard":
		st.applySteps(c)
	}
}

// split closes s and opens child and child+1 in its place. Log.mu is held.
func (st *stream) split(s *shard, at streams.HashKey, child streams.ShardID, now, created time.Time) {
	low := newShard(st, child, streams.HashRange{Start: s.rng.Start, End: at.Prev()}, created)
	high := newShard(st, child+1, streams.HashRange{Start: at, End: s.rng.End}, created)
	low.parent, high.parent = s.id, s.id
	s.end(now)
	st.shards[low.id], st.shards[high.id] = low, high
}

// merge closes a and its upper neighbour b and opens child over both ranges.
// Log.mu is held.
func (st *stream) merge(a, b *shard, child streams.ShardID, now, created time.Time) {
	m := newShard(st, child, streams.HashRange{Start: a.rng.Start, End: b.rng.End}, created)
	m.parent, m.adjacent = a.id, b.id
	a.end(now)
	b.end(now)
	st.shards[m.id] = m
}

func (l *Log) applyCreate(c *control) {
	if c.Stream < l.nextStream {
		return
	}
	st := &stream{
		name: string(*c.Name), id: c.Stream, created: msTime(c.Time),
		retention: time.Duration(c.Retention) * time.Millisecond, durability: cmp.Or(c.Durability, streams.Fsync),
		nextShard: streams.ShardID(c.Shards), shards: make(map[streams.ShardID]*shard, c.Shards), //nolint:gosec // At most 10,000.
	}
	for i, rng := range streams.UniformRanges(c.Shards) {
		id := streams.ShardID(i) //nolint:gosec // At most 10,000.
		st.shards[id] = newShard(st, id, rng, st.created)
	}
	if c.Bound != nil {
		st.bound = *c.Bound
	}
	st.reroute()
	l.byName[st.name], l.byID[st.id] = st, st
	l.nextStream = st.id + 1
}

func (l *Log) applyDelete(st *stream) {
	st.gone = true
	delete(l.byName, st.name)
	delete(l.byID, st.id)
	l.deleting = append(l.deleting, st.id)
	for _, s := range st.shards {
		l.retire(s)
	}
}

// retire takes a shard out of use whose data is to go.
func (l *Log) retire(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	for i := range s.tail {
		l.tailBytes.Add(-int64(len(s.tail[i].buf)))
	}
	s.tail = nil
	for _, seg := range s.segs {
		l.indexes.forget(seg)
		l.files.retire(seg)
	}
	s.segs = nil
	s.wake()
}

// end closes a shard. If the clock went back since, that is not before its last
// record: what is past the retention is told by it. Log.mu is held.
func (s *shard) end(at time.Time) {
	s.mu.Lock()
	if msTime(s.last).After(at) {
		at = msTime(s.last)
	}
	s.closed, s.closedAt = true, at
	s.ended = true
	s.wake()
	s.mu.Unlock()
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
