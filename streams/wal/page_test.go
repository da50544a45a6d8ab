package wal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestPages reads pages of any size from any place, whether the records lie in
// memory, in an open segment or in sealed ones, and compares them with what the
// limits admit: not a record less, not one more.
func TestPages(t *testing.T) {
	seeds(t, 6, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		opt := small(memfs.New())
		opt.SegmentBytes = 128 << 10
		l := open(t, "/data", opt)
		defer func() { must(t, l.Close()) }()
		create(t, l, "s", 1)
		var sizes []int64
		for range 40 {
			b := new(streams.Batch)
			most := []int{10, 300, 5000, 60_000}[rng.IntN(4)]
			for range 1 + rng.IntN(30) {
				r := streams.NewRecord{PartitionKey: fmt.Sprint(len(sizes)), Data: make([]byte, rng.IntN(most))}
				if rng.IntN(3) == 0 {
					r.Explicit, r.HashKey = true, streams.HashKey{Hi: rng.Uint64() >> rng.IntN(64), Lo: rng.Uint64()}
				}
				b.Records = append(b.Records, r)
				sizes = append(sizes, int64(len(r.PartitionKey)+len(r.Data)))
			}
			_, err := l.Append(t.Context(), "s", b)
			must(t, err)
			for i := range b.Records {
				r := &b.Records[i]
				seq := streams.Sequence(len(sizes) - len(b.Records) + i + 1) //nolint:gosec // Small.
				p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Seq: seq}, streams.Limit{Records: 1})
				must(t, err)
				hash := ""
				if r.Explicit {
					hash = r.HashKey.String()
				}
				if got := p.Records[0]; got.PartitionKey != r.PartitionKey || got.ExplicitHashKey != hash || len(got.Data) != len(r.Data) || got.Sequence != seq {
					t.Fatalf("record %d: got key %q, hash %q, %d bytes", seq, got.PartitionKey, got.ExplicitHashKey, len(got.Data))
				}
			}
			if rng.IntN(6) == 0 {
				must(t, l.checkpoint())
			}
			checkPages(t, l, rng, sizes)
		}
	})
}

func checkPages(t *testing.T, l *Log, rng *rand.Rand, sizes []int64) {
	t.Helper()
	for range 10 {
		from := rng.IntN(len(sizes) + 2)
		limit := streams.Limit{Records: 1 + rng.IntN(60), Bytes: 1 << rng.IntN(22)}
		p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Seq: streams.Sequence(from)}, limit) //nolint:gosec // Small.
		must(t, err)
		from = max(from, 1)
		want, bytes := 0, int64(0)
		for i := from - 1; i < len(sizes) && want < limit.Records && (want == 0 || bytes+sizes[i] <= limit.Bytes); i++ {
			want++
			bytes += sizes[i]
		}
		if len(p.Records) != want || p.Next != streams.Sequence(from+want) || p.Tip != streams.Sequence(len(sizes)+1) { //nolint:gosec // Small.
			t.Fatalf("page from %d with %+v: %d records, next %d, tip %d; want %d records of %d", from, limit, len(p.Records), p.Next, p.Tip, want, len(sizes))
		}
		for i, r := range p.Records {
			if int64(len(r.Data)+len(r.PartitionKey)) != sizes[from-1+i] || r.Sequence != streams.Sequence(from+i) { //nolint:gosec // Small.
				t.Fatalf("page from %d: record %d is number %d with %d bytes", from, i, r.Sequence, len(r.Data))
			}
		}
	}
}

// TestReadAllocations holds reads to a few allocations a page, however many
// records it has.
func TestReadAllocations(t *testing.T) {
	l := open(t, tempDir(t), Options{MinFreeBytes: -1, CheckpointInterval: time.Hour, ScrubBytesPerSecond: -1})
	create(t, l, "s", 1)
	b := new(streams.Batch)
	for range 2000 {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: "key", Data: make([]byte, 100)})
	}
	for range 4 {
		_, err := l.Append(t.Context(), "s", b)
		must(t, err)
	}
	page := func() {
		p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Seq: 100}, streams.Limit{Records: 5000})
		if must(t, err); len(p.Records) != 5000 {
			t.Fatalf("%d records", len(p.Records))
		}
	}
	if n := testing.AllocsPerRun(20, page); n > 2 {
		t.Errorf("a page from memory takes %v allocations", n)
	}
	must(t, l.checkpoint())
	if n := testing.AllocsPerRun(20, page); n > 6 {
		t.Errorf("a page from a file takes %v allocations", n)
	}
}
