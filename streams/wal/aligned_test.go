package wal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestLay lays out units of any frames: they follow each other without a gap,
// pads between them included, and those that are large enough fill whole blocks.
func TestLay(t *testing.T) {
	seeds(t, 200, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 5))
		st := &stream{id: 7, route: &routing{}}
		n := 1 + rng.Uint64N(6)
		for i := range n {
			st.route.shards = append(st.route.shards, &shard{id: streams.ShardID(i), st: st})
			st.route.starts = append(st.route.starts, streams.HashKey{Hi: i * (math.MaxUint64 / n)})
		}
		b := new(streams.Batch)
		for range 1 + rng.IntN(40) {
			b.Records = append(b.Records, streams.NewRecord{
				Explicit: true, HashKey: streams.HashKey{Hi: rng.Uint64()}, Data: make([]byte, rng.IntN(9000)),
			})
		}
		if rng.IntN(2) == 0 {
			b.State = []streams.StateUpdate{{Key: "k", Value: make([]byte, rng.IntN(6000))}}
		}
		aligned := []int{1, 700, 5000, math.MaxInt}[rng.IntN(4)]
		const logSeed = 99
		var mem slabs
		u := new(plan).encode(st.route, b, 0, aligned, &mem)
		u.seedBodies(logSeed)
		u.arrival = 5
		u.seal(logSeed, 3)

		if len(u.buf)%block != 0 {
			t.Errorf("%d bytes are not whole blocks", len(u.buf))
		}
		k, state, pads := 0, 0, 0
		for off := 0; off < len(u.buf); {
			h, ok := parseHeader(u.buf[off:], logSeed)
			if !ok || off+h.size() > len(u.buf) || !bodyOK(u.buf[off:], h, logSeed) {
				t.Fatalf("no frame at byte %d of %d", off, len(u.buf))
			}
			switch h.kind {
			case kindRecords:
				f := &u.frames[k]
				if f.off != off || f.size() != h.size() || h.count != f.count || h.shard != uint32(f.shard.id) {
					t.Errorf("frame %d: %+v at byte %d, want %+v", k, h, off, f)
				}
				if large := f.size() >= aligned; large && (off%block != 0 || (off+f.size()+f.pad)%block != 0) {
					t.Errorf("frame of %d bytes at byte %d with %d behind it is not whole blocks", f.size(), off, f.pad)
				}
				k++
			case kindState:
				state++
			case kindPad:
				pads++
				if h.length >= 2*block || (off+h.size())%block != 0 {
					t.Errorf("pad of %d bytes at byte %d", h.size(), off)
				}
			}
			off += h.size()
		}
		if k != len(u.frames) || state != len(b.State) {
			t.Errorf("%d frames of records and %d of state, want %d and %d", k, state, len(u.frames), len(b.State))
		}
		if aligned == math.MaxInt && pads > 1 {
			t.Errorf("%d pads without need", pads)
		}
	})
}

// TestAligned reads what large and small batches left in segments of which some
// were written from where the frames lay in memory, also after another start.
func TestAligned(t *testing.T) {
	for _, tt := range []struct {
		name string
		fsys vfs.FS
		dir  string
	}{{"memory", memfs.New(), "/data"}, {"disk", vfs.OS(), t.TempDir()}} {
		t.Run(tt.name, func(t *testing.T) {
			o := past(small(tt.fsys))
			l := open(t, tt.dir, o)
			create(t, l, "s", 1)
			var want []string
			for n := range 60 {
				var data []string
				for i := range 1 + n%4 {
					data = append(data, fmt.Sprintf("%d-%d-%0*d", n, i, n*n, 0)) // frames below and above both limits
				}
				appendAll(t, l, "s", data...)
				want = append(want, data...)
				if n%7 == 0 {
					must(t, l.checkpoint())
				}
			}
			must(t, l.Close())
			l = open(t, tt.dir, o)
			got, err := readShard(t, l, "s", 0)
			must(t, err)
			if !slices.Equal(texts(got), want) {
				t.Errorf("%d records, want %d, or others", len(got), len(want))
			}
			must(t, l.Close())
			rep, err := Repair(t.Context(), tt.dir, RepairOptions{Options: o})
			must(t, err)
			if !rep.Clean() {
				t.Errorf("there is something to repair: %+v", rep)
			}
		})
	}
}
