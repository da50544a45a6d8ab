package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/limits"
)

// TestCBOR puts and reads as the Java SDK does: raw bytes, and times as tag 1
// with whole milliseconds.
func TestCBOR(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	send := func(operation string, in map[string]any) map[string]any {
		t.Helper()
		body, err := cbor.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		status, got := f.raw(operation, cborType, string(body))
		var out map[string]any
		mode, err := cbor.DecOptions{TimeTag: cbor.DecTagOptional}.DecMode()
		if err != nil {
			t.Fatal(err)
		}
		if err := mode.Unmarshal([]byte(got), &out); err != nil || status != http.StatusOK {
			t.Fatalf("%s: got %d %q (%v)", operation, status, got, err)
		}
		if operation == "GetRecords" && !strings.Contains(got, "\x78\x1bApproximateArrivalTimestamp\xc1\x1b\x00") {
			t.Errorf("the arrival is not tag 1 and a 64-bit integer: %q", got)
		}
		return out
	}
	raw := []byte{0, 1, 2, 0xff, 0xfe}
	put := send("PutRecords", map[string]any{"StreamName": "s", "Records": []any{
		map[string]any{"PartitionKey": "k", "Data": raw}, map[string]any{"PartitionKey": "é", "Data": []byte{}},
	}})
	if put["FailedRecordCount"] != uint64(0) || len(put["Records"].([]any)) != 2 {
		t.Errorf("PutRecords: %v", put)
	}
	at := f.clock.now().Add(-time.Hour).UnixMilli()
	it := send("GetShardIterator", map[string]any{
		"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP",
		"Timestamp": cbor.Tag{Number: 1, Content: at},
	})
	got := send("GetRecords", map[string]any{"ShardIterator": it["ShardIterator"]})
	records := got["Records"].([]any)
	if len(records) != 2 {
		t.Fatalf("GetRecords: %v", got)
	}
	first := records[0].(map[any]any)
	if string(first["Data"].([]byte)) != string(raw) || first["PartitionKey"] != "k" || got["MillisBehindLatest"] != uint64(0) {
		t.Errorf("GetRecords: %v", got)
	}

	status, answer := f.raw("DescribeStream", cborType, "\xa1\x6aStreamName\x61x")
	if want := "\xbf\x66__type\x78\x19ResourceNotFoundException\x67message\x78\x2eStream x under account 123456789012 not found.\xff"; status != 400 || answer != want {
		t.Errorf("error: got %d %q, want %q", status, answer, want)
	}
}

// faulty is an engine whose appends or reads fail.
type faulty struct {
	streams.Engine
	append, read error
}

func (f *faulty) Append(ctx context.Context, stream string, b *streams.Batch) (streams.Result, error) {
	if f.append != nil {
		return streams.Result{}, fmt.Errorf("stream %s: %w", stream, f.append)
	}
	return f.Engine.Append(ctx, stream, b)
}

func (f *faulty) Read(ctx context.Context, s streams.ShardRef, from streams.Position, max streams.Limit) (streams.Page, error) {
	if f.read != nil {
		return streams.Page{}, f.read
	}
	return f.Engine.Read(ctx, s, from, max)
}

func TestFailuresOfTheLog(t *testing.T) {
	engine := new(faulty)
	f := open(t, t.TempDir(), func(o *kinesis.Options) {
		engine.Engine = o.Engine
		o.Engine = engine
	})
	f.create("s", 1)
	const internal = `{"__type":"InternalFailureException","message":"Internal service failure."}`
	full := answer("ProvisionedThroughputExceededException", "Stream s under account 123456789012 takes no records at the moment: the disk is full.")
	put := `{"StreamName":"s","PartitionKey":"k","Data":"QQ=="}`
	puts := `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"QQ=="}]}`
	for _, tt := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"full", streams.ErrFull, 400, full},
		{"read-only", streams.ErrReadOnly, 500, internal},
		{"closed", streams.ErrClosed, 500, internal},
		{"too large", streams.ErrTooLarge, 400, answer("InvalidArgumentException", "stream s: too large")},
		{"unknown", errors.New("odd"), 500, internal},
	} {
		engine.append = tt.err
		for operation, body := range map[string]string{"PutRecord": put, "PutRecords": puts} {
			if status, got := f.raw(operation, jsonType, body); status != tt.status || got != tt.want {
				t.Errorf("%s, %s: got %d %s, want %d %s", tt.name, operation, status, got, tt.status, tt.want)
			}
		}
	}
	engine.append = nil
	f.ok("PutRecord", put)

	it := strings.Split(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`), `"`)[3]
	engine.read = &streams.DamageError{File: "a.seg", From: 1, To: 2, Reason: "checksum"}
	if status, got := f.raw("GetRecords", jsonType, `{"ShardIterator":"`+it+`"}`); status != 500 || got != internal {
		t.Errorf("damage: got %d %s", status, got)
	}
}

// TestInternalStreams: what belongs to a delivery stream is not there.
func TestInternalStreams(t *testing.T) {
	f := setup(t)
	if _, err := f.engine.Create(t.Context(), streams.StreamSpec{Name: "$access-log", Shards: 1}); err != nil {
		t.Fatal(err)
	}
	if got := f.ok("ListStreams", `{}`); got != `{"StreamNames":[],"StreamSummaries":[],"HasMoreStreams":false}` {
		t.Errorf("ListStreams: %s", got)
	}
	const arn = `"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/$access-log"`
	for operation, more := range map[string]string{
		"DescribeStream": "", "DescribeStreamSummary": "", "ListShards": "", "DeleteStream": "",
		"PutRecord":        `,"PartitionKey":"k","Data":""`,
		"PutRecords":       `,"Records":[{"PartitionKey":"k","Data":""}]`,
		"GetShardIterator": `,"ShardId":"0","ShardIteratorType":"LATEST"`,
		"SplitShard":       `,"ShardToSplit":"0","NewStartingHashKey":"5"`,
		"MergeShards":      `,"ShardToMerge":"0","AdjacentShardToMerge":"1"`,

		"UpdateShardCount":                       `,"TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"`,
		"UpdateStreamMode":                       `,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}`,
		"UpdateStreamWarmThroughput":             `,"WarmThroughputMiBps":1`,
		"UpdateStreamRecordDistributionStrategy": `,"RecordDistributionStrategy":"USER_PARTITION_KEY"`,
		"UpdateMaxRecordSize":                    `,"MaxRecordSizeInKiB":1024`,
		"IncreaseStreamRetentionPeriod":          `,"RetentionPeriodHours":48`,
		"DecreaseStreamRetentionPeriod":          `,"RetentionPeriodHours":24`,
		"EnableEnhancedMonitoring":               `,"ShardLevelMetrics":["ALL"]`,
		"DisableEnhancedMonitoring":              `,"ShardLevelMetrics":["ALL"]`,
		"StartStreamEncryption":                  `,"EncryptionType":"KMS","KeyId":"alias/a"`,
		"StopStreamEncryption":                   `,"EncryptionType":"KMS","KeyId":"alias/a"`,
		"AddTagsToStream":                        `,"Tags":{"a":"b"}`,
		"RemoveTagsFromStream":                   `,"TagKeys":["a"]`,
		"ListTagsForStream":                      "",
		"RegisterStreamConsumer":                 `,"ConsumerName":"c"`,
		"ListStreamConsumers":                    "",
	} {
		if status, got := f.raw(operation, jsonType, "{"+arn+more+"}"); status != 400 || !strings.HasPrefix(got, `{"__type":"ResourceNotFoundException"`) {
			t.Errorf("%s: got %d %s", operation, status, got)
		}
	}
	for operation, more := range map[string]string{
		"TagResource": `,"Tags":{"a":"b"}`, "UntagResource": `,"TagKeys":["a"]`, "ListTagsForResource": "",
		"PutResourcePolicy": `,"Policy":"{}"`, "GetResourcePolicy": "", "DeleteResourcePolicy": "",
	} {
		for _, consumer := range []string{"", "/consumer/c:1"} {
			arn := `"ResourceARN":"arn:aws:kinesis:us-east-1:123456789012:stream/$access-log` + consumer + `"`
			if status, got := f.raw(operation, jsonType, "{"+arn+more+"}"); status != 400 || !strings.HasPrefix(got, `{"__type":"ResourceNotFoundException"`) {
				t.Errorf("%s of %q: got %d %s", operation, consumer, status, got)
			}
		}
	}
}

// limitedTo holds one stream to rates.
func limitedTo(name string, r limits.Rates) func(*kinesis.Options) {
	return func(o *kinesis.Options) {
		o.Limits = limits.New(limits.Options{Describe: o.Engine.Describe, Clock: o.Clock, Rates: func(stream string) limits.Rates {
			if stream != name {
				return limits.Rates{}
			}
			return r
		}})
	}
}

// TestLimitedReads holds reads to the limits of the real service: five calls a
// second, and after 10 MiB nothing for five seconds.
func TestLimitedReads(t *testing.T) {
	f := open(t, t.TempDir(), limitedTo("s", limits.Rates{OutBytes: limits.AWS.OutBytes, OutCalls: limits.AWS.OutCalls}))
	f.create("s", 1)
	get := func(it string) (int, string) { return f.raw("GetRecords", jsonType, `{"ShardIterator":"`+it+`"}`) }
	member := func(name, answer string) string {
		_, rest, _ := strings.Cut(answer, `"`+name+`":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	iterator := func() string {
		return member("ShardIterator", f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`))
	}
	throttled := answer("ProvisionedThroughputExceededException", "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.")
	it := iterator()
	for i := range 7 {
		status, got := get(it)
		if want := i >= 5; (got == throttled) != want || (status == 400) != want {
			t.Errorf("call %d: %d %.200s", i, status, got)
		}
	}
	f.clock.advance(200 * time.Millisecond)
	if status, got := get(it); status != 200 {
		t.Errorf("a fifth of a second later: %d %.200s", status, got)
	}
	big := fmt.Sprintf(`{"PartitionKey":"k","Data":"%s"}`, strings.Repeat("QUJD", 330<<10))
	for range 11 {
		f.ok("PutRecords", `{"StreamName":"s","Records":[`+big+`]}`)
	}
	f.clock.advance(10 * time.Second)
	it = iterator()
	status, got := get(it)
	if n := strings.Count(got, "SequenceNumber"); status != 200 || n < 9 {
		t.Fatalf("%d with %d records", status, n)
	}
	next := member("NextShardIterator", got)
	f.clock.advance(4500 * time.Millisecond)
	for _, it := range []string{it, next} {
		if status, got := get(it); status != 400 || got != throttled {
			t.Errorf("4.5 s after 10 MiB: %d %.200s", status, got)
		}
	}
	f.clock.advance(500 * time.Millisecond)
	if status, got := get(next); status != 200 {
		t.Errorf("5 s after 10 MiB: %d %.200s", status, got)
	}
}

// TestLimitedStream holds puts to the limits of the real service.
func TestLimitedStream(t *testing.T) {
	f := open(t, t.TempDir(), limitedTo("s", limits.AWS))
	f.create("s", 2)
	f.create("free", 1)
	records := func(n int, hash string) string {
		return strings.TrimSuffix(strings.Repeat(`{"PartitionKey":"k","Data":"QQ==","ExplicitHashKey":"`+hash+`"},`, n), ",")
	}
	const upper = "340282366920938463463374607431768211455"
	refused := `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012."}`
	for i, wantFailed := range []int{0, 0, 200} { // 400 three times, 1,000 a second
		got := f.ok("PutRecords", `{"StreamName":"s","Records":[`+records(400, "0")+`]}`)
		if n := strings.Count(got, refused); n != wantFailed || !strings.HasPrefix(got, fmt.Sprintf(`{"FailedRecordCount":%d,`, n)) || strings.Count(got, "SequenceNumber") != 400-n {
			t.Errorf("call %d: %d refused, want %d: %.100s", i, n, wantFailed, got)
		}
	}
	// The other shard has a share of its own, and results stand in the order of
	// the request.
	got := f.ok("PutRecords", `{"StreamName":"s","Records":[`+records(1, "0")+","+records(1, upper)+","+records(1, "0")+`]}`)
	if !strings.HasPrefix(got, `{"FailedRecordCount":2,"Records":[`+refused+`,{"SequenceNumber":"`) || !strings.HasSuffix(got, `"shardId-000000000001"},`+refused+`]}`) {
		t.Errorf("mixed: %s", got)
	}
	// All refused is still an answer.
	if got := f.ok("PutRecords", `{"StreamName":"s","Records":[`+records(1, "0")+`]}`); got != `{"FailedRecordCount":1,"Records":[`+refused+`]}` {
		t.Errorf("all: %s", got)
	}
	if status, got := f.raw("PutRecord", jsonType, `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"0"}`); status != 400 ||
		got != answer("ProvisionedThroughputExceededException", "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.") {
		t.Errorf("PutRecord: got %d %s", status, got)
	}
	f.ok("PutRecords", `{"StreamName":"free","Records":[`+records(500, "0")+`]}`)
	f.clock.advance(100 * time.Millisecond) // a hundred more
	if got := f.ok("PutRecords", `{"StreamName":"s","Records":[`+records(150, "0")+`]}`); !strings.HasPrefix(got, `{"FailedRecordCount":50,`) {
		t.Errorf("a tenth of a second later: %.100s", got)
	}
	// Bytes count as well.
	f.clock.advance(time.Minute)
	big := fmt.Sprintf(`{"PartitionKey":"k","Data":"%s","ExplicitHashKey":"0"}`, strings.Repeat("QUJD", 200<<10))
	if got := f.ok("PutRecords", `{"StreamName":"s","Records":[`+big+","+big+`]}`); !strings.HasPrefix(got, `{"FailedRecordCount":1,`) {
		t.Errorf("bytes: %.100s", got)
	}
}

// TestListShardsTokens: tokens die with time, with the stream, and when they
// are changed.
func TestListShardsTokens(t *testing.T) {
	f := setup(t)
	f.create("s", 3)
	first := f.ok("ListShards", `{"StreamName":"s","MaxResults":2}`)
	i := strings.Index(first, `"NextToken":"`)
	if i < 0 || strings.Count(first, `"ShardId"`) != 2 {
		t.Fatalf("first page: %s", first)
	}
	token := strings.TrimSuffix(first[i+len(`"NextToken":"`):], `"}`)
	if got := f.ok("ListShards", `{"NextToken":"`+token+`","StreamARN":"arn:aws:kinesis:eu-west-1:000000000000:stream/s"}`); strings.Count(got, `"ShardId"`) != 1 || strings.Contains(got, "NextToken") {
		t.Errorf("second page: %s", got)
	}
	if status, got := f.raw("ListShards", jsonType, `{"NextToken":"`+token+`","StreamARN":"arn:aws:kinesis:eu-west-1:000000000000:stream/x"}`); status != 400 ||
		got != answer("InvalidArgumentException", "NextToken and StreamARN are not of the same stream.") {
		t.Errorf("other stream: %d %s", status, got)
	}
	f.clock.advance(301 * time.Second)
	if status, got := f.raw("ListShards", jsonType, `{"NextToken":"`+token+`"}`); status != 400 || !strings.HasPrefix(got, `{"__type":"ExpiredNextTokenException"`) {
		t.Errorf("after 5 minutes: %d %s", status, got)
	}
}

// TestTokenOfADeletedStream: a name that comes back is another stream.
func TestTokenOfADeletedStream(t *testing.T) {
	f := setup(t)
	f.create("s", 3)
	first := f.ok("ListShards", `{"StreamName":"s","MaxResults":2}`)
	token := strings.TrimSuffix(first[strings.Index(first, `"NextToken":"`)+len(`"NextToken":"`):], `"}`)
	f.ok("DeleteStream", `{"StreamName":"s"}`)
	f.create("s", 3)
	if status, got := f.raw("ListShards", jsonType, `{"NextToken":"`+token+`"}`); status != 400 || got != answer("ResourceNotFoundException", "Stream s under account 123456789012 not found.") {
		t.Errorf("got %d %s", status, got)
	}
}

// TestHostileBodies sends broken CBOR and JSON to the hot operations.
func TestHostileBodies(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	for _, tt := range []struct{ name, media, body, want string }{
		{"CBOR cut off", cborType, "\xa2\x6aStreamName\x61s\x67Records\x9a\xff", "head cut off or malformed at byte 22"},
		{"CBOR with a wrong length", cborType, "\xa1\x67Records\x81\xa1\x64Data\x5a\x7f\xff\xff\xff\x00", "string cut off at byte 21"},
		{"CBOR that promises much", cborType, "\xa1\x67Records\x9b\x00\x00\x00\x7f\xff\xff\xff\xff", "The body has more than 65536 values."},
		{"CBOR, deep", cborType, strings.Repeat("\x81", 100), "The body is nested deeper than 32 levels."},
		{"JSON cut off", jsonType, `{"StreamName":"s","Records":[{"Data":"QUJD`, "string not closed at byte 42"},
		{"JSON, deep", jsonType, strings.Repeat(`{"Records":[`, 100_000), "The body is nested deeper than 32 levels."},
	} {
		status, got := f.raw("PutRecords", tt.media, tt.body)
		if status != 400 || !strings.Contains(got, "SerializationException") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %d %q, want %s", tt.name, status, got, tt.want)
		}
	}
}
