package kinesis

import (
	"context"
	"slices"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// metricNames are the shard-level metrics, and allMetrics is the name for all
// of them.
var metricNames = [...]string{
	"IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords",
	"WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
}

const allMetrics = "ALL"

func (s *Service) enableEnhancedMonitoring(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	return s.setMonitoring(ctx, r.Input, out, func(enabled, named bool) bool { return enabled || named })
}

func (s *Service) disableEnhancedMonitoring(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	return s.setMonitoring(ctx, r.Input, out, func(enabled, named bool) bool { return enabled && !named })
}

// setMonitoring changes which metrics of the shards of a stream are collected.
// keep decides by whether one was enabled and whether the request names it.
func (s *Service) setMonitoring(ctx context.Context, in wire.Value, out *wire.Encoder, keep func(enabled, named bool) bool) error {
	t, err := s.target(in)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for name := range in.Get("ShardLevelMetrics").Items() {
		named[name.Text()] = true
	}
	var before, after []string
	err = s.change(ctx, t, func(_ streams.StreamInfo, a *attributes) error {
		before = a.Metrics
		for _, name := range metricNames {
			if keep(slices.Contains(before, name), named[name] || named[allMetrics]) {
				after = append(after, name)
			}
		}
		a.Metrics = after
		return nil
	})
	if err != nil {
		return err
	}
	out.BeginObject()
	out.StringMember("StreamName", t.name)
	out.Key("CurrentShardLevelMetrics")
	encodeTexts(out, before)
	out.Key("DesiredShardLevelMetrics")
	encodeTexts(out, after)
	out.StringMember("StreamARN", s.StreamARN(t.name))
	out.EndObject()
	return nil
}

func encodeTexts(out *wire.Encoder, texts []string) {
	out.BeginList()
	for _, text := range texts {
		out.String(text)
	}
	out.EndList()
}
