package kinesis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams/limits"
)

func TestShardMetrics(t *testing.T) {
	f := open(t, t.TempDir(), limitedTo("s", limits.Rates{InRecords: 3, OutCalls: 2}))
	f.create("s", 2)
	f.create("quiet", 1)
	put := func(hash string, n int) {
		f.raw("PutRecords", jsonType, `{"StreamName":"s","Records":[`+strings.Repeat(`{"PartitionKey":"k","Data":"QUJD","ExplicitHashKey":"`+hash+`"},`, n-1)+
			`{"PartitionKey":"k","Data":"QUJD","ExplicitHashKey":"`+hash+`"}]}`)
	}
	metrics := func() string {
		shown, more := f.service.ShardMetrics()
		var lines []string
		for _, m := range shown {
			lines = append(lines, fmt.Sprintf("%s/%d %s %d", m.Stream, m.Shard, m.Name, m.Value))
		}
		if more > 0 {
			lines = append(lines, fmt.Sprint(more, " more"))
		}
		return strings.Join(lines, "\n")
	}
	put("0", 2)
	if got := metrics(); got != "" {
		t.Errorf("nothing is enabled: %s", got)
	}
	f.ok("EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`)
	f.clock.advance(time.Second)
	put("0", 5)
	f.raw("PutRecord", jsonType, `{"StreamName":"s","PartitionKey":"k","Data":"QUJD","ExplicitHashKey":"0"}`)
	f.clock.advance(2 * time.Second)
	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	for range 3 {
		f.raw("GetRecords", jsonType, `{"ShardIterator":"`+it+`","Limit":4}`)
	}
	want := []string{
		"s/0 IncomingBytes 12", "s/0 IncomingRecords 3", "s/0 OutgoingBytes 32", "s/0 OutgoingRecords 8",
		"s/0 WriteProvisionedThroughputExceeded 3", "s/0 ReadProvisionedThroughputExceeded 1", "s/0 IteratorAgeMilliseconds 2000",
	}
	if got := metrics(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// They count on while others are disabled, and only the enabled are shown.
	f.ok("DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["OutgoingBytes","OutgoingRecords","IteratorAgeMilliseconds","IncomingBytes"]}`)
	put("340282366920938463463374607431768211455", 1)
	want = slices.Concat(want[1:2], want[4:6], []string{"s/1 IncomingRecords 1", "s/1 WriteProvisionedThroughputExceeded 0", "s/1 ReadProvisionedThroughputExceeded 0"})
	if got := metrics(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	f.ok("DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`)
	if got := metrics(); got != "" {
		t.Errorf("nothing is enabled any more: %s", got)
	}
}

// TestManyShardMetrics: only so many shards are shown, and those that are gone
// are forgotten.
func TestManyShardMetrics(t *testing.T) {
	atWork(t, 0, func(s scaled) {
		s.ok("CreateStream", `{"StreamName":"s","ShardCount":1100}`)
		s.ok("EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["IncomingRecords"]}`)
		var records []string
		for i := range 1100 {
			records = append(records, fmt.Sprintf(`{"PartitionKey":"k","Data":"","ExplicitHashKey":"%d000000000000000000000000000000000"}`, i*309+1))
		}
		for part := range slices.Chunk(records, 500) {
			s.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.Join(part, ",")+`]}`)
		}
		shown, more := s.service.ShardMetrics()
		if len(shown) != 1000 || more < 50 || more > 100 {
			t.Errorf("%d shards are shown, and there are %d more", len(shown), more)
		}
		s.ok("UpdateShardCount", `{"StreamName":"s","TargetShardCount":550,"ScalingType":"UNIFORM_SCALING"}`)
		if err := s.engine.Configure(t.Context(), "s", time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute) // closed shards expire
		if shown, more := s.service.ShardMetrics(); len(shown) != 0 || more != 0 {
			t.Errorf("%d shards that are gone are shown, and there are %d more", len(shown), more)
		}
	})
}
