package wal

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

const (
	// scrubEvery is the time from the beginning of one pass to that of the next.
	scrubEvery = 24 * time.Hour
	// scrubAfter is how long a start is left alone.
	scrubAfter = time.Minute
)

// scrubLoop reads all sealed segments once a day, at a bounded rate, and tells
// of damage before somebody needs the records. It changes nothing. Where it was
// is not kept: a start begins a new pass.
func (l *Log) scrubLoop() {
	defer l.running.Done()
	timer := time.NewTimer(scrubAfter)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.stop:
			return
		}
		start := l.monotonic()
		if err := l.scrub(&pacer{l: l, rate: l.opt.ScrubBytesPerSecond}); errors.Is(err, errStopped) {
			return
		}
		l.losses.passes.Add(1)
		timer.Reset(max(scrubEvery-(l.monotonic()-start), scrubAfter))
	}
}

var errStopped = errors.New("stopped")

// pacer lets work go on at a rate.
type pacer struct {
	l    *Log
	rate int64 // bytes per second, 0 for as fast as it goes
	owed int64
	done *atomic.Int64 // counts the bytes
}

// pay accounts for n bytes, and waits when a quarter of a second's worth was
// done. errStopped when the log closes.
func (p *pacer) pay(n int64) error {
	p.done.Add(n)
	if p.owed += n; p.rate == 0 || p.owed < p.rate/4 {
		select {
		case <-p.l.stop:
			return errStopped
		default:
			return nil
		}
	}
	timer := time.NewTimer(time.Duration(float64(p.owed) / float64(p.rate) * float64(time.Second)))
	defer timer.Stop()
	p.owed = 0
	select {
	case <-timer.C:
		return nil
	case <-p.l.stop:
		return errStopped
	}
}

// scrub does one pass over the segments that are sealed when it comes to their
// shard.
func (l *Log) scrub(p *pacer) error {
	p.done = &l.losses.scrubbed
	for _, s := range l.allShards() {
		s.mu.Lock()
		segs := s.segs
		s.mu.Unlock()
		for _, seg := range segs {
			if err := l.scrubSegment(s, seg, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) scrubSegment(s *shard, seg *segment, p *pacer) error {
	s.mu.Lock()
	v, gone := seg.view(), s.gone || !seg.sealed
	s.mu.Unlock()
	if gone {
		return nil
	}
	// A descriptor of its own, so that files in use stay open.
	f, err := l.opt.FS.OpenFile(v.path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		if l.still(s, seg) {
			l.scrubbed(s, &streams.DamageError{File: v.path, Reason: "the file is missing"})
		}
		return nil
	}
	if err != nil {
		l.opt.Logger.Warn("scrub: a segment cannot be read", "file", v.path, "error", err)
		return nil
	}
	// What is in memory would be compared with itself, not what is on the disk.
	vfs.DropCache(f, 0, 0)
	out, err := l.verifyAll(f, s, v, p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case errors.Is(err, errStopped):
		return err
	case err != nil:
		l.opt.Logger.Warn("scrub: a segment cannot be read", "file", v.path, "error", err)
		return nil
	case out.good() || !l.still(s, seg):
		return nil // or past its retention meanwhile
	}
	for i := range out.lost {
		if d := &out.lost[i]; !l.givenUp(s, d) {
			l.scrubbed(s, d.err)
		}
	}
	if out.other != nil {
		l.scrubbed(s, out.other)
	}
	return nil
}

func (l *Log) verifyAll(f vfs.File, s *shard, v segmentView, p *pacer) (verdict, error) {
	st, err := f.Stat()
	if err != nil {
		return verdict{}, err
	}
	return l.verify(paced{f, p}, st.Size(), s, v, nil)
}

// paced reads at a rate.
type paced struct {
	io.ReaderAt
	p *pacer
}

func (r paced) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, off)
	if perr := r.p.pay(int64(n)); perr != nil {
		return n, perr
	}
	return n, err
}

// still reports whether a segment is in use under the name it had.
func (l *Log) still(s *shard, seg *segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	for _, now := range s.segs {
		if now == seg {
			return true
		}
	}
	return false
}

// givenUp reports whether all records of a range were given up by repair.
func (l *Log) givenUp(s *shard, d *damaged) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.damage {
		if known.givenUp && known.from <= d.from && d.to <= known.to {
			return true
		}
	}
	return false
}

// scrubbed tells of damage as a read does.
func (l *Log) scrubbed(s *shard, err *streams.DamageError) {
	l.losses.scrubDamage.Add(1)
	l.noteDamage(s, err, "scrub")
}
