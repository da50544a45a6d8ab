package delivery

import (
	"context"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// maxRetention is the longest retention a stream can have.
const maxRetention = 8760 * time.Hour

// hold keeps the source longer than its retention while records in it wait to
// be delivered, and lets go when they have been. The retention is doubled well
// before the oldest record would expire.
func (s *Stream) hold(ctx context.Context, oldest time.Time) {
	if s.opt.HoldRetention == 0 {
		return
	}
	info, err := s.opt.Log.Describe(s.opt.Source)
	if err != nil {
		return // the source is gone; whoever reads it says so
	}
	want := heldRetention(s.opt.HoldRetention, since(s.opt.Now(), oldest))
	// Half-way hysteresis: a retention that is still right for a little younger
	// records stays.
	if want == info.Retention || want < info.Retention && want > s.opt.HoldRetention {
		return
	}
	if err := s.opt.Log.Configure(ctx, s.opt.Source, want); err != nil {
		s.log.Error("source cannot be kept longer; its records may expire before they are delivered", "retention", want, "error", err)
		return
	}
	if want > s.opt.HoldRetention {
		s.log.Warn("source is kept longer until it is delivered", "retention", want, "usual", s.opt.HoldRetention)
	} else {
		s.log.Info("source is kept as long as usual again", "retention", want)
	}
}

// heldRetention returns the retention for a source whose oldest undelivered
// record has an age: the usual one doubled until the record is in its first
// half.
func heldRetention(usual, age time.Duration) time.Duration {
	for usual < maxRetention && age > usual/2 {
		usual *= 2
	}
	return min(usual, maxRetention)
}

var _ Log = streams.Engine(nil)
