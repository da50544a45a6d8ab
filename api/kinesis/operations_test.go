package kinesis_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/fxamacker/cbor/v2"
)

// operation is one of the operations of the service, with an input that is
// valid for the streams of TestEveryOperation. An answer other than success is
// named by its code.
type operation struct{ name, valid, code string }

// operations is every operation there is, in an order in which the inputs
// work. STREAM, CONSUMER and ITERATOR stand for those of the test.
var operations = []operation{
	{"CreateStream", `{"StreamName":"made","ShardCount":1,"StreamModeDetails":{"StreamMode":"PROVISIONED"},"Tags":{"a":"b"},"MaxRecordSizeInKiB":2048}`, ""},
	{"DescribeStream", `{"StreamARN":"STREAM","Limit":1,"ExclusiveStartShardId":"shardId-000000000000"}`, ""},
	{"DescribeStreamSummary", `{"StreamName":"s","StreamARN":"STREAM","StreamId":"abcdefghijklmnopqrst-123"}`, ""},
	{"ListStreams", `{"Limit":1,"ExclusiveStartStreamName":"a"}`, ""},
	{"ListShards", `{"StreamName":"s","MaxResults":1,"ShardFilter":{"Type":"AT_LATEST"}}`, ""},
	{"DescribeLimits", `{}`, ""},
	{"DescribeAccountSettings", `{}`, ""},
	{"UpdateAccountSettings", `{"MinimumThroughputBillingCommitment":{"Status":"ENABLED"}}`, ""},
	{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QQ==","ExplicitHashKey":"1"}`, ""},
	{"PutRecords", `{"StreamARN":"STREAM","Records":[{"PartitionKey":"k","Data":"QQ=="}]}`, ""},
	{"GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1700000000}`, ""},
	{"GetRecords", `{"ShardIterator":"ITERATOR","Limit":1}`, ""},
	{"SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"85070591730234615865843651857942052864"}`, ""},
	{"MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000002","AdjacentShardToMerge":"shardId-000000000003"}`, ""},
	{"UpdateShardCount", `{"StreamName":"s","TargetShardCount":3,"ScalingType":"UNIFORM_SCALING"}`, ""},
	{"UpdateStreamMode", `{"StreamARN":"STREAM","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"WarmThroughputMiBps":4}`, ""},
	{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":5}`, ""},
	{"UpdateStreamRecordDistributionStrategy", `{"StreamARN":"STREAM","RecordDistributionStrategy":"AUTO"}`, ""},
	{"UpdateMaxRecordSize", `{"StreamARN":"STREAM","MaxRecordSizeInKiB":2048}`, ""},
	{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`, ""},
	{"DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":24}`, ""},
	{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`, ""},
	{"DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["IncomingBytes"]}`, ""},
	{"StartStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`, ""},
	{"StopStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`, ""},
	{"AddTagsToStream", `{"StreamName":"s","Tags":{"a":"b"}}`, ""},
	{"ListTagsForStream", `{"StreamName":"s","Limit":1,"ExclusiveStartTagKey":"0"}`, ""},
	{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a"]}`, ""},
	{"TagResource", `{"ResourceARN":"CONSUMER","Tags":{"a":"b"}}`, ""},
	{"ListTagsForResource", `{"ResourceARN":"CONSUMER"}`, ""},
	{"UntagResource", `{"ResourceARN":"CONSUMER","TagKeys":["a"]}`, ""},
	{"PutResourcePolicy", `{"ResourceARN":"STREAM","Policy":"{\"Statement\":[{\"Effect\":\"Allow\"}]}"}`, ""},
	{"GetResourcePolicy", `{"ResourceARN":"STREAM"}`, ""},
	{"DeleteResourcePolicy", `{"ResourceARN":"STREAM"}`, ""},
	{"RegisterStreamConsumer", `{"StreamARN":"STREAM","ConsumerName":"more","Tags":{"a":"b"}}`, ""},
	{"DescribeStreamConsumer", `{"ConsumerARN":"CONSUMER"}`, ""},
	{"SubscribeToShard", `{"ConsumerARN":"CONSUMER","ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"},"DryRun":true}`, "DryRunOperationException"},
	{"ListStreamConsumers", `{"StreamARN":"STREAM","MaxResults":1}`, ""},
	{"DeregisterStreamConsumer", `{"StreamARN":"STREAM","ConsumerName":"more"}`, ""},
	{"CreateChannel", `{"ChannelName":"c","ServiceExecutionRoleARN":"arn:aws:iam::123456789012:role/r","StreamConfigurationList":[{"StreamARN":"STREAM"}],"S3DestinationConfiguration":{"DataFreshnessInSeconds":60}}`, "InvalidArgumentException"},
	{"UpdateChannel", `{"ChannelARN":"c"}`, "InvalidArgumentException"},
	{"DescribeChannel", `{"ChannelARN":"c"}`, "InvalidArgumentException"},
	{"DeleteChannel", `{"ChannelARN":"c"}`, "InvalidArgumentException"},
	{"ListChannels", `{"MaxResults":10,"StreamFilter":[{"StreamARN":"STREAM","StreamCreationTimestamp":1700000000}]}`, ""},
	{"DeleteStream", `{"StreamName":"s","EnforceConsumerDeletion":true}`, ""},
}

// TestOperationsOfTheClient: the list above has what a client can call.
func TestOperationsOfTheClient(t *testing.T) {
	known := map[string]bool{
		"Options": true, // no operation
	}
	for _, op := range operations {
		known[op.name] = true
	}
	client := reflect.TypeFor[*sdk.Client]()
	for i := range client.NumMethod() {
		if name := client.Method(i).Name; !known[name] {
			t.Errorf("%s is not tested", name)
		}
	}
	if n := client.NumMethod(); n != len(known) {
		t.Errorf("%d methods, %d names", n, len(known))
	}
}

// TestEveryOperation: every operation of the service is known, answers an
// empty input without a failure of this side, and does what a valid one asks.
func TestEveryOperation(t *testing.T) {
	for _, media := range []string{jsonType, cborType} {
		t.Run(media, func(t *testing.T) {
			f := setup(t)
			f.create("s", 2)
			member := func(answer, name string) string {
				_, rest, _ := strings.Cut(answer, `"`+name+`":"`)
				value, _, ok := strings.Cut(rest, `"`)
				if !ok {
					t.Fatalf("no %s in %s", name, answer)
				}
				return value
			}
			stands := strings.NewReplacer(
				"STREAM", arnOfS,
				"CONSUMER", member(f.ok("RegisterStreamConsumer", `{"StreamARN":"`+arnOfS+`","ConsumerName":"c"}`), "ConsumerARN"),
				"ITERATOR", member(f.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`), "ShardIterator"),
			)
			for _, op := range operations {
				empty, valid := `{}`, stands.Replace(op.valid)
				if media == cborType {
					empty, valid = toCBOR(t, empty), toCBOR(t, valid)
				}
				status, got := f.raw(op.name, media, empty)
				if status != http.StatusOK && status != http.StatusBadRequest || strings.Contains(got, "UnknownOperation") {
					t.Errorf("%s without input: %d %q", op.name, status, got)
				}
				want := http.StatusOK
				if op.code != "" {
					want = http.StatusBadRequest
				}
				if status, got := f.raw(op.name, media, valid); status != want || !strings.Contains(got, op.code) {
					t.Errorf("%s: got %d %q, want %d %s", op.name, status, got, want, op.code)
				}
			}
		})
	}
}

// toCBOR renders an input as a client that speaks CBOR does: data are bytes.
func toCBOR(t *testing.T, in string) string {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(in))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var convert func(v any) any
	convert = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if key == "Data" {
					v[key] = []byte("A")
				} else {
					v[key] = convert(value)
				}
			}
		case []any:
			for i := range v {
				v[i] = convert(v[i])
			}
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		return v
	}
	raw, err := cbor.Marshal(convert(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
