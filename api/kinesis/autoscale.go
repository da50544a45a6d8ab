package kinesis

import (
	"context"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// How streams on demand get their shards. The traffic of a stream is measured
// in windows, each counted in shards: as many as its bytes and its records
// would fill at the rates of the real service. The stream shall take twice the
// largest window of the last 24 hours.
//
//   - If it does not, it is doubled until it does, at the end of that window.
//   - If half its shards would do, it is halved, but not within 24 hours of the
//     last change or of the start of the daemon, which does not know what was
//     before.
//
// It has at least 4 shards, and what its warm throughput needs; and never more
// than the account has room for.
const (
	scaleWindow  = 10 * time.Second
	peakHours    = 24
	shrinkAfter  = 24 * time.Hour
	shardRecords = 1000    // per second
	shardBytes   = 1 << 20 // per second
)

// load is what is known of the traffic of a stream on demand.
type load struct {
	streamID uint64
	hours    [peakHours]float64 // largest window of each hour, in shards
	hour     int64              // since 1970, of the newest in hours
	settled  time.Time          // since when the shards are as they are
	short    bool               // there was no room for what it needs
}

// observe adds a window that ended at an instant.
func (l *load) observe(at time.Time, shards float64) {
	hour := at.Unix() / 3600
	if hour-l.hour >= peakHours {
		l.hours = [peakHours]float64{}
		l.hour = hour
	}
	for ; l.hour < hour; l.hour++ {
		l.hours[(l.hour+1)%peakHours] = 0
	}
	now := &l.hours[l.hour%peakHours] // a clock that went back counts for the newest
	*now = max(*now, shards)
}

// peak is the largest window of the last 24 hours.
func (l *load) peak() float64 {
	most := 0.0
	for _, h := range l.hours {
		most = max(most, h)
	}
	return most
}

// wanted returns how many shards a stream shall have that has open ones, and
// must not have fewer than floor.
func (l *load) wanted(open, floor int, now time.Time) int {
	enough := func(n int) bool { return n >= floor && float64(n) >= 2*l.peak() }
	want := open
	for !enough(want) {
		want *= 2
	}
	if half := (open + 1) / 2; want == open && half < open && enough(half) && now.Sub(l.settled) >= shrinkAfter {
		want = half
	}
	return want
}

// Run scales streams on demand, and forgets metrics of shards that are gone,
// until ctx ends. It returns nil.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(scaleWindow)
	defer tick.Stop()
	loads := map[string]*load{}
	for last := s.clock(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			now := s.clock()
			s.scaleAll(ctx, loads, now, now.Sub(last))
			s.forgetShards()
			last = now
		}
	}
}

func (s *Service) forgetShards() {
	for stream, a := range *s.attributes.Load() {
		if a.meters == nil {
			continue
		}
		if info, err := s.engine.Describe(stream); err == nil {
			a.meters.keep(info)
		}
	}
}

// scaleAll brings every stream on demand to the shards it shall have after a
// window that ended now.
func (s *Service) scaleAll(ctx context.Context, loads map[string]*load, now time.Time, window time.Duration) {
	all := *s.attributes.Load()
	for stream := range loads {
		if a := all[stream]; a == nil || !a.OnDemand {
			delete(loads, stream)
		}
	}
	for stream, a := range all {
		if !a.OnDemand || ctx.Err() != nil {
			continue
		}
		bytes, records := a.traffic.take()
		info, err := s.engine.Describe(stream)
		if err != nil {
			continue // being made or deleted
		}
		l := loads[stream]
		if l == nil || l.streamID != info.ID {
			l = &load{streamID: info.ID, hour: now.Unix() / 3600, settled: now}
			loads[stream] = l
		}
		// A clock that was set makes windows of any length, and a daemon that was
		// held up a long one of little traffic.
		seconds := min(max(window.Seconds(), scaleWindow.Seconds()/2), 2*scaleWindow.Seconds())
		l.observe(now, max(float64(bytes)/shardBytes, float64(records)/shardRecords)/seconds)
		if err := s.scale(ctx, stream, l, now); err != nil && ctx.Err() == nil {
			s.log.Warn("shards of a stream on demand not changed", "stream", stream, "error", err)
		}
	}
}

// scale brings one stream on demand to the shards it shall have.
func (s *Service) scale(ctx context.Context, stream string, l *load, now time.Time) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	info, err := s.engine.Describe(stream)
	a := s.attributesOf(stream)
	if err != nil || info.ID != l.streamID || info.Status != streams.Active || !a.OnDemand {
		return nil // changed meanwhile: it is looked at again after the next window
	}
	open := openShards(info)
	want := l.wanted(open, max(onDemandShards, a.WarmMiBps/shardMiBps), now)
	if want > open {
		room := max(s.shards-s.use().openShards, 0)
		if short := want > open+room; short != l.short {
			l.short = short
			if short {
				s.log.Warn("no room for the shards that a stream on demand needs", "stream", stream, "shards", open, "needs", want, "account_limit", s.shards)
			}
		}
		want = min(want, open+room)
	}
	if want == open {
		return nil
	}
	if err := s.engine.Reshard(ctx, stream, want); err != nil {
		return err
	}
	l.settled = now
	s.log.Info("shards of a stream on demand changed", "stream", stream, "from", open, "to", want, "peak_shards", l.peak())
	return nil
}
