package wal

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/firehosed/firehosed/streams"
)

// OnDamage says what a read does where records cannot be read.
type OnDamage uint8

// What a read may do.
const (
	// FailOnDamage answers with a *streams.DamageError that names the range.
	FailOnDamage OnDamage = iota
	// SkipDamage goes on with the next record that can be read. What was passed
	// over is counted and logged; appends stay refused where they were.
	SkipDamage
)

// losses counts what reads and the scrubber met, and remembers what was said.
type losses struct {
	skipped atomic.Int64 // records reads passed over
	reads   atomic.Int64 // reads answered with damage
	found   atomic.Int64 // places told of

	scrubbed, passes, scrubDamage atomic.Int64

	mu    sync.Mutex
	told  map[spot]struct{}
	quiet bool
}

// spot is where damage begins in a file.
type spot struct {
	file string
	from int64
}

// toldLimit bounds how many places are remembered. Further ones are counted,
// and logged as one.
const toldLimit = 4096

// first reports whether damage is met for the first time, and whether it is to
// be logged.
func (c *losses) first(err *streams.DamageError) (met, log bool) {
	at := spot{err.File, err.From}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.told[at]; ok {
		return false, false
	}
	if len(c.told) >= toldLimit {
		log, c.quiet = !c.quiet, true
		return true, log
	}
	if c.told == nil {
		c.told = make(map[spot]struct{})
	}
	c.told[at] = struct{}{}
	return true, true
}

// noteDamage counts damage that a read or the scrubber met in a shard, and logs
// each place once.
func (l *Log) noteDamage(s *shard, err *streams.DamageError, by string) {
	met, log := l.losses.first(err)
	if !met {
		return
	}
	l.losses.found.Add(1)
	l.mu.Lock()
	s.mu.Lock()
	known := s.rotten || s.refuse != nil || s.suspect != nil || s.unreadable()
	s.rotten = true
	s.mu.Unlock()
	if !known {
		l.damagedShards++
	}
	l.mu.Unlock()
	if log {
		l.opt.Logger.Error("log: damaged records; firehosed repair makes reads go on behind them", "by", by, "stream", s.st.name,
			"shard", s.id.String(), "file", err.File, "begin", err.From, "end", err.To, "reason", err.Reason)
	}
}

// unreadable reports whether a known range of the shard cannot be read and was
// not given up. s.mu is held.
func (s *shard) unreadable() bool {
	return slices.ContainsFunc(s.damage, func(d damaged) bool { return !d.givenUp })
}

// readFailed tells of damage a read ends with.
func (l *Log) readFailed(s *shard, err error) error {
	var bad *streams.DamageError
	if errors.As(err, &bad) {
		l.losses.reads.Add(1)
		l.noteDamage(s, bad, "read")
	}
	return s.wrap(err)
}

// passes reports whether a read goes on behind a range.
func (l *Log) passes(d *damaged) bool { return d.givenUp || l.opt.OnDamage == SkipDamage }

// pass moves a page behind records that cannot be read. The page has none yet:
// whoever reads sees by the first sequence that some are missing.
func (l *Log) pass(s *shard, c *collector, to streams.Sequence, err *streams.DamageError) {
	if to <= c.page.Next {
		return // how many are lost is not known
	}
	l.losses.skipped.Add(int64(to - c.page.Next)) //nolint:gosec // Fewer than ever were.
	if met, log := l.losses.first(&streams.DamageError{File: err.File + "#", From: err.From}); met && log {
		l.opt.Logger.Warn("log: a read passes over records that are lost", "stream", s.st.name, "shard", s.id.String(),
			"from", uint64(c.page.Next), "to", uint64(to), "file", err.File, "reason", err.Reason)
	}
	c.page.Next = to
}

// behindDamage returns the first record after next that a damaged file still
// has, or the end of its segment.
func (l *Log) behindDamage(s *shard, src *source, bad *streams.DamageError, next streams.Sequence) streams.Sequence {
	if !src.known || bad.To <= bad.From {
		return src.next // the file is missing
	}
	h, err := l.openToRead(s, src.seg, src.path, src.open)
	if err != nil {
		return src.next
	}
	defer l.files.release(h)
	off := l.nextFrame(h, s, bad.To, src.end, next+1)
	if off < 0 {
		return src.next
	}
	var b [headerBytes]byte
	if _, err := h.ReadAt(b[:], off); err != nil && !errors.Is(err, io.EOF) {
		return src.next
	}
	f, ok := parseHeader(b[:], l.seed)
	if !ok {
		return src.next
	}
	return min(streams.Sequence(f.seq), src.next)
}

// alsoMissing adds damage of the journal to what a shard may have lost before:
// as many bytes more.
func alsoMissing(before, more *streams.DamageError) *streams.DamageError {
	if before == nil {
		return more
	}
	sum := *before
	sum.To += more.To - more.From
	return &sum
}
