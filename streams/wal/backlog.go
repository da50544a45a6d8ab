package wal

import (
	"errors"

	"github.com/firehosed/firehosed/streams"
)

// Stat implements streams.Engine.
func (l *Log) Stat(ref streams.ShardRef, from streams.Sequence) (streams.Backlog, error) {
	s, retention, err := l.resolve(ref)
	if err != nil {
		return streams.Backlog{}, err
	}
	horizon, err := l.horizon(s, l.retentionNow()-retention.Milliseconds())
	if err != nil {
		return streams.Backlog{}, s.wrap(err)
	}
	from = max(from, horizon)
	b, err := l.stat(s, from)
	if err != nil {
		return streams.Backlog{}, s.wrap(err)
	}
	return b, nil
}

func (l *Log) stat(s *shard, from streams.Sequence) (b streams.Backlog, err error) {
	for range 1 << 20 { // until every index that is needed is loaded
		var need *segment
		b, need = s.stat(from)
		if need == nil {
			break
		}
		if err := l.loadIndex(s, need); err != nil {
			return b, err
		}
	}
	if b.Records == 0 {
		return streams.Backlog{}, nil
	}
	p := pageOf(from, streams.Limit{Records: 0, Bytes: 1})
	if err := l.fillPage(s, &p); err == nil && p.nextAt >= 0 {
		b.Oldest = msTime(p.nextAt)
	} else if err != nil {
		var bad *streams.DamageError
		if !errors.As(err, &bad) {
			return b, err
		}
	}
	return b, nil
}

// stat counts from what is in memory, or names the segment whose index must be
// loaded before.
func (s *shard) stat(from streams.Sequence) (b streams.Backlog, need *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from >= s.next {
		return b, nil
	}
	b.Records = int64(s.next - from) //nolint:gosec // Positive.
	for i := range s.damage {
		if d := &s.damage[i]; d.to > from {
			b.Records -= int64(d.to - max(d.from, from)) //nolint:gosec // Positive.
		}
	}
	for _, seg := range s.segs {
		if seg.next <= from {
			continue
		}
		if seg.payload < 0 || (seg.base < from && seg.index == nil) {
			return b, seg
		}
		b.Bytes += seg.payload
		if seg.base < from {
			b.Bytes -= int64(seg.index.bySeq(seg, from).payload)
		}
	}
	for i := range s.tail {
		if s.tail[i].next() > from {
			b.Bytes += s.tail[i].payload
		}
	}
	return b, nil
}
