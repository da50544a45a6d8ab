//go:build unix

package formats_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/internal/jsonscan"
	"github.com/firehosed/firehosed/formats/parquet"
	"github.com/firehosed/firehosed/formats/schema"
)

// logRecords makes n nested log records of about 400 bytes: ten keys at the top,
// two objects, one list, random identifiers.
func logRecords(n int) (records [][]byte, size int64) {
	rng := rand.New(rand.NewPCG(2026, 8))
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	for i := range n {
		r := fmt.Appendf(nil, `{"ts":"2026-08-%02dT%02d:%02d:%02d.%03dZ","level":"%s","service":"%s","message":"order %d %s after %d attempts in the %s queue",`+
			`"user":{"id":%d,"country":"%s","premium":%t,"session":"%016x"},"http":{"method":"%s","path":"/api/v1/%s/%d","status":%d,"bytes":%d},`+
			`"tags":["%s","%s"],"duration_ms":%d.%03d,"retries":%d,"trace_id":"%016x%016x"}`,
			1+i/86400%28, i/3600%24, i/60%60, i%60, rng.IntN(1000), pick("info", "info", "info", "warn", "error"),
			pick("checkout", "catalog", "search", "payment", "mail"), rng.IntN(1e6), pick("accepted", "rejected", "queued"), rng.IntN(5), pick("fast", "slow", "bulk"),
			rng.IntN(1e6), pick("DE", "FR", "US", "JP", "BR"), rng.IntN(4) == 0, rng.Uint64(), pick("GET", "POST", "PUT"), pick("orders", "items", "users"), rng.IntN(1e5),
			[]int{200, 200, 200, 201, 404, 500}[rng.IntN(6)], rng.IntN(50000), pick("web", "mobile", "batch"), pick("blue", "green"),
			rng.IntN(900), rng.IntN(1000), rng.IntN(3), rng.Uint64(), rng.Uint64())
		records = append(records, r)
		size += int64(len(r)) + 1
	}
	return records, size
}

func refuseNone(b *testing.B) func(int, *formats.RecordError) {
	return func(i int, err *formats.RecordError) { b.Fatalf("record %d: %v", i, err) }
}

// cpuRate reports input bytes by processor time, which a busy machine disturbs
// less than the clock. Call it before the loop and the result after it.
func cpuRate(b *testing.B, size int64) func() {
	b.SetBytes(size)
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	start := used()
	return func() { b.ReportMetric(float64(size)*float64(b.N)/1e6/(used()-start), "MB/cpu-s") }
}

// BenchmarkNDJSON compares ndjson through gzip with its floors: the same gzip on
// the same bytes, and a scan of the JSON.
func BenchmarkNDJSON(b *testing.B) {
	records, size := logRecords(20_000)
	text := append(bytes.Join(records, []byte("\n")), '\n')
	b.Run("floor/gzip of the bytes", func(b *testing.B) {
		defer cpuRate(b, size)()
		w, err := gzip.NewWriterLevel(io.Discard, formats.GzipLevel)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			w.Reset(io.Discard)
			for rest := text; len(rest) > 0; rest = rest[min(64<<10, len(rest)):] {
				if _, err := w.Write(rest[:min(64<<10, len(rest))]); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor/scan", func(b *testing.B) {
		defer cpuRate(b, size)()
		for b.Loop() {
			for _, r := range records {
				if _, err := jsonscan.Value(r, 0); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, c := range formats.Compressions() {
		b.Run("ndjson/"+string(c), func(b *testing.B) {
			defer cpuRate(b, size)()
			b.ReportAllocs()
			for b.Loop() {
				cw, err := formats.NewCompressor(c, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				writeAll(b, formats.NDJSON{}, cw, records)
				if err := cw.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func writeAll(b *testing.B, f formats.Format, to io.Writer, records [][]byte) {
	w, err := f.NewWriter(to, formats.WriterOptions{TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(records); i += 500 {
		if err := w.Write(records[i:min(i+500, len(records))], refuseNone(b)); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkParquet compares JSON to Parquet with its floor, the scan of the JSON.
func BenchmarkParquet(b *testing.B) {
	records, size := logRecords(100_000)
	b.Run("floor/scan", func(b *testing.B) {
		defer cpuRate(b, size)()
		for b.Loop() {
			for _, r := range records {
				if _, err := jsonscan.Value(r, 0); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	declared := []schema.Column{}
	for _, c := range [][2]string{
		{"ts", "timestamp"},
		{"level", "string"},
		{"service", "string"},
		{"message", "string"},
		{"user", "struct<id:bigint,country:string,premium:boolean,session:string>"},
		{"http", "struct<method:string,path:string,status:int,bytes:bigint>"},
		{"tags", "array<string>"},
		{"duration_ms", "double"},
		{"retries", "int"},
		{"trace_id", "string"},
	} {
		t, err := schema.ParseType(c[1])
		if err != nil {
			b.Fatal(err)
		}
		declared = append(declared, schema.Column{Name: c[0], Type: t})
	}
	for _, c := range []formats.Compression{formats.CompressionSnappy, formats.CompressionZstd} {
		for name, columns := range map[string][]schema.Column{"declared": declared, "inferred": nil} {
			b.Run(name+"/"+string(c), func(b *testing.B) {
				f, err := parquet.New(parquet.Options{Columns: columns, Compression: c})
				if err != nil {
					b.Fatal(err)
				}
				defer cpuRate(b, size)()
				b.ReportAllocs()
				var out counter
				for b.Loop() {
					out.n = 0
					writeAll(b, f, &out, records)
				}
				b.ReportMetric(float64(size)/float64(out.n), "ratio")
			})
		}
	}
}

// BenchmarkCompression is what the default levels were chosen by.
func BenchmarkCompression(b *testing.B) {
	records, size := logRecords(20_000)
	text := append(bytes.Join(records, []byte("\n")), '\n')
	report := func(b *testing.B, c *counter) { b.ReportMetric(float64(size)/float64(c.n), "ratio") }
	for _, level := range []int{1, 2, 3, 5, 6} {
		b.Run(fmt.Sprintf("gzip/%d", level), func(b *testing.B) {
			defer cpuRate(b, size)()
			var c counter
			w, err := gzip.NewWriterLevel(&c, level)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				c.n = 0
				w.Reset(&c)
				if _, err := w.Write(text); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, &c)
		})
	}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault} {
		b.Run("zstd/"+level.String(), func(b *testing.B) {
			defer cpuRate(b, size)()
			var c counter
			w, err := zstd.NewWriter(&c, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithLowerEncoderMem(true))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				c.n = 0
				w.Reset(&c)
				if _, err := w.Write(text); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, &c)
		})
	}
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}
