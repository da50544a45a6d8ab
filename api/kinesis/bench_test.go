package kinesis_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// placing answers appends without a log, so that only the API is measured.
type placing struct {
	streams.Engine
	placed []streams.Placed
}

func (p *placing) Append(_ context.Context, _ string, b *streams.Batch) (streams.Result, error) {
	return streams.Result{Placed: p.placed[:len(b.Records)], Arrival: time.UnixMilli(1772366400250)}, nil
}

// cpuTime is the processor time of this process: on a busy machine it says
// more than the time on the wall.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPutRecords is everything but the network and the log of a PutRecords
// of 500 records of 1 KiB.
func BenchmarkPutRecords(b *testing.B) {
	for _, format := range []wire.Format{wire.JSON, wire.CBOR} {
		b.Run(strings.TrimPrefix(format.ContentType(), "application/x-amz-"), func(b *testing.B) {
			engine := &placing{placed: make([]streams.Placed, 500)}
			for i := range engine.placed {
				engine.placed[i] = streams.Placed{Sequence: streams.Sequence(i + 1), ShardCreated: time.UnixMilli(1772366400000)}
			}
			f := open(b, b.TempDir(), func(o *kinesis.Options) {
				engine.Engine = o.Engine
				o.Engine = engine
			})
			body := recordsBody(format, 500, 1024)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
				r.Header.Set("Content-Type", format.ContentType())
				r.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
				w := &discard{header: http.Header{}}
				f.handler.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-start)/1e6/float64(b.N), "cpu-ms/op")
		})
	}
}

// recordsBody is a PutRecords of records of size random bytes.
func recordsBody(format wire.Format, records, size int) []byte {
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	e := wire.NewEncoder(format, nil)
	e.BeginObject()
	e.Key("Records")
	e.BeginList()
	for i := range records {
		_, _ = random.Read(data)
		e.BeginObject()
		e.Key("Data")
		e.Blob(data)
		e.StringMember("PartitionKey", "key-"+strconv.Itoa(i))
		e.EndObject()
	}
	e.EndList()
	e.StringMember("StreamName", "s")
	e.EndObject()
	return e.Output()
}

// BenchmarkGetRecords reads 500 records of 1 KiB from a real log.
func BenchmarkGetRecords(b *testing.B) {
	f := open(b, b.TempDir(), nil)
	f.create("s", 1)
	f.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.TrimSuffix(strings.Repeat(`{"PartitionKey":"k","Data":"`+strings.Repeat("QUJD", 341)+`"},`, 500), ",")+`]}`)
	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", strings.NewReader(`{"ShardIterator":"`+it+`"}`))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.GetRecords")
		w := &discard{header: http.Header{}}
		f.handler.ServeHTTP(w, r)
		if w.status != http.StatusOK || w.bytes < 500*1364 {
			b.Fatalf("status %d, %d bytes", w.status, w.bytes)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-start)/1e6/float64(b.N), "cpu-ms/op")
}

type discard struct {
	header http.Header
	status int
	bytes  int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) Write(b []byte) (int, error) {
	d.bytes += len(b)
	return len(b), nil
}
func (d *discard) WriteHeader(status int) { d.status = status }

// BenchmarkSubscribeToShard reads 10,000 records of 1 KiB to the end of a
// closed shard: everything but the network.
func BenchmarkSubscribeToShard(b *testing.B) {
	f := setup(b)
	f.create("s", 1)
	const records = 10_000
	one := `{"Data":"` + strings.Repeat("QUJD", 341) + `","PartitionKey":"key"}`
	for range records / 500 {
		f.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.Repeat(one+",", 499)+one+`]}`)
	}
	f.ok("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"7"}`)
	body := from(f.register("s", "app"), horizon)
	b.ReportAllocs()
	b.SetBytes(records * 1023)
	for b.Loop() {
		f.clock.advance(5 * time.Second)
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.SubscribeToShard")
		w := &discard{header: http.Header{}}
		f.handler.ServeHTTP(w, r)
		if w.bytes < records*1364 {
			b.Fatalf("%d bytes", w.bytes)
		}
	}
}
