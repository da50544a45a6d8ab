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
			"of all processor time while firehosed was under load.",
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
	for _, c := range []struct {
		name string
		q    *request
	}{
		{"PutRecords 500 x 1 KiB, JSON", json},
		{"PutRecords 500 x 1 KiB, CBOR", cbor},
		{"PutRecord 1 KiB, JSON", one},
	} {
		for _, connections := range []int{1, 8, 64} {
			r, err := b.ingestRow(ctx, floor, c.name, c.q, connections, b.repeats, b.phase)
			if err != nil {
				return nil, err
			}
			t.Rows = append(t.Rows, r)
		}
	}
	if b.sustained > 0 {
		r, err := b.ingestRow(ctx, floor, fmt.Sprintf("PutRecords, JSON, %v at a stretch", b.sustained), json, 8, 2, b.sustained)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, r)
	}
	return t, nil
}

// ingestRow loads the floor and firehosed in turns. The daemon lives as long as
// the row, so that its memory is that of this load.
func (b *bench) ingestRow(ctx context.Context, floor *process, name string, q *request, connections, repeats int, d time.Duration) (r row, err error) {
	b.sayf("%s, connections: %d", name, connections)
	daemon, err := b.startDaemon(ctx, benchConfig)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	g := newGenerator(connections)
	defer g.close()

	for _, p := range []*process{floor, daemon} { // connections, buffers, journal files
		if _, err := g.run(ctx, p, q, d/4); err != nil {
			return r, err
		}
	}
	var below, above, ratio, rate, share, cpuBelow, cpuAbove []float64
	for range repeats {
		var got [2]phase
		for i, p := range []*process{floor, daemon} {
			if err := errors.Join(floor.settle(ctx), daemon.settle(ctx)); err != nil {
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
	peak, err := memory(daemon.pid, "VmHWM")
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
