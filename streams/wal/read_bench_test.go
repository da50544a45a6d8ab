package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// benchLog returns a log whose stream s has one shard with total bytes of data
// in records of size bytes, appended in batches of about 512 KiB.
func benchLog(b *testing.B, opt Options, total, size int) *Log {
	b.Helper()
	opt.MinFreeBytes = -1
	l := open(b, filepath.Join(b.TempDir(), "log"), opt)
	create(b, l, "s", 1)
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	batch := &streams.Batch{Records: make([]streams.NewRecord, max(1, min(512<<10/size, 500)))}
	for i := range batch.Records {
		batch.Records[i] = streams.NewRecord{PartitionKey: fmt.Sprintf("key-%d", i), Data: data}
	}
	for n := 0; n < total; n += len(batch.Records) * size {
		_, err := l.Append(b.Context(), "s", batch)
		must(b, err)
	}
	return l
}

// readAll reads the whole shard s/0 in pages and returns their number and the
// bytes of data and keys in them.
func readAll(b *testing.B, l *Log, page int64) (pages int, bytes int64) {
	ref := streams.ShardRef{Stream: "s"}
	pos := streams.Position{Kind: streams.Horizon}
	for {
		p, err := l.Read(b.Context(), ref, pos, streams.Limit{Records: 10_000, Bytes: page})
		must(b, err)
		if len(p.Records) == 0 {
			return pages, bytes
		}
		pages++
		for i := range p.Records {
			bytes += int64(len(p.Records[i].Data) + len(p.Records[i].PartitionKey))
		}
		pos = streams.Position{Kind: streams.At, Seq: p.Next}
	}
}

func benchRead(b *testing.B, l *Log, page int64) {
	pages, bytes := readAll(b, l, page)
	b.SetBytes(bytes)
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		readAll(b, l, page)
	}
	b.ReportMetric(float64(b.N)*float64(bytes)/1e6/(cpuTime(b)-start).Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(pages), "pages/op")
}

// cpuTime is the processor time of this process, with that of the collector of
// garbage: on a busy machine it says more than the time on the wall.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var recordSizes = []struct {
	name string
	size int
}{{"100B", 100}, {"1KiB", 1 << 10}, {"100KiB", 100 << 10}}

var pageSizes = []struct {
	name string
	size int64
}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"10MiB", 10 << 20}}

func benchSizes(b *testing.B, prepare func(b *testing.B, size int) *Log) {
	for _, r := range recordSizes {
		l := prepare(b, r.size)
		for _, p := range pageSizes {
			b.Run("record="+r.name+"/page="+p.name, func(b *testing.B) { benchRead(b, l, p.size) })
		}
		must(b, l.Close())
	}
}

// BenchmarkReadTail reads 32 MiB that wait in memory for their segment.
func BenchmarkReadTail(b *testing.B) {
	benchSizes(b, func(b *testing.B, size int) *Log {
		l := benchLog(b, Options{TailBytes: 256 << 20, CheckpointBytes: 1 << 30, CheckpointInterval: 1 << 40}, 32<<20, size)
		if l.Stats().TailBytes < 32<<20 {
			b.Fatal("not all of it is in memory")
		}
		return l
	})
}

// BenchmarkReadOpen reads 32 MiB of an open segment, from the page cache.
func BenchmarkReadOpen(b *testing.B) {
	benchSizes(b, func(b *testing.B, size int) *Log {
		l := benchLog(b, Options{}, 32<<20, size)
		must(b, l.checkpoint())
		return l
	})
}

// BenchmarkReadSealed reads 64 MiB of sealed segments of 16 MiB, from the page
// cache, as a reader does that is far behind.
func BenchmarkReadSealed(b *testing.B) {
	benchSizes(b, func(b *testing.B, size int) *Log {
		l := benchLog(b, Options{SegmentBytes: 16 << 20}, 64<<20, size)
		must(b, l.checkpoint())
		return l
	})
}

// BenchmarkReadFloor is the floor of the others: pread of 1 MiB at a time from
// the page cache into one buffer, with the checksum of what was read.
func BenchmarkReadFloor(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f")
	buf := make([]byte, 1<<20)
	f, err := os.Create(path)
	must(b, err)
	for range 64 {
		_, err := f.Write(buf)
		must(b, err)
	}
	b.SetBytes(64 << 20)
	var sum uint32
	start := cpuTime(b)
	for b.Loop() {
		for off := int64(0); ; off += int64(len(buf)) {
			n, err := f.ReadAt(buf, off)
			sum = checksum(sum, buf[:n])
			if errors.Is(err, io.EOF) {
				break
			}
			must(b, err)
		}
	}
	b.ReportMetric(float64(b.N)*(64<<20)/1e6/(cpuTime(b)-start).Seconds(), "MB/cpu-s")
	must(b, f.Close())
}

// BenchmarkStat asks what lies behind a reader in the middle of a segment.
func BenchmarkStat(b *testing.B) {
	l := benchLog(b, Options{}, 32<<20, 1<<10)
	must(b, l.checkpoint())
	b.ReportAllocs()
	for b.Loop() {
		if st, err := l.Stat(streams.ShardRef{Stream: "s"}, 10_001); err != nil || st.Records == 0 {
			b.Fatal(st, err)
		}
	}
}
