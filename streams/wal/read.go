package wal

import (
	"context"
	"errors"
	"fmt"
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
	cut := l.retentionNow() - retention.Milliseconds()
	horizon, err := l.horizon(s, cut)
	if err != nil {
		return streams.Page{}, s.wrap(err)
	}
	seq := horizon
	switch from.Kind {
	case streams.Horizon:
	case streams.At:
		seq = max(from.Seq, horizon)
	case streams.AtTime:
		at, _, err := l.findTime(s, max(from.Time.UnixMilli(), cut))
		if err != nil {
			return streams.Page{}, s.wrap(err)
		}
		seq = max(at, horizon)
	case streams.Tip:
		s.mu.Lock()
		seq = s.next
		s.mu.Unlock()
	default:
		return streams.Page{}, fmt.Errorf("%s: %w: position of kind %d", s, streams.ErrInvalid, from.Kind)
	}
	p := pageOf(seq, limit)
	if err := l.fillPage(s, &p); err != nil {
		return streams.Page{}, s.wrap(err)
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

func (s *shard) wrap(err error) error { return fmt.Errorf("%s: %w", s, err) }

// collector gathers a page.
type collector struct {
	page   streams.Page
	left   streams.Limit
	nextAt int64 // arrival of the record at page.Next, -1 at the tip
}

func pageOf(seq streams.Sequence, limit streams.Limit) collector {
	return collector{page: streams.Page{Next: seq}, left: limit, nextAt: -1}
}

// add takes the records of a frame at and after page.Next, and reports whether
// there is room for more. The body was checked.
func (c *collector) add(base streams.Sequence, count uint32, arrival int64, body []byte) (more bool, err error) {
	if want := min(c.left.Records, int(count)); c.page.Records == nil && want > 0 {
		c.page.Records = make([]streams.Record, 0, want)
	}
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
		rec := streams.Record{
			// The buffer is never written again, so the key may share it.
			PartitionKey: unsafe.String(unsafe.SliceData(r.key), len(r.key)),
			Data:         r.data, Arrival: msTime(at), Sequence: seq,
		}
		if r.explicit {
			rec.ExplicitHashKey = r.hash.String()
		}
		c.page.Records = append(c.page.Records, rec)
		c.page.Next = seq + 1
		c.left.Records--
		c.left.Bytes -= size
	}
	return true, nil
}

var errRecords = errors.New("frame does not hold the records it should")
