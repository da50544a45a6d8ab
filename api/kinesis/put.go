package kinesis

import (
	"context"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// putRecord appends one record. The answer is sent when the record is durable.
func (s *Service) putRecord(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, a, err := s.putTarget(r)
	if err != nil {
		return err
	}
	b := s.batch(1)
	defer s.release(b)
	rec, err := s.newRecord(in, 0, t, a)
	if err != nil {
		return err
	}
	b.Records = append(b.Records, rec)
	if floor := in.Get("SequenceNumberForOrdering"); floor.Present() {
		// Numbers of a shard only ever grow, so every number that was given out
		// is lower than the next. One from the future was not.
		n, err := streams.ParseSequenceNumber(floor.Text())
		if err != nil || n.Arrival > s.clock().Unix()+1 {
			return wire.Errorf(codeArgument, "ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
				floor.Text(), t.label, s.account)
		}
	}
	if in.Get("DryRun").Bool(false) {
		if _, err := s.describe(t); err != nil {
			return err
		}
		return dryRun(in)
	}
	refused, err := s.throttled(t, b)
	if err != nil {
		return err
	}
	if refused != nil {
		a.meters.put(nil, nil, refused)
		return wire.Errorf(codeThroughput, "%s", s.rateExceeded(refused[0], t))
	}
	res, err := s.engine.Append(ctx, t.name, b)
	if err != nil {
		return s.translate(err, t)
	}
	b.Placed = res.Placed
	a.traffic.add(b)
	a.meters.put(b.Records, res.Placed, nil)
	// The record is durable: from here on the client may be told so.
	out.BeginObject()
	encodePlaced(out, &res.Placed[0], res.Arrival)
	s.encodeEncryption(out, t, res.Arrival)
	out.EndObject()
	return nil
}

// putRecords appends up to 500 records as one durable unit. Without limits on
// the stream they are all taken or the request fails as a whole, in a way that
// SDKs try again by themselves.
func (s *Service) putRecords(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, a, err := s.putTarget(r)
	if err != nil {
		return err
	}
	records := in.Get("Records")
	b := s.batch(records.Len())
	defer s.release(b)
	total := 0
	for v := range records.Items() {
		rec, err := s.newRecord(v, len(b.Records)+1, t, a)
		if err != nil {
			return err
		}
		if total += len(rec.Data) + len(rec.PartitionKey); total > maxPutBytes {
			return wire.Errorf(codeArgument, "Records size exceeds 10 MB limit")
		}
		b.Records = append(b.Records, rec)
	}
	if in.Get("DryRun").Bool(false) {
		if _, err := s.describe(t); err != nil {
			return err
		}
		return dryRun(in)
	}
	refused, err := s.throttled(t, b)
	if err != nil {
		return err
	}
	var res streams.Result
	if len(b.Records) > 0 {
		if res, err = s.engine.Append(ctx, t.name, b); err != nil {
			return s.translate(err, t)
		}
		b.Placed = res.Placed
		a.traffic.add(b)
	}
	a.meters.put(b.Records, res.Placed, refused)
	// What has a place is durable: from here on the client may be told so.
	out.Grow(64 + 130*records.Len())
	out.BeginObject()
	out.IntMember("FailedRecordCount", int64(len(refused)))
	out.Key("Records")
	out.BeginList()
	entries := placedEntries{out: out, arrival: res.Arrival}
	placed := 0
	for i := range records.Len() {
		if shard, ok := refused[i]; ok {
			out.BeginObject()
			out.StringMember("ErrorCode", codeThroughput)
			out.StringMember("ErrorMessage", s.rateExceeded(shard, t))
			out.EndObject()
			continue
		}
		entries.add(&res.Placed[placed])
		placed++
	}
	out.EndList()
	s.encodeEncryption(out, t, res.Arrival)
	out.EndObject()
	return nil
}

// encodePlaced writes where a record is, and returns where in the output its
// sequence number and the id of its shard are.
func encodePlaced(out *wire.Encoder, p *streams.Placed, arrival time.Time) (number, shard int) {
	n := streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, arrival)
	out.Key("SequenceNumber")
	out.Text(func(b []byte) []byte {
		number = len(b)
		return n.Append(b)
	})
	out.Key("ShardId")
	out.Text(func(b []byte) []byte {
		shard = len(b)
		return appendShardID(b, p.Shard)
	})
	return number, shard
}

// placedEntries writes the entries of the records of a batch. All are as long
// as the first one and differ in their digits only: what follows the first is
// a copy with other digits.
type placedEntries struct {
	out           *wire.Encoder
	arrival       time.Time
	from, to      int // the first entry in the output; to is 0 before it
	number, shard int // where its texts are, from its start
	id            streams.ShardID
}

func (e *placedEntries) add(p *streams.Placed) {
	if e.to == 0 {
		e.out.BeginObject()
		e.from = len(e.out.Output()) - 1 // a bracket, or the head of a map
		number, shard := encodePlaced(e.out, p, e.arrival)
		e.out.EndObject()
		e.to = len(e.out.Output())
		e.number, e.shard, e.id = number-e.from, shard-e.from, p.Shard
		return
	}
	entry := e.out.Again(e.from, e.to)
	streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, e.arrival).Append(entry[e.number:e.number])
	if p.Shard != e.id {
		appendShardID(entry[e.shard:e.shard], p.Shard)
	}
}

// putTarget resolves the stream of a put. Only a stream that looks at partition
// keys requires them.
func (s *Service) putTarget(r *wire.Request) (target, *attributes, error) {
	t, err := s.target(r.Input)
	a := s.attributesOf(t.name)
	if !a.Spread {
		if missing := r.Complete(); missing != nil {
			return t, a, missing
		}
	}
	return t, a, err
}

// anyPlace returns hash keys that, one after another, lie evenly over the key
// space and so over the shards: multiples of the golden ratio.
func (s *Service) anyPlace() streams.HashKey {
	return streams.HashKey{Hi: s.places.Add(1) * 0x9E3779B97F4A7C15}
}

// encodeEncryption writes how what arrived at an instant is encrypted, if it
// is: without it the member is absent. It looks the stream up again, for reads
// will say the same.
func (s *Service) encodeEncryption(out *wire.Encoder, t target, arrival time.Time) {
	if s.attributesOf(t.name).Encryption.at(arrival) {
		out.StringMember("EncryptionType", encryptionKMS)
	}
}

// appendShardID appends the id as its String does, without allocating.
func appendShardID(b []byte, id streams.ShardID) []byte {
	b = append(b, "shardId-000000000000"...)
	for i, d := len(b)-1, uint32(id); d > 0; i, d = i-1, d/10 {
		b[i] = '0' + byte(d%10)
	}
	return b
}

// newRecord reads a record. Its data stay in the memory of the request. place
// is where it stands in a list, from 1, or 0 for a record alone.
func (s *Service) newRecord(v wire.Value, place int, t target, a *attributes) (streams.NewRecord, error) {
	limit := a.recordBytes()
	rec := streams.NewRecord{
		PartitionKey: v.Get("PartitionKey").View(),
		Data:         v.Get("Data").Bytes(),
	}
	if len(rec.Data) > limit {
		path := "data"
		if place > 0 {
			path = fmt.Sprintf("records.%d.member.data", place)
		}
		return rec, wire.Violation(path, fmt.Sprintf("Member must have length less than or equal to %d", limit))
	}
	if size := len(rec.Data) + len(rec.PartitionKey); size > limit {
		return rec, wire.Errorf(codeArgument, "A record for stream %s under account %s has %d bytes of data and partition key together. The limit of the stream is %d.",
			t.label, s.account, size, limit)
	}
	if a.Spread {
		rec.HashKey, rec.Explicit = s.anyPlace(), true
	} else if key := v.Get("ExplicitHashKey"); key.Present() {
		var err error
		if rec.HashKey, err = streams.ParseHashKey(key.Text()); err != nil {
			return rec, wire.Errorf(codeArgument, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", key.Text())
		}
		rec.Explicit = true
	}
	return rec, nil
}

// batch returns an empty batch with room for n records.
func (s *Service) batch(n int) *streams.Batch {
	b := s.batches.Get().(*streams.Batch)
	if cap(b.Records) < n {
		b.Records = make([]streams.NewRecord, 0, n)
	}
	return b
}

// release gives a batch back. The engine does not keep it, and its data belong
// to the request.
func (s *Service) release(b *streams.Batch) {
	clear(b.Records[:cap(b.Records)])
	b.Records = b.Records[:0]
	s.batches.Put(b)
}
