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
	rec := nextRecord(b)
	err = s.newRecord(rec, []wire.Value{in.Get("PartitionKey"), in.Get("ExplicitHashKey"), in.Get("Data")}, 0, t, a)
	if err != nil {
		return err
	}
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
	var members [recordMembers]wire.Value
	for v := range records.Items() {
		v.Members(members[:])
		rec := nextRecord(b)
		if err := s.newRecord(rec, members[:], len(b.Records), t, a); err != nil {
			return err
		}
		if total += len(rec.Data) + len(rec.PartitionKey); total > maxPutBytes {
			return wire.Errorf(codeArgument, "Records size exceeds 10 MB limit")
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

// encodePlaced writes where a record is.
func encodePlaced(out *wire.Encoder, p *streams.Placed, arrival time.Time) {
	out.Key("SequenceNumber")
	out.Text(streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, arrival).Append)
	out.Key("ShardId")
	out.Text(func(b []byte) []byte { return appendShardID(b, p.Shard) })
}

// placedEntries writes the entries of the records of a batch. Those of one
// shard are alike but for the last digits of their numbers: what follows the
// first of them is a copy with other digits.
type placedEntries struct {
	out     *wire.Encoder
	arrival time.Time
	shards  [32]placedEntry // the last one of each of up to as many shards
}

// placedEntry is an entry that was written.
type placedEntry struct {
	from, to int // in the output; to is 0 before it
	number   int // where its sequence number is, from its start
	placed   streams.Placed
	counter  streams.SequenceCounter
}

func (e *placedEntries) add(p *streams.Placed) {
	last := &e.shards[p.Shard%streams.ShardID(len(e.shards))]
	next := last.placed
	next.Sequence++
	if last.to == 0 || next != *p {
		*last = e.first(p)
		return
	}
	text := e.out.Again(last.from, last.to)
	last.counter.Next(text[last.number:])
	last.to = len(e.out.Output())
	last.from = last.to - len(text)
	last.placed = next
}

// first writes an entry as a whole.
func (e *placedEntries) first(p *streams.Placed) placedEntry {
	entry := placedEntry{
		placed:  *p,
		counter: streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, e.arrival).Counter(),
	}
	e.out.BeginObject()
	entry.from = len(e.out.Output()) - 1 // a bracket, or the head of a map
	e.out.Key("SequenceNumber")
	e.out.Text(func(b []byte) []byte {
		entry.number = len(b) - entry.from
		return entry.counter.Append(b)
	})
	e.out.Key("ShardId")
	e.out.Text(func(b []byte) []byte { return appendShardID(b, p.Shard) })
	e.out.EndObject()
	entry.to = len(e.out.Output())
	return entry
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

// Places of the members of a record: those in the shape of PutRecords.
const (
	recordKey = iota
	recordHashKey
	recordData
	recordMembers
)

// newRecord reads a record into rec, which is empty. Its data stay in the
// memory of the request. place is where it stands in a list, from 1, or 0 for a
// record alone.
func (s *Service) newRecord(rec *streams.NewRecord, members []wire.Value, place int, t target, a *attributes) error {
	limit := a.recordBytes()
	rec.PartitionKey = members[recordKey].View()
	rec.Data = members[recordData].Bytes()
	if len(rec.Data) > limit {
		path := "data"
		if place > 0 {
			path = fmt.Sprintf("records.%d.member.data", place)
		}
		return wire.Violation(path, fmt.Sprintf("Member must have length less than or equal to %d", limit))
	}
	if size := len(rec.Data) + len(rec.PartitionKey); size > limit {
		return wire.Errorf(codeArgument, "A record for stream %s under account %s has %d bytes of data and partition key together. The limit of the stream is %d.",
			t.label, s.account, size, limit)
	}
	if a.Spread {
		rec.HashKey, rec.Explicit = s.anyPlace(), true
	} else if key := members[recordHashKey]; key.Present() {
		var err error
		if rec.HashKey, err = streams.ParseHashKey(key.Text()); err != nil {
			return wire.Errorf(codeArgument, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", key.Text())
		}
		rec.Explicit = true
	}
	return nil
}

// nextRecord adds an empty record to a batch that has room for it.
func nextRecord(b *streams.Batch) *streams.NewRecord {
	b.Records = b.Records[:len(b.Records)+1] // cleared by release
	return &b.Records[len(b.Records)-1]
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
