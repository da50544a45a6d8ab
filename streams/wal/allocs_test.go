package wal

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// An append allocates nothing if it is large, and what holds the records if it
// is small. That counts its group, and all that is done to make that durable.
func TestAppendAllocates(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget things at random under the race detector")
	}
	for _, c := range []struct{ records, shards, most int }{
		{records: 500, shards: 1, most: 0},
		{records: 500, shards: 8, most: 0},
		{records: 1, shards: 1, most: 1},
		{records: 100, shards: 1, most: 1},
	} {
		t.Run(fmt.Sprintf("records=%d/shards=%d", c.records, c.shards), func(t *testing.T) {
			// Nothing goes to segments but by the checkpoints below.
			l, err := Open(t.TempDir(), Options{MinFreeBytes: -1, CheckpointInterval: time.Hour, markAfter: time.Hour})
			must(t, err)
			defer func() { must(t, l.Close()) }()
			create(t, l, "s", c.shards)
			put := appender(t, l, c.records)
			const appends = 20
			for range 2 {
				for range appends + 1 {
					put()
				}
				must(t, l.checkpoint())
			}
			if n := testing.AllocsPerRun(appends, put); int(n) > c.most {
				t.Errorf("%v allocations for each append, want at most %d", n, c.most)
			}
		})
	}
}

// Many who append small batches at the same time leave the memory of their
// records for the collector, and hardly more.
func TestAppendsTogetherAllocate(t *testing.T) {
	l := open(t, tempDir(t), Options{MinFreeBytes: -1, CheckpointInterval: time.Hour, ScrubBytesPerSecond: -1})
	create(t, l, "s", 4)
	const writers, each = 128, 50
	run := func() {
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				b := &streams.Batch{
					Records: []streams.NewRecord{{PartitionKey: "k", Data: make([]byte, 1000)}},
					Placed:  make([]streams.Placed, 1),
				}
				for range each {
					if _, err := l.Append(t.Context(), "s", b); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run() // grows what is used again
	var before, after runtime.MemStats
	groups := l.Stats().Syncs
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	groups = l.Stats().Syncs - groups
	// Eight for each writer of the test; groups may be small where syncs are fast.
	allowed := writers*each + 8*writers + 4*int(groups)
	if n := int(after.Mallocs - before.Mallocs); n > allowed && !raceDetector { //nolint:gosec // Small.
		t.Errorf("%d allocations for %d appends in %d groups, at most %d", n, writers*each, groups, allowed)
	} else {
		t.Logf("%d allocations for %d appends in %d groups", n, writers*each, groups)
	}
	must(t, l.Close())
}

// With all that is done in the background to bring the records to segments,
// among it the opening of files, it is not many more.
func TestAppendsAndFlushesAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget things at random under the race detector")
	}
	const records, appends, most = 500, 300, 5
	l, err := Open(t.TempDir(), Options{
		MinFreeBytes: -1, TailBytes: 16 << 20, CheckpointBytes: 32 << 20, SegmentBytes: 64 << 20,
		// A slow disk has no more checkpoints than a fast one, and nothing is given
		// back because the machine stopped for a second.
		CheckpointInterval: time.Hour, markAfter: time.Hour, ScrubBytesPerSecond: -1,
	})
	must(t, err)
	defer func() { must(t, l.Close()) }()
	create(t, l, "s", 1)
	put := appender(t, l, records)
	for range appends {
		put()
	}
	was := l.Stats()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range appends {
		put()
	}
	runtime.ReadMemStats(&after)
	if st := l.Stats(); st.Checkpoints == was.Checkpoints {
		t.Error("no checkpoint took part")
	}
	n := float64(after.Mallocs-before.Mallocs) / appends
	t.Logf("%.2f allocations for each append", n)
	if n > most {
		t.Errorf("%.2f allocations for each append, want at most %d", n, most)
	}
}

// appender returns an append of so many records of 1 KiB, as a caller makes it
// that hands in the memory for the result.
func appender(t *testing.T, l *Log, records int) func() {
	b := &streams.Batch{Records: make([]streams.NewRecord, records)}
	data := make([]byte, 1<<10)
	for i := range b.Records {
		b.Records[i] = streams.NewRecord{PartitionKey: fmt.Sprint(i), Data: data}
	}
	ctx := t.Context()
	return func() {
		res, err := l.Append(ctx, "s", b)
		if err != nil {
			t.Error(err)
		}
		b.Placed = res.Placed
	}
}
