package wal

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestIdleShardsAreCheap bounds what a shard costs that nothing happens on.
func TestIdleShardsAreCheap(t *testing.T) {
	l := open(t, "/data", small(memfs.New()))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	create(t, l, "s", 10_000)
	if per := (int64(heap()) - int64(before)) / 10_000; per > 2048 { //nolint:gosec // Far below.
		t.Errorf("an idle shard takes %d bytes, at most 2,048", per)
	}
	noMoreGoroutines(t, goroutines)
	must(t, l.Close())
}

// noMoreGoroutines waits until there are no more than before: one that makes a
// journal file ahead of need, or has just ended its work, may still be there.
func noMoreGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			return
		}
	}
}

// TestWrittenShardsAreCheap bounds what a shard costs that has records and that
// nobody uses any more: its segment, the index of that, and an open file of a
// bounded number.
func TestWrittenShardsAreCheap(t *testing.T) {
	const shards = 2000
	l := open(t, tempDir(t), Options{MinFreeBytes: -1, MaxOpenFiles: 100, ScrubBytesPerSecond: -1})
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // and what pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) //nolint:gosec // Far below.
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	create(t, l, "s", shards)
	b := &streams.Batch{Records: make([]streams.NewRecord, 500)}
	for round := range 2 {
		for i := 0; i < 10*shards; i += len(b.Records) {
			for k := range b.Records {
				b.Records[k] = streams.NewRecord{PartitionKey: fmt.Sprintf("key %d", i+k), Data: make([]byte, 100)}
			}
			_, err := l.Append(t.Context(), "s", b)
			must(t, err)
		}
		must(t, l.checkpoint())
		if n := l.Stats().OpenFiles; n > 100 {
			t.Errorf("round %d: %d files are open, at most 100", round, n)
		}
	}
	noMoreGoroutines(t, goroutines)
	l.rest()
	info, err := l.Describe("s")
	must(t, err)
	for _, s := range info.Shards {
		if s.Next == 1 {
			t.Fatalf("%s has no records", s.ID)
		}
	}
	info = streams.StreamInfo{}
	if per := (heap() - before) / shards; per > 4<<10 {
		t.Errorf("an idle shard with records takes %d bytes, at most 4,096", per)
	} else {
		t.Logf("%d bytes a shard", per)
	}
	must(t, l.Close())
}

// TestWaitersOfOtherShards has ten thousand subscribers wait at the tips of a
// thousand shards: each costs its goroutine and no more, and an append wakes
// those of its shard alone.
func TestWaitersOfOtherShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, each = 1000, 10
		l := open(t, "/data", small(memfs.New()))
		create(t, l, "s", shards)
		before := runtime.NumGoroutine()
		woken := make([]atomic.Int64, shards)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for id := range streams.ShardID(shards) {
			for range each {
				wg.Go(func() {
					ref := streams.ShardRef{Stream: "s", Shard: id}
					for from := streams.Sequence(1); l.Wait(ctx, ref, from) == nil; from++ {
						woken[id].Add(1)
					}
				})
			}
		}
		synctest.Wait()
		// One of before may have ended meanwhile.
		if n := runtime.NumGoroutine() - before; n > shards*each || n < shards*each-10 {
			t.Errorf("%d goroutines more, want one for each of %d subscribers", n, shards*each)
		}
		res := appendAll(t, l, "s", "a")
		synctest.Wait()
		for id := range woken {
			want := int64(0)
			if streams.ShardID(id) == res.Placed[0].Shard { //nolint:gosec // Small.
				want = each
			}
			if n := woken[id].Load(); n != want {
				t.Errorf("shard %d: %d of its subscribers were woken, want %d", id, n, want)
			}
		}
		cancel()
		wg.Wait()
		must(t, l.Close())
	})
}

// TestIdleLogRests gives the memory of a log in use back once it is idle, and
// leaves it alone then.
func TestIdleLogRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *Log
		var rests atomic.Int64
		o := small(memfs.New())
		o.CheckpointInterval, o.markAfter = 10*time.Second, markAfter
		o.TailBytes, o.largeBytes = 1<<20, 4<<10
		o.OnIdle = func() {
			rests.Add(1)
			if n := l.tailBytes.Load(); n != 0 {
				t.Errorf("%d bytes wait for their segments", n)
			}
		}
		l = open(t, "/data", o)
		create(t, l, "s", 100)
		for range 3 {
			before := rests.Load()
			for range 20 { // an append each second: in use, with checkpoints meanwhile
				appendAll(t, l, "s", strings.Repeat("x", 2000))
				appendAll(t, l, "s", strings.Repeat("y", 5000))
				time.Sleep(time.Second - time.Millisecond)
			}
			if n := rests.Load() - before; n != 0 {
				t.Errorf("called idle %d times while it was in use", n)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := rests.Load() - before; n != 1 {
				t.Errorf("called idle %d times in the hour after, want 1", n)
			}
			l.mu.RLock()
			held := cap(l.cur.buf)
			for _, b := range l.freeBufs {
				held += cap(b)
			}
			l.mu.RUnlock()
			l.slabs.mu.Lock()
			free := l.slabs.bytes
			l.slabs.mu.Unlock()
			if free > 0 {
				t.Errorf("%d bytes are kept for large appends", free)
			}
			if held > 256<<10 { // that of the mark after the last append
				t.Errorf("%d bytes of buffers are held", held)
			}
		}
		must(t, l.Close())
	})
}

// TestSlowSync holds a sync up: appends gather behind it without bound on
// time, and all go through in few groups when it ends.
func TestSlowSync(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fsys := errfs.New(memfs.New(), nil)
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 1)
	must(t, l.checkpoint())
	fsys.SetInject(func(op errfs.Op) error {
		if op.Kind == errfs.Sync {
			once.Do(func() {
				close(entered)
				<-release
			})
		}
		return nil
	})
	before := l.Stats().Syncs
	var wg sync.WaitGroup
	wg.Go(func() { appendAll(t, l, "s", "first") })
	<-entered
	// Nothing is visible before its sync has returned.
	if recs, err := readShard(t, l, "s", 0); err != nil || len(recs) != 0 {
		t.Errorf("%d records are visible, %v", len(recs), err)
	}
	const waiting = 50
	for range waiting {
		wg.Go(func() { appendAll(t, l, "s", "more") })
	}
	for {
		l.mu.RLock()
		n := len(l.cur.units)
		l.mu.RUnlock()
		if n == waiting {
			break
		}
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, "s", batch("canceled")); err == nil {
		t.Error("an append with a canceled context waited")
	}
	close(release)
	wg.Wait()
	if n := l.Stats().Syncs - before; n > 4 {
		t.Errorf("%d syncs for 51 appends, 50 of which came during one", n)
	}
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	if len(recs) < waiting+1 {
		t.Errorf("%d records", len(recs))
	}
	must(t, l.Close())
}
