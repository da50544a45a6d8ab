package kinesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/limits"
)

// Defaults of Options about subscriptions.
const (
	// DefaultSubscriptionLife is how long a SubscribeToShard lasts.
	DefaultSubscriptionLife = 5 * time.Minute
	// DefaultHeartbeat is the time after which an idle subscription sends an
	// event without records. Clients give up after 10 s of silence.
	DefaultHeartbeat = 3 * time.Second
)

// Sizes of an event. Its payload is at most about 1 MiB, unless it has one
// record alone that is larger.
const (
	maxEventRecords  = 2_000
	maxEventBytes    = 512 << 10 // of data and keys
	slowEventBytes   = 64 << 10  // for a client that lets events wait
	eventRecordBytes = 190       // of a record in JSON besides data and key
	// eventFactor is how much memory a byte of a record takes: as it is read, and
	// in base64 with room to spare.
	eventFactor = 3
)

// subscription is a SubscribeToShard under way.
type subscription struct {
	s     *Service
	t     target
	ref   streams.ShardRef
	it    iterator // what sequence numbers of the shard have in common
	life  time.Duration
	pace  *limits.Pace // nil without limits
	least int64        // bytes that a record may have

	from streams.Position
	// last is the number the client continues after: of the record before from,
	// or one that no record has but the place before from.
	last    streams.SequenceNumber
	behind  time.Duration
	told    bool // where it stands: an event was sent
	beatDue time.Time
	ready   time.Time // when the pace allows the next read
}

// subscribeToShard checks a request and takes the subscription; the function
// it returns sends the events.
func (s *Service) subscribeToShard(ctx context.Context, r *wire.Request) (wire.StreamFunc, error) {
	in := r.Input
	arn := in.Get("ConsumerARN").Text()
	c, info, err := s.consumerByARN(arn)
	if err != nil {
		return nil, err
	}
	t := target{name: c.stream, label: c.stream}
	name := in.Get("ShardId").Text()
	id, err := streams.ParseShardID(name)
	if err != nil {
		return nil, s.shardNotFound(name, t)
	}
	shard, err := findShard(info, name)
	if err != nil {
		return nil, s.shardGone(id, t)
	}
	sub, err := s.newSubscription(in.Get("StartingPosition"), t, info, shard)
	if err != nil {
		return nil, err
	}
	key := subscriptionKey{consumer: s.consumerARN(c), shard: id}
	inUse := wire.Errorf(codeInUse, "Another active subscription exists for this consumer: %s:%s:%s:%d and shard: %s",
		s.account, c.stream, c.name, c.Created, id)
	now := s.clock()
	if s.subscribed.held(key, now) {
		return nil, inUse
	}
	if err := dryRun(in); err != nil {
		return nil, err
	}
	ctx, release, ok, err := s.subscribed.begin(ctx, key, now, inUse)
	switch {
	case err != nil:
		return nil, wire.Unavailable("The server is stopping.")
	case !ok:
		return nil, inUse
	}
	// Whoever removes a consumer ends the subscriptions that are there. This one
	// may have come just after.
	if _, _, err := s.consumerByARN(arn); err != nil {
		release()
		return nil, err
	}
	return func(out *wire.EventWriter) error {
		defer release()
		return sub.run(ctx, out)
	}, nil
}

// newSubscription returns a subscription from a position of a shard on.
func (s *Service) newSubscription(in wire.Value, t target, info streams.StreamInfo, shard *streams.ShardInfo) (*subscription, error) {
	sub := &subscription{
		s: s, t: t, life: s.life,
		ref:   streams.ShardRef{Stream: info.Name, StreamID: info.ID, Shard: shard.ID},
		it:    iterator{stream: info.Name, streamID: info.ID, shard: shard.ID, created: shard.Created.Unix(), issued: s.clock().UnixMilli()},
		last:  streams.NumberOf(shard.Created, shard.ID, 0, shard.Created),
		least: int64(s.attributesOf(info.Name).recordBytes()),
	}
	if s.limits != nil {
		sub.pace = s.limits.Pace(info.Name)
	}
	number := in.Get("SequenceNumber")
	it := sub.it
	err := s.position(startingPoint{
		operation: "SubscribeToShard", kind: in.Get("Type").Text(), number: number, at: in.Get("Timestamp"),
	}, t, shard, &it)
	if err != nil {
		return nil, err
	}
	sub.from = streams.Position{Kind: it.kind, Seq: it.seq, Time: time.UnixMilli(it.millis).UTC()}
	if it.kind == streams.At && it.seq > 0 {
		sub.last.Sequence = it.seq - 1
		// A client goes on with numbers that are not below the one it has.
		if n, err := streams.ParseSequenceNumber(number.Text()); err == nil && n.Sequence == it.seq-1 {
			sub.last.Arrival = n.Arrival
		}
	}
	return sub, nil
}

// run sends events until the subscription has lived, its shard has ended, its
// client left, or something took it away.
func (sub *subscription) run(ctx context.Context, out *wire.EventWriter) error {
	ctx, cancel := context.WithTimeout(ctx, sub.life)
	defer cancel()
	defer out.EndWith(ctx)()
	sub.beatDue = time.Now().Add(sub.s.heartbeat)
	err := sub.serve(ctx, out)
	switch {
	case errors.Is(err, errStopping):
		return nil
	case ctx.Err() == nil || err == nil:
		return err
	}
	switch why := context.Cause(ctx); {
	case errors.Is(why, context.DeadlineExceeded), errors.Is(why, errStopping):
		return nil
	default:
		return why
	}
}

// serve sends events until the shard has ended or ctx ends, whose error it
// then returns.
func (sub *subscription) serve(ctx context.Context, out *wire.EventWriter) error {
	for {
		if err := sub.pause(ctx, out); err != nil {
			return err
		}
		ended, err := sub.event(ctx, out)
		switch {
		case err != nil:
			return err
		case ended:
			return sub.end(out)
		}
	}
}

// pause waits until the pace allows a read, and sends heartbeats meanwhile.
func (sub *subscription) pause(ctx context.Context, out *wire.EventWriter) error {
	for {
		now := time.Now()
		if !now.Before(sub.ready) {
			return ctx.Err()
		}
		until := sub.ready
		if sub.beatDue.Before(until) {
			until = sub.beatDue
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		if !time.Now().Before(sub.beatDue) {
			if err := sub.heartbeat(out); err != nil {
				return err
			}
		}
	}
}

// event sends the records that are there, or waits for some and may send a
// heartbeat. It reports whether the shard has ended.
func (sub *subscription) event(ctx context.Context, out *wire.EventWriter) (ended bool, err error) {
	waiting, cancel := context.WithDeadline(ctx, sub.beatDue)
	defer cancel()
	most, err := sub.room(waiting, out)
	if err == nil {
		var sent bool
		sent, ended, err = sub.read(ctx, out, most)
		switch {
		case err != nil || ended:
			return ended, err
		case sent:
			return false, sub.send(out)
		case !sub.told:
			return false, sub.heartbeat(out)
		}
		err = sub.s.engine.Wait(waiting, sub.ref, sub.from.Seq)
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return false, sub.heartbeat(out)
	}
	return false, sub.failed(err)
}

// room returns how many bytes of records an event may have now, and takes the
// memory for it. It waits if other subscriptions have taken theirs. 0 means
// that there is nothing to read.
func (sub *subscription) room(ctx context.Context, out *wire.EventWriter) (int64, error) {
	from := streams.Sequence(0)
	if sub.from.Kind == streams.At {
		from = sub.from.Seq
	}
	there, err := sub.s.engine.Stat(sub.ref, from)
	if err != nil || there.Records == 0 {
		return 0, err
	}
	most := int64(maxEventBytes)
	if out.Slow() {
		most = slowEventBytes
	}
	if sub.pace != nil {
		most = sub.pace.Most(most)
	}
	// An event has at least one record, however large.
	need := min(there.Bytes, max(most, sub.least))
	return most, out.Reserve(ctx, eventFactor*(need+eventRecordBytes*min(there.Records, maxEventRecords)))
}

// read reads records from where the subscription stands, begins an event with
// them and moves on. Without records nothing is begun, and the shard may have
// ended.
func (sub *subscription) read(ctx context.Context, out *wire.EventWriter, most int64) (begun, ended bool, err error) {
	page, err := sub.s.engine.Read(ctx, sub.ref, sub.from, streams.Limit{Records: maxEventRecords, Bytes: max(most, 1)})
	switch {
	case err != nil:
		return false, false, sub.failed(err)
	case most == 0 && len(page.Records) > 0:
		return false, false, nil // they came just now: read again, with memory for them
	}
	sub.from = streams.Position{Kind: streams.At, Seq: page.Next}
	sub.behind = max(page.Behind, 0)
	if before := page.Next - min(page.Next, 1); sub.last.Sequence != before {
		sub.last.Sequence, sub.last.Arrival = before, sub.it.created
	}
	if len(page.Records) == 0 {
		return false, page.Ended, nil
	}
	size, bytes := 512, int64(0)
	e := out.Begin("SubscribeToShardEvent")
	for i := range page.Records {
		rec := &page.Records[i]
		size += e.BlobLen(len(rec.Data)) + len(rec.PartitionKey) + eventRecordBytes
		bytes += int64(len(rec.Data) + len(rec.PartitionKey))
	}
	encrypted := sub.s.attributesOf(sub.t.name).Encryption
	e.Grow(size)
	e.BeginObject()
	e.Key("Records")
	e.BeginList()
	for i := range page.Records {
		encodeRecord(e, sub.it, &page.Records[i], encrypted)
	}
	e.EndList()
	if newest := &page.Records[len(page.Records)-1]; newest.Sequence == sub.last.Sequence {
		sub.last.Arrival = newest.Arrival.Unix()
	}
	sub.encodePlace(e)
	e.EndObject()
	if sub.pace != nil {
		sub.ready = time.Now().Add(sub.pace.Took(bytes))
	}
	return true, false, nil
}

// encodePlace writes where a client goes on after an event. It is absent from
// the last event of a closed shard alone.
func (sub *subscription) encodePlace(e *wire.Encoder) {
	e.Key("ContinuationSequenceNumber")
	e.Text(sub.last.Append)
	e.IntMember("MillisBehindLatest", sub.behind.Milliseconds())
}

// heartbeat sends an event without records.
func (sub *subscription) heartbeat(out *wire.EventWriter) error {
	if sub.from.Kind == streams.AtTime {
		// Nothing could be read yet, and so no number is known that stands for the
		// time. Silence is better than one that leads elsewhere.
		sub.beatDue = time.Now().Add(sub.s.heartbeat)
		return nil
	}
	e := out.Begin("SubscribeToShardEvent")
	e.BeginObject()
	e.Key("Records")
	e.BeginList()
	e.EndList()
	sub.encodePlace(e)
	e.EndObject()
	return sub.send(out)
}

func (sub *subscription) send(out *wire.EventWriter) error {
	err := out.Send()
	sub.told = true
	sub.beatDue = time.Now().Add(sub.s.heartbeat)
	return err
}

// end sends the last event of a closed shard: without a place to go on, and
// with the shards that follow.
func (sub *subscription) end(out *wire.EventWriter) error {
	info, err := sub.s.describe(sub.t)
	if err != nil {
		return err
	}
	shard, err := findShard(info, sub.ref.Shard.String())
	if err != nil || info.ID != sub.ref.StreamID {
		return sub.s.shardGone(sub.ref.Shard, sub.t)
	}
	e := out.Begin("SubscribeToShardEvent")
	e.BeginObject()
	e.Key("Records")
	e.BeginList()
	e.EndList()
	e.IntMember("MillisBehindLatest", 0)
	encodeChildren(e, info.Shards, shard)
	e.EndObject()
	return sub.send(out)
}

// failed turns an error of the engine into what a client is told.
func (sub *subscription) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, streams.ErrNotFound):
		if info, derr := sub.s.describe(sub.t); derr != nil || info.ID != sub.ref.StreamID {
			return sub.s.notFound(sub.t)
		}
		return sub.s.shardGone(sub.ref.Shard, sub.t)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, streams.ErrClosed):
		return errStopping
	}
	return wire.Internal(fmt.Errorf("shard %s of stream %s: %w", sub.ref.Shard, sub.ref.Stream, err))
}
