package wal

import (
	"errors"
	"io"
	"slices"
	"sort"

	"github.com/firehosed/firehosed/streams"
)

// horizon returns the first sequence that retention still shows.
func (l *Log) horizon(s *shard, cut int64) (streams.Sequence, error) {
	s.mu.Lock()
	first, at, last, next := s.first, s.firstAt, s.last, s.next
	s.mu.Unlock()
	switch {
	case last < cut: // also if there never was a record
		return next, nil
	case at >= cut:
		return first, nil
	}
	seq, at, err := l.findTime(s, cut)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Records that are lost right before the first one that is left may not
	// have expired either: they are not passed over in silence.
	for _, d := range slices.Backward(s.damage) {
		if d.from < seq && d.to >= seq && d.to > s.first {
			seq, at = max(d.from, s.first), -1
		}
	}
	if seq >= s.first {
		s.first, s.firstAt = seq, at
	}
	return s.first, nil
}

// notExpired returns seq, or the horizon if that is later. In a busy log the
// horizon moves with every look; where memory can tell that it lies before seq
// nobody searches for it.
func (l *Log) notExpired(s *shard, seq streams.Sequence, cut int64) (streams.Sequence, error) {
	s.mu.Lock()
	shown := s.shows(seq, cut)
	s.mu.Unlock()
	if shown {
		return seq, nil
	}
	horizon, err := l.horizon(s, cut)
	return max(seq, horizon), err
}

// shows reports whether what is in memory tells that the record at seq arrived
// at or after cut, or that it is yet to come. s.mu is held.
func (s *shard) shows(seq streams.Sequence, cut int64) bool {
	switch {
	case seq >= s.next:
		return true
	case s.firstAt >= cut && s.last >= cut:
		return seq >= s.first
	case len(s.tail) > 0 && seq >= s.tail[0].base:
		i := sort.Search(len(s.tail), func(i int) bool { return s.tail[i].next() > seq })
		return i < len(s.tail) && s.tail[i].base <= seq && s.tail[i].arrival >= cut
	}
	i := s.segmentOf(seq)
	if i == len(s.segs) || s.segs[i].base > seq || s.segs[i].first < 0 {
		return false
	}
	seg := s.segs[i]
	return seg.first >= cut || seg.index != nil && seg.first+int64(seg.index.bySeq(seg, seq).arrival) >= cut
}

// lostBefore returns where records are lost right before seq, which may be the
// ones wanted, or seq.
func (s *shard) lostBefore(seq streams.Sequence) streams.Sequence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.withLost(seq)
}

// oldest returns where what is left begins, with what is lost right before: that
// belongs to it, and no read passes it in silence. s.mu is held.
func (s *shard) oldest() streams.Sequence {
	if len(s.segs) > 0 {
		return s.withLost(s.segs[0].base)
	}
	return s.withLost(s.tailNext())
}

func (s *shard) withLost(seq streams.Sequence) streams.Sequence {
	for _, d := range slices.Backward(s.damage) {
		if d.from < seq && d.to >= seq {
			seq = d.from
		}
	}
	return seq
}

// findTime returns the first record that arrived at or after t (Unix ms) and
// its arrival, or the tip and -1.
func (l *Log) findTime(s *shard, t int64) (streams.Sequence, int64, error) {
	for range 1 << 20 { // until nothing moves under it
		seq, at, err := l.findTimeOnce(s, t)
		if !errors.Is(err, errMovedFile) {
			return seq, at, err
		}
	}
	return 0, 0, errMovedFile
}

func (l *Log) findTimeOnce(s *shard, t int64) (streams.Sequence, int64, error) {
	s.mu.Lock()
	tip := s.next
	for _, seg := range s.segs {
		if seg.last < t {
			continue
		}
		if seg.first >= t {
			base, at := seg.base, seg.first
			s.mu.Unlock()
			return base, at, nil
		}
		if seg.index == nil {
			s.mu.Unlock()
			err := l.loadIndex(s, seg)
			var bad *streams.DamageError
			if errors.As(err, &bad) {
				return seg.base, -1, nil
			}
			if err != nil {
				return 0, 0, err
			}
			return 0, 0, errMovedFile
		}
		entry := seg.index.byArrival(seg, t)
		off, end, path, open := int64(entry.off), seg.size, seg.path(), !seg.sealed
		s.mu.Unlock()
		return l.scanTime(s, seg, seg.base+streams.Sequence(entry.seq), path, open, off, end, t)
	}
	tail := s.tail
	keep(tail)
	s.mu.Unlock()
	for i := range tail {
		f := &tail[i]
		if seq, at, ok := firstAt(f, t); ok {
			return seq, at, nil
		}
	}
	return tip, -1, nil
}

// scanTime looks through a segment from a frame on, whose first record is next.
// Where records cannot be read, those that are wanted may be among them: it
// returns their place, and reading them tells.
func (l *Log) scanTime(s *shard, seg *segment, next streams.Sequence, path string, open bool, off, end, t int64) (streams.Sequence, int64, error) {
	var bad *streams.DamageError
	h, err := l.openToRead(s, seg, path, open)
	if errors.As(err, &bad) {
		return next, -1, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer l.files.release(h)
	r := frameReader{l: l, s: s, seg: seg, f: h, path: path, off: off, end: end, chunk: minChunk}
	for {
		f, err := r.next()
		if errors.Is(err, io.EOF) || errors.As(err, &bad) {
			return next, -1, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if f.base > next && f.arrival >= t {
			return next, -1, nil
		}
		if f.arrival < t {
			if err := r.open(&f); err != nil && !errors.As(err, &bad) {
				return 0, 0, err
			}
		}
		if seq, at, ok := firstAt(&f, t); ok {
			return seq, at, nil
		}
		next = f.next()
	}
}

// firstAt finds the first record of a frame that arrived at or after t.
func firstAt(f *frame, t int64) (streams.Sequence, int64, bool) {
	if f.arrival >= t {
		return f.base, f.arrival, true
	}
	body := f.body()
	for i := range f.count {
		r, rest, ok := nextRecord(body)
		if !ok {
			return 0, 0, false
		}
		if at := f.arrival + int64(r.delta); at >= t { //nolint:gosec // At most 32 bits.
			return f.base + streams.Sequence(i), at, true
		}
		body = rest
	}
	return 0, 0, false
}
