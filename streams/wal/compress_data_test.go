package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

var realLogs = []string{"apache_combined.log", "nginxplus_nested.ndjson"}

// realLines are the lines of a real log.
func realLines(t testing.TB, name string) [][]byte {
	t.Helper()
	dir := os.Getenv("FIREHOSED_TEST_DATA")
	if dir == "" {
		t.Skipf("FIREHOSED_TEST_DATA is not set: it names the directory with %s", name)
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// putLines appends lines, 500 at a time, until there are total bytes of them.
func putLines(t testing.TB, l *Log, lines [][]byte, total int) {
	t.Helper()
	for n := 0; n < total; {
		for k := 0; k < len(lines); k += 500 {
			b := new(streams.Batch)
			for _, line := range lines[k:min(k+500, len(lines))] {
				b.Records = append(b.Records, streams.NewRecord{PartitionKey: "k", Data: line})
				n += len(line)
			}
			_, err := l.Append(t.Context(), "s", b)
			must(t, err)
		}
	}
}

// TestCompressRealLogs tells how much smaller real logs become, and reads them.
func TestCompressRealLogs(t *testing.T) {
	for _, name := range realLogs {
		t.Run(name, func(t *testing.T) {
			lines := realLines(t, name)
			l := open(t, tempDir(t), Options{SegmentBytes: 1 << 20, MinFreeBytes: -1})
			create(t, l, "s", 1)
			putLines(t, l, lines, 1)
			compressNow(t, l)
			st := l.Stats()
			t.Logf("%d bytes in %d files became %d, %.1f times less", st.CompressedFrom, st.Compressed, st.CompressedTo, float64(st.CompressedFrom)/float64(st.CompressedTo))
			if st.Compressed == 0 || st.CompressedTo > st.CompressedFrom/2 {
				t.Errorf("%d files of %d bytes became %d bytes", st.Compressed, st.CompressedFrom, st.CompressedTo)
			}
			recs, err := readShard(t, l, "s", 0)
			must(t, err)
			if len(recs) != len(lines) {
				t.Fatalf("%d records, %d lines", len(recs), len(lines))
			}
			for i := range recs {
				if !bytes.Equal(recs[i].Data, lines[i]) {
					t.Fatalf("line %d is another", i)
				}
			}
		})
	}
}

// BenchmarkReadCompressed reads real logs from sealed segments, as they are and
// compressed.
func BenchmarkReadCompressed(b *testing.B) {
	for _, name := range realLogs {
		for _, kind := range []string{"plain", "zstd"} {
			b.Run("log="+name+"/"+kind, func(b *testing.B) {
				lines := realLines(b, name)
				l := open(b, filepath.Join(b.TempDir(), "log"), Options{SegmentBytes: 8 << 20, MinFreeBytes: -1})
				create(b, l, "s", 1)
				putLines(b, l, lines, 32<<20)
				must(b, l.checkpoint())
				if kind == "zstd" {
					start := cpuTime(b)
					compressNow(b, l)
					took := cpuTime(b) - start
					st := l.Stats()
					defer func() {
						b.ReportMetric(float64(st.CompressedFrom)/float64(st.CompressedTo), "ratio")
						b.ReportMetric(float64(st.CompressedFrom)/1e6/took.Seconds(), "compressMB/cpu-s")
					}()
				}
				for _, p := range pageSizes {
					b.Run("page="+p.name, func(b *testing.B) { benchRead(b, l, p.size) })
				}
				must(b, l.Close())
			})
		}
	}
}
