package kinesis

import (
	"github.com/firehosed/firehosed/api/wire"
)

// Limits of the API.
const (
	maxBlobBytes       = 10 << 20 // of one record, for any stream
	defaultRecordBytes = 1 << 20  // of one record, unless the stream says more
	maxPutRecords      = 500
	maxPutBytes        = 10 << 20 // of one PutRecords, keys included
	maxGetRecords      = 10_000
	maxGetBytes        = 10 << 20 // of one GetRecords
	maxPageDescribe    = 100      // shards of a DescribeStream, names of a ListStreams
	maxPageShards      = 1000     // shards of a ListShards
	onDemandShards     = 4
)

var (
	namePattern = wire.PatternFunc(`[a-zA-Z0-9_.-]+`, func(b []byte) bool {
		for _, c := range b {
			if !(c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '.' || c == '-') {
				return false
			}
		}
		return len(b) > 0
	})
	sequencePattern = wire.PatternFunc(`0|([1-9]\d{0,128})`, func(b []byte) bool { return isDecimal(b, 129) })
	hashKeyPattern  = wire.PatternFunc(`0|([1-9]\d{0,38})`, func(b []byte) bool { return isDecimal(b, 39) })
)

// isDecimal reports whether b is a number without leading zeros of at most
// digits digits.
func isDecimal(b []byte, digits int) bool {
	if len(b) == 0 || len(b) > digits || b[0] == '0' && len(b) > 1 {
		return false
	}
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// shapes of values that several operations take.
func streamName() *wire.Shape   { return wire.String().Match(namePattern).Between(1, 128) }
func shardID() *wire.Shape      { return wire.String().Match(namePattern).Between(1, 128) }
func nextToken() *wire.Shape    { return wire.String().Between(1, 1<<20) }
func hashKey() *wire.Shape      { return wire.String().Match(hashKeyPattern) }
func partitionKey() *wire.Shape { return wire.String().Between(1, 256) }
func data() *wire.Shape         { return wire.Blob().AtMost(maxBlobBytes) }
func mode() *wire.Shape         { return wire.Enum("PROVISIONED", "ON_DEMAND") }

func streamARN() *wire.Shape {
	return wire.String().Match(streamARNPattern).Between(1, 2048)
}

var (
	streamARNPattern = wire.Regexp(`arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	streamIDPattern  = wire.Regexp(`[a-z0-9]{20}-[a-z0-9]{3}`)
)

// input returns the structure of an operation on one stream: its own members,
// and the ways to name the stream.
func input(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own,
		wire.Optional("StreamName", streamName()),
		wire.Optional("StreamARN", streamARN()),
		// Reserved by the service; no client sets it.
		wire.Optional("StreamId", wire.String().Match(streamIDPattern).Between(1, 24)),
	)...)
}

// Wire returns the table of operations.
func (s *Service) Wire() wire.Service {
	return wire.Service{
		Target:      "Kinesis_20131202",
		SigningName: "kinesis",
		CBOR:        true,
		Operations: []wire.Operation{
			{Name: "CreateStream", Handle: s.createStream, Input: wire.Structure(
				wire.Optional("ShardCount", wire.Integer().AtLeast(1)),
				wire.Required("StreamName", streamName()),
				wire.Optional("StreamModeDetails", wire.Structure(wire.Required("StreamMode", mode()))),
				wire.Optional("Tags", wire.Map(wire.String().Between(1, 128), wire.String().Between(0, 256)).Between(1, 200)),
				wire.Optional("WarmThroughputMiBps", wire.Integer().AtLeast(0)),
				wire.Optional("MaxRecordSizeInKiB", wire.Integer().Between(1024, 10240)),
			)},
			{Name: "DeleteStream", Handle: s.deleteStream, Input: input(
				wire.Optional("EnforceConsumerDeletion", wire.Boolean()),
			)},
			{Name: "DescribeStream", Handle: s.describeStream, Input: input(
				wire.Optional("Limit", wire.Integer().Between(1, 10_000)),
				wire.Optional("ExclusiveStartShardId", shardID()),
			)},
			{Name: "DescribeStreamSummary", Handle: s.describeStreamSummary, Input: input()},
			{Name: "ListStreams", Handle: s.listStreams, Input: wire.Structure(
				wire.Optional("Limit", wire.Integer().Between(1, 10_000)),
				wire.Optional("ExclusiveStartStreamName", streamName()),
				wire.Optional("NextToken", nextToken()),
			)},
			{Name: "ListShards", Handle: s.listShards, Input: input(
				wire.Optional("NextToken", nextToken()),
				wire.Optional("ExclusiveStartShardId", shardID()),
				wire.Optional("MaxResults", wire.Integer().Between(1, 10_000)),
				wire.Optional("StreamCreationTimestamp", wire.Timestamp()),
				wire.Optional("ShardFilter", wire.Structure(
					wire.Required("Type", wire.Enum(filterTypes[:]...)),
					wire.Optional("ShardId", shardID()),
					wire.Optional("Timestamp", wire.Timestamp()),
				)),
			)},
			{Name: "SplitShard", Handle: s.splitShard, Input: input(
				wire.Required("NewStartingHashKey", hashKey()),
				wire.Required("ShardToSplit", shardID()),
			)},
			{Name: "MergeShards", Handle: s.mergeShards, Input: input(
				wire.Required("ShardToMerge", shardID()),
				wire.Required("AdjacentShardToMerge", shardID()),
			)},
			{Name: "PutRecord", Handle: s.putRecord, Input: input(
				wire.Optional("SequenceNumberForOrdering", wire.String().Match(sequencePattern)),
				wire.Required("PartitionKey", partitionKey()),
				wire.Optional("ExplicitHashKey", hashKey()),
				wire.Required("Data", data()),
				wire.Optional("DryRun", wire.Boolean()),
			)},
			{Name: "PutRecords", Handle: s.putRecords, Input: input(
				wire.Required("Records", wire.List(wire.Structure(
					wire.Required("PartitionKey", partitionKey()),
					wire.Optional("ExplicitHashKey", hashKey()),
					wire.Required("Data", data()),
				)).Between(1, maxPutRecords)),
				wire.Optional("DryRun", wire.Boolean()),
			)},
			{Name: "GetShardIterator", Handle: s.getShardIterator, Input: input(
				wire.Required("ShardId", shardID()),
				wire.Required("ShardIteratorType", wire.Enum(
					"AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")),
				wire.Optional("StartingSequenceNumber", wire.String().Match(sequencePattern)),
				wire.Optional("Timestamp", wire.Timestamp()),
				wire.Optional("DryRun", wire.Boolean()),
			)},
			{Name: "GetRecords", Handle: s.getRecords, Input: wire.Structure(
				wire.Required("ShardIterator", wire.String().Between(1, 512)),
				wire.Optional("Limit", wire.Integer().Between(1, maxGetRecords)),
				wire.Optional("StreamARN", streamARN()),
				wire.Optional("StreamId", wire.String().Match(streamIDPattern).Between(1, 24)),
				wire.Optional("DryRun", wire.Boolean()),
			)},
		},
	}
}
