package enginetest

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// openShards returns the open shards by range.
func openShards(info streams.StreamInfo) (open []streams.ShardInfo) {
	for _, s := range info.Shards {
		if !s.Closed {
			open = append(open, s)
		}
	}
	slices.SortFunc(open, func(a, b streams.ShardInfo) int { return a.Range.Start.Compare(b.Range.Start) })
	return open
}

// checkLineage checks what is true of the shards of every stream: the open
// ones cover the key space once, a child lies where its parents lay, is younger
// by a second, and its parents are closed.
func checkLineage(t *testing.T, info streams.StreamInfo) {
	t.Helper()
	want := streams.HashKey{}
	open := openShards(info)
	for _, s := range open {
		if s.Range.Start != want {
			t.Fatalf("%s begins at %s, the one before ends before %s", s.ID, s.Range.Start, want)
		}
		want = s.Range.End.Next()
	}
	if want != (streams.HashKey{}) {
		t.Fatalf("the open shards end before %s", want)
	}
	byID := map[streams.ShardID]streams.ShardInfo{}
	for _, s := range info.Shards {
		byID[s.ID] = s
	}
	for _, s := range info.Shards {
		for _, id := range []streams.ShardID{s.Parent, s.AdjacentParent} {
			if id == streams.NoShard {
				continue
			}
			p, ok := byID[id]
			if !ok || !p.Closed || p.ID >= s.ID || s.Created.Before(p.Created.Add(time.Second)) {
				t.Errorf("%s created %v, closed %v has parent %s created %v, closed %v", s.ID, s.Created, s.Closed, id, p.Created, p.Closed)
			}
			if !p.Range.Contains(s.Range.Start) && !p.Range.Contains(s.Range.End) && !s.Range.Contains(p.Range.Start) {
				t.Errorf("%s does not lie where its parent %s lay", s.ID, id)
			}
		}
	}
}

// checkUniform checks the widths of the open shards.
func checkUniform(t *testing.T, info streams.StreamInfo, count int) {
	t.Helper()
	open := openShards(info)
	if len(open) != count {
		t.Fatalf("%d shards are open, want %d", len(open), count)
	}
	key := func(k streams.HashKey) *big.Int {
		n, _ := new(big.Int).SetString(k.String(), 10)
		return n
	}
	for i, r := range streams.UniformRanges(count) {
		d := new(big.Int).Sub(key(open[i].Range.Start), key(r.Start))
		if d.Abs(d).BitLen() > 32 {
			t.Errorf("shard %d of %d begins at %s, want %s", i, count, open[i].Range.Start, r.Start)
		}
	}
}

func testReshard(t *testing.T, e *env) {
	e.create(t, "s", 1)
	sent := 0
	for _, c := range []struct {
		count int
		made  int // shards that are new, -1 for any number
	}{
		{3, 4}, {6, 6}, {6, 0}, {3, 3}, {2, -1}, {5, -1}, {10, 10}, {1, -1}, {7, -1}, {13, -1}, {4, -1},
	} {
		before := len(e.describe(t, "s").Shards)
		e.put(t, "s", numbers(sent, sent+40)...)
		sent += 40
		must(t, e.Reshard(t.Context(), "s", c.count))
		for range 2 {
			info := e.describe(t, "s")
			checkLineage(t, info)
			checkUniform(t, info, c.count)
			if made := len(info.Shards) - before; c.made >= 0 && made != c.made {
				t.Errorf("%d shards: %d new ones, want %d", c.count, made, c.made)
			}
			e.reopen(t)
		}
	}
	total := 0
	for _, s := range e.describe(t, "s").Shards {
		recs := e.all(t, ref("s", s.ID), horizon, streams.Limit{})
		total += len(recs)
		if p, err := e.Read(t.Context(), ref("s", s.ID), streams.Position{Kind: streams.Tip}, streams.Limit{}); err != nil || p.Ended != s.Closed {
			t.Errorf("%s: ended %v, closed %v, %v", s.ID, p.Ended, s.Closed, err)
		}
		for _, r := range recs {
			if !s.Range.Contains(streams.HashOf(r.PartitionKey)) {
				t.Errorf("%s holds %q, which does not belong there", s.ID, r.PartitionKey)
			}
		}
	}
	if total != sent {
		t.Errorf("%d records after all changes, want %d", total, sent)
	}
}

// testReshardUneven begins with shards of any width.
func testReshardUneven(t *testing.T, e *env) {
	e.create(t, "s", 2)
	must(t, e.Split(t.Context(), "s", 0, streams.HashKey{Lo: 1}))
	must(t, e.Split(t.Context(), "s", 3, streams.HashKey{Lo: 2}))
	must(t, e.Split(t.Context(), "s", 1, streams.MaxHashKey))
	for _, n := range []int{4, 3, 9} {
		must(t, e.Reshard(t.Context(), "s", n))
		checkLineage(t, e.describe(t, "s"))
		checkUniform(t, e.describe(t, "s"), n)
	}
	big := e.create(t, "big", 1)
	must(t, e.Reshard(t.Context(), "big", 10_000))
	info := e.describe(t, "big")
	checkLineage(t, info)
	checkUniform(t, info, 10_000)
	for _, s := range info.Shards {
		if s.Created.After(big.Created.Add(time.Minute)) {
			t.Fatalf("%s was created %v after the stream", s.ID, s.Created.Sub(big.Created))
		}
	}
	for _, n := range []int{0, -1, 10_001} {
		if err := e.Reshard(t.Context(), "s", n); !errors.Is(err, streams.ErrInvalid) {
			t.Errorf("%d shards: got %v, want ErrInvalid", n, err)
		}
	}
	if err := e.Reshard(t.Context(), "nothing", 2); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}

// testReshardUnderLoad appends while the number of shards goes up and down,
// and reads each key in the order it was written: parents first.
func testReshardUnderLoad(t *testing.T, e *env) {
	e.create(t, "s", 2)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() { e.write(t, "s", w, batches) })
	}
	for _, n := range []int{4, 8, 5, 3, 6, 1, 4} {
		must(t, e.Reshard(t.Context(), "s", n))
	}
	writing.Wait()
	info := e.describe(t, "s")
	checkLineage(t, info)
	last, total := map[string]int{}, 0
	for _, s := range info.Shards { // parents have lower ids
		for _, r := range e.all(t, ref("s", s.ID), horizon, streams.Limit{}) {
			var w, n int
			if _, err := fmt.Sscanf(string(r.Data), "w%d %d", &w, &n); err != nil {
				t.Fatalf("%q: %v", r.Data, err)
			}
			if old, ok := last[r.PartitionKey]; ok && n <= old {
				t.Fatalf("%s: %q after number %d", s.ID, r.Data, old)
			}
			last[r.PartitionKey] = n
			total++
		}
	}
	if total != written() {
		t.Errorf("%d records, want %d", total, written())
	}
}

// testReshardExpires lets the closed shards of the lineage go with their
// records.
func testReshardExpires(t *testing.T, e *env) {
	_, err := e.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 3, Retention: time.Hour})
	must(t, err)
	e.put(t, "s", numbers(0, 9)...)
	must(t, e.Reshard(t.Context(), "s", 2))
	e.Advance(30 * time.Minute)
	if n := len(e.describe(t, "s").Shards); n <= 5 {
		t.Errorf("%d shards, want those closed as well", n)
	}
	e.Advance(31 * time.Minute)
	for range 2 {
		checkUniform(t, e.describe(t, "s"), 2)
		if n := len(e.describe(t, "s").Shards); n != 2 {
			t.Errorf("%d shards after all has expired, want 2", n)
		}
		e.reopen(t)
	}
}
