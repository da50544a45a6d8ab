package wal

import (
	"slices"

	"github.com/firehosed/firehosed/streams"
)

// bounded reports whether any stream has a bound of its bytes.
func (l *Log) bounded() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, st := range l.byID {
		if st.bound > 0 {
			return true
		}
	}
	return false
}

// overBound tells what is over the bounds of streams: for each shard that must
// give something the sequence before which its sealed segments go. The oldest
// of a stream go first, whatever their shard. checkpointMu is held.
func (l *Log) overBound() map[*shard]streams.Sequence {
	type bounded struct {
		name   string
		bound  int64
		shards []shardFacts
	}
	var list []bounded
	l.mu.RLock()
	for _, st := range l.byID {
		if st.bound > 0 {
			list = append(list, bounded{st.name, st.bound, st.facts()})
		}
	}
	l.mu.RUnlock()
	var over map[*shard]streams.Sequence
	for i := range list {
		total, sealed := int64(0), []aged(nil)
		for k := range list[i].shards {
			n, old := l.segmentsOf(list[i].shards[k].shard)
			total += n
			sealed = append(sealed, old...)
		}
		if total <= list[i].bound {
			continue
		}
		slices.SortStableFunc(sealed, func(a, b aged) int { return int(min(max(a.last-b.last, -1), 1)) })
		n := 0
		for ; n < len(sealed) && total > list[i].bound; n++ {
			if over == nil {
				over = map[*shard]streams.Sequence{}
			}
			over[sealed[n].shard] = sealed[n].next
			total -= sealed[n].bytes
		}
		if n > 0 {
			l.opt.Logger.Info("retention: a stream is over its bound; its oldest records go before their time",
				"stream", list[i].name, "bound", list[i].bound, "segments", n)
		}
	}
	return over
}

// aged is a sealed segment that may go.
type aged struct {
	shard       *shard
	next        streams.Sequence
	last, bytes int64
}

// segmentsOf returns the size of a shard's segments, and those that may go, the
// oldest first: what is sealed before the first that is not.
func (l *Log) segmentsOf(s *shard) (total int64, sealed []aged) {
	type unknown struct {
		seg  *segment
		path string
	}
	var ask []unknown
	s.mu.Lock()
	segs := s.segs
	for _, seg := range segs {
		if seg.size < 0 && seg.disk == 0 { // not looked into since the start
			ask = append(ask, unknown{seg, seg.path()})
		}
	}
	s.mu.Unlock()
	for _, u := range ask {
		size := int64(segmentHead)
		if i, err := l.opt.FS.Stat(u.path); err == nil { // a missing one is found when it is read
			size = i.Size()
		}
		s.mu.Lock()
		u.seg.disk = size
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	open := false
	for _, seg := range segs {
		bytes := max(seg.size, seg.disk)
		total += bytes
		if open = open || !seg.sealed; !open {
			sealed = append(sealed, aged{s, seg.next, seg.last, bytes})
		}
	}
	return total, sealed
}
