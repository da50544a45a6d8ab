package kinesis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

func (s *Service) getShardIterator(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, err := s.target(in)
	if err != nil {
		return err
	}
	name := in.Get("ShardId").Text()
	id, err := streams.ParseShardID(name)
	if err != nil {
		return s.shardNotFound(name, t)
	}
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	shard, err := findShard(info, name)
	if err != nil {
		return s.shardGone(id, t)
	}
	it := iterator{stream: t.name, streamID: info.ID, shard: id, created: shard.Created.Unix(), issued: s.clock().UnixMilli()}
	from := startingPoint{
		operation: "GetShardIterator", kind: in.Get("ShardIteratorType").Text(),
		number: in.Get("StartingSequenceNumber"), at: in.Get("Timestamp"),
	}
	if err := s.position(from, t, shard, &it); err != nil {
		return err
	}
	if err := dryRun(in); err != nil {
		return err
	}
	out.BeginObject()
	out.StringMember("ShardIterator", s.tokens.sealIterator(it))
	out.EndObject()
	return nil
}

func (s *Service) shardGone(id streams.ShardID, t target) error {
	return wire.Errorf(codeNotFound, "Shard %s in stream %s under account %s does not exist", id, t.label, s.account)
}

// startingPoint is where a request wants to begin.
type startingPoint struct {
	operation  string // for messages
	kind       string
	number, at wire.Value // absent or not
}

// position sets where an iterator begins. LATEST is settled now; the horizon
// and a time are looked up when they are read, for both move.
func (s *Service) position(from startingPoint, t target, shard *streams.ShardInfo, it *iterator) error {
	kind, number, at := from.kind, from.number, from.at
	switch kind {
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		if !number.Present() {
			return wire.Errorf(codeArgument, "%s Request specified %s and no StartingSequenceNumber.", mustSpecify, kind)
		}
	default:
		if number.Present() {
			return wire.Errorf(codeArgument, "%s Request specified %s and also a StartingSequenceNumber.", mustSpecify, kind)
		}
	}
	switch kind {
	case "TRIM_HORIZON":
		it.kind = streams.Horizon
	case "LATEST":
		it.kind, it.seq = streams.At, shard.Next
	case "AT_TIMESTAMP":
		if !at.Present() {
			return wire.Errorf(codeArgument, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if at.Millis() > it.issued {
			return wire.Errorf(codeArgument, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", at.Millis(), it.issued)
		}
		it.kind, it.millis = streams.AtTime, at.Millis()
	default:
		seq, err := s.sequence(from.operation, number.Text(), t, shard)
		if err != nil {
			return err
		}
		if kind == "AFTER_SEQUENCE_NUMBER" {
			seq++
		}
		// A number past the tip was never given out, or its record was lost with
		// a disk: go on with what comes.
		it.kind, it.seq = streams.At, min(seq, shard.Next)
	}
	return nil
}

const mustSpecify = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
	"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber."

// sequence reads a sequence number as a place of a shard, whether or not a
// record is there.
func (s *Service) sequence(operation, text string, t target, shard *streams.ShardInfo) (streams.Sequence, error) {
	n, err := streams.ParseSequenceNumber(text)
	switch {
	case err != nil:
		return 0, wire.Errorf(codeArgument, "StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid.",
			text, operation, shard.ID, t.label, s.account)
	case n.Shard != shard.ID:
		return 0, wire.Errorf(codeArgument, "Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", n.Shard, shard.ID)
	case n.ShardCreated != shard.Created.Unix():
		return 0, wire.Errorf(codeArgument, "StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid "+
			"because it did not come from this stream.", text, operation, shard.ID, t.label, s.account)
	}
	return n.Sequence, nil
}

// getRecords reads a page and says where to go on. The iterator for that is
// absent in one case: the shard is closed and was read to its end; then, and
// only then, the shards that follow it are named.
func (s *Service) getRecords(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	it, t, err := s.iterator(in)
	if err != nil {
		return err
	}
	limit := int(in.Get("Limit").Int(maxGetRecords))
	ref := streams.ShardRef{Stream: it.stream, StreamID: it.streamID, Shard: it.shard}
	bytes, err := s.roomToRead(r, ref, it, t, limit)
	if err != nil {
		return err
	}
	if err := dryRun(in); err != nil {
		return err
	}
	if err := s.mayRead(ref, t); err != nil {
		return err
	}
	page, err := s.engine.Read(ctx, ref, streams.Position{Kind: it.kind, Seq: it.seq, Time: time.UnixMilli(it.millis).UTC()},
		streams.Limit{Records: limit, Bytes: bytes})
	if err != nil {
		return s.readError(err, it.shard, t)
	}
	s.wasRead(ref, page.Records)
	a := s.attributesOf(t.name)
	a.meters.read(it.shard, page)
	size := 512
	for i := range page.Records {
		size += out.BlobLen(len(page.Records[i].Data)) + len(page.Records[i].PartitionKey) + 180
	}
	out.Grow(size)
	out.BeginObject()
	out.Key("Records")
	out.BeginList()
	for i := range page.Records {
		encodeRecord(out, it, &page.Records[i], a.Encryption)
	}
	out.EndList()
	if page.Ended {
		if err := s.encodeEnd(out, it, t); err != nil {
			return err
		}
	} else {
		next := it
		next.kind, next.seq, next.millis = streams.At, page.Next, 0
		next.issued = s.clock().UnixMilli()
		out.StringMember("NextShardIterator", s.tokens.sealIterator(next))
	}
	out.IntMember("MillisBehindLatest", max(page.Behind.Milliseconds(), 0))
	out.EndObject()
	return nil
}

// encodeRecord writes a record. EncryptionType is absent from one that arrived
// while the stream was not encrypted.
func encodeRecord(out *wire.Encoder, it iterator, rec *streams.Record, encrypted *encryption) {
	n := streams.SequenceNumber{ShardCreated: it.created, Shard: it.shard, Sequence: rec.Sequence, Arrival: rec.Arrival.Unix()}
	out.BeginObject()
	out.Key("SequenceNumber")
	out.Text(n.Append)
	out.TimeMember("ApproximateArrivalTimestamp", rec.Arrival)
	out.Key("Data")
	out.Blob(rec.Data)
	out.StringMember("PartitionKey", rec.PartitionKey)
	if encrypted.at(rec.Arrival) {
		out.StringMember("EncryptionType", encryptionKMS)
	}
	out.EndObject()
}

// encodeEnd names the shards that follow a closed one. They are there from the
// moment it was closed.
func (s *Service) encodeEnd(out *wire.Encoder, it iterator, t target) error {
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	shard, err := findShard(info, it.shard.String())
	if err != nil || info.ID != it.streamID {
		return s.shardGone(it.shard, t)
	}
	encodeChildren(out, info.Shards, shard)
	return nil
}

// iterator opens the iterator of a request.
func (s *Service) iterator(in wire.Value) (iterator, target, error) {
	// The real service takes an iterator in quotes, as a shell script may send.
	it, ok := s.tokens.openIterator(strings.Trim(in.Get("ShardIterator").Text(), `"`))
	if !ok {
		return it, target{}, wire.Errorf(codeArgument, "Invalid ShardIterator.")
	}
	t := target{name: it.stream, label: it.stream}
	if in.Get("StreamARN").Present() {
		named, err := s.target(in)
		if err != nil {
			return it, t, err
		}
		if named.name != it.stream {
			return it, t, wire.Errorf(codeArgument, "ShardIterator and StreamARN are not of the same stream.")
		}
		t = named
	}
	if now := s.clock().UnixMilli(); now-it.issued > tokenLife.Milliseconds() {
		return it, t, wire.Errorf(codeExpired, "Iterator expired. The iterator was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.", javaTime(it.issued), javaTime(now), tokenLife.Milliseconds())
	}
	return it, t, nil
}

// Memory a GetRecords takes: what is read, and about one and a half of it as
// base64 with names and numbers.
const (
	readFactor = 3
	leastRead  = 256 << 10
)

// roomToRead returns how many bytes a GetRecords may read, which is less than
// the limit of the API when memory is short: clients just read on. limit is how
// many records may be read.
func (s *Service) roomToRead(r *wire.Request, ref streams.ShardRef, it iterator, t target, limit int) (int64, error) {
	from := streams.Sequence(0)
	if it.kind == streams.At {
		from = it.seq
	}
	there, err := s.engine.Stat(ref, from)
	if err != nil {
		return 0, s.readError(err, it.shard, t)
	}
	if there.Records == 0 {
		return maxGetBytes, nil
	}
	// Bytes is off by an index entry at most, and a page has at least a record.
	want := min(there.Bytes+leastRead, maxGetBytes)
	if n := int64(limit); n < there.Records {
		// Half as much again as so many records have here on average. Where they
		// are larger the page is smaller, and the client reads on.
		want = min(want, there.Bytes/there.Records*n*3/2+leastRead)
	}
	granted := r.Reserve(want*readFactor, leastRead)
	if granted == 0 {
		return 0, wire.Errorf(codeThroughput, "%s", s.rateExceeded(it.shard, t))
	}
	return max(granted/readFactor, 1), nil
}

func (s *Service) readError(err error, shard streams.ShardID, t target) error {
	if errors.Is(err, streams.ErrNotFound) {
		return s.shardGone(shard, t)
	}
	return s.translate(err, t)
}
