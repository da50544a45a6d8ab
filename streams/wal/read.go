package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/firehosed/firehosed/streams"
)

const (
	defaultPageRecords = 10_000
	defaultPageBytes   = 1 << 20
)

// Read implements streams.Engine.
func (l *Log) Read(ctx context.Context, ref streams.ShardRef, from streams.Position, limit streams.Limit) (streams.Page, error) {
	s, retention, err := l.resolve(ref)
	if err != nil {
		return streams.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return streams.Page{}, err
	}
	if limit.Records <= 0 {
		limit.Records = defaultPageRecords
	}
	if limit.Bytes <= 0 {
		limit.Bytes = defaultPageBytes
	}
	seq, err := l.sequenceAt(s, from, l.retentionNow()-retention.Milliseconds())
	if err != nil {
		return streams.Page{}, l.readFailed(s, err)
	}
	p := pageOf(seq, limit)
	if err := l.fillPage(s, &p); err != nil {
		return streams.Page{}, l.readFailed(s, err)
	}
	s.mu.Lock()
	gone := s.gone
	p.page.Tip = s.next
	p.page.Ended = s.ended && p.page.Next >= s.next
	s.mu.Unlock()
	if gone {
		return streams.Page{}, s.wrap(streams.ErrNotFound)
	}
	if p.nextAt >= 0 {
		p.page.Behind = max(0, l.opt.Clock().Sub(msTime(p.nextAt)))
	}
	l.stats.read(&p.page)
	return p.page, nil
}

// sequenceAt finds the record a position means. Those that arrived before cut
// have expired.
func (l *Log) sequenceAt(s *shard, from streams.Position, cut int64) (streams.Sequence, error) {
	switch from.Kind {
	case streams.At:
		return l.notExpired(s, from.Seq, cut)
	case streams.Horizon:
		return l.horizon(s, cut)
	case streams.AtTime:
		horizon, err := l.horizon(s, cut)
		if err != nil {
			return 0, err
		}
		at, _, err := l.findTime(s, max(from.Time.UnixMilli(), cut))
		return max(s.lostBefore(at), horizon), err
	case streams.Tip:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.next, nil
	}
	return 0, fmt.Errorf("%w: position of kind %d", streams.ErrInvalid, from.Kind)
}

func (s *shard) wrap(err error) error { return fmt.Errorf("%s: %w", s, err) }

// collector gathers a page.
type collector struct {
	page   streams.Page
	left   streams.Limit
	nextAt int64 // arrival of the record at page.Next, -1 at the tip
	texts  []byte
}

func pageOf(seq streams.Sequence, limit streams.Limit) collector {
	return collector{page: streams.Page{Next: seq}, left: limit, nextAt: -1}
}

// add takes the records of a frame at and after page.Next, and reports whether
// there is room for more. The body was checked.
func (c *collector) add(base streams.Sequence, count uint32, arrival int64, body []byte) (more bool, err error) {
	arrived := arrival
	when := msTime(arrival)
	for i := range count {
		r, rest, ok := nextRecord(body)
		if !ok {
			return false, errRecords
		}
		body = rest
		seq := base + streams.Sequence(i)
		if seq < c.page.Next {
			continue
		}
		at := arrival + int64(r.delta) //nolint:gosec // At most 32 bits.
		size := int64(len(r.key) + len(r.data))
		if c.left.Records <= 0 || (size > c.left.Bytes && len(c.page.Records) > 0) {
			c.nextAt = at
			return false, nil
		}
		if at != arrived {
			arrived, when = at, msTime(at)
		}
		n := len(c.page.Records)
		if n < cap(c.page.Records) {
			c.page.Records = c.page.Records[:n+1]
		} else {
			c.page.Records = append(c.page.Records, streams.Record{})
		}
		rec := &c.page.Records[n]
		// The buffer is never written again, so the key may share it.
		rec.PartitionKey = unsafe.String(unsafe.SliceData(r.key), len(r.key))
		rec.Data, rec.Arrival, rec.Sequence = r.data, when, seq
		if r.explicit {
			rec.ExplicitHashKey = c.text(r.hash)
		}
		c.page.Next = seq + 1
		c.left.Records--
		c.left.Bytes -= size
	}
	return true, nil
}

// expect makes room for about n more records.
func (c *collector) expect(n int) {
	n = min(n, c.left.Records)
	if n > cap(c.page.Records)-len(c.page.Records) {
		c.page.Records = slices.Grow(c.page.Records, n)
	}
}

// text renders a hash key. The texts of a page share memory.
func (c *collector) text(h streams.HashKey) string {
	if cap(c.texts)-len(c.texts) < maxHashDigits {
		c.texts = make([]byte, 0, maxHashDigits*min(max(cap(c.page.Records)-len(c.page.Records), 1), 256))
	}
	at := len(c.texts)
	c.texts = h.Append(c.texts)
	b := c.texts[at:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// maxHashDigits is the length of the largest hash key.
const maxHashDigits = 39

var errRecords = errors.New("frame does not hold the records it should")
