package wal

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/streams"
)

const (
	maxShards    = 10_000
	maxName      = 128
	minRetention = time.Second
	maxRetention = 8760 * time.Hour
	dayRetention = 24 * time.Hour
)

// Changes of streams are rare and each waits for the disk, so one mutex
// (l.reshape) puts them in a row: what one has checked is still so when it is
// applied.

// Create implements streams.Engine.
func (l *Log) Create(ctx context.Context, spec streams.StreamSpec) (streams.StreamInfo, error) {
	if spec.Retention == 0 {
		spec.Retention = dayRetention
	}
	switch {
	case spec.Name == "" || len(spec.Name) > maxName || bytes.IndexByte([]byte(spec.Name), 0) >= 0:
		return streams.StreamInfo{}, fmt.Errorf("create stream: %w: name has %d bytes, must have 1 to %d and no zero byte", streams.ErrInvalid, len(spec.Name), maxName)
	case spec.Shards < 1 || spec.Shards > maxShards:
		return streams.StreamInfo{}, fmt.Errorf("create stream %q: %w: %d shards, must be 1 to %d", spec.Name, streams.ErrInvalid, spec.Shards, maxShards)
	}
	if err := checkBound(spec.RetentionBytes); err != nil {
		return streams.StreamInfo{}, fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	if err := checkDurability(cmp.Or(spec.Durability, streams.Fsync)); err != nil {
		return streams.StreamInfo{}, fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	if err := checkRetention(spec.Retention); err != nil {
		return streams.StreamInfo{}, fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	l.reshape.Lock()
	defer l.reshape.Unlock()
	l.mu.RLock()
	exists, id := l.byName[spec.Name] != nil, l.nextStream
	l.mu.RUnlock()
	if exists {
		return streams.StreamInfo{}, fmt.Errorf("stream %q: %w", spec.Name, streams.ErrExists)
	}
	name := text(spec.Name)
	c := &control{
		Op: "create", Stream: id, Name: &name, Shards: spec.Shards,
		Retention: spec.Retention.Milliseconds(), Time: l.opt.Clock().UnixMilli(),
	}
	if spec.RetentionBytes > 0 {
		c.Bound = &spec.RetentionBytes
	}
	if spec.Durability != streams.Fsync {
		c.Durability = spec.Durability
	}
	if err := l.change(ctx, c, func() error { return nil }); err != nil {
		return streams.StreamInfo{}, fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	return l.Describe(spec.Name)
}

func checkRetention(d time.Duration) error {
	if d < minRetention || d > maxRetention {
		return fmt.Errorf("%w: retention %v is outside %v to %v", streams.ErrInvalid, d, minRetention, maxRetention)
	}
	return nil
}

// Configure implements streams.Engine.
func (l *Log) Configure(ctx context.Context, name string, retention time.Duration) error {
	if err := checkRetention(retention); err != nil {
		return fmt.Errorf("configure stream %q: %w", name, err)
	}
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, err := l.lookup(name)
	if err != nil {
		return err
	}
	c := &control{Op: "configure", Stream: st.id, Retention: retention.Milliseconds()}
	if err := l.change(ctx, c, func() error { return nil }); err != nil {
		return fmt.Errorf("configure stream %q: %w", name, err)
	}
	return nil
}

func checkBound(n int64) error {
	if n < 0 {
		return fmt.Errorf("%w: bound of %d bytes, must be 0 or more", streams.ErrInvalid, n)
	}
	return nil
}

// Bound implements streams.Engine.
func (l *Log) Bound(ctx context.Context, name string, n int64) error {
	if err := checkBound(n); err != nil {
		return fmt.Errorf("bound stream %q: %w", name, err)
	}
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, err := l.lookup(name)
	if err != nil {
		return err
	}
	l.mu.RLock()
	c := &control{Op: "configure", Stream: st.id, Retention: st.retention.Milliseconds(), Bound: &n}
	l.mu.RUnlock()
	if err := l.change(ctx, c, func() error { return nil }); err != nil {
		return fmt.Errorf("bound stream %q: %w", name, err)
	}
	return nil
}

func checkDurability(d streams.Durability) error {
	if !d.Valid() {
		return fmt.Errorf("%w: durability %q, must be fsync, interval or none", streams.ErrInvalid, string(d))
	}
	return nil
}

// SetDurability implements streams.Engine.
func (l *Log) SetDurability(ctx context.Context, name string, d streams.Durability) error {
	if err := checkDurability(d); err != nil {
		return fmt.Errorf("durability of stream %q: %w", name, err)
	}
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, err := l.lookup(name)
	if err != nil {
		return err
	}
	l.mu.RLock()
	c := &control{Op: "configure", Stream: st.id, Retention: st.retention.Milliseconds(), Durability: d}
	l.mu.RUnlock()
	if err := l.change(ctx, c, func() error { return nil }); err != nil {
		return fmt.Errorf("durability of stream %q: %w", name, err)
	}
	return nil
}

// Delete implements streams.Engine.
func (l *Log) Delete(ctx context.Context, name string) error {
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, err := l.lookup(name)
	if err != nil {
		return err
	}
	return l.changeFrozen(ctx, st, &control{Op: "delete", Stream: st.id, Time: l.opt.Clock().UnixMilli()})
}

// Split implements streams.Engine.
func (l *Log) Split(ctx context.Context, name string, id streams.ShardID, at streams.HashKey) error {
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, s, err := l.openShard(name, id)
	if err != nil {
		return err
	}
	if at.Compare(s.rng.Start) <= 0 || at.Compare(s.rng.End) > 0 {
		return fmt.Errorf("split %s: %w: hash key %s is not inside the range %s to %s, start excluded",
			s, streams.ErrInvalid, at, s.rng.Start, s.rng.End)
	}
	now := l.now()
	return l.changeFrozen(ctx, st, &control{
		Op: "split", Stream: st.id, Shard: uint32(id), At: at.String(), Child: uint32(st.nextShard),
		Time: now.UnixMilli(), Created: childCreated(now, s),
	})
}

// Merge implements streams.Engine.
func (l *Log) Merge(ctx context.Context, name string, lower, upper streams.ShardID) error {
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, a, err := l.openShard(name, lower)
	if err != nil {
		return err
	}
	_, b, err := l.openShard(name, upper)
	if err != nil {
		return err
	}
	if a == b || a.rng.End == streams.MaxHashKey || a.rng.End.Next() != b.rng.Start {
		return fmt.Errorf("merge stream %q: %w: %s and %s are not neighbours in this order", name, streams.ErrInvalid, lower, upper)
	}
	now := l.now()
	return l.changeFrozen(ctx, st, &control{
		Op: "merge", Stream: st.id, Shard: uint32(lower), Adjacent: uint32(upper), Child: uint32(st.nextShard),
		Time: now.UnixMilli(), Created: childCreated(now, a, b),
	})
}

// childCreated is now, but at least a second after the parents were created:
// sequence numbers begin with this time in seconds, and must sort.
func childCreated(now time.Time, parents ...*shard) int64 {
	ms := now.UnixMilli()
	for _, p := range parents {
		ms = max(ms, p.created.UnixMilli()+1000)
	}
	return ms
}

func (l *Log) lookup(name string) (*stream, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, streams.ErrClosed
	}
	st := l.byName[name]
	if st == nil {
		return nil, notFound(name)
	}
	return st, nil
}

func (l *Log) openShard(name string, id streams.ShardID) (*stream, *shard, error) {
	st, err := l.lookup(name)
	if err != nil {
		return nil, nil, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := st.shards[id]
	switch {
	case s == nil:
		return nil, nil, fmt.Errorf("stream %q %s: %w", name, id, streams.ErrNotFound)
	case s.closed:
		return nil, nil, fmt.Errorf("stream %q %s: %w: shard is closed", name, id, streams.ErrInvalid)
	}
	return st, s, nil
}

// changeFrozen makes a change durable while appends to the stream wait: they
// then go to the shards that are open after it, and a change that fails
// leaves nothing to undo.
func (l *Log) changeFrozen(ctx context.Context, st *stream, c *control) error {
	frozen := make(chan struct{})
	err := l.change(ctx, c, func() error {
		st.frozen = frozen
		return nil
	})
	l.mu.Lock()
	if st.frozen == frozen {
		st.frozen = nil
	}
	l.mu.Unlock()
	close(frozen)
	if err != nil {
		return fmt.Errorf("%s in stream %q: %w", c.Op, st.name, err)
	}
	return nil
}
