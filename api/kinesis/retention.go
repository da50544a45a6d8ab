package kinesis

import (
	"context"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// Retention that calls can set, in hours.
const (
	minRetentionHours = 24
	maxRetentionHours = 8760
)

func (s *Service) increaseStreamRetentionPeriod(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	return s.setRetention(ctx, r.Input, func(t target, hours int64, existing time.Duration) error {
		if time.Duration(hours)*time.Hour < existing {
			return wire.Errorf(codeArgument, "Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). "+
				"Use DecreaseRetentionPeriod API.", hours, t.label, wholeHours(existing))
		}
		return nil
	})
}

func (s *Service) decreaseStreamRetentionPeriod(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	return s.setRetention(ctx, r.Input, func(t target, hours int64, existing time.Duration) error {
		if time.Duration(hours)*time.Hour > existing {
			return wire.Errorf(codeArgument, "Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). "+
				"Use IncreaseRetentionPeriod API.", hours, t.label, wholeHours(existing))
		}
		return nil
	})
}

// setRetention changes the retention of a stream to one that allowed agrees to.
func (s *Service) setRetention(ctx context.Context, in wire.Value, allowed func(t target, hours int64, existing time.Duration) error) error {
	t, err := s.target(in)
	if err != nil {
		return err
	}
	hours := in.Get("RetentionPeriodHours").Int(0)
	return s.change(ctx, t, func(info streams.StreamInfo, _ *attributes) error {
		switch {
		case hours < minRetentionHours:
			return wire.Errorf(codeArgument, "Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", minRetentionHours, hours)
		case hours > maxRetentionHours:
			return wire.Errorf(codeArgument, "Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", maxRetentionHours, hours)
		}
		if err := allowed(t, hours, info.Retention); err != nil {
			return err
		}
		retention := time.Duration(hours) * time.Hour
		if retention == info.Retention {
			return nil
		}
		if s.declared(t.name) {
			return wire.Errorf(codeInUse, "Stream %s under account %s is declared in the configuration file of this server, which sets its retention. Change it there.",
				t.label, s.account)
		}
		return s.translateDone(s.engine.Configure(ctx, t.name, retention), t)
	})
}

// wholeHours is a retention as this API shows it. A file may set less than an
// hour, of which the API knows no word.
func wholeHours(d time.Duration) int64 { return max(int64(d.Hours()), 1) }
