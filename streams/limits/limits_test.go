package limits

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// world is a clock and streams that tests change.
type world struct {
	*Limiter
	mu        sync.Mutex
	at        time.Time
	infos     map[string]streams.StreamInfo
	described int
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) describe(name string) (streams.StreamInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.described++
	info, ok := w.infos[name]
	if !ok {
		return info, streams.ErrNotFound
	}
	info.Shards = slices.Clone(info.Shards)
	return info, nil
}

func (w *world) create(name string, id uint64, shards int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	info := streams.StreamInfo{Name: name, ID: id}
	for i, r := range streams.UniformRanges(shards) {
		info.Shards = append(info.Shards, streams.ShardInfo{ID: streams.ShardID(i), Range: r})
	}
	w.infos[name] = info
}

func newWorld(r Rates) *world {
	w := &world{at: time.Unix(1_800_000_000, 0), infos: map[string]streams.StreamInfo{}}
	w.Limiter = New(Options{
		Rates: func(name string) Rates {
			if strings.HasPrefix(name, "free") {
				return Rates{}
			}
			return r
		},
		Describe: w.describe, Clock: w.now,
	})
	return w
}

// put sends records of some sizes to one key, and returns which were refused.
func (w *world) put(t *testing.T, name string, key streams.HashKey, sizes ...int) []int {
	t.Helper()
	b := new(streams.Batch)
	for _, n := range sizes {
		b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: key, Data: make([]byte, n)})
	}
	refused, err := w.Put(name, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Records)+len(refused) != len(sizes) {
		t.Errorf("%d of %d records are left, %d refused", len(b.Records), len(sizes), len(refused))
	}
	return slices.Sorted(maps.Keys(refused))
}

func ones(n int) []int { return slices.Repeat([]int{1}, n) }

func TestPut(t *testing.T) {
	const second, key = time.Second, 0
	type call struct {
		after   time.Duration
		sizes   []int
		refused int // how many, the last ones
	}
	for _, tt := range []struct {
		name  string
		rates Rates
		calls []call
	}{
		{"records", Rates{InRecords: 10}, []call{{0, ones(12), 2}, {0, ones(1), 1}, {second / 10, ones(2), 1}, {5 * second, ones(11), 1}}},
		{"bytes", Rates{InBytes: 100}, []call{{0, []int{60, 40}, 0}, {0, []int{1}, 1}, {second / 2, []int{50}, 0}, {second, []int{101}, 0}}},
		{"empty records cost no bytes", Rates{InBytes: 100}, []call{{0, []int{100, 0, 0}, 0}}},
		// A record of more than a second's share is let in when the bucket is full, and owed.
		{"large record", Rates{InBytes: 100}, []call{
			{0, []int{1000}, 0}, {9 * second, []int{1}, 1}, {second / 100, []int{1}, 0}, {0, []int{1000}, 1}, {second, []int{1000}, 0},
		}},
		{"neither is taken when one is short", Rates{InBytes: 100, InRecords: 2}, []call{{0, []int{90, 20}, 1}, {0, []int{10}, 0}, {0, []int{0}, 1}}},
		{"a clock that goes back", Rates{InRecords: 2}, []call{{0, ones(2), 0}, {-time.Hour, ones(1), 1}, {second / 2, ones(2), 1}}},
		{"only reads are limited", Rates{OutBytes: 1, OutCalls: 1}, []call{{0, ones(5000), 0}}},
		{"as in AWS", AWS, []call{{0, ones(1001), 1}, {second, []int{1 << 20, 1}, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(tt.rates)
			w.create("s", 1, 1)
			for i, c := range tt.calls {
				w.advance(c.after)
				var want []int
				for n := len(c.sizes) - c.refused; n < len(c.sizes); n++ {
					want = append(want, n)
				}
				if got := w.put(t, "s", streams.HashKey{}, c.sizes...); !slices.Equal(got, want) {
					t.Errorf("call %d: refused %v, want %v", i, got, want)
				}
			}
		})
	}
}

// TestPutOrder refuses records in the middle of a batch: the others keep their
// order, and each shard has a share of its own.
func TestPutOrder(t *testing.T) {
	w := newWorld(Rates{InRecords: 2})
	w.create("s", 1, 2)
	low, high := streams.HashKey{}, streams.MaxHashKey
	b := new(streams.Batch)
	for i, k := range []streams.HashKey{low, low, low, high, low, high, high} {
		b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: k, PartitionKey: fmt.Sprint(i)})
	}
	refused, err := w.Put("s", b)
	if err != nil || !maps.Equal(refused, map[int]streams.ShardID{2: 0, 4: 0, 6: 1}) {
		t.Errorf("refused %v, %v", refused, err)
	}
	var left []string
	for _, r := range b.Records {
		left = append(left, r.PartitionKey)
	}
	if !slices.Equal(left, []string{"0", "1", "3", "5"}) {
		t.Errorf("left %v", left)
	}
	if c := w.Counts(); len(c) != 1 || c[0] != (Count{"s", 3, 0}) {
		t.Errorf("counts %+v", c)
	}
	// Without an explicit key the partition key routes.
	w.advance(time.Minute)
	b = &streams.Batch{Records: []streams.NewRecord{{PartitionKey: "a"}, {PartitionKey: "a"}, {PartitionKey: "a"}}}
	want := streams.ShardID(0)
	if streams.HashOf("a").Hi >= 1<<63 {
		want = 1
	}
	if refused, err := w.Put("s", b); err != nil || !maps.Equal(refused, map[int]streams.ShardID{2: want}) {
		t.Errorf("refused %v, %v", refused, err)
	}
}

func TestReads(t *testing.T) {
	w := newWorld(AWS)
	ref := streams.ShardRef{Stream: "s", StreamID: 1, Shard: 3}
	for i := range 7 {
		if got := w.Read(ref); got != (i < 5) {
			t.Errorf("call %d: %v", i, got)
		}
	}
	w.advance(200 * time.Millisecond)
	if !w.Read(ref) || w.Read(ref) {
		t.Error("not one more call after a fifth of a second")
	}
	w.advance(time.Second)
	w.Read(ref)
	w.Done(ref, 1<<20)
	if !w.Read(ref) {
		t.Error("refused after half of what a second gives")
	}
	w.Done(ref, 1<<20)
	if w.Read(ref) {
		t.Error("let through after all that a second gives")
	}
	w.advance(10 * time.Second)
	w.Read(ref)
	w.Done(ref, 10<<20)
	w.advance(5*time.Second - time.Millisecond)
	if w.Read(ref) {
		t.Error("let through before the 5 s after 10 MiB")
	}
	w.advance(2 * time.Millisecond)
	if !w.Read(ref) {
		t.Error("refused 5 s after 10 MiB")
	}
	if !w.Read(streams.ShardRef{Stream: "s", StreamID: 1, Shard: 4}) {
		t.Error("another shard is refused")
	}
	if !w.Read(streams.ShardRef{Stream: "s", StreamID: 2, Shard: 3}) {
		t.Error("a later stream of the name pays for the earlier one")
	}
}

// TestReshapedAndDeleted follows the shards of a stream.
func TestReshapedAndDeleted(t *testing.T) {
	w := newWorld(Rates{InRecords: 1})
	w.create("s", 1, 1)
	if got := w.put(t, "s", streams.MaxHashKey, 1, 1); len(got) != 1 {
		t.Errorf("refused %v", got)
	}
	w.mu.Lock()
	info := w.infos["s"]
	info.Shards[0].Closed = true
	for i, r := range streams.UniformRanges(2) {
		info.Shards = append(info.Shards, streams.ShardInfo{ID: streams.ShardID(i + 1), Range: r})
	}
	w.infos["s"] = info
	w.mu.Unlock()
	w.advance(time.Second)
	b := &streams.Batch{Records: []streams.NewRecord{{Explicit: true}, {Explicit: true}, {Explicit: true, HashKey: streams.MaxHashKey}}}
	if refused, err := w.Put("s", b); err != nil || !maps.Equal(refused, map[int]streams.ShardID{1: 1}) {
		t.Errorf("after a split: refused %v, %v", refused, err)
	}
	w.create("s", 2, 1)
	w.advance(time.Second)
	if got := w.put(t, "s", streams.HashKey{}, 1); len(got) != 0 {
		t.Errorf("a new stream of the name: refused %v", got)
	}
	delete(w.infos, "s")
	w.advance(time.Second)
	if _, err := w.Put("s", b); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	for i := range 100 {
		if _, err := w.Put(fmt.Sprint("made up ", i), b); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
	}
	if len(w.streams) != 0 {
		t.Errorf("%d streams are kept that are not there", len(w.streams))
	}
}

// TestIdleIsForgotten keeps no memory for what is not used, but the counts.
func TestIdleIsForgotten(t *testing.T) {
	w := newWorld(Rates{InRecords: 1, OutCalls: 1})
	for s := range 50 {
		name := fmt.Sprint("s", s)
		w.create(name, uint64(s+1), 1)
		for id := range streams.ShardID(100) {
			w.Read(streams.ShardRef{Stream: name, StreamID: uint64(s + 1), Shard: id})
		}
	}
	w.put(t, "s7", streams.HashKey{}, 1, 1)
	if len(w.streams) != 50 || len(w.streams["s3"].shards) != 100 {
		t.Fatalf("%d streams, %d shards", len(w.streams), len(w.streams["s3"].shards))
	}
	w.advance(sweepEvery)
	w.put(t, "s9", streams.HashKey{}, 1)
	if len(w.streams) != 2 || len(w.streams["s7"].shards) != 0 || len(w.streams["s9"].shards) != 1 {
		t.Errorf("after a rest: %d streams", len(w.streams))
	}
	if c := w.Counts(); len(c) != 1 || c[0].Stream != "s7" || c[0].Records != 1 {
		t.Errorf("counts %+v", c)
	}
	delete(w.infos, "s7")
	w.advance(sweepEvery)
	w.put(t, "s9", streams.HashKey{}, 1)
	if len(w.streams) != 1 || len(w.Counts()) != 0 {
		t.Errorf("a deleted stream is kept: %d streams", len(w.streams))
	}
}

// TestFreeStreamCostsNothing asks nothing of the engine for a stream without
// limits.
func TestFreeStreamCostsNothing(t *testing.T) {
	w := newWorld(AWS)
	b := &streams.Batch{Records: make([]streams.NewRecord, 500)}
	ref := streams.ShardRef{Stream: "free"}
	if n := testing.AllocsPerRun(100, func() {
		if refused, err := w.Put("free", b); err != nil || refused != nil || !w.Read(ref) {
			t.Error("a stream without limits is limited")
		}
		w.Done(ref, 1<<30)
	}); n != 0 || w.described != 0 || len(w.streams) != 0 {
		t.Errorf("%v allocations, %d descriptions, %d streams kept", n, w.described, len(w.streams))
	}
}

// TestManyClients counts what passes of many clients at once.
func TestManyClients(t *testing.T) {
	w := newWorld(Rates{InRecords: 1000, OutCalls: 100})
	w.create("s", 1, 4)
	var mu sync.Mutex
	var passed, reads int
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 200 {
				b := new(streams.Batch)
				for k := range 10 {
					b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: streams.HashKey{Hi: uint64(k%4) << 62}})
				}
				refused, err := w.Put("s", b)
				ok := w.Read(streams.ShardRef{Stream: "s", StreamID: 1, Shard: streams.ShardID(i % 4)})
				w.Counts()
				mu.Lock()
				if err != nil || len(refused)+len(b.Records) != 10 {
					t.Errorf("client %d: %d refused, %d left, %v", c, len(refused), len(b.Records), err)
				}
				passed += len(b.Records)
				if ok {
					reads++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if passed != 4000 || reads != 400 {
		t.Errorf("%d records and %d reads passed, want 4000 and 400", passed, reads)
	}
	if c := w.Counts(); len(c) != 1 || c[0].Records != 8*200*10-4000 || c[0].Reads != 8*200-400 {
		t.Errorf("counts %+v", c)
	}
}
