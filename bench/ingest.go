package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ingest measures what goes in: requests of clients until they are durable and
// acknowledged.
func (b *bench) ingest(ctx context.Context) (t *table, err error) {
	t = &table{
		Name: "ingest", Title: "Records in, over HTTP, acknowledged when durable",
		Note: "Floor: a server that only reads the body and appends it with one write and one fdatasync for each group of requests. " +
			"MB/s counts the data of records. CPU is milliseconds of processor time for each MB of record data; client CPU is the generator's share " +
			"of all processor time while firehosed was under load. Peak RSS is that of the daemon within the row; one daemon serves all rows.",
	}
	json, err1 := newPutRecords(typeJSON)
	cbor, err2 := newPutRecords(typeCBOR)
	one, err3 := newPutRecord()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	daemon, err := b.startDaemon(ctx, "storage: {min_free: 0}\n")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	in := &ingestion{bench: b, floor: floor, daemon: daemon}
	if err := in.warm(ctx, cbor); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name string
		q    *request
	}{
		{"PutRecords 500 x 1 KiB, JSON", json},
		{"PutRecords 500 x 1 KiB, CBOR", cbor},
		{"PutRecord 1 KiB, JSON", one},
	} {
		for _, connections := range []int{1, 8, 64} {
			r, err := in.row(ctx, c.name, c.q, connections, b.repeats, b.phase)
			if err != nil {
				return nil, err
			}
			t.Rows = append(t.Rows, r)
		}
	}
	if b.sustained > 0 {
		r, err := in.row(ctx, fmt.Sprintf("PutRecords, JSON, %v at a stretch", b.sustained), json, 8, 2, b.sustained)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, r)
	}
	return t, nil
}

// ingestion is the two servers that get the same requests in turns.
type ingestion struct {
	*bench
	floor, daemon *process
	made          bool // the stream
}

// warm stores records before anything is measured. The daemon writes new journal
// files in full before it uses them, as the floor did with its file, until it
// has enough of them to use again.
func (in *ingestion) warm(ctx context.Context, q *request) error {
	in.sayf("warming up with %d MB", in.bench.warm>>20)
	g := newGenerator(8)
	defer g.close()
	if err := in.freshStream(ctx, g); err != nil {
		return err
	}
	for stored := int64(0); stored < in.bench.warm; {
		p, err := g.run(ctx, in.daemon, q, 500*time.Millisecond)
		if err != nil {
			return err
		}
		stored += int64(p.requests) * q.data
	}
	return nil
}

// freshStream replaces the stream by an empty one, so that the disk does not
// fill up.
func (in *ingestion) freshStream(ctx context.Context, g *generator) error {
	name := map[string]any{"StreamName": benchStream}
	if in.made {
		if err := in.daemon.settle(ctx); err != nil { // what the row before left behind
			return err
		}
		if err := g.call(ctx, in.daemon, "DeleteStream", name, nil); err != nil {
			return err
		}
	}
	in.made = true
	return g.call(ctx, in.daemon, "CreateStream", map[string]any{"StreamName": benchStream, "ShardCount": 4}, nil)
}

// row loads the floor and the daemon in turns.
func (in *ingestion) row(ctx context.Context, name string, q *request, connections, repeats int, d time.Duration) (r row, err error) {
	in.sayf("%s, connections: %d", name, connections)
	g := newGenerator(connections)
	defer g.close()
	if err := in.freshStream(ctx, g); err != nil {
		return r, err
	}
	if err := resetPeak(in.daemon.pid); err != nil {
		return r, err
	}
	sides := []*process{in.floor, in.daemon}
	for _, p := range sides { // opens the connections
		if _, err := g.run(ctx, p, q, d/4); err != nil {
			return r, err
		}
	}
	var below, above, ratio, rate, share, cpuBelow, cpuAbove []float64
	for range repeats {
		var got [2]phase
		for i, p := range sides {
			if err := errors.Join(in.floor.settle(ctx), in.daemon.settle(ctx)); err != nil {
				return r, err
			}
			if got[i], err = g.run(ctx, p, q, d); err != nil {
				return r, err
			}
		}
		f, h := got[0], got[1]
		mb := func(p phase) float64 { return float64(p.requests) * float64(q.data) / 1e6 }
		below, above = append(below, f.rate()), append(above, h.rate())
		ratio = append(ratio, h.rate()/f.rate())
		rate = append(rate, mb(h)/h.took.Seconds())
		share = append(share, 100*float64(h.client)/float64(max(h.client+h.server, 1)))
		cpuBelow = append(cpuBelow, ms(f.server)/mb(f))
		cpuAbove = append(cpuAbove, ms(h.server)/mb(h))
	}
	peak, err := memory(in.daemon.pid, "VmHWM")
	if err != nil {
		return r, err
	}
	return row{Name: fmt.Sprintf("%s, %d conn.", name, connections), Values: []value{
		measured("floor req/s", below), measured("firehosed req/s", above), measured("of the floor", ratio),
		measured("MB/s", rate), measured("CPU ms/MB floor", cpuBelow), measured("CPU ms/MB firehosed", cpuAbove),
		measured("client CPU %", share), measured("peak RSS MB", []float64{float64(peak) / 1e6}),
	}}, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
