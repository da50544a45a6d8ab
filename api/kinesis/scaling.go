package kinesis

import (
	"context"
	"slices"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// Limits of changes of a stream, within any 24 hours.
const (
	maxScalings     = 10
	maxModeSwitches = 2
	rollingDay      = 24 * time.Hour
)

// recent returns the instants, in milliseconds, that lie within 24 hours before
// now, and now.
func recent(instants []int64, now time.Time) (within, withNow []int64) {
	within = slices.DeleteFunc(slices.Clone(instants), func(at int64) bool { return at <= now.Add(-rollingDay).UnixMilli() })
	return within, append(slices.Clone(within), now.UnixMilli())
}

// updateShardCount brings a stream to another number of shards of equal width,
// in one step: it is done when the call returns.
func (s *Service) updateShardCount(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	count, open := int(r.Input.Get("TargetShardCount").Int(0)), 0
	err = s.change(ctx, t, func(info streams.StreamInfo, a *attributes) error {
		open = openShards(info)
		if err := s.mayScale(t, a, open, count); err != nil {
			return err
		}
		before, now := recent(a.Scalings, s.clock())
		if len(before) >= maxScalings {
			return wire.Errorf(codeLimit, "UpdateShardCount on stream %s under account %s was used %d times within the last 24 hours. The limit is %d.",
				t.label, s.account, len(before), maxScalings)
		}
		a.Scalings = now
		return s.translateDone(s.engine.Reshard(ctx, t.name, count), t)
	})
	if err != nil {
		return err
	}
	out.BeginObject()
	out.StringMember("StreamName", t.name)
	out.IntMember("CurrentShardCount", int64(open))
	out.IntMember("TargetShardCount", int64(count))
	out.StringMember("StreamARN", s.StreamARN(t.name))
	out.EndObject()
	return nil
}

// mayScale refuses numbers of shards that are too far from that of the open
// ones, or more than there may be.
func (s *Service) mayScale(t target, a *attributes, open, count int) error {
	if err := s.provisioned(a, t); err != nil {
		return err
	}
	switch {
	case count > 2*open:
		return wire.Errorf(codeLimit, "UpdateShardCount cannot scale up over double your current open shard count. "+
			"Current open shard count: %d Target shard count: %d", open, count)
	case 2*count < open:
		return wire.Errorf(codeLimit, "UpdateShardCount cannot scale down below half your current open shard count. "+
			"Current open shard count: %d Target shard count: %d", open, count)
	}
	return s.roomForShards(count - open)
}

// updateStreamMode changes who scales a stream. Its shards stay as they are.
func (s *Service) updateStreamMode(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.targetByARN(r.Input)
	if err != nil {
		return err
	}
	onDemand := r.Input.Get("StreamModeDetails").Get("StreamMode").Text() == onDemandMode
	warm := r.Input.Get("WarmThroughputMiBps")
	return s.change(ctx, t, func(info streams.StreamInfo, a *attributes) error {
		switch {
		case warm.Present() && !onDemand:
			return s.warmNeedsOnDemand(t)
		case !onDemand && a.Spread:
			return wire.Errorf(codeArgument, "Stream %s under account %s has the record distribution strategy AUTO, which streams of mode PROVISIONED cannot have. "+
				"Change it to USER_PARTITION_KEY first.", t.label, s.account)
		}
		if onDemand != a.OnDemand {
			before, now := recent(a.Switches, s.clock())
			if len(before) >= maxModeSwitches {
				return wire.Errorf(codeLimit, "The mode of stream %s under account %s was changed %d times within the last 24 hours. The limit is %d.",
					t.label, s.account, len(before), maxModeSwitches)
			}
			a.Switches = now
			if onDemand {
				if err := s.roomForOnDemand(); err != nil {
					return err
				}
			} else {
				a.WarmMiBps = 0
			}
			a.OnDemand = onDemand
		}
		if warm.Present() {
			return s.warm(ctx, t, info, a, int(warm.Int(0)))
		}
		return nil
	})
}

// updateStreamWarmThroughput opens as many shards as a throughput needs, and
// keeps them open while there is none.
func (s *Service) updateStreamWarmThroughput(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	var kept attributes
	err = s.change(ctx, t, func(info streams.StreamInfo, a *attributes) error {
		if !a.OnDemand {
			return s.warmNeedsOnDemand(t)
		}
		defer func() { kept = *a }()
		return s.warm(ctx, t, info, a, int(r.Input.Get("WarmThroughputMiBps").Int(0)))
	})
	if err != nil {
		return err
	}
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.StringMember("StreamARN", s.StreamARN(t.name))
	out.StringMember("StreamName", t.name)
	encodeWarmThroughput(out, info, &kept)
	out.EndObject()
	return nil
}

// encodeWarmThroughput writes what a stream is meant to take and what its open
// shards do take.
func encodeWarmThroughput(out *wire.Encoder, info streams.StreamInfo, a *attributes) {
	out.Key("WarmThroughput")
	out.BeginObject()
	out.IntMember("TargetMiBps", int64(a.WarmMiBps))
	out.IntMember("CurrentMiBps", int64(openShards(info)*shardMiBps))
	out.EndObject()
}

func (s *Service) warmNeedsOnDemand(t target) error {
	return wire.Errorf(codeArgument, "WarmThroughputMiBps is for streams in On-Demand mode, which stream %s under account %s is not.", t.label, s.account)
}

const (
	// shardMiBps is how much one shard takes in a second by the limits of the
	// real service.
	shardMiBps = 1
	// maxWarmMiBps is the most warm throughput of a stream: 10 GiB a second.
	maxWarmMiBps = 10 << 10
)

// warm sets the warm throughput of a stream and opens the shards it needs.
func (s *Service) warm(ctx context.Context, t target, info streams.StreamInfo, a *attributes, mibps int) error {
	if err := warmEnough(mibps); err != nil {
		return err
	}
	a.WarmMiBps = mibps
	open, need := openShards(info), mibps/shardMiBps
	if open >= need {
		return nil
	}
	if err := s.roomForShards(need - open); err != nil {
		return err
	}
	return s.translateDone(s.engine.Reshard(ctx, t.name, need), t)
}

func warmEnough(mibps int) error {
	if mibps > maxWarmMiBps {
		return wire.Errorf(codeArgument, "WarmThroughputMiBps %d is more than %d.", mibps, maxWarmMiBps)
	}
	return nil
}

// updateStreamRecordDistributionStrategy says whether records go to the shard
// of their partition key or to any.
func (s *Service) updateStreamRecordDistributionStrategy(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.targetByARN(r.Input)
	if err != nil {
		return err
	}
	return s.change(ctx, t, func(_ streams.StreamInfo, a *attributes) error {
		a.Spread = r.Input.Get("RecordDistributionStrategy").Text() == spreadStrategy
		return s.maySpread(t, a)
	})
}

// maySpread refuses the strategy AUTO for a stream that is not on demand.
func (s *Service) maySpread(t target, a *attributes) error {
	if a.Spread && !a.OnDemand {
		return wire.Errorf(codeArgument, "The record distribution strategy AUTO is for streams in On-Demand mode, which stream %s under account %s is not.", t.label, s.account)
	}
	return nil
}

// updateMaxRecordSize changes how large the records are that a stream takes
// from then on.
func (s *Service) updateMaxRecordSize(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.targetByARN(r.Input)
	if err != nil {
		return err
	}
	return s.change(ctx, t, func(_ streams.StreamInfo, a *attributes) error {
		a.setRecordKiB(r.Input.Get("MaxRecordSizeInKiB").Int(0))
		return nil
	})
}
