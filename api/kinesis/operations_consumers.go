package kinesis

import "github.com/firehosed/firehosed/api/wire"

func consumerName() *wire.Shape { return wire.String().Match(namePattern).Between(1, 128) }

func consumerARN() *wire.Shape {
	return wire.String().Match(consumerARNPattern).Between(1, 2048)
}

var consumerARNPattern = wire.Regexp(
	`^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`)

// consumerOperations are those on consumers of streams.
func (s *Service) consumerOperations() []wire.Operation {
	// A consumer is named by its ARN, by its stream and name, or by all three.
	named := wire.Structure(
		wire.Optional("StreamARN", streamARN()),
		wire.Optional("ConsumerName", consumerName()),
		wire.Optional("ConsumerARN", consumerARN()),
		streamID(),
	)
	return []wire.Operation{
		{Name: "RegisterStreamConsumer", Handle: s.registerStreamConsumer, Input: wire.Structure(
			wire.Required("StreamARN", streamARN()),
			streamID(),
			wire.Required("ConsumerName", consumerName()),
			wire.Optional("Tags", tagMap()),
		)},
		{Name: "DeregisterStreamConsumer", Handle: s.deregisterStreamConsumer, Input: named},
		{Name: "DescribeStreamConsumer", Handle: s.describeStreamConsumer, Input: named},
		{Name: "ListStreamConsumers", Handle: s.listStreamConsumers, Input: wire.Structure(
			wire.Required("StreamARN", streamARN()),
			streamID(),
			wire.Optional("NextToken", nextToken()),
			wire.Optional("MaxResults", wire.Integer().Between(1, 10_000)),
			wire.Optional("StreamCreationTimestamp", wire.Timestamp()),
		)},
		{Name: "SubscribeToShard", Stream: s.subscribeToShard, Input: wire.Structure(
			wire.Required("ConsumerARN", consumerARN()),
			streamID(),
			wire.Required("ShardId", shardID()),
			wire.Required("StartingPosition", wire.Structure(
				wire.Required("Type", wire.Enum(
					"AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")),
				wire.Optional("SequenceNumber", wire.String().Match(sequencePattern)),
				wire.Optional("Timestamp", wire.Timestamp()),
			)),
			wire.Optional("DryRun", wire.Boolean()),
		)},
	}
}
