package kinesis_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/streams"
)

const arnOfS = "arn:aws:kinesis:us-east-1:123456789012:stream/s"

// refuse is a request that is refused, and how.
type refuse struct{ operation, body, code, message string }

// refused sends requests and compares the answers byte for byte.
func (f *fixture) refused(cases ...refuse) {
	f.t.Helper()
	for _, tt := range cases {
		status, got := f.raw(tt.operation, jsonType, tt.body)
		if want := answer(tt.code, tt.message); status != 400 || got != want {
			f.t.Errorf("%s %.200s:\ngot  %d %.600s\nwant 400 %s", tt.operation, tt.body, status, got, want)
		}
	}
}

// answers sends requests that succeed and compares the answers.
func (f *fixture) answers(cases ...[3]string) {
	f.t.Helper()
	for _, tt := range cases {
		if got := f.ok(tt[0], tt[1]); got != tt[2] {
			f.t.Errorf("%s %.200s:\ngot  %s\nwant %s", tt[0], tt[1], got, tt[2])
		}
	}
}

// again closes the log and opens it and the API anew, at the same time of day.
func (f *fixture) again() *fixture {
	f.t.Helper()
	if err := f.engine.Close(); err != nil {
		f.t.Fatal(err)
	}
	at := f.clock.now()
	g := open(f.t, f.dir, nil)
	g.clock.advance(at.Sub(g.clock.now()))
	return g
}

// inState is an engine whose streams are in another state.
type inState struct {
	streams.Engine
	status atomic.Value // streams.Status
}

func (e *inState) Describe(stream string) (streams.StreamInfo, error) {
	info, err := e.Engine.Describe(stream)
	if status, ok := e.status.Load().(streams.Status); ok {
		info.Status = status
	}
	return info, err
}

// TestNotActive: only an ACTIVE stream is changed.
func TestNotActive(t *testing.T) {
	engine := new(inState)
	f := open(t, t.TempDir(), func(o *kinesis.Options) {
		engine.Engine = o.Engine
		o.Engine = engine
	})
	f.create("s", 2)
	for _, status := range []streams.Status{"UPDATING", streams.Deleting} {
		engine.status.Store(status)
		for operation, more := range map[string]string{
			"SplitShard":                    `,"ShardToSplit":"0","NewStartingHashKey":"5"`,
			"MergeShards":                   `,"ShardToMerge":"0","AdjacentShardToMerge":"1"`,
			"UpdateShardCount":              `,"TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"`,
			"UpdateStreamWarmThroughput":    `,"WarmThroughputMiBps":1`,
			"IncreaseStreamRetentionPeriod": `,"RetentionPeriodHours":24`,
			"DecreaseStreamRetentionPeriod": `,"RetentionPeriodHours":24`,
			"EnableEnhancedMonitoring":      `,"ShardLevelMetrics":["ALL"]`,
			"StartStreamEncryption":         `,"EncryptionType":"KMS","KeyId":"alias/a"`,
			"StopStreamEncryption":          `,"EncryptionType":"KMS","KeyId":"alias/a"`,
			"AddTagsToStream":               `,"Tags":{"a":"b"}`,
			"RemoveTagsFromStream":          `,"TagKeys":["a"]`,
		} {
			f.refused(refuse{operation, `{"StreamName":"s"` + more + `}`, "ResourceInUseException", "Stream s under account 123456789012 not ACTIVE, instead in state " + string(status)})
		}
		for operation, more := range map[string]string{
			"UpdateStreamMode":                       `,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}`,
			"UpdateMaxRecordSize":                    `,"MaxRecordSizeInKiB":1024`,
			"UpdateStreamRecordDistributionStrategy": `,"RecordDistributionStrategy":"USER_PARTITION_KEY"`,
		} {
			f.refused(refuse{operation, `{"StreamARN":"` + arnOfS + `"` + more + `}`, "ResourceInUseException", "Stream " + arnOfS + " under account 123456789012 not ACTIVE, instead in state " + string(status)})
		}
	}
}

func TestRetention(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) { o.Declared = func(name string) bool { return name == "filed" } })
	f.create("s", 1)
	f.create("filed", 1)
	f.refused(
		refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"s"}`, "ValidationException", "1 validation error detected: Value null at 'retentionPeriodHours' failed to satisfy constraint: Member must not be null"},
		refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"x","RetentionPeriodHours":25}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":-1}`, "InvalidArgumentException", "Minimum allowed retention period is 24 hours. Requested retention period (-1 hours) is too short."},
		refuse{"DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":23}`, "InvalidArgumentException", "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short."},
		refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":8761}`, "InvalidArgumentException", "Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long."},
		refuse{"DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":25}`, "InvalidArgumentException", "Requested retention period (25 hours) for stream s can not be longer than existing retention period (24 hours). Use IncreaseRetentionPeriod API."},
		refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"filed","RetentionPeriodHours":48}`, "ResourceInUseException", "Stream filed under account 123456789012 is declared in the configuration file of this server, which sets its retention. Change it there."},
	)
	f.answers(
		[3]string{"IncreaseStreamRetentionPeriod", `{"StreamName":"filed","RetentionPeriodHours":24}`, ""},
		[3]string{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":24}`, ""},
		[3]string{"IncreaseStreamRetentionPeriod", `{"StreamARN":"` + arnOfS + `","RetentionPeriodHours":168,"StreamId":"abcdefghijklmnopqrst-123"}`, ""},
	)
	f.refused(refuse{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`, "InvalidArgumentException", "Requested retention period (48 hours) for stream s can not be shorter than existing retention period (168 hours). Use DecreaseRetentionPeriod API."})
	f = f.again()
	if h := *describe(t, f, "s").RetentionPeriodHours; h != 168 {
		t.Errorf("after a restart: %d hours", h)
	}
	f.answers([3]string{"DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":24}`, ""})
	if h := *describe(t, f, "s").RetentionPeriodHours; h != 24 {
		t.Errorf("decreased: %d hours", h)
	}
}

func TestTags(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	tags := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"t%02d":"v"`, from+i)
		}
		return `{` + b.String()[1:] + `}`
	}
	const invalid = "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @."
	f.refused(
		refuse{"AddTagsToStream", `{"StreamName":"s"}`, "ValidationException", "1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must not be null"},
		refuse{"AddTagsToStream", `{"StreamName":"s","Tags":{}}`, "ValidationException", "1 validation error detected: Value '{}' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		refuse{"AddTagsToStream", `{"Tags":{"a":"b"}}`, "InvalidArgumentException", "Either StreamName or StreamARN should be provided."},
		refuse{"AddTagsToStream", `{"StreamName":"x","Tags":{"a":"b"}}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		refuse{"AddTagsToStream", `{"StreamName":"s","Tags":{"a;":"b"}}`, "InvalidArgumentException", invalid},
		refuse{"AddTagsToStream", `{"StreamName":"s","Tags":{"a":"<b>"}}`, "InvalidArgumentException", invalid},
		refuse{"CreateStream", `{"StreamName":"x","ShardCount":1,"Tags":{"a":"<b>"}}`, "InvalidArgumentException", invalid},
		refuse{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a|"]}`, "InvalidArgumentException", invalid},
		refuse{"AddTagsToStream", `{"StreamName":"s","Tags":{"AWS:a":"b"}}`, "InvalidArgumentException", "Failed to add tags to stream s under account 123456789012 because tag keys that begin with aws: are reserved."},
		refuse{"AddTagsToStream", `{"StreamName":"s","Tags":` + tags(0, 51) + `}`, "InvalidArgumentException", "Failed to add tags to stream s under account 123456789012 because a given stream cannot have more than 10 tags associated with it."},
		refuse{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":[]}`, "ValidationException", "1 validation error detected: Value '[]' at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		refuse{"ListTagsForStream", `{"StreamName":"s","Limit":51}`, "ValidationException", "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"},
		refuse{"ListTagsForStream", `{"StreamName":"x"}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		refuse{"ListTagsForResource", `{"ResourceARN":"arn:aws:s3:::b"}`, "ValidationException", `1 validation error detected: Value 'arn:aws:s3:::b' at 'resourceARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+`},
		refuse{"ListTagsForResource", `{"ResourceARN":"arn:aws:kinesis:us-east-1:123456789012:stream/x"}`, "ResourceNotFoundException", "Stream arn:aws:kinesis:us-east-1:123456789012:stream/x under account 123456789012 not found."},
		refuse{"TagResource", `{"ResourceARN":"arn:aws:kinesis:us-east-1:123456789012:stream/$x","Tags":{"a":"b"}}`, "ResourceNotFoundException", "Stream arn:aws:kinesis:us-east-1:123456789012:stream/$x under account 123456789012 not found."},
	)
	f.answers(
		[3]string{"ListTagsForStream", `{"StreamName":"s"}`, `{"Tags":[],"HasMoreTags":false}`},
		[3]string{"AddTagsToStream", `{"StreamName":"s","Tags":{"b":"2","a":"1"}}`, ""},
		[3]string{"TagResource", `{"ResourceARN":"` + arnOfS + `","Tags":{"b":"","team: á/x":"_. = + - % @ :"}}`, ""},
		[3]string{"ListTagsForResource", `{"ResourceARN":"` + arnOfS + `"}`, `{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":""},{"Key":"team: á/x","Value":"_. = + - % @ :"}]}`},
		[3]string{"ListTagsForStream", `{"StreamName":"s","Limit":2}`, `{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":""}],"HasMoreTags":true}`},
		[3]string{"ListTagsForStream", `{"StreamARN":"` + arnOfS + `","ExclusiveStartTagKey":"a","Limit":1}`, `{"Tags":[{"Key":"b","Value":""}],"HasMoreTags":true}`},
		[3]string{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a","never"]}`, ""},
		[3]string{"UntagResource", `{"ResourceARN":"` + arnOfS + `","TagKeys":["team: á/x"]}`, ""},
		[3]string{"AddTagsToStream", `{"StreamName":"s","Tags":` + tags(0, 49) + `}`, ""},
		[3]string{"AddTagsToStream", `{"StreamName":"s","Tags":` + tags(0, 5) + `}`, ""}, // none of them is new
	)
	f.refused(refuse{"TagResource", `{"ResourceARN":"` + arnOfS + `","Tags":{"more":"1"}}`, "InvalidArgumentException", "Failed to add tags to stream " + arnOfS + " under account 123456789012 because a given stream cannot have more than 10 tags associated with it."})
	f = f.again()
	if got := f.ok("ListTagsForStream", `{"StreamName":"s"}`); strings.Count(got, `"Key"`) != 50 || !strings.HasPrefix(got, `{"Tags":[{"Key":"b","Value":""},{"Key":"t00","Value":"v"},`) {
		t.Errorf("after a restart: %s", got)
	}
	// Tags die with their stream.
	f.ok("DeleteStream", `{"StreamName":"s"}`)
	f.create("s", 1)
	f.answers([3]string{"ListTagsForStream", `{"StreamName":"s"}`, `{"Tags":[],"HasMoreTags":false}`})
}

func TestUpdateShardCount(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) { o.ShardLimit = 20 })
	f.create("s", 4)
	f.create("other", 6)
	if _, err := f.client.CreateStream(t.Context(), &sdk.CreateStreamInput{StreamName: aws.String("od"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}); err != nil {
		t.Fatal(err)
	}
	f.refused(
		refuse{"UpdateShardCount", `{"StreamName":"s"}`, "ValidationException", "2 validation errors detected: Value null at 'targetShardCount' failed to satisfy constraint: Member must not be null; Value null at 'scalingType' failed to satisfy constraint: Member must not be null"},
		refuse{"UpdateShardCount", `{"StreamName":"s","TargetShardCount":0,"ScalingType":"X"}`, "ValidationException", "2 validation errors detected: Value '0' at 'targetShardCount' failed to satisfy constraint: Member must have value greater than or equal to 1; Value 'X' at 'scalingType' failed to satisfy constraint: Member must satisfy enum value set: [UNIFORM_SCALING]"},
		refuse{"UpdateShardCount", `{"StreamName":"x","TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
		refuse{"UpdateShardCount", `{"StreamName":"od","TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`, "ValidationException", "Request is invalid. Stream od under account 123456789012 is in On-Demand mode."},
		refuse{"UpdateShardCount", `{"StreamName":"s","TargetShardCount":9,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException", "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: 4 Target shard count: 9"},
		refuse{"UpdateShardCount", `{"StreamName":"s","TargetShardCount":1,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException", "UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: 4 Target shard count: 1"},
		refuse{"UpdateShardCount", `{"StreamName":"other","TargetShardCount":13,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException", "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: 6 Target shard count: 13"},
	)
	f.answers([3]string{
		"UpdateShardCount", `{"StreamARN":"` + arnOfS + `","TargetShardCount":8,"ScalingType":"UNIFORM_SCALING"}`,
		`{"StreamName":"s","CurrentShardCount":4,"TargetShardCount":8,"StreamARN":"` + arnOfS + `"}`,
	})
	f.refused(refuse{
		"UpdateShardCount", `{"StreamName":"other","TargetShardCount":9,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException",
		"This request would exceed the shard limit for the account 123456789012 in us-east-1. Current shard count for the account: 18. Limit: 20. " +
			"Number of additional shards that would have resulted from this request: 3. Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
	})
	openRanges := func() []types.Shard {
		out, err := f.client.ListShards(t.Context(), &sdk.ListShardsInput{StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Shards
	}
	if got := openRanges(); len(got) != 8 {
		t.Errorf("%d shards are open", len(got))
	} else {
		tiles(t, "after the update", got)
	}

	// Ten within 24 hours, counted over a restart.
	for i := range 9 {
		if i == 5 {
			f = f.again()
		}
		f.clock.advance(time.Minute)
		f.ok("UpdateShardCount", fmt.Sprintf(`{"StreamName":"s","TargetShardCount":%d,"ScalingType":"UNIFORM_SCALING"}`, 7+i%2))
	}
	one := `{"StreamName":"s","TargetShardCount":8,"ScalingType":"UNIFORM_SCALING"}`
	f.clock.advance(24*time.Hour - 9*time.Minute - time.Second)
	f.refused(refuse{"UpdateShardCount", one, "LimitExceededException", "UpdateShardCount on stream s under account 123456789012 was used 10 times within the last 24 hours. The limit is 10."})
	f.clock.advance(time.Second)
	f.ok("UpdateShardCount", one)
	f.refused(refuse{"UpdateShardCount", one, "LimitExceededException", "UpdateShardCount on stream s under account 123456789012 was used 10 times within the last 24 hours. The limit is 10."})
	tiles(t, "in the end", openRanges())
}

func TestStreamModes(t *testing.T) {
	f := setup(t)
	f.create("s", 2)
	to := func(mode string) string {
		return `{"StreamARN":"` + arnOfS + `","StreamModeDetails":{"StreamMode":"` + mode + `"}}`
	}
	f.refused(
		refuse{"UpdateStreamMode", `{"StreamARN":"` + arnOfS + `"}`, "ValidationException", "1 validation error detected: Value null at 'streamModeDetails' failed to satisfy constraint: Member must not be null"},
		refuse{"UpdateStreamMode", `{"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`, "ValidationException", "1 validation error detected: Value null at 'streamARN' failed to satisfy constraint: Member must not be null"},
		refuse{"UpdateStreamMode", to("FAST"), "ValidationException", "1 validation error detected: Value 'FAST' at 'streamModeDetails.streamMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]"},
		refuse{"UpdateStreamMode", `{"StreamARN":"` + arnOfS + `x","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`, "ResourceNotFoundException", "Stream " + arnOfS + "x under account 123456789012 not found."},
		refuse{"UpdateStreamMode", `{"StreamARN":"` + arnOfS + `","StreamModeDetails":{"StreamMode":"PROVISIONED"},"WarmThroughputMiBps":2}`, "InvalidArgumentException", "WarmThroughputMiBps is for streams in On-Demand mode, which stream " + arnOfS + " under account 123456789012 is not."},
		refuse{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":2}`, "InvalidArgumentException", "WarmThroughputMiBps is for streams in On-Demand mode, which stream s under account 123456789012 is not."},
		refuse{"UpdateStreamRecordDistributionStrategy", `{"StreamARN":"` + arnOfS + `","RecordDistributionStrategy":"AUTO"}`, "InvalidArgumentException", "The record distribution strategy AUTO is for streams in On-Demand mode, which stream " + arnOfS + " under account 123456789012 is not."},
		refuse{"CreateStream", `{"StreamName":"x","ShardCount":1,"RecordDistributionStrategy":"AUTO"}`, "InvalidArgumentException", "The record distribution strategy AUTO is for streams in On-Demand mode, which stream x under account 123456789012 is not."},
		refuse{"CreateStream", `{"StreamName":"x","ShardCount":1,"WarmThroughputMiBps":4}`, "InvalidArgumentException", "WarmThroughputMiBps is for streams in On-Demand mode, which stream x under account 123456789012 is not."},
	)
	f.answers(
		[3]string{"UpdateStreamMode", to("PROVISIONED"), ""}, // it is
		[3]string{"UpdateStreamMode", to("ON_DEMAND"), ""},
	)
	f.refused(refuse{"SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"5"}`, "ValidationException", "Request is invalid. Stream s under account 123456789012 is in On-Demand mode."})
	f = f.again()
	summary := func() *types.StreamDescriptionSummary {
		out, err := f.client.DescribeStreamSummary(t.Context(), &sdk.DescribeStreamSummaryInput{StreamName: aws.String("s")})
		if err != nil {
			t.Fatal(err)
		}
		return out.StreamDescriptionSummary
	}
	if d := summary(); d.StreamModeDetails.StreamMode != types.StreamModeOnDemand || *d.OpenShardCount != 2 || d.WarmThroughput != nil || d.RecordDistributionStrategy != types.RecordDistributionStrategyUserPartitionKey {
		t.Errorf("on demand: %+v", d)
	}
	f.answers([3]string{
		"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":6}`,
		`{"StreamARN":"` + arnOfS + `","StreamName":"s","WarmThroughput":{"TargetMiBps":6,"CurrentMiBps":6}}`,
	})
	f.refused(
		refuse{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":10241}`, "InvalidArgumentException", "WarmThroughputMiBps 10241 is more than 10240."},
		refuse{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":-1}`, "ValidationException", "1 validation error detected: Value '-1' at 'warmThroughputMiBps' failed to satisfy constraint: Member must have value greater than or equal to 0"},
	)
	if d := summary(); *d.OpenShardCount != 6 || *d.WarmThroughput.TargetMiBps != 6 {
		t.Errorf("warm: %+v", d)
	}
	f.ok("UpdateStreamMode", to("PROVISIONED"))
	if d := summary(); *d.OpenShardCount != 6 || d.WarmThroughput != nil || d.StreamModeDetails.StreamMode != types.StreamModeProvisioned || d.RecordDistributionStrategy != "" {
		t.Errorf("provisioned: %+v", d)
	}
	f.refused(refuse{"UpdateStreamMode", to("ON_DEMAND"), "LimitExceededException", "The mode of stream " + arnOfS + " under account 123456789012 was changed 2 times within the last 24 hours. The limit is 2."})
	f.clock.advance(24 * time.Hour)
	f.ok("UpdateStreamMode", to("ON_DEMAND"))
}

func TestMaxRecordSize(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	f.refused(
		refuse{"UpdateMaxRecordSize", `{"StreamARN":"` + arnOfS + `","MaxRecordSizeInKiB":1023}`, "ValidationException", "1 validation error detected: Value '1023' at 'maxRecordSizeInKiB' failed to satisfy constraint: Member must have value greater than or equal to 1024"},
		refuse{"UpdateMaxRecordSize", `{"StreamARN":"` + arnOfS + `","MaxRecordSizeInKiB":10241}`, "ValidationException", "1 validation error detected: Value '10241' at 'maxRecordSizeInKiB' failed to satisfy constraint: Member must have value less than or equal to 10240"},
		refuse{"UpdateMaxRecordSize", `{"MaxRecordSizeInKiB":2048}`, "InvalidArgumentException", "Either StreamName or StreamARN should be provided."},
		refuse{"UpdateMaxRecordSize", `{"StreamARN":"` + arnOfS + `x","MaxRecordSizeInKiB":2048}`, "ResourceNotFoundException", "Stream " + arnOfS + "x under account 123456789012 not found."},
	)
	put := func(n int) error {
		_, err := f.client.PutRecord(t.Context(), &sdk.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: make([]byte, n)})
		return err
	}
	if err := put(1<<20 + 1); err == nil {
		t.Error("1 MiB and a byte was taken")
	}
	f.answers([3]string{"UpdateMaxRecordSize", `{"StreamARN":"` + arnOfS + `","MaxRecordSizeInKiB":2048}`, ""})
	f = f.again()
	if err := put(2<<20 - 1); err != nil {
		t.Errorf("2 MiB with its key: %v", err)
	}
	err := put(2<<20 + 1)
	if want := "Value at 'data' failed to satisfy constraint: Member must have length less than or equal to 2097152"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("more than 2 MiB: %v", err)
	}
	f.ok("UpdateMaxRecordSize", `{"StreamARN":"`+arnOfS+`","MaxRecordSizeInKiB":1024}`)
	if err := put(1<<20 + 1); err == nil {
		t.Error("back at 1 MiB, a byte more was taken")
	}
}

func TestMonitoring(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	const end = `,"StreamARN":"` + arnOfS + `"}`
	const all = `["IncomingBytes","IncomingRecords","OutgoingBytes","OutgoingRecords","WriteProvisionedThroughputExceeded","ReadProvisionedThroughputExceeded","IteratorAgeMilliseconds"]`
	f.refused(
		refuse{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":[]}`, "ValidationException", "1 validation error detected: Value '[]' at 'shardLevelMetrics' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		refuse{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["Bytes"]}`, "ValidationException", "1 validation error detected: Value '[Bytes]' at 'shardLevelMetrics' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: " +
			"[IncomingBytes, IncomingRecords, OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, IteratorAgeMilliseconds, ALL]]"},
		refuse{"DisableEnhancedMonitoring", `{"StreamName":"x","ShardLevelMetrics":["ALL"]}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
	)
	f.answers(
		[3]string{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["OutgoingBytes","IncomingBytes"]}`, `{"StreamName":"s","CurrentShardLevelMetrics":[],"DesiredShardLevelMetrics":["IncomingBytes","OutgoingBytes"]` + end},
		[3]string{"EnableEnhancedMonitoring", `{"StreamARN":"` + arnOfS + `","ShardLevelMetrics":["ALL"]}`, `{"StreamName":"s","CurrentShardLevelMetrics":["IncomingBytes","OutgoingBytes"],"DesiredShardLevelMetrics":` + all + end},
		[3]string{"DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["IncomingBytes","OutgoingBytes","IncomingRecords","OutgoingRecords","IteratorAgeMilliseconds"]}`, `{"StreamName":"s","CurrentShardLevelMetrics":` + all + `,"DesiredShardLevelMetrics":["WriteProvisionedThroughputExceeded","ReadProvisionedThroughputExceeded"]` + end},
	)
	f = f.again()
	if got := describe(t, f, "s").EnhancedMonitoring; len(got) != 1 || !slices.Equal(got[0].ShardLevelMetrics, []types.MetricsName{types.MetricsNameWriteProvisionedThroughputExceeded, types.MetricsNameReadProvisionedThroughputExceeded}) {
		t.Errorf("after a restart: %+v", got)
	}
	f.answers([3]string{"DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`, `{"StreamName":"s","CurrentShardLevelMetrics":["WriteProvisionedThroughputExceeded","ReadProvisionedThroughputExceeded"],"DesiredShardLevelMetrics":[]` + end})
}

// TestEncryption: puts and reads of the same record agree on how it is
// encrypted, whenever the key was set.
func TestEncryption(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	const key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
	encryption := func(kind, key string) string {
		return `{"StreamName":"s","EncryptionType":"` + kind + `","KeyId":"` + key + `"}`
	}
	f.refused(
		refuse{"StartStreamEncryption", `{"StreamName":"s"}`, "ValidationException", "2 validation errors detected: Value null at 'encryptionType' failed to satisfy constraint: Member must not be null; Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		refuse{"StartStreamEncryption", encryption("AES", "alias/aws/kinesis"), "ValidationException", "1 validation error detected: Value 'AES' at 'encryptionType' failed to satisfy constraint: Member must satisfy enum value set: [NONE, KMS]"},
		refuse{"StartStreamEncryption", encryption("NONE", "alias/aws/kinesis"), "InvalidArgumentException", "EncryptionType NONE is not valid for stream s under account 123456789012. The only valid value is KMS."},
		refuse{"StartStreamEncryption", encryption("KMS", "a key"), "KMSNotFoundException", "Invalid keyId a key"},
		refuse{"StopStreamEncryption", `{"StreamName":"x","EncryptionType":"KMS","KeyId":"alias/a"}`, "ResourceNotFoundException", "Stream x under account 123456789012 not found."},
	)
	ctx, name := t.Context(), aws.String("s")
	var want []types.EncryptionType
	put := func(kind types.EncryptionType) {
		t.Helper()
		f.clock.advance(time.Second)
		one, err := f.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("a")})
		if err != nil || one.EncryptionType != kind {
			t.Errorf("PutRecord: %+v, %v, want %q", one, err, kind)
		}
		more, err := f.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte("b")}}})
		if err != nil || more.EncryptionType != kind {
			t.Errorf("PutRecords: %+v, %v, want %q", more, err, kind)
		}
		want = append(want, kind, kind)
		f.clock.advance(time.Second)
	}
	put("")
	f.ok("StartStreamEncryption", encryption("KMS", "alias/aws/kinesis"))
	put("KMS")
	f.ok("StartStreamEncryption", encryption("KMS", key))
	f = f.again()
	if d := describe(t, f, "s"); d.EncryptionType != types.EncryptionTypeKms || *d.KeyId != key {
		t.Errorf("after a restart: %s %v", d.EncryptionType, d.KeyId)
	}
	put("KMS")
	f.ok("StopStreamEncryption", encryption("KMS", key))
	f.ok("StopStreamEncryption", encryption("KMS", key)) // it is not on
	put("")
	if d := describe(t, f, "s"); d.EncryptionType != types.EncryptionTypeNone || d.KeyId != nil {
		t.Errorf("stopped: %s %v", d.EncryptionType, d.KeyId)
	}
	f.ok("StartStreamEncryption", encryption("KMS", "12345678-1234-1234-1234-123456789012"))
	put("KMS")
	page := f.get(f.iterator(sdk.GetShardIteratorInput{StreamName: name, ShardId: aws.String("0"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}), 0)
	var got []types.EncryptionType
	for _, r := range page.Records {
		got = append(got, r.EncryptionType)
	}
	if !slices.Equal(got, want) {
		t.Errorf("records: %q, want %q", got, want)
	}
	// Three keys were set so far.
	for i := range 22 {
		f.ok("StartStreamEncryption", encryption("KMS", fmt.Sprintf("alias/k%d", i)))
	}
	f.refused(refuse{"StartStreamEncryption", encryption("KMS", "alias/more"), "LimitExceededException", "The key of stream s under account 123456789012 was set 25 times within the last 24 hours. The limit is 25."})
}

func TestResourcePolicies(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	on := func(more string) string { return `{"ResourceARN":"` + arnOfS + `"` + more + `}` }
	const policy = `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kinesis:PutRecord\",\"Resource\":\"*\"}]}`
	f.refused(
		refuse{"PutResourcePolicy", `{}`, "ValidationException", "2 validation errors detected: Value null at 'policy' failed to satisfy constraint: Member must not be null; Value null at 'resourceARN' failed to satisfy constraint: Member must not be null"},
		refuse{"PutResourcePolicy", on(`,"Policy":"x"`), "InvalidArgumentException", "The policy is not a JSON object: invalid character 'x' looking for beginning of value."},
		refuse{"PutResourcePolicy", on(`,"Policy":"{}"`), "InvalidArgumentException", "The policy has no Statement, which is an object or a list of objects."},
		refuse{"PutResourcePolicy", on(`,"Policy":"{\"Statement\":[{\"Effect\":\"Maybe\"}]}"`), "InvalidArgumentException", "The Effect of statement 1 of the policy is neither Allow nor Deny."},
		refuse{"PutResourcePolicy", on(`,"Policy":"` + strings.Repeat(" ", 20<<10+1) + `"`), "InvalidArgumentException", "The policy has 20481 bytes, more than 20480."},
		refuse{"PutResourcePolicy", `{"ResourceARN":"` + arnOfS + `x","Policy":"` + policy + `"}`, "ResourceNotFoundException", "Stream " + arnOfS + "x under account 123456789012 not found."},
		refuse{"GetResourcePolicy", `{"ResourceARN":"` + arnOfS + `x"}`, "ResourceNotFoundException", "Stream " + arnOfS + "x under account 123456789012 not found."},
		refuse{"DeleteResourcePolicy", on(""), "ResourceNotFoundException", "No resource policy found for resource ARN " + arnOfS + "."},
	)
	f.answers(
		[3]string{"GetResourcePolicy", on(""), `{"Policy":"{}"}`},
		[3]string{"PutResourcePolicy", on(`,"Policy":"` + policy + `"`), ""},
	)
	f = f.again()
	f.answers(
		[3]string{"GetResourcePolicy", on(""), `{"Policy":"` + policy + `"}`},
		[3]string{"DeleteResourcePolicy", on(""), ""},
		[3]string{"GetResourcePolicy", on(""), `{"Policy":"{}"}`},
	)
}

// TestChangesAtOnce: changes of the same stream by many clients are all kept.
func TestChangesAtOnce(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			status, got := f.raw("AddTagsToStream", jsonType, fmt.Sprintf(`{"StreamName":"s","Tags":{"t%02d":"v"}}`, i))
			if status != 200 {
				t.Errorf("%d: %d %s", i, status, got)
			}
		})
		wg.Go(func() {
			name := []string{"IncomingBytes", "OutgoingBytes", "IncomingRecords", "OutgoingRecords"}[i%4]
			status, got := f.raw("EnableEnhancedMonitoring", jsonType, `{"StreamName":"s","ShardLevelMetrics":["`+name+`"]}`)
			if status != 200 {
				t.Errorf("%s: %d %s", name, status, got)
			}
			f.raw("PutRecord", jsonType, `{"StreamName":"s","PartitionKey":"k","Data":""}`)
		})
	}
	wg.Wait()
	f = f.again()
	if got := f.ok("ListTagsForStream", `{"StreamName":"s"}`); strings.Count(got, `"Key"`) != 16 {
		t.Errorf("tags: %s", got)
	}
	if got := describe(t, f, "s").EnhancedMonitoring[0].ShardLevelMetrics; len(got) != 4 {
		t.Errorf("metrics: %q", got)
	}
}

// TestLabelsOfConsumers: tags and policies of consumers are like those of
// streams, and apart from them.
func TestLabelsOfConsumers(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	got := f.ok("RegisterStreamConsumer", `{"StreamARN":"`+arnOfS+`","ConsumerName":"c","Tags":{"a":"1"}}`)
	_, rest, _ := strings.Cut(got, `"ConsumerARN":"`)
	arn, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal(got)
	}
	on := func(more string) string { return `{"ResourceARN":"` + arn + `"` + more + `}` }
	const policy = `{\"Statement\":{\"Effect\":\"Deny\"}}`
	f.refused(
		refuse{"TagResource", on(`,"Tags":{"a":"|"}`), "InvalidArgumentException", "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @."},
		refuse{"RegisterStreamConsumer", `{"StreamARN":"` + arnOfS + `","ConsumerName":"d","Tags":{"a":"|"}}`, "InvalidArgumentException", "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @."},
		refuse{"ListTagsForResource", `{"ResourceARN":"` + arnOfS + `/consumer/d:1"}`, "ResourceNotFoundException", "Consumer " + arnOfS + "/consumer/d:1, account 123456789012 not found."},
		refuse{"TagResource", `{"ResourceARN":"` + arn + `0","Tags":{"a":"b"}}`, "ResourceNotFoundException", "Consumer " + arn + "0, account 123456789012 not found."},
		refuse{"GetResourcePolicy", `{"ResourceARN":"` + arnOfS + `/consumer/"}`, "ResourceNotFoundException", "Consumer " + arnOfS + "/consumer/, account 123456789012 not found."},
	)
	f.answers(
		[3]string{"TagResource", on(`,"Tags":{"b":"2"}`), ""},
		[3]string{"PutResourcePolicy", on(`,"Policy":"` + policy + `"`), ""},
	)
	f = f.again()
	f.answers(
		[3]string{"ListTagsForResource", on(""), `{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]}`},
		[3]string{"ListTagsForResource", `{"ResourceARN":"` + arnOfS + `"}`, `{"Tags":[]}`},
		[3]string{"UntagResource", on(`,"TagKeys":["a"]`), ""},
		[3]string{"ListTagsForResource", on(""), `{"Tags":[{"Key":"b","Value":"2"}]}`},
		[3]string{"GetResourcePolicy", on(""), `{"Policy":"` + policy + `"}`},
		[3]string{"GetResourcePolicy", `{"ResourceARN":"` + arnOfS + `"}`, `{"Policy":"{}"}`},
		[3]string{"DeleteResourcePolicy", on(""), ""},
	)
	f.refused(refuse{"DeleteResourcePolicy", on(""), "ResourceNotFoundException", "No resource policy found for resource ARN " + arn + "."})
}

func TestLimitsOfTheAccount(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) { o.ShardLimit = 12 })
	f.create("s", 2)
	onDemand := func(name string) string {
		return `{"StreamName":"` + name + `","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`
	}
	f.ok("CreateStream", onDemand("a"))
	f.answers([3]string{"DescribeLimits", `{}`, `{"ShardLimit":12,"OpenShardCount":6,"OnDemandStreamCount":1,"OnDemandStreamCountLimit":3}`})
	f.ok("CreateStream", onDemand("b"))
	f.create("t", 1)
	for _, name := range []string{"s", "t"} {
		status, got := f.raw("UpdateStreamMode", jsonType, `{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/`+name+`","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
		if want := answer("LimitExceededException", "This request would exceed the limit of streams in On-Demand mode for the account 123456789012 in us-east-1. Current count: 3. Limit: 3."); name == "s" && status != 200 || name == "t" && got != want {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
}

// TestCommitment follows the billing commitment of the account, which lasts a
// day at least.
func TestCommitment(t *testing.T) {
	f := setup(t)
	started := f.clock.now()
	settings := func(status, more string) string {
		return `{"MinimumThroughputBillingCommitment":{"Status":"` + status + `"` + more + `}}`
	}
	at := func(t time.Time) string {
		return fmt.Sprintf("%d.25", t.Unix())
	}
	begun := `,"StartedAt":` + at(started)
	running := begun + `,"EarliestAllowedEndAt":` + at(started.Add(24*time.Hour))
	f.refused(refuse{"UpdateAccountSettings", settings("X", ""), "ValidationException", "1 validation error detected: Value 'X' at 'minimumThroughputBillingCommitment.status' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]"})
	f.answers(
		[3]string{"DescribeAccountSettings", `{}`, settings("DISABLED", "")},
		[3]string{"UpdateAccountSettings", settings("DISABLED", ""), settings("DISABLED", "")},
		[3]string{"UpdateAccountSettings", settings("ENABLED", ""), settings("ENABLED", running)},
	)
	f = f.again()
	f.clock.advance(time.Hour)
	f.answers(
		[3]string{"DescribeAccountSettings", `{}`, settings("ENABLED", running)},
		[3]string{"UpdateAccountSettings", settings("DISABLED", ""), settings("ENABLED_UNTIL_EARLIEST_ALLOWED_END", running)},
		[3]string{"UpdateAccountSettings", settings("ENABLED", ""), settings("ENABLED", running)},
		[3]string{"UpdateAccountSettings", settings("DISABLED", ""), settings("ENABLED_UNTIL_EARLIEST_ALLOWED_END", running)},
	)
	f.clock.advance(23 * time.Hour)
	f.answers([3]string{"DescribeAccountSettings", `{}`, settings("DISABLED", begun+`,"EndedAt":`+at(started.Add(24*time.Hour)))})
}
