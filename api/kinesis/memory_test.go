package kinesis_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
)

// TestReadsWithinMemory: with little room for bytes in flight a page gets
// smaller, and nothing is lost or read twice.
func TestReadsWithinMemory(t *testing.T) {
	var opt kinesis.Options
	f := open(t, t.TempDir(), func(o *kinesis.Options) { opt = *o })
	s, err := kinesis.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	f.handler, err = wire.NewHandler(wire.Options{
		Services: []wire.Service{s.Wire()}, Access: access.Anyone{}, MaxBodyBytes: 4 << 20, MaxBytesInFlight: 6 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.create("s", 1)
	const records = 12
	for range records {
		f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"`+strings.Repeat("QUJD", 200<<10)+`"}`)
	}
	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	got, pages := 0, 0
	for got < records {
		answer := f.ok("GetRecords", `{"ShardIterator":"`+it+`"}`)
		n := strings.Count(answer, `"SequenceNumber"`)
		if n == 0 || n > 4 {
			t.Fatalf("page %d has %d records", pages, n)
		}
		got += n
		pages++
		_, rest, _ := strings.Cut(answer, `"NextShardIterator":"`)
		it, _, _ = strings.Cut(rest, `"`)
	}
	if got != records || pages < 3 {
		t.Errorf("read %d records on %d pages", got, pages)
	}
}

// FuzzRequests sends anything to every operation: no panic, no failure of this
// side, and an answer of the format asked in.
func FuzzRequests(f *testing.F) {
	fix := open(f, f.TempDir(), nil)
	fix.create("s", 2)
	operations := []string{
		"CreateStream", "DescribeStream", "DescribeStreamSummary", "ListStreams", "ListShards",
		"PutRecord", "PutRecords", "GetShardIterator", "GetRecords", "SplitShard", "MergeShards",
		"RegisterStreamConsumer", "DescribeStreamConsumer", "DeregisterStreamConsumer", "ListStreamConsumers",
	}
	for i := range operations {
		f.Add(byte(i), false, []byte(`{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1,"PartitionKey":"k","Data":"QQ==","Records":[{"PartitionKey":"k","Data":""}],"ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1e9},"Tags":{"a":null},"StreamARN":"arn:aws:kinesis:r:123456789012:stream/s","ConsumerName":"c","ConsumerARN":"arn:aws:kinesis:r:123456789012:stream/s/consumer/c:1"}`))
		f.Add(byte(i), true, []byte("\xa2\x6aStreamName\x61s\x67Records\x81\xa2\x64Data\x40\x6cPartitionKey\x61k"))
	}
	f.Fuzz(func(t *testing.T, operation byte, binary bool, body []byte) {
		media := jsonType
		if binary {
			media = cborType
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", media)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operations[int(operation)%len(operations)])
		w := httptest.NewRecorder()
		fix.handler.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code == 200 && w.Body.Len() > 0 && w.Header().Get("Content-Type") != media {
			t.Fatalf("%q: got %d %q", body, w.Code, w.Body)
		}
	})
}

// stuck is a client that does not take its answer until it is let go.
type stuck struct {
	discard
	writing, free chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	close(s.writing)
	<-s.free
	return s.discard.Write(b)
}

// TestLimitTakesLittle asks for a few records of a long backlog while another
// client does not take its own few: there is memory for both.
func TestLimitTakesLittle(t *testing.T) {
	var opt kinesis.Options
	f := open(t, t.TempDir(), func(o *kinesis.Options) { opt = *o })
	s, err := kinesis.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	f.create("s", 1)
	one := `{"PartitionKey":"k","Data":"` + strings.Repeat("QUJD", 2000) + `"}`
	for range 5 {
		f.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.Repeat(one+",", 499)+one+`]}`)
	}
	const inFlight = 2 << 20 // the backlog has 15 MB, and 20 records 120 KB
	f.handler, err = wire.NewHandler(wire.Options{
		Services: []wire.Service{s.Wire()}, Access: access.Anyone{}, MaxBodyBytes: 64 << 10, MaxBytesInFlight: inFlight,
	})
	if err != nil {
		t.Fatal(err)
	}
	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	body := `{"ShardIterator":"` + it + `","Limit":20}`
	other := &stuck{discard: discard{header: http.Header{}}, writing: make(chan struct{}), free: make(chan struct{})}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(other.free)
	wg.Go(func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.GetRecords")
		f.handler.ServeHTTP(other, r)
	})
	<-other.writing
	if n := strings.Count(f.ok("GetRecords", body), `"SequenceNumber"`); n != 20 {
		t.Errorf("got %d records, want 20", n)
	}
}
