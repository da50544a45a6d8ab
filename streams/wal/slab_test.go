package wal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

func TestSlabSize(t *testing.T) {
	for _, n := range []int{block, 2 * block, 15 * block, 16 * block, 17 * block, 1 << 20, 1<<20 + block, 33 << 20} {
		size := slabSize(n)
		if size < n || size%block != 0 || size > n+max(n/8, block) {
			t.Errorf("%d bytes get %d", n, size)
		}
		if again := slabSize(size); again != size {
			t.Errorf("%d bytes get %d, which get %d", n, size, again)
		}
	}
}

func TestSlabPool(t *testing.T) {
	c := slabs{limit: 4 * block}
	get := func(n int, refs int32) *slab {
		s := c.get(n)
		s.refs.Store(refs)
		return s
	}
	a := get(block, 2)
	c.release(a)
	if b := get(block, 1); b == a {
		t.Error("memory that is in use was given away")
	}
	c.release(a)
	if b := get(block, 1); b != a {
		t.Error("free memory was not used again")
	}
	keep([]frame{{}, {slab: a}})
	c.release(a)
	if b := get(block, 1); b == a {
		t.Error("memory that a reader holds was given away")
	}
	var all []*slab
	for range 6 {
		all = append(all, get(block, 1))
	}
	for _, s := range all {
		c.release(s)
	}
	if c.bytes != c.limit || len(c.free[block]) != 4 {
		t.Errorf("%d bytes are kept in %d pieces, want %d", c.bytes, len(c.free[block]), c.limit)
	}
	c.clear()
	if c.bytes != 0 || len(c.free) != 0 {
		t.Error("free memory is held by an idle log")
	}
}

// Memory is used again once it is in a segment, but never under a reader: what
// a page shows stays as it is.
func TestSlabs(t *testing.T) {
	l := open(t, "/data", small(memfs.New()))
	create(t, l, "s", 2)
	record := func(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 400+n%300) }
	var pages []streams.Page
	next := map[streams.ShardID]streams.Sequence{0: 1, 1: 1}
	for n := range 400 {
		_, err := l.Append(t.Context(), "s", &streams.Batch{Records: []streams.NewRecord{
			{PartitionKey: fmt.Sprint(n), Data: record(n)}, {PartitionKey: fmt.Sprint(-n), Data: record(n)},
		}})
		must(t, err)
		if n%3 != 0 {
			continue // most are not read before they are in a segment
		}
		for id := range next {
			p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s", Shard: id}, streams.Position{Kind: streams.At, Seq: next[id]}, streams.Limit{})
			must(t, err)
			next[id] = p.Next
			pages = append(pages, p)
		}
	}
	must(t, l.checkpoint())
	for _, p := range pages {
		for _, r := range p.Records {
			var n int
			if _, err := fmt.Sscan(r.PartitionKey, &n); err != nil {
				t.Fatalf("key %q of record %d: %v", r.PartitionKey, r.Sequence, err)
			}
			if !bytes.Equal(r.Data, record(max(n, -n))) {
				t.Fatalf("record %d of key %q changed under its reader", r.Sequence, r.PartitionKey)
			}
		}
	}
	for id := range next {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		for _, r := range recs {
			var n int
			if _, err := fmt.Sscan(r.PartitionKey, &n); err != nil || !bytes.Equal(r.Data, record(max(n, -n))) {
				t.Fatalf("record %d of key %q is not what was put: %v", r.Sequence, r.PartitionKey, err)
			}
		}
	}
}

// Readers at the tip, appends and flushes at the same time: for the race detector
// and for the contents.
func TestSlabsConcurrently(t *testing.T) {
	l := open(t, "/data", small(memfs.New()))
	create(t, l, "s", 1)
	const writers, appends = 4, 150
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range appends {
				data := bytes.Repeat([]byte{byte(rng.Uint32())}, 300+rng.IntN(4000))
				if _, err := l.Append(t.Context(), "s", &streams.Batch{Records: []streams.NewRecord{{PartitionKey: "k", Data: data}}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seq, seen := streams.Sequence(1), 0
	ref := streams.ShardRef{Stream: "s"}
	for seen < writers*appends {
		from := streams.Position{Kind: streams.At, Seq: seq}
		must(t, l.Wait(t.Context(), ref, seq))
		p, err := l.Read(t.Context(), ref, from, streams.Limit{Records: 7})
		must(t, err)
		for _, r := range p.Records {
			if len(r.Data) < 300 || len(bytes.Trim(r.Data, string(r.Data[:1]))) > 0 {
				t.Fatalf("record %d is mixed", r.Sequence)
			}
		}
		seq, seen = p.Next, seen+len(p.Records)
	}
	wg.Wait()
}
