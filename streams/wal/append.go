package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// Append implements streams.Engine.
func (l *Log) Append(ctx context.Context, name string, b *streams.Batch) (streams.Result, error) {
	if err := checkBatch(b); err != nil {
		return streams.Result{}, fmt.Errorf("append to stream %q: %w", name, err)
	}
	for {
		st, route, err := l.routeOf(ctx, name)
		if name == "" && len(b.Records) == 0 {
			// A change of state alone names no stream.
			st, route, err = noStream, noStream.route, nil
		}
		if err != nil {
			return streams.Result{}, err
		}
		p := l.plans.Get().(*plan) //nolint:forcetypeassert // The only type in the pool.
		aligned := l.opt.alignedBytes
		if !l.keys.newFiles().none() {
			aligned = math.MaxInt // segments get other bytes
		}
		u := p.encode(route, b, l.opt.largeBytes, aligned, &l.slabs)
		if u.large && !l.keys.newFiles().none() {
			u.large, u.buf = false, u.buf[:u.padAt] // it is encrypted into the group's buffer
		}
		res := streams.Result{Placed: placedIn(b)}
		if l.keys.newFiles().none() {
			u.seedBodies(l.seed) // else what matters are the checksums of the encrypted bodies
		}
		err = l.submit(ctx, u, func() error { return l.assign(st, route, u, stateBytes(b.State)) })
		if err == nil {
			l.stats.appended(len(b.Records), u)
			res.Arrival = msTime(u.arrival)
			p.place(u, res.Placed)
		}
		l.putPlan(p)
		if err == errMoved { //nolint:errorlint // It is returned as it is.
			continue
		}
		if err != nil {
			return streams.Result{}, fmt.Errorf("append to stream %q: %w", name, err)
		}
		return res, nil
	}
}

// placedIn returns memory for where the records of a batch go.
func placedIn(b *streams.Batch) []streams.Placed {
	if n := len(b.Records); n <= cap(b.Placed) {
		return b.Placed[:n]
	}
	return make([]streams.Placed, len(b.Records))
}

// noStream stands for the stream of a batch that only changes state. It is
// never changed.
var noStream = &stream{route: &routing{}}

// errMoved tells Append that the shards changed while it encoded.
var errMoved = fmt.Errorf("shards changed")

func checkBatch(b *streams.Batch) error {
	if len(b.Records) == 0 && len(b.State) == 0 {
		return fmt.Errorf("%w: batch is empty", streams.ErrInvalid)
	}
	if len(b.Records) > streams.MaxBatchRecords {
		return fmt.Errorf("%w: %d records, at most %d", streams.ErrTooLarge, len(b.Records), streams.MaxBatchRecords)
	}
	total := 0
	for i := range b.Records {
		r := &b.Records[i]
		if len(r.Data) > streams.MaxRecordBytes {
			return fmt.Errorf("%w: record %d has %d bytes, at most %d", streams.ErrTooLarge, i, len(r.Data), streams.MaxRecordBytes)
		}
		if len(r.PartitionKey) > maxKeyBytes {
			return fmt.Errorf("%w: partition key of record %d has %d bytes, at most %d", streams.ErrTooLarge, i, len(r.PartitionKey), maxKeyBytes)
		}
		total += len(r.Data) + len(r.PartitionKey)
	}
	for i := range b.State {
		u := &b.State[i]
		if u.Key == "" {
			return fmt.Errorf("%w: state update %d has no key", streams.ErrInvalid, i)
		}
		if len(u.Key) > streams.MaxStateKeyBytes || len(u.Value) > streams.MaxStateValueBytes {
			return fmt.Errorf("%w: state update %d has %d bytes of key and %d of value, at most %d and %d",
				streams.ErrTooLarge, i, len(u.Key), len(u.Value), streams.MaxStateKeyBytes, streams.MaxStateValueBytes)
		}
		total += len(u.Key) + len(u.Value)
	}
	if total > streams.MaxBatchBytes {
		return fmt.Errorf("%w: batch of %d bytes, at most %d", streams.ErrTooLarge, total, streams.MaxBatchBytes)
	}
	return nil
}

// maxKeyBytes is the longest partition key.
const maxKeyBytes = 1024

func stateBytes(s []streams.StateUpdate) (n int64) {
	for i := range s {
		if s[i].Value != nil {
			n += int64(len(s[i].Key) + len(s[i].Value))
		}
	}
	return n
}

// routeOf returns a stream and its open shards, waiting while they change.
func (l *Log) routeOf(ctx context.Context, name string) (*stream, *routing, error) {
	for {
		l.mu.RLock()
		st, closed := l.byName[name], l.closed
		var route *routing
		var frozen chan struct{}
		if st != nil {
			route, frozen = st.route, st.frozen
		}
		l.mu.RUnlock()
		switch {
		case closed:
			return nil, nil, streams.ErrClosed
		case st == nil:
			return nil, nil, notFound(name)
		case frozen == nil:
			return st, route, nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// assign gives the frames of a unit their sequences and arrival. l.mu is held.
func (l *Log) assign(st *stream, route *routing, u *unit, state int64) error {
	switch {
	case st.gone:
		return streams.ErrNotFound
	case st.frozen != nil || st.route != route:
		return errMoved
	case state > 0 && l.state.size()+state > stateLimit:
		return fmt.Errorf("%w: all state together would exceed %d bytes", streams.ErrTooLarge, stateLimit)
	}
	at := l.clock.arrival()
	for i := range u.frames {
		s := u.frames[i].shard
		if s.refuse != nil {
			return fmt.Errorf("%s takes no records until firehosed repair was run: %w", s.id, s.refuse)
		}
		at = max(at, s.arrived) // within a shard, arrivals never go back
	}
	u.arrival = at
	if len(u.state) == 0 {
		u.durability = st.durability
	}
	for i := range u.frames {
		f := &u.frames[i]
		f.base = f.shard.assigned
		f.shard.assigned += streams.Sequence(f.count)
		f.shard.arrived = at
	}
	return nil
}

// plan is the scratch of one Append: which record goes to which shard.
type plan struct {
	where []int32 // record -> place in the routing table
	order []int32 // records by shard, as they came within one
	start []int32 // per place in the routing table: records, then a running offset
	used  []int32 // places that have records
	unit  unit    // what is appended
}

func newPlan() any { return &plan{unit: unit{done: make(chan error, 1)}} }

// putPlan gives a plan back, unless its unit is still on its way to the disk: a
// group points to it, and will place its frames.
func (l *Log) putPlan(p *plan) {
	if p.unit.left {
		return
	}
	clear(p.unit.frames)
	p.unit = unit{frames: p.unit.frames[:0], done: p.unit.done}
	l.plans.Put(p)
}

func sized(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}

// sort fills the plan. Afterwards the records of place p = used[i] are
// order[start[p]-count : start[p]], runs following each other in used's order.
func (p *plan) sort(route *routing, recs []streams.NewRecord) {
	p.where, p.order = sized(p.where, len(recs)), sized(p.order, len(recs))
	p.used = p.used[:0]
	if len(route.shards) == 1 {
		for i := range recs {
			p.where[i], p.order[i] = 0, int32(i) //nolint:gosec // At most 10,000.
		}
		if len(recs) > 0 {
			p.used = append(p.used, 0)
		}
		return
	}
	p.start = sized(p.start, len(route.shards))
	clear(p.start)
	for i := range recs {
		r := &recs[i]
		h := r.HashKey
		if !r.Explicit {
			h = streams.HashOf(r.PartitionKey)
		}
		w := int32(route.find(h)) //nolint:gosec // At most 10,000.
		p.where[i] = w
		if p.start[w] == 0 {
			p.used = append(p.used, w)
		}
		p.start[w]++
	}
	sum := int32(0)
	for _, w := range p.used {
		p.start[w], sum = sum, sum+p.start[w]
	}
	for i := range recs {
		w := p.where[i]
		p.order[p.start[w]] = int32(i) //nolint:gosec // At most 10,000.
		p.start[w]++
	}
}

// encode lays the batch out as frames of one unit, which from large bytes on is
// written from its own memory; its frames of aligned bytes or more then begin
// and end on blocks.
func (p *plan) encode(route *routing, b *streams.Batch, large, aligned int, mem *slabs) *unit {
	u := p.frames(route, b)
	size, stateLen := u.lay(math.MaxInt), 0
	if len(b.State) > 0 {
		stateLen = stateSize(b.State)
		u.stateAt = size
		size += headerBytes + pad8(stateLen)
	}
	if size >= large {
		if end := u.lay(aligned); len(b.State) > 0 {
			u.stateAt = end
			size = end + headerBytes + pad8(stateLen)
		} else {
			size = end
		}
		u.large, u.padAt = true, size
		u.slab = mem.get(size + int(padTo(int64(size))))
		u.slab.refs.Store(int32(len(u.frames)) + 1) //nolint:gosec // At most 10,000.
		u.buf = u.slab.buf[:size+int(padTo(int64(size)))]
		clear(u.buf[size:])
	} else {
		u.buf = make([]byte, size)
	}
	i := 0
	for k := range u.frames {
		f := &u.frames[k]
		body := u.buf[f.off+headerBytes : f.off+headerBytes]
		for range f.count {
			body = appendRecord(body, &b.Records[p.order[i]])
			i++
		}
		clear(body[len(body) : f.size()+f.pad-headerBytes])
	}
	if len(b.State) > 0 {
		u.addState(b.State, stateLen)
	}
	return u
}

// frames divides the records of a batch into frames.
func (p *plan) frames(route *routing, b *streams.Batch) *unit {
	p.sort(route, b.Records)
	u := &p.unit
	for i := 0; i < len(p.order); {
		w := p.where[p.order[i]]
		f := unitFrame{shard: route.shards[w]}
		for ; i < len(p.order) && p.where[p.order[i]] == w; i++ {
			r := &b.Records[p.order[i]]
			n := recordSize(r)
			if f.count > 0 && int(f.body)+n > frameTarget {
				break
			}
			f.body += uint32(n) //nolint:gosec // A batch is at most 32 MiB.
			f.count++
			f.payload += int64(len(r.PartitionKey) + len(r.Data))
		}
		u.frames = append(u.frames, f)
	}
	return u
}

// lay gives the frames their places, and returns where they end. Around those
// of aligned bytes or more there are pads, where need be, so that they can be
// written to a segment as they lie in memory.
func (u *unit) lay(aligned int) int {
	size := 0
	for i := range u.frames {
		f := &u.frames[i]
		f.aligned, f.pad = f.size() >= aligned, 0
		if f.aligned && i > 0 {
			before := &u.frames[i-1]
			n := int(padTo(int64(size)))
			before.pad += n
			size += n
		}
		f.off = size
		size += f.size()
		if f.aligned {
			f.pad = int(padTo(int64(size)))
			size += f.pad
		}
	}
	return size
}

func (u *unit) addState(s []streams.StateUpdate, size int) {
	at := u.buf[u.stateAt:]
	binary.LittleEndian.PutUint32(at[4:], uint32(size)) //nolint:gosec // A batch is at most 32 MiB.
	body := appendState(at[headerBytes:headerBytes], s)
	clear(body[len(body):pad8(len(body))])
	u.state = make([]streams.StateUpdate, len(s))
	for i := range s {
		u.state[i] = streams.StateUpdate{Key: s[i].Key, Value: bytes.Clone(s[i].Value)}
	}
}

// seedBodies computes the checksums of the bodies, before any lock.
func (u *unit) seedBodies(seed uint32) {
	for i := range u.frames {
		f := &u.frames[i]
		f.bodyCRC = checksum(seed, u.buf[f.off+headerBytes:f.off+headerBytes+int(f.body)])
	}
}

// place tells where the records of the batch went.
func (p *plan) place(u *unit, out []streams.Placed) {
	i := 0
	for k := range u.frames {
		f := &u.frames[k]
		for n := range f.count {
			out[p.order[i]] = streams.Placed{
				Shard: f.shard.id, ShardCreated: f.shard.created, Sequence: f.base + streams.Sequence(n),
			}
			i++
		}
	}
}

// change makes a control record durable; it is applied then.
func (l *Log) change(ctx context.Context, c *control, decide func() error) error {
	body, err := c.encode()
	if err != nil {
		return fmt.Errorf("control record: %w", err)
	}
	u := &unit{control: c, buf: make([]byte, headerBytes+pad8(len(body))), done: make(chan error, 1), arrival: l.opt.Clock().UnixMilli()}
	binary.LittleEndian.PutUint32(u.buf[4:], uint32(len(body))) //nolint:gosec // Small.
	copy(u.buf[headerBytes:], body)
	// Once a change has its place it is decided by the disk, not by ctx: half
	// of the callers could not tell otherwise whether to thaw the stream.
	return l.submit(context.WithoutCancel(ctx), u, decide)
}

// now is the wall time in whole milliseconds.
func (l *Log) now() time.Time { return msTime(l.clock.arrival()) }
