package wal

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/firehosed/firehosed/streams"
)

// step is one split or merge of a reshard. The shards it opens get the next
// ids, so that later steps can name them.
type step struct {
	Shard    uint32  `json:"shard"`              // split; merge: the lower one
	At       string  `json:"at,omitempty"`       // split: decimal
	Adjacent *uint32 `json:"adjacent,omitempty"` // merge: the upper one
	Created  int64   `json:"created_ms"`         // of the shards it opens
}

// sameBoundary is how far two boundaries of shards may be apart to count as
// one. Uniform ranges are rounded to whole keys: without it a doubling would
// have to move every other boundary by a key.
const sameBoundary = 1 << 32

// Reshard implements streams.Engine.
func (l *Log) Reshard(ctx context.Context, name string, count int) error {
	if count < 1 || count > maxShards {
		return fmt.Errorf("reshard stream %q: %w: %d shards, must be 1 to %d", name, streams.ErrInvalid, count, maxShards)
	}
	l.reshape.Lock()
	defer l.reshape.Unlock()
	st, err := l.lookup(name)
	if err != nil {
		return err
	}
	now := l.now()
	l.mu.RLock()
	p := reshardPlan{next: uint32(st.nextShard), now: now.UnixMilli()}
	open := make([]piece, len(st.route.shards))
	for i, s := range st.route.shards {
		open[i] = piece{id: uint32(s.id), rng: s.rng, created: s.created.UnixMilli()}
	}
	l.mu.RUnlock()
	c := &control{Op: "reshard", Stream: st.id, Child: p.next, Time: p.now}
	c.Steps = p.uniform(open, count)
	if len(c.Steps) == 0 {
		return nil // it has these shards
	}
	if p.next > math.MaxInt32 {
		return fmt.Errorf("reshard stream %q: %w: it would have used all ids of shards", name, streams.ErrInvalid)
	}
	return l.changeFrozen(ctx, st, c)
}

// piece is a shard as it will be at some step.
type piece struct {
	id      uint32
	rng     streams.HashRange
	created int64
}

// reshardPlan makes the steps from some shards to others. Ranges are halved
// and joined like a tree, so that the times of creation, a second apart from
// parent to child, do not run far ahead of the clock.
type reshardPlan struct {
	next  uint32 // id of the next new shard
	now   int64
	steps []step
}

// uniform returns the steps from the open shards, ordered by range, to count
// of equal width. Shards that have such a range already stay as they are.
func (p *reshardPlan) uniform(open []piece, count int) []step {
	bounds := targetBounds(open, count)
	var pieces []piece
	for _, s := range open {
		first, _ := slices.BinarySearchFunc(bounds, s.rng.Start.Next(), streams.HashKey.Compare)
		last, found := slices.BinarySearchFunc(bounds, s.rng.End, streams.HashKey.Compare)
		if found {
			last++
		}
		if s.rng.Start == s.rng.End {
			first = last // no key lies inside
		}
		pieces = p.split(pieces, s, bounds[first:last])
	}
	for i := range bounds {
		n := len(pieces)
		if i+1 < len(bounds) {
			n, _ = slices.BinarySearchFunc(pieces, bounds[i+1], func(s piece, k streams.HashKey) int { return s.rng.Start.Compare(k) })
		}
		p.merge(pieces[:n])
		pieces = pieces[n:]
	}
	return p.steps
}

// targetBounds are the first keys of the ranges to reach: the uniform ones, or
// those of open shards that lie next to them.
func targetBounds(open []piece, count int) []streams.HashKey {
	bounds := make([]streams.HashKey, count)
	for i, r := range streams.UniformRanges(count) {
		bounds[i] = r.Start
		at, _ := slices.BinarySearchFunc(open, r.Start, func(s piece, k streams.HashKey) int { return s.rng.Start.Compare(k) })
		best := uint64(sameBoundary)
		for _, n := range []int{at - 1, at} {
			if n < 0 || n >= len(open) {
				continue
			}
			if d := distance(open[n].rng.Start, r.Start); d < best {
				best, bounds[i] = d, open[n].rng.Start
			}
		}
	}
	return bounds
}

// distance is how many keys lie between a and b, or the largest number if it
// is larger.
func distance(a, b streams.HashKey) uint64 {
	if a.Compare(b) < 0 {
		a, b = b, a
	}
	lo, borrow := bits.Sub64(a.Lo, b.Lo, 0)
	if hi, _ := bits.Sub64(a.Hi, b.Hi, borrow); hi != 0 {
		return math.MaxUint64
	}
	return lo
}

// split cuts a shard before each of the keys and appends the parts to out.
func (p *reshardPlan) split(out []piece, s piece, at []streams.HashKey) []piece {
	if len(at) == 0 {
		return append(out, s)
	}
	mid := len(at) / 2
	low := piece{id: p.next, rng: streams.HashRange{Start: s.rng.Start, End: at[mid].Prev()}, created: max(p.now, s.created+1000)}
	high := piece{id: p.next + 1, rng: streams.HashRange{Start: at[mid], End: s.rng.End}, created: low.created}
	p.next += 2
	p.steps = append(p.steps, step{Shard: s.id, At: at[mid].String(), Created: low.created})
	return p.split(p.split(out, low, at[:mid]), high, at[mid+1:])
}

// merge joins neighbours, of which there is at least one.
func (p *reshardPlan) merge(s []piece) piece {
	if len(s) == 1 {
		return s[0]
	}
	a, b := p.merge(s[:len(s)/2]), p.merge(s[len(s)/2:])
	m := piece{id: p.next, rng: streams.HashRange{Start: a.rng.Start, End: b.rng.End}, created: max(p.now, a.created+1000, b.created+1000)}
	p.next++
	p.steps = append(p.steps, step{Shard: a.id, Adjacent: &b.id, Created: m.created})
	return m
}

// applySteps does the splits and merges of a reshard. A shard that is missing
// was lost with a damaged control record, which is named; the ids of the others
// stay what they were meant to be. l.mu is held.
func (st *stream) applySteps(c *control) {
	child := streams.ShardID(c.Child)
	if child < st.nextShard {
		return // it is done
	}
	at := msTime(c.Time)
	for i := range c.Steps {
		e := &c.Steps[i]
		a := st.shards[streams.ShardID(e.Shard)]
		if e.Adjacent != nil {
			if b := st.shards[streams.ShardID(*e.Adjacent)]; a != nil && b != nil {
				st.merge(a, b, child, at, msTime(e.Created))
			}
			child++
			continue
		}
		if key, err := streams.ParseHashKey(e.At); err == nil && a != nil {
			st.split(a, key, child, at, msTime(e.Created))
		}
		child += 2
	}
	st.nextShard = child
	st.reroute()
}

// checkSteps tells what is wrong with the steps of a record that was read.
func checkSteps(steps []step) error {
	if len(steps) == 0 {
		return fmt.Errorf("control record: %w: reshard without steps", errContent)
	}
	for i := range steps {
		if steps[i].Adjacent != nil {
			continue
		}
		if _, err := streams.ParseHashKey(steps[i].At); err != nil {
			return fmt.Errorf("control record: reshard: %w", err)
		}
	}
	return nil
}
