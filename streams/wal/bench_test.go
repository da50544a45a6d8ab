package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

// BenchmarkAppend prints, beside MB/s and records/s, "floor": the share of
// what a bare loop of one pwrite and fdatasync of the same bytes to a file
// written before reaches in the same run. Run with -benchtime=2s.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ writers, records, shards int }{
		{1, 500, 1},
		{8, 500, 1},
		{64, 500, 1},
		{8, 500, 1000},
		{64, 500, 1000},
		{1, 1, 1},
		{256, 1, 1},
		{256, 1, 1000},
	} {
		b.Run(fmt.Sprintf("writers=%d/records=%d/shards=%d", c.writers, c.records, c.shards), func(b *testing.B) {
			benchAppend(b, c.writers, c.records, c.shards, streams.Fsync, Options{MinFreeBytes: -1})
		})
	}
}

// BenchmarkAppendEncrypted appends large batches without and with encryption.
func BenchmarkAppendEncrypted(b *testing.B) {
	for _, writers := range []int{1, 8} {
		for name, keys := range map[string]Keys{"off": {}, "on": {Current: testKey(1)}} {
			b.Run(fmt.Sprintf("writers=%d/%s", writers, name), func(b *testing.B) {
				benchAppend(b, writers, 500, 1, streams.Fsync, Options{MinFreeBytes: -1, Keys: keys})
			})
		}
	}
}

func benchAppend(b *testing.B, writers, records, shards int, d streams.Durability, opt Options) {
	const size = 1 << 10
	dir := b.TempDir()
	l, err := Open(filepath.Join(dir, "log"), opt)
	must(b, err)
	defer func() { must(b, l.Close()) }()
	create(b, l, "s", shards)
	must(b, l.SetDurability(b.Context(), "s", d))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%d", i)
	}
	b.SetBytes(int64(records * size))
	b.ReportAllocs()
	start := time.Now()
	before := l.Stats()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			batch := &streams.Batch{Records: make([]streams.NewRecord, records)}
			for i := w; i < b.N; i += writers {
				for k := range batch.Records {
					batch.Records[k] = streams.NewRecord{PartitionKey: keys[(i*records+k)%len(keys)], Data: data}
				}
				res, err := l.Append(b.Context(), "s", batch)
				if err != nil {
					b.Error(err)
					return
				}
				batch.Placed = res.Placed
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	took := time.Since(start)
	st := l.Stats()
	syncs := st.Syncs - before.Syncs
	b.ReportMetric(float64(b.N*records)/took.Seconds(), "rec/s")
	b.ReportMetric(float64(b.N)/float64(max(syncs, 1)), "appends/sync")
	// One group of the bare loop holds what the writers can have in flight.
	group := min(writers*records*size, groupTarget)
	floor := bareLoop(b, dir, group)
	b.ReportMetric(float64(b.N*records*size)/took.Seconds()/floor, "floor")
	b.ReportMetric(floor/1e6, "floorMB/s")
}

// bareLoop returns the bytes per second of one write and sync after another.
func bareLoop(b *testing.B, dir string, size int) float64 {
	b.Helper()
	size = (size + block - 1) &^ (block - 1)
	f, err := vfs.OS().OpenFile(filepath.Join(dir, "bare"), os.O_RDWR|os.O_CREATE, 0o600)
	must(b, err)
	const total = 64 << 20
	buf := make([]byte, size)
	for off := int64(0); off < total; off += int64(size) {
		_, err := f.WriteAt(buf, off)
		must(b, err)
	}
	must(b, f.Sync())
	for i := range buf {
		buf[i] = byte(i)
	}
	n, off, start := 0, int64(0), time.Now()
	for time.Since(start) < 500*time.Millisecond {
		if off+int64(size) > total {
			off = 0
		}
		_, err := f.WriteAt(buf, off)
		must(b, err)
		must(b, f.Sync())
		off += int64(size)
		n++
	}
	took := time.Since(start)
	must(b, f.Close())
	return float64(n*size) / took.Seconds()
}

// BenchmarkDurability is what the durability of a stream changes, in one run.
func BenchmarkDurability(b *testing.B) {
	for _, c := range []struct{ writers, records int }{{1, 1}, {256, 1}, {8, 500}} {
		for _, d := range []streams.Durability{streams.Fsync, streams.Interval, streams.None} {
			b.Run(fmt.Sprintf("writers=%d/records=%d/durability=%s", c.writers, c.records, d), func(b *testing.B) {
				benchAppend(b, c.writers, c.records, 1, d, Options{MinFreeBytes: -1})
			})
		}
	}
}
