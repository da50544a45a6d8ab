package wal

import "time"

// retain takes segments out of use whose records have all expired, and closed
// shards that have. The files are removed after the next checkpoint. It
// returns how long nothing more will expire, or 0 if nothing is there to.
func (l *Log) retain() time.Duration {
	l.checkpointMu.Lock() // no segment gets its sealed name meanwhile
	defer l.checkpointMu.Unlock()
	now := l.retentionNow()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil || l.closed {
		return 0
	}
	soonest := int64(-1)
	expires := func(at int64) {
		if soonest < 0 || at < soonest {
			soonest = at
		}
	}
	changed := false
	for _, st := range l.byID {
		retention := st.retention.Milliseconds()
		for id, s := range st.shards {
			if s.expired(now - retention) {
				l.unlink = append(l.unlink, l.segmentPaths(s)...)
				delete(st.shards, id)
				st.changed()
				l.retire(s)
				changed = true
				continue
			}
			if s.closed {
				expires(s.closedAt.UnixMilli() + retention)
			}
			n, last := l.trim(s, now-retention)
			if n > 0 {
				changed = true
			}
			if last >= 0 {
				expires(last + retention)
			}
		}
	}
	if changed {
		l.changed = true
		l.dirty(false)
	}
	if soonest < 0 {
		return 0
	}
	return min(max(time.Duration(soonest-now)*time.Millisecond, time.Second), 24*time.Hour)
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

// trim takes the segments of a shard out of use that end before cut. It
// returns how many, and the last arrival in the oldest that stays, or -1.
// l.mu is held.
func (l *Log) trim(s *shard, cut int64) (n int, last int64) {
	if !s.flushMu.TryLock() {
		return 0, cut // it is being written; look again soon
	}
	defer s.flushMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(s.segs) && s.segs[n].last < cut && s.segs[n].next > s.segs[n].base {
		seg := s.segs[n]
		if seg.created {
			l.unlink = append(l.unlink, seg.path())
		}
		l.indexes.forget(seg)
		l.files.forget(seg)
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
