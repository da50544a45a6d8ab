package wal

import (
	"errors"
	"fmt"
	"sort"

	"github.com/firehosed/firehosed/streams"
)

// Stat implements streams.Engine.
func (l *Log) Stat(ref streams.ShardRef, from streams.Sequence) (streams.Backlog, error) {
	s, retention, err := l.resolve(ref)
	if err != nil {
		return streams.Backlog{}, err
	}
	if from, err = l.notExpired(s, from, l.retentionNow()-retention.Milliseconds()); err != nil {
		return streams.Backlog{}, s.wrap(err)
	}
	for range 1 << 20 { // until every index that is needed is loaded
		b, need, where := s.stat(from)
		switch {
		case need != nil:
			err = l.loadIndex(s, need)
		case where.seg != nil:
			var at int64
			if at, err = l.arrivalOf(s, &where, from); err == nil {
				b.Oldest = msTime(at)
				return b, nil
			}
			var bad *streams.DamageError
			if errors.As(err, &bad) {
				return b, nil // as the index has it
			}
		default:
			return b, nil
		}
		if err != nil && !errors.Is(err, errMovedFile) {
			return streams.Backlog{}, s.wrap(err)
		}
	}
	return streams.Backlog{}, s.wrap(errMovedFile)
}

// stat counts from what is in memory, or names the segment whose index must be
// loaded before. Where the index alone cannot tell the arrival of the oldest, it
// returns the part of a segment that can.
func (s *shard) stat(from streams.Sequence) (b streams.Backlog, need *segment, where source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from >= s.next {
		return b, nil, where
	}
	b.Records = int64(s.next - from) //nolint:gosec // Positive.
	for i := range s.damage {
		if d := &s.damage[i]; d.to > from {
			b.Records -= int64(d.to - max(d.from, from)) //nolint:gosec // Positive.
		}
	}
	if b.Records == 0 {
		return b, nil, where
	}
	oldest := int64(-1)
	for _, seg := range s.segs[s.segmentOf(from):] {
		if seg.payload < 0 || (seg.base < from && seg.index == nil) {
			return b, seg, where
		}
		b.Bytes += seg.payload
		at := seg.first
		if seg.base < from {
			e := seg.index.bySeq(seg, from)
			b.Bytes -= int64(e.payload)
			at += int64(e.arrival)
			if p, sure := seg.index.around(seg, from); !sure {
				where = source{seg: seg, path: seg.path(), open: !seg.sealed, part: p, end: seg.size}
			}
		}
		if oldest < 0 {
			oldest = at
		}
	}
	i := sort.Search(len(s.tail), func(i int) bool { return s.tail[i].next() > from })
	for ; i < len(s.tail); i++ {
		b.Bytes += s.tail[i].payload
		if oldest < 0 {
			oldest = s.tail[i].arrival
		}
	}
	if oldest >= 0 {
		b.Oldest = msTime(oldest)
	}
	return b, nil, where
}

// arrivalOf returns the arrival of the record at seq, which src holds, by the
// headers of the frames there.
func (l *Log) arrivalOf(s *shard, src *source, seq streams.Sequence) (int64, error) {
	h, err := l.openToRead(s, src.seg, src.path, src.open)
	if err != nil {
		return 0, err
	}
	defer l.files.release(h)
	var b [headerBytes]byte
	for off := src.part.off; off < src.part.until; {
		_, err := h.ReadAt(b[:], off)
		if isUnreadable(err) {
			err = &streams.DamageError{File: src.path, From: off, To: src.part.until, Reason: unreadableReason}
		}
		if err != nil {
			return 0, err
		}
		head, ok := parseHeader(b[:], l.seed)
		if ok && head.kind == kindPad {
			off += int64(head.size())
			continue
		}
		if !ok || !head.isRecords() || head.count == 0 {
			return 0, &streams.DamageError{File: src.path, From: off, To: src.part.until, Reason: fmt.Sprintf("no frame of this shard at byte %d", off)}
		}
		if streams.Sequence(head.seq)+streams.Sequence(head.count) > seq {
			return head.time, nil
		}
		off += int64(head.size())
	}
	return 0, &streams.DamageError{File: src.path, From: src.part.off, To: src.part.until, Reason: "records are missing"}
}
