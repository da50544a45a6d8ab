package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

func testWait(t *testing.T, e *env) {
	e.create(t, "s", 1)
	e.put(t, "s", "a")
	must(t, e.Wait(t.Context(), ref("s", 0), 0))
	must(t, e.Wait(t.Context(), ref("s", 0), 1))
	done := make(chan error, 2)
	for _, from := range []streams.Sequence{2, 3} {
		go func() { done <- e.Wait(t.Context(), ref("s", 0), from) }()
	}
	e.put(t, "s", "b")
	e.put(t, "s", "c")
	for range 2 {
		must(t, <-done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- e.Wait(ctx, ref("s", 0), 4) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled wait: %v", err)
	}
	if err := e.Wait(t.Context(), ref("s", 5), 1); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("wait on no shard: %v", err)
	}
}

func testWaitEnds(t *testing.T, e *env) {
	e.create(t, "s", 1)
	e.create(t, "gone", 1)
	ended, deleted := make(chan error, 1), make(chan error, 1)
	go func() { ended <- e.Wait(t.Context(), ref("s", 0), 1) }()
	go func() { deleted <- e.Wait(t.Context(), ref("gone", 0), 1) }()
	must(t, e.Split(t.Context(), "s", 0, streams.HashKey{Hi: 1}))
	must(t, <-ended)
	must(t, e.Delete(t.Context(), "gone"))
	if err := <-deleted; !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("wait on a deleted stream: %v", err)
	}
}

func testCanceled(t *testing.T, e *env) {
	e.create(t, "s", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Read(ctx, ref("s", 0), horizon, streams.Limit{}); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	// An append either went in or did not; both are fine, but it must return.
	if _, err := e.Append(ctx, "s", &streams.Batch{Records: make([]streams.NewRecord, 1)}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
}

// follower reads a shard and its children to the end, as a consumer does.
type follower struct {
	e     *env
	mu    sync.Mutex
	got   map[string]int
	order map[string]int // writer -> last number
	err   error
}

func (f *follower) shard(ctx context.Context, stream string, id streams.ShardID) {
	seq := streams.Sequence(1)
	for {
		p, err := f.e.Read(ctx, ref(stream, id), at(seq), streams.Limit{Records: 37})
		if err == nil && len(p.Records) == 0 && !p.Ended {
			err = f.e.Wait(ctx, ref(stream, id), seq)
		}
		f.mu.Lock()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				f.err = err
			}
			f.mu.Unlock()
			return
		}
		for _, r := range p.Records {
			if r.Sequence != seq {
				f.err = fmt.Errorf("%s: sequence %d, want %d", id, r.Sequence, seq)
			}
			seq++
			f.got[string(r.Data)]++
			var w string
			var n int
			if _, err := fmt.Sscanf(string(r.Data), "%s %d", &w, &n); err != nil {
				f.err = err
			}
			if n <= f.order[w] {
				f.err = fmt.Errorf("%s: %s after %d", id, r.Data, f.order[w])
			}
			f.order[w] = n
		}
		f.mu.Unlock()
		if p.Ended {
			return
		}
	}
}

// write appends numbered records, each key always in order, and returns when
// all are acknowledged.
func (e *env) write(t *testing.T, stream string, w, batches int) {
	n := 0
	for range batches {
		b := new(streams.Batch)
		for range 1 + n%5 {
			n++
			b.Records = append(b.Records, streams.NewRecord{
				PartitionKey: fmt.Sprintf("w%d", w), Data: fmt.Appendf(nil, "w%d %d", w, n),
			})
		}
		res, err := e.Append(t.Context(), stream, b)
		if err != nil {
			t.Error(err)
			return
		}
		// What is acknowledged can be read at once.
		p, err := e.Read(t.Context(), ref(stream, res.Placed[0].Shard), at(res.Placed[0].Sequence), streams.Limit{Records: 1})
		if err != nil || len(p.Records) != 1 || string(p.Records[0].Data) != string(b.Records[0].Data) {
			t.Errorf("read after append: %+v, %v", p, err)
			return
		}
	}
}

const (
	writers = 6
	batches = 40
)

func written() (total int) {
	n := 0
	for range batches {
		n += 1 + n%5
	}
	return n * writers
}

func (f *follower) check(t *testing.T) {
	t.Helper()
	if f.err != nil {
		t.Error(f.err)
	}
	if len(f.got) != written() {
		t.Errorf("followed %d records, want %d", len(f.got), written())
	}
	for d, n := range f.got {
		if n != 1 {
			t.Errorf("%s was read %d times", d, n)
		}
	}
}

func testConcurrent(t *testing.T, e *env) {
	e.create(t, "s", 3)
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{e: e, got: map[string]int{}, order: map[string]int{}}
	var reading, writing sync.WaitGroup
	for id := range streams.ShardID(3) {
		reading.Go(func() { f.shard(ctx, "s", id) })
	}
	for w := range writers {
		writing.Go(func() { e.write(t, "s", w, batches) })
	}
	writing.Wait()
	for _, s := range e.describe(t, "s").Shards { // close all, so that the readers end
		mid := s.Range.End
		must(t, e.Split(t.Context(), "s", s.ID, mid))
	}
	reading.Wait()
	cancel()
	f.check(t)
}

// testReshapeUnderLoad splits and merges while appends go on, and follows the
// lineage: children only after their parents have ended.
func testReshapeUnderLoad(t *testing.T, e *env) {
	e.create(t, "s", 1)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() { e.write(t, "s", w, batches) })
	}
	for range 4 {
		for _, s := range e.describe(t, "s").Shards {
			if !s.Closed {
				mid := s.Range.Start
				mid.Hi += (s.Range.End.Hi-s.Range.Start.Hi)/2 + 1
				must(t, e.Split(t.Context(), "s", s.ID, mid))
				break
			}
		}
	}
	open := map[streams.HashKey]streams.ShardInfo{}
	for _, s := range e.describe(t, "s").Shards {
		if !s.Closed {
			open[s.Range.Start] = s
		}
	}
	for _, s := range open {
		if n, ok := open[s.Range.End.Next()]; ok && s.Range.End != streams.MaxHashKey {
			must(t, e.Merge(t.Context(), "s", s.ID, n.ID))
			break
		}
	}
	writing.Wait()
	for _, s := range e.describe(t, "s").Shards {
		if !s.Closed {
			must(t, e.Split(t.Context(), "s", s.ID, s.Range.End))
		}
	}
	f := &follower{e: e, got: map[string]int{}, order: map[string]int{}}
	for _, s := range e.describe(t, "s").Shards { // parents have lower ids
		if s.Closed {
			f.shard(t.Context(), "s", s.ID)
		}
	}
	f.check(t)
}
