package wal

import (
	"time"

	"github.com/firehosed/firehosed/streams"
)

// retainBatch is how many shards lose segments at a time, and retainSegments
// how many they lose. Appends wait for it.
const (
	retainBatch    = 64
	retainSegments = 1024
)

// retainDue calls retain when something has expired since the last call, or a
// stream may have grown beyond its bound. It returns how long nothing more will expire, or 0 if nothing is there to.
func (l *Log) retainDue() time.Duration {
	l.checkpointMu.Lock()
	at := l.expires
	l.checkpointMu.Unlock()
	if wait := at - l.retentionNow(); !l.bounded() && (at < 0 || wait > 0) {
		if at < 0 {
			return 0
		}
		return l.retentionWait(wait)
	}
	return l.retain()
}

// retentionWait bounds the sleep until something expires, in milliseconds: the
// clock may be set, or be believed again.
func (l *Log) retentionWait(ms int64) time.Duration {
	longest := 24 * time.Hour
	if l.clock.jumped.Load() {
		longest = time.Hour
	}
	return min(max(time.Duration(ms)*time.Millisecond, time.Second), longest)
}

// retain takes segments out of use whose records have all expired or that are
// over the bound of their stream, and closed shards that have expired. What
// readers see does not wait for it: the horizon moves with the clock. The files
// are removed after the next checkpoint. It returns how long nothing more will
// expire, or 0 if nothing is there to.
func (l *Log) retain() time.Duration {
	l.checkpointMu.Lock() // no segment gets its sealed name meanwhile
	defer l.checkpointMu.Unlock()
	now := l.retentionNow()
	if l.clock.moved.Swap(false) {
		l.mu.Lock()
		l.changed = true // for the next start
		l.mu.Unlock()
		l.dirty(false)
	}
	over := l.overBound()
	due, soonest := l.dueShards(now, over)
	for len(due) > 0 {
		done, next, ok := l.retainShards(due[:min(retainBatch, len(due))], now, over)
		if !ok {
			return 0
		}
		soonest = earlier(soonest, next)
		due = due[done:]
	}
	l.expires = soonest
	if soonest < 0 {
		return 0
	}
	return l.retentionWait(soonest - now)
}

// earlier returns the earlier of two times, of which those below 0 are never.
func earlier(a, b int64) int64 {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// dueShards lists the shards of which something has expired or is over a bound,
// and tells when the first of the others will. It holds up no appends while it
// looks.
func (l *Log) dueShards(now int64, over map[*shard]streams.Sequence) (due []*shard, soonest int64) {
	type all struct {
		shards    []shardFacts
		retention int64
	}
	l.mu.RLock()
	list := make([]all, 0, len(l.byID))
	for _, st := range l.byID {
		list = append(list, all{st.facts(), st.retention.Milliseconds()})
	}
	l.mu.RUnlock()
	soonest = -1
	for _, st := range list {
		for i := range st.shards {
			s := &st.shards[i]
			at := s.expiry(st.retention)
			if s.closed {
				at = earlier(at, s.closedAt.UnixMilli()+st.retention)
			}
			if at >= 0 && at < now || over[s.shard] > 0 {
				due = append(due, s.shard)
			} else {
				soonest = earlier(soonest, at)
			}
		}
	}
	return due, soonest
}

// expiry is when the oldest segment of a shard, or what waits for one, will
// have expired, or -1.
func (s *shard) expiry(retention int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.segs) > 0:
		return s.segs[0].last + retention
	case len(s.tail) > 0:
		return s.tail[0].arrival + retention
	}
	return -1
}

// retainShards takes out of use what has expired or is over a bound of some
// shards. It tells how many of them it is done with, when something more will
// expire, and whether the log is still in use.
func (l *Log) retainShards(due []*shard, now int64, over map[*shard]streams.Sequence) (done int, soonest int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil || l.closed {
		return 0, -1, false
	}
	soonest = -1
	left, changed := retainSegments, false
	for _, s := range due {
		if left <= 0 {
			break
		}
		done++
		if s.st.shards[s.id] != s || l.byID[s.st.id] != s.st {
			continue // deleted meanwhile
		}
		retention := s.st.retention.Milliseconds()
		if n := s.segments(); s.expired(now-retention) && n <= left {
			left -= n
			l.unlink = append(l.unlink, l.segmentPaths(s)...)
			delete(s.st.shards, s.id)
			s.st.changed()
			l.retire(s)
			changed = true
			continue
		}
		if s.closed {
			soonest = earlier(soonest, s.closedAt.UnixMilli()+retention)
		}
		n, last := l.trim(s, now-retention, over[s], left)
		if left -= n; n > 0 && left <= 0 {
			done-- // there may be more
		}
		changed = changed || n > 0
		if last >= 0 {
			soonest = earlier(soonest, last+retention)
		}
	}
	if changed {
		l.changed = true
		l.dirty(false)
	}
	return done, soonest, true
}

func (s *shard) segments() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segs)
}

// willExpire notes when the segments of shards will expire that a checkpoint
// has written to. l.checkpointMu is held.
func (l *Log) willExpire(shards []*shard) {
	for _, s := range shards {
		l.mu.RLock()
		retention := s.st.retention.Milliseconds()
		l.mu.RUnlock()
		l.expires = earlier(l.expires, s.expiry(retention))
	}
}

func (l *Log) segmentPaths(s *shard) (paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.created {
			paths = append(paths, seg.path())
		}
	}
	return paths
}

// trim takes the oldest segments of a shard out of use, up to most: those that
// end before cut, and sealed ones with records before a sequence only. It
// returns how many, and the last arrival in the oldest that stays, or -1. l.mu
// is held.
func (l *Log) trim(s *shard, cut int64, before streams.Sequence, most int) (n int, last int64) {
	if !s.flushMu.TryLock() {
		return 0, cut // it is being written; look again soon
	}
	defer s.flushMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < min(len(s.segs), most) {
		seg := s.segs[n]
		over := seg.sealed && seg.next <= before
		if seg.last >= cut && !over || seg.next == seg.base {
			break
		}
		if over && s.first < seg.next {
			s.first, s.firstAt = seg.next, -1
		}
		if seg.created {
			l.unlink = append(l.unlink, seg.path())
		}
		l.indexes.forget(seg)
		l.files.retire(seg)
		n++
	}
	if n > 0 {
		s.segs = append([]*segment(nil), s.segs[n:]...)
		if len(s.segs) == 0 {
			s.segs = nil
		}
		s.expireDamage()
		l.touch(s)
	}
	switch {
	case len(s.segs) > 0:
		return n, s.segs[0].last
	case len(s.tail) > 0:
		return n, s.tail[0].arrival
	}
	return n, -1
}

// expireDamage forgets lost ranges that lie before all that is left. s.mu is
// held.
func (s *shard) expireDamage() {
	oldest := s.tailNext()
	if len(s.segs) > 0 {
		oldest = s.segs[0].base
	}
	n := 0
	for n < len(s.damage) && s.damage[n].to < oldest {
		n++
	}
	s.damage = append([]damaged(nil), s.damage[n:]...)
}
