// Package enginetest holds every streams.Engine to its contract. An engine is
// done when Run passes. The suite is black-box: it uses nothing but the
// interface and a Harness.
package enginetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// Harness is a store that engines are opened on, one at a time.
type Harness interface {
	// Open opens the engine; it is closed before the next Open.
	Open(t *testing.T) streams.Engine
	// Advance moves the clock that the engine sees.
	Advance(d time.Duration)
	// Now is the time on that clock.
	Now() time.Time
}

// Run checks the engine that open gives a fresh store for.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *env)
	}{
		{"append and read", testAppendRead},
		{"routing", testRouting},
		{"positions", testPositions},
		{"limits of a page", testPageLimits},
		{"limits of a batch", testBatchLimits},
		{"big records", testBigRecords},
		{"state", testState},
		{"stream life", testStreamLife},
		{"bad specifications", testBadSpecs},
		{"split", testSplit},
		{"merge", testMerge},
		{"split and merge refused", testReshapeRefused},
		{"reshard", testReshard},
		{"reshard uneven shards", testReshardUneven},
		{"reshard under load", testReshardUnderLoad},
		{"resharded lineage expires", testReshardExpires},
		{"delete and make again", testRecreate},
		{"retention", testRetention},
		{"configure retention", testConfigure},
		{"bound of the bytes", testBound},
		{"durability", testDurability},
		{"closed shards expire", testClosedExpire},
		{"arrival never goes back", testClockBack},
		{"wait", testWait},
		{"wait on delete and end", testWaitEnds},
		{"stat", testStat},
		{"concurrent appends and readers", testConcurrent},
		{"reshape under load", testReshapeUnderLoad},
		{"canceled context", testCanceled},
		{"restart", testRestart},
		{"closed engine", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			e := &env{Harness: h}
			e.Engine = h.Open(t)
			t.Cleanup(func() {
				if err := e.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.test(t, e)
		})
	}
}

// env is an open engine and its store.
type env struct {
	Harness
	streams.Engine
}

func (e *env) reopen(t *testing.T) {
	t.Helper()
	must(t, e.Close())
	e.Engine = e.Open(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (e *env) create(t *testing.T, name string, shards int) streams.StreamInfo {
	t.Helper()
	info, err := e.Create(t.Context(), streams.StreamSpec{Name: name, Shards: shards})
	must(t, err)
	return info
}

func (e *env) describe(t *testing.T, name string) streams.StreamInfo {
	t.Helper()
	info, err := e.Describe(name)
	must(t, err)
	return info
}

// put appends one record for every text, with the text as key.
func (e *env) put(t *testing.T, stream string, data ...string) streams.Result {
	t.Helper()
	b := new(streams.Batch)
	for _, d := range data {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: d, Data: []byte(d)})
	}
	res, err := e.Append(t.Context(), stream, b)
	must(t, err)
	if len(res.Placed) != len(data) {
		t.Fatalf("%d records were placed, want %d", len(res.Placed), len(data))
	}
	return res
}

func ref(stream string, shard streams.ShardID) streams.ShardRef {
	return streams.ShardRef{Stream: stream, Shard: shard}
}

func at(seq streams.Sequence) streams.Position { return streams.Position{Kind: streams.At, Seq: seq} }

var horizon = streams.Position{Kind: streams.Horizon}

// all reads a shard from a position to its tip, and checks order and pages.
func (e *env) all(t *testing.T, r streams.ShardRef, from streams.Position, limit streams.Limit) []streams.Record {
	t.Helper()
	var out []streams.Record
	for {
		p, err := e.Read(t.Context(), r, from, limit)
		must(t, err)
		if len(p.Records) == 0 {
			if p.Next < p.Tip {
				t.Fatalf("%s: an empty page at %d, but the tip is %d", r.Shard, p.Next, p.Tip)
			}
			return out
		}
		for _, rec := range p.Records {
			if n := len(out); n > 0 && (rec.Sequence != out[n-1].Sequence+1 || rec.Arrival.Before(out[n-1].Arrival)) {
				t.Fatalf("%s: record %d at %v after %d at %v", r.Shard, rec.Sequence, rec.Arrival, out[n-1].Sequence, out[n-1].Arrival)
			}
			out = append(out, rec)
		}
		if last := out[len(out)-1].Sequence; p.Next != last+1 || p.Tip < p.Next {
			t.Fatalf("%s: next %d and tip %d after record %d", r.Shard, p.Next, p.Tip, last)
		}
		from = at(p.Next)
	}
}

// want compares the data of records.
func want(t *testing.T, got []streams.Record, data ...string) {
	t.Helper()
	var have []string
	for _, r := range got {
		have = append(have, string(r.Data))
	}
	if !slices.Equal(have, data) {
		t.Fatalf("got records %q, want %q", have, data)
	}
}

func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("r%04d", i))
	}
	return out
}
