package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/firehosed/firehosed/streams"
)

// source is where the record at a sequence lies.
type source struct {
	tail  []frame  // in memory
	seg   *segment // or in a file:
	path  string
	open  bool
	part  extent
	end   int64 // of the frames
	next  streams.Sequence
	holed bool // a walk for the index could not read all of it
	known bool // part and end are, else the index must be loaded first
	hole  *damaged
	tip   bool
	gone  bool // it has expired since somebody looked, and next is left
}

// reason adds to why records are damaged that the disk did not give them, if so.
func (src *source) reason(why string) string {
	if src.holed {
		return why + ": " + unreadableReason
	}
	return why
}

// locate finds the source of the records at seq and after it, as many as limit
// admits. The index of the segment, if loaded, is used.
func (l *Log) locate(s *shard, seq streams.Sequence, limit streams.Limit) source {
	s.mu.Lock()
	var victims []*indexOwner
	src := s.locate(seq, limit)
	if src.seg != nil && src.seg.index != nil {
		src.part, src.end, src.known = src.seg.index.extent(src.seg, seq, limit), src.seg.size, true
		src.holed = src.seg.index.holed
		victims = l.indexes.touch(s, src.seg)
	}
	s.mu.Unlock()
	l.indexes.drop(victims)
	return src
}

func (s *shard) locate(seq streams.Sequence, limit streams.Limit) source {
	for i := range s.damage {
		if d := &s.damage[i]; seq >= d.from && seq < d.to {
			return source{hole: d}
		}
	}
	if seq >= s.next {
		if s.suspect != nil {
			return source{hole: &damaged{from: seq, to: seq, err: s.suspect}}
		}
		return source{tip: true}
	}
	if oldest := s.oldest(); seq < oldest {
		return source{gone: true, next: oldest}
	}
	if len(s.tail) > 0 && seq >= s.tail[0].base {
		i := sort.Search(len(s.tail), func(i int) bool { return s.tail[i].next() > seq })
		if i < len(s.tail) {
			tail := s.tail[i : i+pageFrames(s.tail[i:], seq, limit)]
			keep(tail)
			return source{tail: tail}
		}
	}
	if i := s.segmentOf(seq); i < len(s.segs) {
		seg := s.segs[i]
		return source{seg: seg, path: seg.path(), open: !seg.sealed, next: seg.next}
	}
	return source{tip: true}
}

// segmentOf returns which segment has the record at seq, or the first one after
// it. s.mu is held.
func (s *shard) segmentOf(seq streams.Sequence) int {
	return sort.Search(len(s.segs), func(i int) bool { return s.segs[i].next > seq })
}

// fillPage collects from wherever the records are, until the page is full or
// the tip is reached.
func (l *Log) fillPage(s *shard, c *collector) error {
	for range 1 << 20 { // each turn makes progress; see the end of the loop
		src := l.locate(s, c.page.Next, c.left)
		before := c.page.Next
		var more bool
		var err error
		switch {
		case src.hole != nil:
			switch {
			case len(c.page.Records) > 0:
				return nil
			case !l.passes(src.hole):
				return src.hole.err
			}
			l.pass(s, c, src.hole.to, src.hole.err)
		case src.tip:
			return nil
		case src.gone:
			if len(c.page.Records) > 0 {
				return nil
			}
			c.page.Next = src.next
		case src.tail != nil:
			c.expect(tailRecords(src.tail, c.page.Next, c.left))
			for i := range src.tail {
				f := &src.tail[i]
				if f.base > c.page.Next { // a hole in between
					break
				}
				if more, err = c.add(f.base, f.count, f.arrival, f.body()); err != nil || !more {
					return err
				}
			}
		default:
			more, err = l.fillFromSegment(s, &src, c)
			if errors.Is(err, errMovedFile) {
				continue
			}
			if err != nil {
				var bad *streams.DamageError
				switch {
				case !errors.As(err, &bad):
					return err
				case len(c.page.Records) > 0:
					return nil // what was good comes first
				case l.opt.OnDamage != SkipDamage:
					return err
				}
				l.pass(s, c, l.behindDamage(s, &src, bad, before), bad)
				more = true
			}
			if !more {
				return nil
			}
		}
		if c.page.Next == before {
			return nil
		}
	}
	return nil
}

// errMovedFile means that a segment got another name, or was removed, between
// the look at it and its opening.
var errMovedFile = errors.New("file moved")

// openToRead opens the file of a source.
func (l *Log) openToRead(s *shard, seg *segment, path string, open bool) (*handle, error) {
	flag := os.O_RDONLY
	if open {
		flag = os.O_RDWR // the writer shares it
	}
	h, err := l.files.acquire(seg, path, flag)
	if errors.Is(err, os.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone {
			return nil, streams.ErrNotFound
		}
		for _, now := range s.segs {
			if now == seg && seg.path() == path {
				return nil, &streams.DamageError{File: path, Reason: "the file is missing"}
			}
		}
		return nil, errMovedFile
	}
	if err == nil && seg.replaced.Load() {
		// Perhaps this is the new file, and what is known is of the old one.
		l.files.release(h)
		return nil, errMovedFile
	}
	return h, err
}

func (l *Log) fillFromSegment(s *shard, src *source, c *collector) (more bool, err error) {
	if !src.known {
		if err := l.loadIndex(s, src.seg); err != nil {
			return false, err
		}
		return true, errMovedFile // look again, now with the index
	}
	h, err := l.openToRead(s, src.seg, src.path, src.open)
	if err != nil {
		return false, err
	}
	defer l.files.release(h)
	r := frameReader{l: l, s: s, seg: src.seg, f: h, path: src.path, off: src.part.off, until: src.part.until, end: src.end, chunk: minChunk}
	r.plainChunk = int(min(c.left.Bytes+c.left.Bytes/8, maxChunk))
	c.expect(src.part.records)
	for {
		if c.left.Records <= 0 {
			r.chunk = headerBytes // it only tells how far behind the page ends
		}
		f, err := r.next()
		if errors.Is(err, io.EOF) {
			if c.page.Next < src.next {
				// All frames were read, and yet records are missing.
				return false, &streams.DamageError{File: src.path, From: src.part.off, To: src.end, Reason: src.reason("records are missing")}
			}
			return true, nil
		}
		if err != nil {
			// The frame that cannot be read may be before the one wanted, and
			// then does not matter.
			var bad *streams.DamageError
			if errors.As(err, &bad) {
				if ahead, ok := r.skip(bad); ok && ahead <= c.page.Next {
					continue
				}
			}
			return false, err
		}
		if f.next() <= c.page.Next {
			continue
		}
		if f.base > c.page.Next {
			return false, &streams.DamageError{
				File: src.path, From: src.part.off, To: r.at,
				Reason: src.reason(fmt.Sprintf("records %d to %d are missing", c.page.Next, f.base-1)),
			}
		}
		if err := r.check(&f); err != nil {
			return false, err
		}
		more, err := c.add(f.base, f.count, f.arrival, f.body())
		if err != nil {
			return false, r.damage(&f, err.Error())
		}
		if !more {
			return false, nil
		}
	}
}

// pageFrames returns how many frames a page with limit needs that begins at seq,
// in the first of them: all that it takes records from, and the one that tells
// how old the next record is.
func pageFrames(tail []frame, seq streams.Sequence, limit streams.Limit) int {
	records, bytes := 0, int64(0)
	for i := range tail {
		f := &tail[i]
		if records > limit.Records || bytes > limit.Bytes {
			return i
		}
		if i > 0 || f.base >= seq { // of the first some may be before seq
			records += int(f.count)
			bytes += f.payload
		}
	}
	return len(tail)
}

// tailRecords tells about how many records of a tail at and after seq a page
// with limit takes.
func tailRecords(tail []frame, seq streams.Sequence, limit streams.Limit) int {
	n, left := 0, limit.Bytes
	for i := range tail {
		f := &tail[i]
		count, payload := int64(f.count), f.payload
		if f.base < seq {
			count -= int64(seq - f.base) //nolint:gosec // Within the frame.
			payload = payload * count / int64(f.count)
		}
		if payload > left {
			part := int(count * left / payload)
			n += part + part/16 + 1
			break
		}
		n += int(count)
		left -= payload
		if n >= limit.Records {
			break
		}
	}
	return n
}
