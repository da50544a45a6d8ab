package kinesis

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// createStream makes a stream. It is ACTIVE, and survives a crash, when the
// call returns; clients that wait for that see it at once.
func (s *Service) createStream(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	in := r.Input
	name := in.Get("StreamName").Text()
	t := target{name: name, label: name}
	a := &attributes{
		OnDemand:  in.Get("StreamModeDetails").Get("StreamMode").Text() == onDemandMode,
		Spread:    in.Get("RecordDistributionStrategy").Text() == spreadStrategy,
		WarmMiBps: int(in.Get("WarmThroughputMiBps").Int(0)),
	}
	a.setRecordKiB(in.Get("MaxRecordSizeInKiB").Int(0))
	var err error
	if a.Tags, err = s.tags(in, nil, t); err != nil {
		return err
	}
	shards, err := s.shardsToOpen(in, t, a)
	if err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, err := s.engine.Describe(name); err == nil {
		return s.translate(streams.ErrExists, t)
	}
	if err := s.roomForShards(shards); err != nil {
		return err
	}
	if a.OnDemand {
		if err := s.roomForOnDemand(); err != nil {
			return err
		}
	}
	if err := s.setAttributes(ctx, name, a); err != nil {
		return s.translate(err, t)
	}
	if _, err := s.engine.Create(ctx, streams.StreamSpec{Name: name, Shards: shards, Durability: s.durable}); err != nil {
		return errors.Join(s.translate(err, t), s.setAttributes(ctx, name, nil))
	}
	return nil
}

// shardsToOpen is how many shards a new stream gets, if it can be as it shall.
func (s *Service) shardsToOpen(in wire.Value, t target, a *attributes) (int, error) {
	if err := s.maySpread(t, a); err != nil {
		return 0, err
	}
	if a.OnDemand {
		return max(onDemandShards, a.WarmMiBps/shardMiBps), warmEnough(a.WarmMiBps)
	}
	if in.Get("WarmThroughputMiBps").Present() {
		return 0, s.warmNeedsOnDemand(t)
	}
	shards := int(in.Get("ShardCount").Int(0))
	if shards == 0 {
		return 0, wire.Errorf(wire.CodeValidation, "1 validation error detected: Value null at 'shardCount' failed to satisfy constraint: Member must not be null")
	}
	return shards, nil
}

func openShards(info streams.StreamInfo) int {
	n := 0
	for i := range info.Shards {
		if !info.Shards[i].Closed {
			n++
		}
	}
	return n
}

func (s *Service) deleteStream(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	if s.declared(t.name) {
		return wire.Errorf(codeInUse, "Stream %s under account %s is declared in the configuration file of this server. Remove it there.", t.label, s.account)
	}
	live, stale, err := s.consumers(info)
	if err != nil {
		return err
	}
	if len(live) > 0 && !r.Input.Get("EnforceConsumerDeletion").Bool(false) {
		return wire.Errorf(codeInUse, "Stream %s under account %s has %d registered consumers. Deregister them, or set EnforceConsumerDeletion.",
			t.label, s.account, len(live))
	}
	if err := s.engine.Delete(ctx, t.name); err != nil {
		return s.translate(err, t)
	}
	// What is left over after a crash here belongs to no later stream of the
	// name: attributes are overwritten by the next creation, consumers carry the
	// id of this stream.
	if err := s.removeConsumers(ctx, append(live, stale...)...); err != nil {
		return s.translate(err, t)
	}
	return s.translateDone(s.setAttributes(ctx, t.name, nil), t)
}

// translateDone is translate for an error that may be nil.
func (s *Service) translateDone(err error, t target) error {
	if err == nil {
		return nil
	}
	return s.translate(err, t)
}

// describeStream lists a page of shards, up to 100. Closed shards are listed
// for as long as their records can be read.
func (s *Service) describeStream(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, err := s.target(in)
	if err != nil {
		return err
	}
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	a := s.attributesOf(t.name)
	shards := s.retained(info)
	if after := in.Get("ExclusiveStartShardId"); after.Present() {
		id, err := streams.ParseShardID(after.Text())
		if err != nil {
			return s.shardNotFound(after.Text(), t)
		}
		shards = shardsAfter(shards, id)
	}
	limit := min(int(in.Get("Limit").Int(maxPageDescribe)), maxPageDescribe)
	more := len(shards) > limit
	if more {
		shards = shards[:limit]
	}
	out.BeginObject()
	out.Key("StreamDescription")
	out.BeginObject()
	s.encodeStream(out, info, a)
	out.Key("Shards")
	encodeShards(out, shards)
	out.BoolMember("HasMoreShards", more)
	out.EndObject()
	out.EndObject()
	return nil
}

func (s *Service) describeStreamSummary(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	a := s.attributesOf(t.name)
	live, _, err := s.consumers(info)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.Key("StreamDescriptionSummary")
	out.BeginObject()
	s.encodeStream(out, info, a)
	out.IntMember("OpenShardCount", int64(openShards(info)))
	out.IntMember("ConsumerCount", int64(len(live)))
	out.IntMember("MaxRecordSizeInKiB", int64(a.recordBytes()>>10))
	if a.OnDemand {
		out.StringMember("RecordDistributionStrategy", a.strategy())
	}
	if a.WarmMiBps > 0 {
		encodeWarmThroughput(out, info, a)
	}
	out.EndObject()
	out.EndObject()
	return nil
}

// encodeStream writes what both descriptions have. There is no StreamId: SDKs
// would build other host names from it.
func (s *Service) encodeStream(out *wire.Encoder, info streams.StreamInfo, a *attributes) {
	out.StringMember("StreamName", info.Name)
	out.StringMember("StreamARN", s.StreamARN(info.Name))
	out.StringMember("StreamStatus", string(info.Status))
	encodeMode(out, a)
	out.IntMember("RetentionPeriodHours", wholeHours(info.Retention))
	out.TimeMember("StreamCreationTimestamp", info.Created)
	out.Key("EnhancedMonitoring")
	out.BeginList()
	out.BeginObject()
	out.Key("ShardLevelMetrics")
	encodeTexts(out, a.Metrics)
	out.EndObject()
	out.EndList()
	if key := a.Encryption.keyID(); key != "" {
		out.StringMember("EncryptionType", encryptionKMS)
		out.StringMember("KeyId", key)
	} else {
		out.StringMember("EncryptionType", "NONE")
	}
}

func encodeMode(out *wire.Encoder, a *attributes) {
	out.Key("StreamModeDetails")
	out.BeginObject()
	out.StringMember("StreamMode", a.mode())
	out.EndObject()
}

// listStreams lists a page of streams by name, up to 100, from after
// ExclusiveStartStreamName or the name in NextToken.
func (s *Service) listStreams(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	after := in.Get("ExclusiveStartStreamName").Text()
	if token := in.Get("NextToken"); token.Present() {
		contents, ok := s.tokens.open(tokenListStreams, token.Text())
		f := fields{b: contents}
		name := f.text()
		if !ok || !f.done() {
			return wire.Errorf(codeArgument, "Invalid NextToken.")
		}
		if after != "" && after != name {
			return wire.Errorf(codeArgument, "NextToken and ExclusiveStartStreamName cannot be provided together.")
		}
		after = name
	}
	all := s.engine.List()
	slices.SortFunc(all, func(a, b streams.StreamInfo) int { return strings.Compare(a.Name, b.Name) })
	all = slices.DeleteFunc(all, func(i streams.StreamInfo) bool { return i.Internal() || after != "" && i.Name <= after })
	limit := min(int(in.Get("Limit").Int(maxPageDescribe)), maxPageDescribe)
	more := len(all) > limit
	if more {
		all = all[:limit]
	}
	out.BeginObject()
	out.Key("StreamNames")
	out.BeginList()
	for _, info := range all {
		out.String(info.Name)
	}
	out.EndList()
	out.Key("StreamSummaries")
	out.BeginList()
	for _, info := range all {
		a := s.attributesOf(info.Name)
		out.BeginObject()
		out.StringMember("StreamName", info.Name)
		out.StringMember("StreamARN", s.StreamARN(info.Name))
		out.StringMember("StreamStatus", string(info.Status))
		encodeMode(out, a)
		out.TimeMember("StreamCreationTimestamp", info.Created)
		out.EndObject()
	}
	out.EndList()
	out.BoolMember("HasMoreStreams", more)
	if more {
		out.StringMember("NextToken", s.tokens.seal(tokenListStreams, appendText(nil, all[len(all)-1].Name)))
	}
	out.EndObject()
	return nil
}

// findShard returns a shard of a stream by the name a client gave.
func findShard(info streams.StreamInfo, name string) (*streams.ShardInfo, error) {
	id, err := streams.ParseShardID(name)
	if err != nil {
		return nil, err
	}
	i, ok := slices.BinarySearchFunc(info.Shards, id, func(sh streams.ShardInfo, id streams.ShardID) int {
		return int(int64(sh.ID) - int64(id))
	})
	if !ok {
		return nil, errors.New("no such shard")
	}
	return &info.Shards[i], nil
}
