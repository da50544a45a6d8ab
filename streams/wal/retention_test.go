package wal

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// clocks are a wall clock that can jump and a steady one. The log reads them at
// any time: what is no jump moves both at once.
type clocks struct {
	mu           sync.Mutex
	wall, steady time.Duration
}

func (c *clocks) set(o *Options) {
	o.Clock = c.now
	o.Monotonic = c.mono
}

func (c *clocks) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(1_800_000_000, 0).UTC().Add(c.wall)
}

func (c *clocks) mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady
}

func (c *clocks) advance(d time.Duration) { c.move(d, d) }

func (c *clocks) jump(d time.Duration) { c.move(d, 0) }

func (c *clocks) setRight() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.steady
}

func (c *clocks) move(wall, steady time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += wall
	c.steady += steady
}

// TestClockJump moves the wall clock by a year: nothing expires by it.
func TestClockJump(t *testing.T) {
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, 2 * time.Hour} {
		fsys, c := memfs.New(), &clocks{}
		o := small(fsys)
		c.set(&o)
		l := open(t, "/data", o)
		create(t, l, "s", 1)
		for range 20 {
			appendAll(t, l, "s", strings.Repeat("x", 2000))
		}
		must(t, l.checkpoint())
		c.advance(2 * time.Hour) // so it is not set right after a start
		c.jump(jump)
		l.retain()
		recs, err := readShard(t, l, "s", 0)
		must(t, err)
		if len(recs) != 20 || !l.Stats().ClockJumped {
			t.Errorf("jump by %v: %d of 20 records, noticed: %v", jump, len(recs), l.Stats().ClockJumped)
		}
		if res := appendAll(t, l, "s", "after"); res.Placed[0].Sequence != 21 {
			t.Errorf("sequence %d after the jump", res.Placed[0].Sequence)
		}
		c.jump(-jump)
		l.retain()
		if l.Stats().ClockJumped {
			t.Errorf("still called jumped when the clock is right again")
		}
		must(t, l.Close())
	}
}

// TestRetentionRemovesFiles removes whole segments after the next checkpoint,
// and gives the space back.
func TestRetentionRemovesFiles(t *testing.T) {
	fsys, c := memfs.New(), &clocks{}
	o := small(fsys)
	o.TailBytes = 1 << 30 // a shard that is being written to would keep its segments for a second more
	c.set(&o)
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	segments := func() int { return len(allFiles(t, fsys, "/data/shards")) }
	for range 10 {
		for range 10 {
			appendAll(t, l, "s", strings.Repeat("x", 2000))
		}
		c.advance(3 * time.Hour)
	}
	must(t, l.checkpoint())
	l.retain() // 30 h after the first
	must(t, l.checkpoint())
	// Three records fit into one, and the hour rolls one, too: four a time.
	if n := segments(); n != 8*4 {
		t.Errorf("%d segments are left of 80 records, want 32", n)
	}
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	if len(recs) != 80 {
		t.Errorf("%d records are left, want 80", len(recs))
	}
	c.advance(25 * time.Hour)
	l.retain()
	must(t, l.checkpoint())
	if n := segments(); n != 0 {
		t.Errorf("%d segments are left of expired records", n)
	}
	must(t, l.Close())
	l = open(t, "/data", o)
	if res := appendAll(t, l, "s", "next"); res.Placed[0].Sequence != 101 {
		t.Errorf("sequence %d, want 101", res.Placed[0].Sequence)
	}
	must(t, l.Close())
}

// TestRetentionWaits looks at shards again only when something can have expired,
// however many checkpoints there are.
func TestRetentionWaits(t *testing.T) {
	fsys, c := memfs.New(), &clocks{}
	o := small(fsys)
	c.set(&o)
	l := open(t, "/data", o)
	create(t, l, "s", 3)
	create(t, l, "other", 1)
	if d := l.retain(); d != 0 {
		t.Errorf("a log without records is to be looked at in %v", d)
	}
	wait := func(what string, want time.Duration) {
		t.Helper()
		must(t, l.checkpoint())
		if d := l.retainDue(); d != want {
			t.Errorf("%s: next look in %v, want %v", what, d, want)
		}
	}
	wait("no records", 0)
	appendAll(t, l, "s", "a")
	wait("first record", 24*time.Hour)
	c.advance(time.Hour)
	appendAll(t, l, "other", "b")
	wait("an hour later", 23*time.Hour)
	must(t, l.Configure(t.Context(), "other", 2*time.Hour))
	l.retain()
	wait("shorter retention", 2*time.Hour)
	c.advance(2*time.Hour + time.Millisecond)
	wait("the shorter one is over", 21*time.Hour-time.Millisecond)
	must(t, l.checkpoint())
	if n := len(allFiles(t, fsys, "/data/shards")); n != 1 {
		t.Errorf("%d segments, want that of one record", n)
	}
	must(t, l.Split(t.Context(), "s", 1, streams.UniformRanges(6)[3].Start))
	c.advance(22 * time.Hour)
	l.retain()
	wait("only the closed shard is left", 2*time.Hour)
	c.advance(2*time.Hour + time.Millisecond)
	wait("nothing is left", 0)
	info, err := l.Describe("s")
	must(t, err)
	if len(info.Shards) != 4 {
		t.Errorf("%d shards, want the 4 open ones", len(info.Shards))
	}
	must(t, l.Close())
}

// TestDeleteRemovesFiles removes the directory of a deleted stream.
func TestDeleteRemovesFiles(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 1)
	appendAll(t, l, "s", "a")
	must(t, l.checkpoint())
	must(t, l.Delete(t.Context(), "s"))
	must(t, l.checkpoint())
	must(t, l.checkpoint())
	if n := len(allFiles(t, fsys, "/data/shards")); n != 0 {
		t.Errorf("%d files are left", n)
	}
	must(t, l.Close())
}

// TestJournalIsUsedAgain keeps the journal within what two checkpoints need.
func TestJournalIsUsedAgain(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 1)
	for range 600 {
		appendAll(t, l, "s", strings.Repeat("x", 3500))
	}
	must(t, l.checkpoint())
	if n := len(allFiles(t, fsys, "/data/journal")); n > 12 {
		t.Errorf("%d journal files of 64 KiB after 2.4 MB", n)
	}
	must(t, l.Close())
}

// TestBoundedFiles keeps no more segment files open than allowed.
func TestBoundedFiles(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.MaxOpenFiles = 3
	l := open(t, "/data", o)
	create(t, l, "s", 20)
	for range 5 {
		var b streams.Batch
		for i := range 200 {
			b.Records = append(b.Records, streams.NewRecord{PartitionKey: string(rune('a' + i)), Data: make([]byte, 100)})
		}
		_, err := l.Append(t.Context(), "s", &b)
		must(t, err)
		must(t, l.checkpoint())
		for id := range streams.ShardID(20) {
			_, err := readShard(t, l, "s", id)
			must(t, err)
		}
		if n := l.Stats().OpenFiles; n > 3 {
			t.Errorf("%d files are open, at most 3", n)
		}
	}
	must(t, l.Close())
}

// TestTimeAfterStart goes on in a segment file of an earlier process, and finds
// records by time, and expired ones, as if the process had never ended.
func TestTimeAfterStart(t *testing.T) {
	fsys, c := memfs.New(), &clocks{}
	o := small(fsys)
	c.set(&o)
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	appendAll(t, l, "s", "before")
	must(t, l.Close())
	c.advance(10 * time.Minute)
	l = open(t, "/data", o)
	between := c.now()
	c.advance(10 * time.Minute)
	appendAll(t, l, "s", "after")
	must(t, l.checkpoint())
	ref := streams.ShardRef{Stream: "s"}
	p, err := l.Read(t.Context(), ref, streams.Position{Kind: streams.AtTime, Time: between}, streams.Limit{})
	must(t, err)
	wantTexts(t, p.Records, "after")
	c.advance(24*time.Hour - 5*time.Minute)
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, recs, "after")
	must(t, l.Close())
}

// A shard that is closed while the clock is behind its records expires with
// them, not before.
func TestClosedBehindItsRecords(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var hour atomic.Int64 // since start
	hour.Store(3)
	o.Clock = func() time.Time { return start.Add(time.Duration(hour.Load()) * time.Hour) }
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	appendAll(t, l, "s", "a", "b")
	hour.Store(0)
	must(t, l.Split(t.Context(), "s", 0, streams.HashKey{Hi: 1 << 63}))
	look := func(want ...string) {
		t.Helper()
		l.retain()
		recs, err := readShard(t, l, "s", 0)
		if len(want) == 0 {
			if !errors.Is(err, streams.ErrNotFound) {
				t.Errorf("the shard is still there: %v", err)
			}
			return
		}
		must(t, err)
		wantTexts(t, recs, want...)
	}
	hour.Store(26)
	look("a", "b")
	must(t, l.Close())
	l = open(t, "/data", o)
	look("a", "b")
	hour.Store(28)
	look()
}

// TestReadMeetsRetention has records expire, and their segments go, between the
// moment a read finds where to begin and the moment it looks there.
func TestReadMeetsRetention(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		c := &clocks{}
		o := small(memfs.New())
		o.TailBytes = 1 << 30 // nothing is flushed but by a checkpoint
		c.set(&o)
		l := open(t, "/data", o)
		create(t, l, "s", 1)
		for range 20 {
			appendAll(t, l, "s", strings.Repeat("x", 2000))
		}
		must(t, l.checkpoint())
		c.advance(20 * time.Hour)
		appendAll(t, l, "s", "a", "b")
		if flushed {
			must(t, l.checkpoint())
		}
		s, retention, err := l.resolve(streams.ShardRef{Stream: "s"})
		must(t, err)
		from, err := l.sequenceAt(s, streams.Position{Kind: streams.Horizon}, l.retentionNow()-retention.Milliseconds())
		must(t, err)
		c.advance(5 * time.Hour)
		l.retain()
		p := pageOf(from, streams.Limit{Records: 100, Bytes: 1 << 20})
		if err := l.fillPage(s, &p); err != nil || len(p.page.Records) == 0 {
			t.Fatalf("flushed %v: %d records, %v", flushed, len(p.page.Records), err)
		}
		if first := p.page.Records[0].Sequence; first <= from || string(p.page.Records[len(p.page.Records)-1].Data) != "b" {
			t.Errorf("flushed %v: a read from record %d begins at %d", flushed, from, first)
		}
		must(t, l.Close())
	}
}
