package wal

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// toShard returns a batch with records for one of n uniform shards.
func toShard(shard, n int, data ...string) *streams.Batch {
	b := new(streams.Batch)
	for _, d := range data {
		b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: streams.UniformRanges(n)[shard].Start, Data: []byte(d)})
	}
	return b
}

func storedBytes(t *testing.T, fsys *memfs.FS) (n int64) {
	for _, path := range allFiles(t, fsys, "/data/shards") {
		i, err := fsys.Stat(path)
		must(t, err)
		n += i.Size()
	}
	return n
}

// TestRetentionBytes keeps a stream to its bound: the oldest sealed segments of
// all shards go first, whole, and readers see the new horizon at once.
func TestRetentionBytes(t *testing.T) {
	fsys, c := memfs.New(), &clocks{}
	o := small(fsys)
	o.TailBytes = 1 << 30 // a shard that is being written to would keep its segments for a second more
	c.set(&o)
	l := open(t, "/data", o)
	const bound = 64 << 10
	_, err := l.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 2, RetentionBytes: bound})
	must(t, err)
	create(t, l, "free", 1)
	write := func(shard, from, to int) {
		for i := from; i < to; i++ {
			_, err := l.Append(t.Context(), "s", toShard(shard, 2, fmt.Sprintf("%04d%s", i, strings.Repeat("x", 2000))))
			must(t, err)
			c.advance(time.Second)
		}
		must(t, l.checkpoint())
		l.retain()
		must(t, l.checkpoint())
	}
	first := func(shard streams.ShardID) int {
		recs, err := readShard(t, l, "s", shard)
		must(t, err)
		for i := 1; i < len(recs); i++ {
			if recs[i].Sequence != recs[i-1].Sequence+1 {
				t.Errorf("shard %d: record %d follows %d", shard, recs[i].Sequence, recs[i-1].Sequence)
			}
		}
		if len(recs) == 0 {
			return -1
		}
		info, err := l.Describe("s")
		must(t, err)
		if f := info.Shards[shard].First; f != recs[0].Sequence {
			t.Errorf("shard %d begins at %d, described as %d", shard, recs[0].Sequence, f)
		}
		var n int
		_, err = fmt.Sscanf(string(recs[0].Data), "%04d", &n)
		must(t, err)
		return n
	}
	for i := range 60 {
		appendAll(t, l, "free", fmt.Sprint(i, strings.Repeat("y", 2000)))
	}
	write(0, 0, 20) // within the bound
	if n := first(0); n != 0 {
		t.Errorf("begins with %d though the bound is not reached", n)
	}
	write(1, 20, 40) // 80 KiB in all: the first of shard 0 go
	if a, b := first(0), first(1); a < 8 || a > 14 || b != 20 {
		t.Errorf("begin with %d and %d", a, b)
	}
	at := first(0)
	must(t, l.Close())
	l = open(t, "/data", o)
	if n := first(0); n != at {
		t.Errorf("begins with %d after a restart, %d before", n, at)
	}
	write(0, 40, 100) // shard 1 is older now
	if a, b := first(0), first(1); a < 60 || b > 40 && b != -1 {
		t.Errorf("begin with %d and %d", a, b)
	}
	if recs, err := readShard(t, l, "free", 0); err != nil || len(recs) != 60 {
		t.Errorf("the stream without a bound has %d records, %v", len(recs), err)
	}
	// Two files that are written to may come on top.
	if n := storedBytes(t, fsys) - 60*2100; n > bound+2*o.SegmentBytes+8<<10 {
		t.Errorf("%d bytes are stored, the bound is %d", n, bound)
	}
	// A smaller one holds at once, none lets it grow.
	must(t, l.Bound(t.Context(), "s", 16<<10))
	l.retain()
	if n := first(0); n < 85 {
		t.Errorf("begins with %d under a smaller bound", n)
	}
	must(t, l.Bound(t.Context(), "s", 0))
	at = first(0)
	write(0, 100, 160)
	if n := first(0); n != at {
		t.Errorf("begins with %d without a bound, %d before", n, at)
	}
	if res, err := l.Append(t.Context(), "s", toShard(1, 2, "next")); err != nil || res.Placed[0].Sequence != 21 {
		t.Errorf("next in shard 1: %+v, %v", res, err)
	}
	must(t, l.Close())
}

// TestRemoveInBatches lets hundreds of files expire at once: a checkpoint
// removes some of them, the rest go between other work, also after a restart.
func TestRemoveInBatches(t *testing.T) {
	for _, how := range []string{"retention", "bound", "deleted"} {
		t.Run(how, func(t *testing.T) {
			mem, c := memfs.New(), &clocks{}
			var removed, most atomic.Int64
			done := make(chan struct{})
			most.Store(1 << 40)
			e := errfs.New(mem, func(op errfs.Op) error {
				if op.Kind == errfs.Remove && strings.HasSuffix(op.Path, ".seg") && removed.Add(1) == most.Load() {
					close(done)
				}
				return nil
			})
			o := small(e)
			o.SegmentBytes = 4 << 10
			o.CheckpointInterval = time.Hour
			o.CheckpointBytes = 1 << 40
			o.TailBytes = 32 << 20
			c.set(&o)
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			const files = 3 * removeBatch
			b := new(streams.Batch)
			for range 100 {
				b.Records = append(b.Records, streams.NewRecord{Data: make([]byte, 3000)})
			}
			for range files / 100 {
				for i := range b.Records { // a frame each, so that each gets a file
					_, err := l.Append(t.Context(), "s", &streams.Batch{Records: b.Records[i : i+1]})
					must(t, err)
				}
			}
			must(t, l.checkpoint())
			have := len(allFiles(t, mem, "/data/shards"))
			if have < 2*removeBatch {
				t.Fatalf("%d files", have)
			}
			switch how {
			case "retention":
				c.advance(48 * time.Hour)
			case "bound":
				must(t, l.Bound(t.Context(), "s", 1))
			case "deleted":
				must(t, l.Delete(t.Context(), "s"))
			}
			most.Store(int64(have - 1)) // but the one that is written to
			l.retain()
			must(t, l.checkpoint())
			if n := removed.Load(); n < removeBatch-1 {
				t.Errorf("the checkpoint removed %d files", n)
			}
			must(t, l.Close()) // in the middle of it
			l = open(t, "/data", o)
			<-done
			must(t, l.Close())
			if n := len(allFiles(t, mem, "/data/shards")); n > 1 {
				t.Errorf("%d of %d files are left", n, have)
			}
		})
	}
}

// TestRemoveBatchIsBounded counts what one go removes.
func TestRemoveBatchIsBounded(t *testing.T) {
	mem := memfs.New()
	l := open(t, "/data", small(mem))
	var paths []string
	for i := range 2*removeBatch + 10 {
		path := fmt.Sprintf("/data/shards/%d", i)
		f, err := mem.OpenFile(path, 0x42, 0o600) // os.O_RDWR|os.O_CREATE
		must(t, err)
		must(t, f.Close())
		paths = append(paths, path)
	}
	l.checkpointMu.Lock()
	l.removeLater(&snapshot{}, slices.Clone(paths))
	l.checkpointMu.Unlock()
	for _, want := range []int{removeBatch + 10, 10, 0} {
		more, err := l.removeSome()
		must(t, err)
		if n := len(allFiles(t, mem, "/data/shards")); n != want || more != (want > 0) {
			t.Errorf("%d files are left, want %d; more: %v", n, want, more)
		}
	}
	must(t, l.Close())
}

// TestClockAtStart opens a log with a clock that cannot be right: nothing
// expires by it until it was steady for a day, restarts or not.
func TestClockAtStart(t *testing.T) {
	year := 365 * 24 * time.Hour
	for _, tt := range []struct {
		name string
		jump time.Duration
		left int // records right after the start
	}{
		{"a year ahead", year + 30*24*time.Hour, 20},
		{"ten years ahead", 10 * year, 20},
		{"two hours behind", -2 * time.Hour, 20},
		{"a year behind", -year, 20},
		{"stopped for ten days", 10 * 24 * time.Hour, 0},
		{"a little behind", -time.Minute, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys, c := memfs.New(), &clocks{}
			o := small(fsys)
			c.set(&o)
			l := open(t, "/data", o)
			_, err := l.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1, Retention: 48 * time.Hour})
			must(t, err)
			for range 20 {
				appendAll(t, l, "s", strings.Repeat("x", 2000))
			}
			must(t, l.Close())
			count := func() int {
				l.retain()
				recs, err := readShard(t, l, "s", 0)
				must(t, err)
				return len(recs)
			}
			c.jump(tt.jump)
			l = open(t, "/data", o)
			if n := count(); n != tt.left {
				t.Errorf("%d records, want %d", n, tt.left)
			}
			waits := tt.left > 0 && tt.jump.Abs() > time.Hour
			if got := l.Stats().ClockJumped; got != waits {
				t.Errorf("waits: %v, want %v", got, waits)
			}
			// A few restarts do not begin the wait again.
			for range 4 {
				c.advance(5 * time.Hour)
				if n := count(); n != tt.left {
					t.Errorf("%d records after hours, want %d", n, tt.left)
				}
				must(t, l.Close())
				l = open(t, "/data", o)
				if n := count(); n != tt.left || l.Stats().ClockJumped != waits {
					t.Errorf("%d records after a restart, want %d; waits: %v", n, tt.left, l.Stats().ClockJumped)
				}
			}
			c.advance(5 * time.Hour) // 25 in all
			n := count()
			if l.Stats().ClockJumped {
				t.Error("still waits after a day")
			}
			if want := map[bool]int{true: 0, false: tt.left}[tt.jump > year]; n != want {
				t.Errorf("%d records after a day, want %d", n, want)
			}
			must(t, l.Close())
			// What it went by is where the next start goes on.
			l = open(t, "/data", o)
			if l.Stats().ClockJumped {
				t.Error("waits again after another restart")
			}
			must(t, l.Close())
		})
	}
}

// TestClockTwoJumps begins to wait again when the clock jumps once more.
func TestClockTwoJumps(t *testing.T) {
	c := &clocks{}
	o := small(memfs.New())
	c.set(&o)
	l := open(t, "/data", o)
	start := l.retentionNow()
	c.jump(400 * 24 * time.Hour)
	l.retentionNow()
	c.advance(23 * time.Hour)
	l.retentionNow()
	c.jump(300 * 24 * time.Hour)
	for range 23 {
		c.advance(time.Hour)
		if d := msDuration(l.retentionNow() - start); d > 47*time.Hour || !l.Stats().ClockJumped {
			t.Fatalf("%v on, the clock is believed: %v", d, !l.Stats().ClockJumped)
		}
	}
	c.advance(2 * time.Hour)
	if d := msDuration(l.retentionNow() - start); d < 700*24*time.Hour || l.Stats().ClockJumped {
		t.Errorf("only %v on after a day, waits: %v", d, l.Stats().ClockJumped)
	}
	must(t, l.Close())
}

// TestClockStoppedProcess stops the process for hours between any two readings of
// the clocks: that is no jump.
func TestClockStoppedProcess(t *testing.T) {
	for nth := range int64(14) {
		c := &clocks{}
		var stopIn atomic.Int64
		stopIn.Store(nth + 1)
		stop := func() {
			if stopIn.Add(-1) == 0 {
				c.advance(5 * time.Hour)
			}
		}
		o := small(memfs.New())
		o.Clock = func() time.Time { stop(); return c.now() }
		o.Monotonic = func() time.Duration { stop(); return c.mono() }
		l := open(t, "/data", o)
		for _, read := range []func(){func() { l.now() }, func() { l.retentionNow() }} {
			stopIn.Store(nth + 1)
			for range 4 {
				read()
				if l.Stats().ClockJumped {
					t.Fatalf("stopped at reading %d: called a jump", nth+1)
				}
			}
		}
		must(t, l.Close())
	}
}
