package kinesis

import "github.com/firehosed/firehosed/api/wire"

// recordOperations are those on records.
func (s *Service) recordOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "PutRecord", Handle: s.putRecord, Input: input(
			wire.Optional("SequenceNumberForOrdering", wire.String().Match(sequencePattern)),
			wire.Conditional("PartitionKey", partitionKey()),
			wire.Optional("ExplicitHashKey", hashKey()),
			wire.Required("Data", data()),
			wire.Optional("DryRun", wire.Boolean()),
		)},
		{Name: "PutRecords", Handle: s.putRecords, Input: input(
			wire.Required("Records", wire.List(wire.Structure( // in the order of recordKey and so on
				wire.Conditional("PartitionKey", partitionKey()),
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
			streamID(),
			wire.Optional("DryRun", wire.Boolean()),
		)},
	}
}
