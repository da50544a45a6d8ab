package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestAppendCanceled lets callers give up while their records are on the way to
// the disk: the records are there nonetheless, whole, and nobody else's suffer.
func TestAppendCanceled(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 2)
	var mu sync.Mutex
	acked := map[string]bool{}
	given := 0
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(2) == 0 {
					wg.Go(cancel) // at any moment of the append
				}
				data := fmt.Sprintf("%d-%d-%0*d", w, i, 1+rng.IntN(900), 0)
				_, err := l.Append(ctx, "s", &streams.Batch{Records: []streams.NewRecord{{PartitionKey: data[:6], Data: []byte(data)}}})
				cancel()
				mu.Lock()
				if err == nil {
					acked[data] = true
				} else if given++; !errors.Is(err, context.Canceled) {
					t.Errorf("append: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	look := func(when string) {
		seen := map[string]bool{}
		for id := range streams.ShardID(2) {
			recs, err := readShard(t, l, "s", id)
			must(t, err)
			for i, r := range recs {
				if r.Sequence != streams.Sequence(i+1) {
					t.Fatalf("%s: record %d of %s has sequence %d", when, i+1, id, r.Sequence)
				}
				if seen[string(r.Data)] {
					t.Fatalf("%s: %q is there twice", when, r.Data)
				}
				seen[string(r.Data)] = true
			}
		}
		for data := range acked {
			if !seen[data] {
				t.Errorf("%s: %q was acknowledged and is not there", when, data)
			}
		}
		if len(seen) > len(acked)+given {
			t.Errorf("%s: %d records, %d were tried", when, len(seen), len(acked)+given)
		}
	}
	look("at once")
	if given == 0 || len(acked) == 0 {
		t.Errorf("%d acknowledged, %d given up: nothing was tried", len(acked), given)
	}
	must(t, l.Close())
	l = open(t, "/data", small(fsys))
	look("after a start")
}
