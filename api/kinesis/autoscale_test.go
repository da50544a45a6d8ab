package kinesis_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams/wal"
)

// scaled is the API with its scaling at work, on the clock of a bubble.
type scaled struct{ *fixture }

// atWork runs test on a log and an API whose streams are scaled. There is no
// server: a bubble's time stands still for the network.
func atWork(t *testing.T, limit int, test func(s scaled)) {
	synctest.Test(t, func(t *testing.T) {
		log, err := wal.Open(t.TempDir(), wal.Options{MinFreeBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}()
		k, err := kinesis.New(kinesis.Options{Engine: log, Region: region, AccountID: account, TokenKey: tokenKey, ShardLimit: limit})
		if err != nil {
			t.Fatal(err)
		}
		handler, err := wire.NewHandler(wire.Options{Services: []wire.Service{k.Wire()}, Access: access.Anyone{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		time.Sleep(time.Millisecond) // ticks come between the steps of the test
		test(scaled{&fixture{t: t, engine: log, service: k, handler: handler}})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// onDemand makes a stream on demand.
func (s scaled) onDemand(name string) {
	s.t.Helper()
	s.ok("CreateStream", `{"StreamName":"`+name+`","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
}

// put puts records of one byte into a stream.
func (s scaled) put(name string, records int) {
	s.t.Helper()
	for ; records > 0; records -= 500 {
		n := min(records, 500)
		s.ok("PutRecords", `{"StreamName":"`+name+`","Records":[`+strings.Repeat(`{"PartitionKey":"k","Data":"QQ=="},`, n-1)+`{"PartitionKey":"k","Data":"QQ=="}]}`)
	}
}

// open tells how many shards of a stream are open after the present window.
func (s scaled) open(name string) int {
	s.t.Helper()
	time.Sleep(10 * time.Second)
	info, err := s.engine.Describe(name)
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, sh := range info.Shards {
		if !sh.Closed {
			n++
		}
	}
	return n
}

func TestScalingUpAndDown(t *testing.T) {
	atWork(t, 0, func(s scaled) {
		s.onDemand("s")
		s.ok("CreateStream", `{"StreamName":"fixed","ShardCount":2}`)
		s.put("fixed", 30_000)
		s.put("s", 20_000) // 2,000 a second, half of what 4 shards take
		if n, fixed := s.open("s"), s.open("fixed"); n != 4 || fixed != 2 {
			t.Errorf("half full: %d shards, %d of the provisioned stream", n, fixed)
		}
		s.put("s", 20_001)
		if n := s.open("s"); n != 8 {
			t.Errorf("more than half full: %d shards", n)
		}
		// Bytes count too: 60 MiB in 10 seconds fill 6 shards.
		big := `{"PartitionKey":"k","Data":"` + strings.Repeat("QUJD", 340<<10) + `"}`
		for range 30 {
			s.ok("PutRecords", `{"StreamName":"s","Records":[`+big+","+big+`]}`)
		}
		if n := s.open("s"); n != 16 {
			t.Errorf("6 MiB a second: %d shards", n)
		}
		// Nothing more comes. It is halved once a day, down to 4.
		for _, want := range []int{16, 8, 4, 4} {
			if n := s.open("s"); n != want {
				t.Errorf("idle: %d shards, want %d", n, want)
			}
			time.Sleep(25 * time.Hour)
		}
	})
}

func TestScalingToFloors(t *testing.T) {
	atWork(t, 20, func(s scaled) {
		s.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		s.onDemand("other")
		if n := s.open("s"); n != 1 {
			t.Errorf("provisioned: %d shards", n)
		}
		s.ok("UpdateStreamMode", `{"StreamARN":"`+arnOfS+`","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
		if n := s.open("s"); n != 4 {
			t.Errorf("on demand: %d shards", n)
		}
		s.ok("UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":10}`)
		time.Sleep(26 * time.Hour)
		if n := s.open("s"); n != 10 {
			t.Errorf("warm and idle: %d shards", n)
		}
		s.ok("UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":0}`)
		time.Sleep(26 * time.Hour)
		if n := s.open("s"); n != 5 {
			t.Errorf("no longer warm: %d shards", n)
		}
		// The account has room for 11 more.
		s.put("s", 30_000)
		if n := s.open("s"); n != 10 {
			t.Errorf("3,000 a second: %d shards", n)
		}
		s.put("s", 60_000)
		if n := s.open("s"); n != 16 {
			t.Errorf("6,000 a second: %d shards", n)
		}
		s.put("other", 30_000)
		if n := s.open("other"); n != 4 {
			t.Errorf("without room: %d shards", n)
		}
		s.ok("DeleteStream", `{"StreamName":"s"}`)
		if n := s.open("other"); n != 8 {
			t.Errorf("with room: %d shards", n)
		}
		// A stream that is made again has no past.
		s.onDemand("s")
		if n := s.open("s"); n != 4 {
			t.Errorf("made again: %d shards", n)
		}
	})
}

// TestSpreading: a stream of strategy AUTO takes records without keys and
// spreads them.
func TestSpreading(t *testing.T) {
	f := setup(t)
	f.ok("CreateStream", `{"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"RecordDistributionStrategy":"AUTO"}`)
	f.ok("CreateStream", `{"StreamName":"keyed","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
	if got := f.ok("DescribeStreamSummary", `{"StreamName":"s"}`); !strings.Contains(got, `"RecordDistributionStrategy":"AUTO"`) {
		t.Errorf("summary: %s", got)
	}
	f.refused(
		refuse{"PutRecord", `{"StreamName":"keyed","Data":""}`, "ValidationException", "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null"},
		refuse{"PutRecord", `{"Data":""}`, "ValidationException", "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null"},
		refuse{"PutRecords", `{"StreamName":"keyed","Records":[{"Data":"","PartitionKey":"k"},{"Data":""}]}`, "ValidationException", "1 validation error detected: Value null at 'records.2.member.partitionKey' failed to satisfy constraint: Member must not be null"},
		refuse{"PutRecord", `{"StreamName":"s","PartitionKey":""}`, "ValidationException", "2 validation errors detected: Value '' at 'partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1; Value null at 'data' failed to satisfy constraint: Member must not be null"},
	)
	count := map[string]int{}
	tally := func(answer string) {
		for id := range strings.SplitSeq(answer, `"ShardId":"`) {
			if id, _, ok := strings.Cut(id, `"`); ok && strings.HasPrefix(id, "shardId-") {
				count[id]++
			}
		}
	}
	for range 4 {
		tally(f.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.Repeat(`{"Data":"QQ=="},{"PartitionKey":"same","ExplicitHashKey":"0","Data":"QQ=="},`, 49)+`{"Data":""},{"Data":""}]}`))
	}
	for range 100 {
		tally(f.ok("PutRecord", `{"StreamName":"s","Data":"QQ=="}`))
	}
	total := 0
	for id, n := range count {
		if total += n; n < 115 || n > 135 {
			t.Errorf("%s has %d records of 500", id, n)
		}
	}
	if len(count) != 4 || total != 500 {
		t.Errorf("%d records in %d shards", total, len(count))
	}
	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	if got := f.ok("GetRecords", `{"ShardIterator":"`+it+`"}`); !strings.Contains(got, `"PartitionKey":""`) || !strings.Contains(got, `"PartitionKey":"same"`) {
		t.Errorf("records: %.300s", got)
	}
	f.refused(refuse{
		"UpdateStreamMode", `{"StreamARN":"` + arnOfS + `","StreamModeDetails":{"StreamMode":"PROVISIONED"}}`, "InvalidArgumentException",
		"Stream " + arnOfS + " under account 123456789012 has the record distribution strategy AUTO, which streams of mode PROVISIONED cannot have. Change it to USER_PARTITION_KEY first.",
	})
	f.ok("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+arnOfS+`","RecordDistributionStrategy":"USER_PARTITION_KEY"}`)
	f = f.again()
	if status, _ := f.raw("PutRecord", jsonType, `{"StreamName":"s","Data":""}`); status != http.StatusBadRequest {
		t.Errorf("keys are not required any more: %d", status)
	}
	f.ok("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+arnOfS+`","RecordDistributionStrategy":"AUTO"}`)
	f.ok("PutRecord", `{"StreamName":"s","Data":""}`)
}
