package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// latency measures how long after its acknowledgement a record can be read.
func (b *bench) latency(ctx context.Context) (t *table, err error) {
	b.sayf("latency of %d records", b.samples)
	q, err := newPutRecord()
	if err != nil {
		return nil, err
	}
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	daemon, err := b.startDaemon(ctx, "storage: {min_free: 0}\nstreams: {"+benchStream+": {}}\n")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	writer, reads := newGenerator(1), newGenerator(1)
	defer writer.close()
	defer reads.close()
	r, err := newReader(ctx, reads, daemon)
	if err != nil {
		return nil, err
	}

	var bare, put, read, both []time.Duration
	for n := range b.samples + 20 {
		start := time.Now()
		if _, err := writer.send(ctx, 0, floor, q, n); err != nil {
			return nil, err
		}
		floored := time.Since(start)

		start = time.Now()
		answer, err := writer.send(ctx, 0, daemon, q, n)
		if err != nil {
			return nil, err
		}
		acknowledged := time.Now()
		var placed struct{ SequenceNumber string }
		if err := json.Unmarshal(answer, &placed); err != nil {
			return nil, err
		}
		seen, err := r.await(ctx, placed.SequenceNumber)
		if err != nil {
			return nil, err
		}
		if n < 20 {
			continue // connections open, code and files become warm
		}
		bare, put = append(bare, floored), append(put, acknowledged.Sub(start))
		read, both = append(read, seen.Sub(acknowledged)), append(both, seen.Sub(start))
	}
	line := func(name string, samples []time.Duration) row {
		return row{Name: name, Values: []value{
			measured("p50 ms", []float64{ms(percentile(samples, 50))}),
			measured("p99 ms", []float64{ms(percentile(samples, 99))}),
		}}
	}
	return &table{
		Name: "latency", Title: "One record at a time: put to read",
		Note: "One client puts a record of 1 KiB, a second polls GetRecords from the moment of the acknowledgement until the record is there. " +
			fmt.Sprintf("%d records, in turns with the same body to the floor's server.", b.samples),
		Rows: []row{
			line("floor: body read, one write, one fdatasync", bare),
			line("PutRecord, sent to acknowledged", put),
			line("acknowledged to read by GetRecords", read),
			line("sent to read", both),
		},
	}, nil
}

// reader follows the one shard of a stream from its tip.
type reader struct {
	g        *generator
	from     *process
	iterator string
}

func newReader(ctx context.Context, g *generator, from *process) (*reader, error) {
	r := &reader{g: g, from: from}
	var out struct{ ShardIterator string }
	err := g.call(ctx, from, "GetShardIterator", map[string]any{
		"StreamName": benchStream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST",
	}, &out)
	r.iterator = out.ShardIterator
	return r, err
}

// await polls until a record is there and returns when its answer was.
func (r *reader) await(ctx context.Context, sequence string) (time.Time, error) {
	for range 10_000 {
		var out struct {
			NextShardIterator string
			Records           []struct{ SequenceNumber string }
		}
		err := r.g.call(ctx, r.from, "GetRecords", map[string]any{"ShardIterator": r.iterator}, &out)
		at := time.Now()
		if err != nil {
			return at, err
		}
		r.iterator = out.NextShardIterator
		for _, rec := range out.Records {
			if rec.SequenceNumber == sequence {
				return at, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("record %s was acknowledged and is not among those that GetRecords returns", sequence)
}
