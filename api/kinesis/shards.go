package kinesis

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// tokenLife is how long an iterator and a token of ListShards are good.
const tokenLife = 5 * time.Minute

// horizon is the earliest instant whose records of a stream can be read.
func (s *Service) horizon(info streams.StreamInfo) time.Time {
	h := s.clock().Add(-info.Retention)
	if h.Before(info.Created) {
		return info.Created
	}
	return h
}

// retained returns the shards that are listed: the open ones, and the closed
// ones until the retention has passed since they were closed.
func (s *Service) retained(info streams.StreamInfo) []streams.ShardInfo {
	h := s.clock().Add(-info.Retention)
	return slices.DeleteFunc(slices.Clone(info.Shards), func(sh streams.ShardInfo) bool {
		return sh.Closed && sh.ClosedAt.Before(h)
	})
}

func shardsAfter(shards []streams.ShardInfo, id streams.ShardID) []streams.ShardInfo {
	i := slices.IndexFunc(shards, func(sh streams.ShardInfo) bool { return sh.ID > id })
	if i < 0 {
		return nil
	}
	return shards[i:]
}

func encodeShards(out *wire.Encoder, shards []streams.ShardInfo) {
	out.BeginList()
	for i := range shards {
		encodeShard(out, &shards[i])
	}
	out.EndList()
}

// encodeShard writes a shard. Members that an open or a first shard does not
// have are absent: clients take their presence for a fact.
func encodeShard(out *wire.Encoder, sh *streams.ShardInfo) {
	out.BeginObject()
	out.StringMember("ShardId", sh.ID.String())
	if sh.Parent != streams.NoShard {
		out.StringMember("ParentShardId", sh.Parent.String())
	}
	if sh.AdjacentParent != streams.NoShard {
		out.StringMember("AdjacentParentShardId", sh.AdjacentParent.String())
	}
	encodeRange(out, sh.Range)
	out.Key("SequenceNumberRange")
	out.BeginObject()
	out.StringMember("StartingSequenceNumber", streams.NumberOf(sh.Created, sh.ID, 0, sh.Created).String())
	if sh.Closed {
		out.StringMember("EndingSequenceNumber", streams.NumberOf(sh.Created, sh.ID, streams.MaxSequence, sh.ClosedAt).String())
	}
	out.EndObject()
	out.EndObject()
}

func encodeRange(out *wire.Encoder, r streams.HashRange) {
	out.Key("HashKeyRange")
	out.BeginObject()
	out.StringMember("StartingHashKey", r.Start.String())
	out.StringMember("EndingHashKey", r.End.String())
	out.EndObject()
}

// children returns the shards that follow a closed one. A consumer that is
// told of the end must be told of them too, or it never goes on.
func children(shards []streams.ShardInfo, of *streams.ShardInfo) []streams.ShardInfo {
	direct := slices.DeleteFunc(slices.Clone(shards), func(sh streams.ShardInfo) bool {
		return sh.Parent != of.ID && sh.AdjacentParent != of.ID
	})
	if len(direct) > 0 {
		return direct
	}
	// A child that was itself closed while it was empty may be gone already.
	// The next of its line take its place.
	listed := func(id streams.ShardID) bool {
		return slices.ContainsFunc(shards, func(sh streams.ShardInfo) bool { return sh.ID == id && id > of.ID })
	}
	return slices.DeleteFunc(slices.Clone(shards), func(sh streams.ShardInfo) bool {
		overlaps := sh.Range.Start.Compare(of.Range.End) <= 0 && of.Range.Start.Compare(sh.Range.End) <= 0
		return sh.ID <= of.ID || !overlaps || listed(sh.Parent) || listed(sh.AdjacentParent)
	})
}

func encodeChildren(out *wire.Encoder, shards []streams.ShardInfo, of *streams.ShardInfo) {
	out.Key("ChildShards")
	out.BeginList()
	for _, child := range children(shards, of) {
		out.BeginObject()
		out.StringMember("ShardId", child.ID.String())
		out.Key("ParentShards")
		out.BeginList()
		direct := child.Parent == of.ID || child.AdjacentParent == of.ID
		if !direct {
			out.String(of.ID.String())
		} else {
			out.String(child.Parent.String())
			if child.AdjacentParent != streams.NoShard {
				out.String(child.AdjacentParent.String())
			}
		}
		out.EndList()
		encodeRange(out, child.Range)
		out.EndObject()
	}
	out.EndList()
}

// filterTypes are the filters of ListShards. Their indexes are in tokens.
var filterTypes = [...]string{
	"AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP",
}

const (
	afterShardID = iota
	atTrimHorizon
	fromTrimHorizon
	atLatest
	atTimestamp
	fromTimestamp
)

// listing is a ListShards over all its pages.
type listing struct {
	stream   string
	streamID uint64
	filter   int
	millis   int64 // the instant of filters that have one
	after    int64 // id of the last shard that was listed, -1 at the start
}

func (s sealer) sealListing(l listing, issued int64) string {
	b := appendText(nil, l.stream)
	b = binary.AppendUvarint(b, l.streamID)
	b = binary.AppendUvarint(b, uint64(l.filter))
	b = binary.AppendVarint(b, l.millis)
	b = binary.AppendVarint(b, l.after)
	b = binary.AppendVarint(b, issued)
	return s.seal(tokenListShards, b)
}

func (s sealer) openListing(token string) (l listing, issued int64, ok bool) {
	b, ok := s.open(tokenListShards, token)
	if !ok {
		return listing{}, 0, false
	}
	f := fields{b: b}
	l = listing{stream: f.text(), streamID: f.uint(), filter: int(f.uint()), millis: f.int(), after: f.int()}
	issued = f.int()
	return l, issued, f.done() && l.filter < len(filterTypes)
}

func (s *Service) listShards(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	var l listing
	var info streams.StreamInfo
	var err error
	if token := in.Get("NextToken"); token.Present() {
		l, info, err = s.continueListing(in, token.Text())
	} else {
		l, info, err = s.beginListing(in)
	}
	if err != nil {
		return err
	}
	shards := s.filter(info, l)
	limit := min(int(in.Get("MaxResults").Int(maxPageShards)), maxPageShards)
	more := len(shards) > limit
	if more {
		shards = shards[:limit]
	}
	out.BeginObject()
	out.Key("Shards")
	encodeShards(out, shards)
	if more {
		l.after = int64(shards[len(shards)-1].ID)
		out.StringMember("NextToken", s.tokens.sealListing(l, s.clock().UnixMilli()))
	}
	out.EndObject()
	return nil
}

// continueListing goes on where a token says. Besides it, a request may only
// name the same stream by its ARN and a page size.
func (s *Service) continueListing(in wire.Value, token string) (listing, streams.StreamInfo, error) {
	none := streams.StreamInfo{}
	for _, other := range []string{"StreamName", "StreamCreationTimestamp", "ExclusiveStartShardId", "ShardFilter"} {
		if in.Get(other).Present() {
			return listing{}, none, wire.Errorf(codeArgument, "NextToken and %s cannot be provided together.", other)
		}
	}
	l, issued, ok := s.tokens.openListing(token)
	if !ok {
		return listing{}, none, wire.Errorf(codeArgument, "Invalid NextToken.")
	}
	t := target{name: l.stream, label: l.stream}
	if in.Get("StreamARN").Present() {
		named, err := s.target(in)
		if err != nil {
			return listing{}, none, err
		}
		if named.name != l.stream {
			return listing{}, none, wire.Errorf(codeArgument, "NextToken and StreamARN are not of the same stream.")
		}
	}
	if err := s.expired(issued); err != nil {
		return listing{}, none, err
	}
	info, err := s.describe(t)
	if err == nil && info.ID != l.streamID {
		err = s.notFound(t)
	}
	return l, info, err
}

// expired refuses a page token that was issued too long ago.
func (s *Service) expired(issued int64) error {
	now := s.clock().UnixMilli()
	if now-issued <= tokenLife.Milliseconds() {
		return nil
	}
	return wire.Errorf(codeExpiredToken, "NextToken expired. The token was created at time %s while right now it is %s "+
		"which is further in the future than the tolerated delay of %d milliseconds.", javaTime(issued), javaTime(now), tokenLife.Milliseconds())
}

func (s *Service) beginListing(in wire.Value) (listing, streams.StreamInfo, error) {
	none := streams.StreamInfo{}
	if !in.Get("StreamName").Present() && !in.Get("StreamARN").Present() {
		return listing{}, none, wire.Errorf(codeArgument, "Either NextToken or StreamName should be provided.")
	}
	t, err := s.target(in)
	if err != nil {
		return listing{}, none, err
	}
	info, err := s.describe(t)
	if err != nil {
		return listing{}, none, err
	}
	if created := in.Get("StreamCreationTimestamp"); created.Present() && created.Millis()/1000 != info.Created.Unix() {
		return listing{}, none, s.notFound(t)
	}
	l := listing{stream: t.name, streamID: info.ID, filter: fromTrimHorizon, after: -1}
	if after := in.Get("ExclusiveStartShardId"); after.Present() {
		id, err := streams.ParseShardID(after.Text())
		if err != nil {
			return listing{}, none, s.shardNotFound(after.Text(), t)
		}
		l.after = int64(id)
	}
	if f := in.Get("ShardFilter"); f.Present() {
		if err := s.readFilter(f, t, info, &l); err != nil {
			return listing{}, none, err
		}
	}
	return l, info, nil
}

// readFilter takes over a filter. What "now" and the horizon mean is settled
// here, for all pages.
func (s *Service) readFilter(f wire.Value, t target, info streams.StreamInfo, l *listing) error {
	kind := f.Get("Type").Text()
	l.filter = slices.Index(filterTypes[:], kind)
	switch l.filter {
	case afterShardID:
		name := f.Get("ShardId")
		if !name.Present() {
			return wire.Errorf(codeArgument, "ShardId must be provided for the shard filter type %s.", kind)
		}
		id, err := streams.ParseShardID(name.Text())
		if err != nil {
			return s.shardNotFound(name.Text(), t)
		}
		l.after = max(l.after, int64(id))
	case atTrimHorizon:
		l.millis = s.horizon(info).UnixMilli()
	case atTimestamp, fromTimestamp:
		at := f.Get("Timestamp")
		if !at.Present() {
			return wire.Errorf(codeArgument, "Timestamp must be provided for the shard filter type %s.", kind)
		}
		if now := s.clock().UnixMilli(); at.Millis() > now {
			return wire.Errorf(codeArgument, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", at.Millis(), now)
		}
		l.millis = max(at.Millis(), s.horizon(info).UnixMilli())
	}
	return nil
}

// filter returns the shards of a listing from where it stands, by id.
//
// The shards at an instant must tile the whole key space, or consumers refuse
// to start. A child is taken to live from the instant its parents were closed
// (its own creation time is rounded up so that numbers sort), a shard whose
// parents are not listed from always, and a closed shard until just before the
// instant it was closed.
func (s *Service) filter(info streams.StreamInfo, l listing) []streams.ShardInfo {
	shards := s.retained(info)
	closed := make(map[streams.ShardID]int64, len(shards))
	for i := range shards {
		if shards[i].Closed {
			closed[shards[i].ID] = shards[i].ClosedAt.UnixMilli()
		}
	}
	keep := func(sh *streams.ShardInfo) bool {
		if int64(sh.ID) <= l.after {
			return false
		}
		switch l.filter {
		case atLatest:
			return !sh.Closed
		case atTrimHorizon, atTimestamp:
			begun, listed := closed[sh.Parent]
			return !(listed && begun > l.millis) && (!sh.Closed || sh.ClosedAt.UnixMilli() > l.millis)
		case fromTimestamp:
			return !sh.Closed || sh.ClosedAt.UnixMilli() >= l.millis
		}
		return true
	}
	return slices.DeleteFunc(shards, func(sh streams.ShardInfo) bool { return !keep(&sh) })
}

func (s *Service) splitShard(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	t, info, err := s.reshardable(r.Input)
	if err != nil {
		return err
	}
	name := r.Input.Get("ShardToSplit").Text()
	shard, err := findShard(info, name)
	if err != nil {
		return s.shardNotFound(name, t)
	}
	key := r.Input.Get("NewStartingHashKey").Text()
	at, err := streams.ParseHashKey(key)
	if err != nil || at.Compare(shard.Range.Start.Next()) <= 0 || at.Compare(shard.Range.End) >= 0 {
		return wire.Errorf(codeArgument, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both "+
			"greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			key, shard.ID, t.label, s.account, shard.Range.Start, shard.Range.End)
	}
	if shard.Closed {
		return s.alreadyClosed(shard.ID, t)
	}
	if err := s.roomForShards(1); err != nil {
		return err
	}
	return s.translateDone(s.engine.Split(ctx, t.name, shard.ID, at), t)
}

func (s *Service) mergeShards(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	t, info, err := s.reshardable(r.Input)
	if err != nil {
		return err
	}
	var pair [2]*streams.ShardInfo
	for i, member := range [2]string{"ShardToMerge", "AdjacentShardToMerge"} {
		name := r.Input.Get(member).Text()
		if pair[i], err = findShard(info, name); err != nil {
			return s.shardNotFound(name, t)
		}
	}
	for _, shard := range pair {
		if shard.Closed {
			return s.alreadyClosed(shard.ID, t)
		}
	}
	lower, upper := pair[0], pair[1]
	if lower.Range.Start.Compare(upper.Range.Start) > 0 {
		lower, upper = upper, lower
	}
	if lower.ID == upper.ID || lower.Range.End.Next() != upper.Range.Start {
		return wire.Errorf(codeArgument, "Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			pair[0].ID, pair[1].ID, t.label, s.account)
	}
	return s.translateDone(s.engine.Merge(ctx, t.name, lower.ID, upper.ID), t)
}

// reshardable resolves the stream of a split or merge. s.changes is held.
func (s *Service) reshardable(in wire.Value) (target, streams.StreamInfo, error) {
	t, err := s.target(in)
	if err != nil {
		return t, streams.StreamInfo{}, err
	}
	info, err := s.describe(t)
	if err != nil {
		return t, info, err
	}
	if err := s.active(info, t); err != nil {
		return t, info, err
	}
	return t, info, s.provisioned(s.attributesOf(t.name), t)
}

// active refuses a change of a stream that is on its way out.
func (s *Service) active(info streams.StreamInfo, t target) error {
	if info.Status != streams.Active {
		return wire.Errorf(codeInUse, "Stream %s under account %s not ACTIVE, instead in state %s", t.label, s.account, info.Status)
	}
	return nil
}

// provisioned refuses what the owner of a stream does only to one that does
// not scale by itself.
func (s *Service) provisioned(a *attributes, t target) error {
	if a.OnDemand {
		return wire.Errorf(wire.CodeValidation, "Request is invalid. Stream %s under account %s is in On-Demand mode.", t.label, s.account)
	}
	return nil
}

func (s *Service) alreadyClosed(id streams.ShardID, t target) error {
	return wire.Errorf(codeArgument, "Shard %s in stream %s under account %s has already been merged or split, "+
		"and thus is not eligible for merging or splitting.", id, t.label, s.account)
}

// javaTime renders an instant as the real service does in messages.
func javaTime(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("Mon Jan 02 15:04:05 MST 2006")
}
