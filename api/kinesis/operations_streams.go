package kinesis

import "github.com/firehosed/firehosed/api/wire"

// streamOperations are those on streams and their shards.
func (s *Service) streamOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "CreateStream", Handle: s.createStream, Input: wire.Structure(
			wire.Optional("ShardCount", wire.Integer().AtLeast(1)),
			wire.Required("StreamName", streamName()),
			wire.Optional("StreamModeDetails", modeDetails()),
			wire.Optional("Tags", tagMap()),
			wire.Optional("WarmThroughputMiBps", wire.Integer().AtLeast(0)),
			wire.Optional("MaxRecordSizeInKiB", recordKiB()),
			wire.Optional("RecordDistributionStrategy", distribution()),
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
	}
}
