package wal

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

// A stream that is deleted while a checkpoint completes its segments is no
// fault of the log.
func TestDeleteDuringCheckpoints(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "log"), Options{MinFreeBytes: -1, SegmentBytes: 4 << 10, JournalBytes: 64 << 10, CheckpointBytes: 64 << 10, TailBytes: 64 << 10})
	must(t, err)
	data := make([]byte, 3000)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 12 {
				name := fmt.Sprintf("s%d-%d", w, i)
				if _, err := l.Create(t.Context(), streams.StreamSpec{Name: name, Shards: 4, Retention: 24 * 3600e9}); err != nil {
					t.Errorf("%s: create: %v", name, err)
					return
				}
				for k := range 30 {
					_, err := l.Append(t.Context(), name, &streams.Batch{Records: []streams.NewRecord{{PartitionKey: fmt.Sprint(k), Data: data}}})
					if err != nil {
						t.Errorf("%s: append: %v", name, err)
						return
					}
				}
				if err := l.Delete(t.Context(), name); err != nil {
					t.Errorf("%s: delete: %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := l.Err(); err != nil {
		t.Errorf("log failed: %v", err)
	}
	must(t, l.Close())
}
