package kinesis_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/api/kinesis"
)

// answer renders an error body.
func answer(code, message string) string {
	key := "message"
	if code == "SerializationException" {
		key = "Message"
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(message)
	return `{"__type":"` + code + `","` + key + `":` + strings.TrimSpace(b.String()) + `}`
}

// TestTexts sends what is wrong and compares the answer, byte for byte, with
// that of the real service as far as it is known.
func TestTexts(t *testing.T) {
	f := setup(t)
	f.create("s", 2)
	f.create("other", 6)
	f.clock.advance(3 * time.Second)
	half := "170141183460469231731687303715884105728"
	var put struct{ SequenceNumber string }
	if err := json.Unmarshal([]byte(f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QQ==","ExplicitHashKey":"0"}`)), &put); err != nil {
		t.Fatal(err)
	}
	f.create("late", 1)
	var late struct{ SequenceNumber string }
	if err := json.Unmarshal([]byte(f.ok("PutRecord", `{"StreamName":"late","PartitionKey":"k","Data":"QQ=="}`)), &late); err != nil {
		t.Fatal(err)
	}
	f.create("cut", 1)
	f.ok("SplitShard", `{"StreamName":"cut","ShardToSplit":"0","NewStartingHashKey":"`+half+`"}`)
	now := f.clock.now()
	blob := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

	const violation = "1 validation error detected: Value "
	const mustSpecify = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified "
	for _, tt := range []struct{ operation, body, code, message string }{
		// Constraints.
		{"PutRecord", `{}`, "ValidationException", "2 validation errors detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null; Value null at 'data' failed to satisfy constraint: Member must not be null"},
		{"GetRecords", `{}`, "ValidationException", violation + "null at 'shardIterator' failed to satisfy constraint: Member must not be null"},
		{"GetRecords", `{"ShardIterator":"x","Limit":0}`, "ValidationException", violation + "'0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"GetRecords", `{"ShardIterator":"x","Limit":100000}`, "ValidationException", violation + "'100000' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"},
		{"GetRecords", `{"ShardIterator":"` + strings.Repeat("x", 513) + `"}`, "ValidationException", violation + "'" + strings.Repeat("x", 513) + "' at 'shardIterator' failed to satisfy constraint: Member must have length less than or equal to 512"},
		{"DescribeStream", `{"StreamName":""}`, "ValidationException", "2 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"DescribeStream", `{"StreamName":"my stream"}`, "ValidationException", violation + "'my stream' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
		{"DescribeStream", `{"StreamName":"$access-log"}`, "ValidationException", violation + "'$access-log' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
		{"DescribeStream", `{"StreamARN":"arn:aws:s3:::x"}`, "ValidationException", violation + `'arn:aws:s3:::x' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`},
		{"PutRecords", `{"StreamName":"s","Records":[]}`, "ValidationException", violation + "'[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecords", `{"StreamName":"s","Records":[` + strings.Repeat(`{"PartitionKey":"k","Data":""},`, 500) + `{"PartitionKey":"k","Data":""}]}`, "ValidationException", violation + "at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"},
		{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"","Data":""}]}`, "ValidationException", violation + "'' at 'records.1.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"","ExplicitHashKey":""}]}`, "ValidationException", violation + `'' at 'records.1.member.explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`},
		{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"` + blob(1<<20+1) + `"}]}`, "ValidationException", violation + "at 'records.1.member.data' failed to satisfy constraint: Member must have length less than or equal to 1048576"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"` + blob(1<<20+1) + `"}`, "ValidationException", violation + "at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"` + blob(10<<20+1) + `"}`, "ValidationException", violation + "at 'data' failed to satisfy constraint: Member must have length less than or equal to 10485760"},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"FOO"}`, "ValidationException", violation + "'FOO' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"12x"}`, "ValidationException", violation + `'12x' at 'startingSequenceNumber' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,128})`},
		{"CreateStream", `{"StreamName":"x","ShardCount":1,"Tags":{"":"3"}}`, "ValidationException", violation + "'{=3}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"CreateStream", `{"StreamName":"x","ShardCount":0}`, "ValidationException", violation + "'0' at 'shardCount' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"CreateStream", `{"StreamName":"x"}`, "ValidationException", violation + "null at 'shardCount' failed to satisfy constraint: Member must not be null"},

		// Types.
		{"PutRecord", `{"StreamName":"s","PartitionKey":1,"Data":""}`, "SerializationException", "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"abcde"}`, "SerializationException", "'abcde' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"ab?="}`, "SerializationException", "'ab?=' can not be converted to a Blob: Invalid Base64 character: '?'"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"abd="}`, "SerializationException", "'abd=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"},
		{"PutRecords", `{"StreamName":"s","Records":{}}`, "SerializationException", "Start of structure or map found where not expected."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":"now"}`, "SerializationException", "class java.lang.String can not be converted to milliseconds since epoch"},

		// Meaning.
		{"DescribeStream", `{}`, "InvalidArgumentException", "Either StreamName or StreamARN should be provided."},
		{"DescribeStream", `{"StreamName":"x"}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		{"DescribeStream", `{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/x"}`, "ResourceNotFoundException", "Stream arn:aws:kinesis:us-east-1:123456789012:stream/x under account 123456789012 not found."},
		{"DescribeStream", `{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/$x"}`, "ResourceNotFoundException", "Stream arn:aws:kinesis:us-east-1:123456789012:stream/$x under account 123456789012 not found."},
		{"DescribeStream", `{"StreamName":"s","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/x"}`, "InvalidArgumentException", "StreamName s and StreamARN arn:aws:kinesis:us-east-1:123456789012:stream/x are not of the same stream."},
		{"DescribeStream", `{"StreamName":"s","ExclusiveStartShardId":"x"}`, "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{"DeleteStream", `{"StreamName":"x"}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		{"PutRecord", `{"StreamName":"x","PartitionKey":"k","Data":""}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		{"PutRecords", `{"StreamName":"x","Records":[{"PartitionKey":"k","Data":""}]}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		{"CreateStream", `{"StreamName":"s","ShardCount":1}`, "ResourceInUseException", "Stream s under account 123456789012 already exists."},
		{"CreateStream", `{"StreamName":"x","ShardCount":10000}`, "LimitExceededException", "This request would exceed the shard limit for the account 123456789012 in us-east-1. Current shard count for the account: 11. Limit: 10000. " +
			"Number of additional shards that would have resulted from this request: 10000. Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"340282366920938463463374607431768211456"}`, "InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"` + blob(1<<20) + `"}`, "InvalidArgumentException", "A record for stream s under account 123456789012 has 1048577 bytes of data and partition key together. The limit of the stream is 1048576."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","SequenceNumberForOrdering":"17"}`, "InvalidArgumentException", "ExclusiveMinimumSequenceNumber 17 used in PutRecord on stream s under account 123456789012 is invalid."},
		{"PutRecords", `{"StreamName":"s","Records":[` + strings.Repeat(`{"PartitionKey":"k","Data":"`+blob(1<<20-1)+`"},`, 10) + `{"PartitionKey":"k","Data":""}]}`, "InvalidArgumentException", "Records size exceeds 10 MB limit"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","DryRun":true}`, "DryRunOperationException", "The request would have succeeded, but the DryRun flag is set."},
		{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":""}],"DryRun":true}`, "DryRunOperationException", "The request would have succeeded, but the DryRun flag is set."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST","DryRun":true}`, "DryRunOperationException", "The request would have succeeded, but the DryRun flag is set."},
		{"PutRecord", `{"StreamName":"x","PartitionKey":"k","Data":"","DryRun":true}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},

		{"GetShardIterator", `{"StreamName":"s","ShardId":"x","ShardIteratorType":"LATEST"}`, "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"shardId-5","ShardIteratorType":"LATEST"}`, "ResourceNotFoundException", "Shard shardId-000000000005 in stream s under account 123456789012 does not exist"},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST","StartingSequenceNumber":"1"}`, "InvalidArgumentException", mustSpecify + "LATEST and also a StartingSequenceNumber."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER"}`, "InvalidArgumentException", mustSpecify + "AT_SEQUENCE_NUMBER and no StartingSequenceNumber."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP"}`, "InvalidArgumentException", "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter."},
		{
			"GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":%d.251}`, now.Unix()), "InvalidArgumentException",
			fmt.Sprintf("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", now.UnixMilli()+1, now.UnixMilli()),
		},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"17"}`, "InvalidArgumentException", "StartingSequenceNumber 17 used in GetShardIterator on shard shardId-000000000000 in stream s under account 123456789012 is invalid."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"1","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"` + put.SequenceNumber + `"}`, "InvalidArgumentException", "Invalid StartingSequenceNumber. It encodes shardId-000000000000, while it was used in a call to a shard with shardId-000000000001"},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"` + late.SequenceNumber + `"}`, "InvalidArgumentException", "StartingSequenceNumber " + late.SequenceNumber + " used in GetShardIterator on shard shardId-000000000000 in stream s under account 123456789012 is invalid because it did not come from this stream."},
		{"GetRecords", `{"ShardIterator":"x"}`, "InvalidArgumentException", "Invalid ShardIterator."},

		{"SplitShard", `{"StreamName":"s","ShardToSplit":"x","NewStartingHashKey":"5"}`, "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"7","NewStartingHashKey":"5"}`, "ResourceNotFoundException", "Could not find shard 7 in stream s under account 123456789012."},
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"1"}`, "InvalidArgumentException", "NewStartingHashKey 1 used in SplitShard() on shard shardId-000000000000 in stream s under account 123456789012 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey 170141183460469231731687303715884105727."},
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"170141183460469231731687303715884105727"}`, "InvalidArgumentException", "NewStartingHashKey 170141183460469231731687303715884105727 used in SplitShard() on shard shardId-000000000000 in stream s under account 123456789012 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey 170141183460469231731687303715884105727."},
		{"SplitShard", `{"StreamName":"cut","ShardToSplit":"0","NewStartingHashKey":"5"}`, "InvalidArgumentException", "Shard shardId-000000000000 in stream cut under account 123456789012 has already been merged or split, and thus is not eligible for merging or splitting."},
		{"MergeShards", `{"StreamName":"other","ShardToMerge":"0","AdjacentShardToMerge":"2"}`, "InvalidArgumentException", "Shards shardId-000000000000 and shardId-000000000002 in stream other under account 123456789012 are not an adjacent pair of shards eligible for merging"},
		{"MergeShards", `{"StreamName":"other","ShardToMerge":"0","AdjacentShardToMerge":"0"}`, "InvalidArgumentException", "Shards shardId-000000000000 and shardId-000000000000 in stream other under account 123456789012 are not an adjacent pair of shards eligible for merging"},
		{"MergeShards", `{"StreamName":"other","ShardToMerge":"5","AdjacentShardToMerge":"0"}`, "InvalidArgumentException", "Shards shardId-000000000005 and shardId-000000000000 in stream other under account 123456789012 are not an adjacent pair of shards eligible for merging"},
		{"MergeShards", `{"StreamName":"other","ShardToMerge":"0","AdjacentShardToMerge":"9"}`, "ResourceNotFoundException", "Could not find shard 9 in stream other under account 123456789012."},

		{"ListShards", `{}`, "InvalidArgumentException", "Either NextToken or StreamName should be provided."},
		{"ListShards", `{"StreamName":"s","NextToken":"x"}`, "InvalidArgumentException", "NextToken and StreamName cannot be provided together."},
		{"ListShards", `{"NextToken":"x"}`, "InvalidArgumentException", "Invalid NextToken."},
		{"ListShards", `{"StreamName":"s","StreamCreationTimestamp":1}`, "ResourceNotFoundException", "Stream s under account 123456789012 not found."},
		{"ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP"}}`, "InvalidArgumentException", "Timestamp must be provided for the shard filter type AT_TIMESTAMP."},
		{"ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AFTER_SHARD_ID"}}`, "InvalidArgumentException", "ShardId must be provided for the shard filter type AFTER_SHARD_ID."},
		{"ListStreams", `{"NextToken":"x"}`, "InvalidArgumentException", "Invalid NextToken."},
	} {
		status, got := f.raw(tt.operation, jsonType, tt.body)
		if want := answer(tt.code, tt.message); status != 400 || got != want {
			t.Errorf("%s %.200s:\ngot  %d %.600s\nwant 400 %s", tt.operation, tt.body, status, got, want)
		}
	}
	// None of it wrote anything.
	if got := f.ok("DescribeStreamSummary", `{"StreamName":"s"}`); !strings.Contains(got, `"OpenShardCount":2`) {
		t.Errorf("summary: %s", got)
	}
}

func TestDeclaredStreamsStay(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) { o.Declared = func(name string) bool { return name == "s" } })
	f.create("s", 1)
	status, got := f.raw("DeleteStream", jsonType, `{"StreamName":"s"}`)
	if want := answer("ResourceInUseException", "Stream s under account 123456789012 is declared in the configuration file of this server. Remove it there."); status != 400 || got != want {
		t.Errorf("got %d %s, want %s", status, got, want)
	}
}

func TestBadOptions(t *testing.T) {
	f := setup(t)
	good := kinesis.Options{Engine: f.engine, Region: region, AccountID: account, TokenKey: tokenKey}
	for want, change := range map[string]func(*kinesis.Options){
		"kinesis: no engine":                               func(o *kinesis.Options) { o.Engine = nil },
		"kinesis: region is empty":                         func(o *kinesis.Options) { o.Region = "" },
		`kinesis: account id "12" is not 12 digits`:        func(o *kinesis.Options) { o.AccountID = "12" },
		"kinesis: token key of 5 bytes is shorter than 32": func(o *kinesis.Options) { o.TokenKey = []byte("short") },
	} {
		opt := good
		change(&opt)
		if _, err := kinesis.New(opt); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
