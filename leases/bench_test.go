package leases

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/firehosed/firehosed/streams/wal"
)

// BenchmarkWrite renews leases, each by a writer of its own, on the disk of
// the machine. Writers that come together share a sync.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			log, err := wal.Open(b.TempDir(), wal.Options{MinFreeBytes: -1, BallastBytes: -1})
			must(b, err)
			b.Cleanup(func() { _ = log.Close() })
			s := reopen(b, log, nil)
			must(b, s.Create(b.Context(), leaseDefinition("app")))
			before := log.Stats().Syncs
			var next atomic.Int64
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				key := fmt.Sprint(next.Add(1))
				for n := 0; pb.Next(); n++ {
					if _, err := s.Write(b.Context(), []Change{set("app", lease(key, "w", n))}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(log.Stats().Syncs-before)/float64(b.N), "syncs/op")
		})
	}
}
