package kinesis

import "github.com/firehosed/firehosed/api/wire"

// controlOperations are those on the settings of streams.
func (s *Service) controlOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "UpdateShardCount", Handle: s.updateShardCount, Input: input(
			wire.Required("TargetShardCount", wire.Integer().AtLeast(1)),
			wire.Required("ScalingType", wire.Enum("UNIFORM_SCALING")),
		)},
		{Name: "UpdateStreamMode", Handle: s.updateStreamMode, Input: byARN(
			wire.Required("StreamModeDetails", modeDetails()),
			wire.Optional("WarmThroughputMiBps", wire.Integer().AtLeast(0)),
		)},
		{Name: "UpdateStreamWarmThroughput", Handle: s.updateStreamWarmThroughput, Input: input(
			wire.Required("WarmThroughputMiBps", wire.Integer().AtLeast(0)),
		)},
		{Name: "UpdateStreamRecordDistributionStrategy", Handle: s.updateStreamRecordDistributionStrategy, Input: byARN(
			wire.Required("RecordDistributionStrategy", distribution()),
		)},
		{Name: "UpdateMaxRecordSize", Handle: s.updateMaxRecordSize, Input: wire.Structure(
			wire.Required("MaxRecordSizeInKiB", recordKiB()),
			wire.Optional("StreamARN", streamARN()),
			streamID(),
		)},
		{Name: "IncreaseStreamRetentionPeriod", Handle: s.increaseStreamRetentionPeriod, Input: input(
			wire.Required("RetentionPeriodHours", wire.Integer()),
		)},
		{Name: "DecreaseStreamRetentionPeriod", Handle: s.decreaseStreamRetentionPeriod, Input: input(
			wire.Required("RetentionPeriodHours", wire.Integer()),
		)},
		{Name: "EnableEnhancedMonitoring", Handle: s.enableEnhancedMonitoring, Input: input(
			wire.Required("ShardLevelMetrics", shardLevelMetrics()),
		)},
		{Name: "DisableEnhancedMonitoring", Handle: s.disableEnhancedMonitoring, Input: input(
			wire.Required("ShardLevelMetrics", shardLevelMetrics()),
		)},
		{Name: "StartStreamEncryption", Handle: s.startStreamEncryption, Input: input(
			wire.Required("EncryptionType", wire.Enum("NONE", "KMS")),
			wire.Required("KeyId", wire.String().Between(1, 2048)),
		)},
		{Name: "StopStreamEncryption", Handle: s.stopStreamEncryption, Input: input(
			wire.Required("EncryptionType", wire.Enum("NONE", "KMS")),
			wire.Required("KeyId", wire.String().Between(1, 2048)),
		)},
	}
}

// labelOperations are those on tags and policies of streams and consumers.
func (s *Service) labelOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "AddTagsToStream", Handle: s.addTagsToStream, Input: input(
			wire.Required("Tags", tagMap()),
		)},
		{Name: "RemoveTagsFromStream", Handle: s.removeTagsFromStream, Input: input(
			wire.Required("TagKeys", tagKeys()),
		)},
		{Name: "ListTagsForStream", Handle: s.listTagsForStream, Input: input(
			wire.Optional("Limit", wire.Integer().Between(1, maxTags)),
			wire.Optional("ExclusiveStartTagKey", tagKey()),
		)},
		{Name: "TagResource", Handle: s.tagResource, Input: byResource(wire.Required("Tags", tagMap()))},
		{Name: "UntagResource", Handle: s.untagResource, Input: byResource(wire.Required("TagKeys", tagKeys()))},
		{Name: "ListTagsForResource", Handle: s.listTagsForResource, Input: byResource()},
		{Name: "PutResourcePolicy", Handle: s.putResourcePolicy, Input: byResource(wire.Required("Policy", wire.String()))},
		{Name: "GetResourcePolicy", Handle: s.getResourcePolicy, Input: byResource()},
		{Name: "DeleteResourcePolicy", Handle: s.deleteResourcePolicy, Input: byResource()},
	}
}

// accountOperations are those on the account, and on channels, which it does
// not have.
func (s *Service) accountOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "DescribeLimits", Handle: s.describeLimits, Input: wire.Structure()},
		{Name: "DescribeAccountSettings", Handle: s.describeAccountSettings, Input: wire.Structure()},
		{Name: "UpdateAccountSettings", Handle: s.updateAccountSettings, Input: wire.Structure(
			wire.Required("MinimumThroughputBillingCommitment", wire.Structure(
				wire.Required("Status", wire.Enum("ENABLED", "DISABLED")),
			)),
		)},
		{Name: "CreateChannel", Handle: s.noChannels, Input: wire.Structure(
			wire.Required("ChannelName", wire.String()),
			wire.Required("ServiceExecutionRoleARN", wire.String()),
			wire.Required("StreamConfigurationList", wire.List(wire.Structure())),
			wire.Optional("S3DestinationConfiguration", wire.Structure()),
			wire.Optional("S3TablesDestinationConfiguration", wire.Structure()),
			wire.Optional("EncryptionConfiguration", wire.Structure()),
			wire.Optional("Tags", tagMap()),
			wire.Optional("LoggingConfiguration", wire.Structure()),
		)},
		{Name: "UpdateChannel", Handle: s.noChannels, Input: wire.Structure(
			wire.Required("ChannelARN", wire.String()),
			wire.Optional("S3DestinationConfiguration", wire.Structure()),
			wire.Optional("S3TablesDestinationConfiguration", wire.Structure()),
			wire.Optional("LoggingConfiguration", wire.Structure()),
		)},
		{Name: "DeleteChannel", Handle: s.noChannels, Input: wire.Structure(wire.Required("ChannelARN", wire.String()))},
		{Name: "DescribeChannel", Handle: s.noChannels, Input: wire.Structure(wire.Required("ChannelARN", wire.String()))},
		{Name: "ListChannels", Handle: s.listChannels, Input: wire.Structure(
			wire.Optional("StreamFilter", wire.List(wire.Structure(
				wire.Required("StreamARN", streamARN()),
				wire.Optional("StreamCreationTimestamp", wire.Timestamp()),
			))),
			wire.Optional("MaxResults", wire.Integer().Between(1, 10_000)),
			wire.Optional("NextToken", nextToken()),
		)},
	}
}

// byARN returns the structure of an operation that takes a stream by its ARN
// only.
func byARN(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own,
		wire.Required("StreamARN", streamARN()),
		streamID(),
	)...)
}

// byResource returns the structure of an operation on a stream or a consumer.
func byResource(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own,
		wire.Required("ResourceARN", wire.String().Match(resourceARNPattern).Between(1, 2048)),
		streamID(),
	)...)
}

var resourceARNPattern = wire.Regexp(`arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+`)

func tagKey() *wire.Shape    { return wire.String().Between(1, 128) }
func tagKeys() *wire.Shape   { return wire.List(tagKey()).Between(1, 50) }
func tagMap() *wire.Shape    { return wire.Map(tagKey(), wire.String().Between(0, 256)).Between(1, 200) }
func recordKiB() *wire.Shape { return wire.Integer().Between(1024, 10240) }

func modeDetails() *wire.Shape {
	return wire.Structure(wire.Required("StreamMode", wire.Enum("PROVISIONED", "ON_DEMAND")))
}
func distribution() *wire.Shape { return wire.Enum("AUTO", "USER_PARTITION_KEY") }

func shardLevelMetrics() *wire.Shape {
	return wire.List(wire.Enum(append(metricNames[:len(metricNames):len(metricNames)], allMetrics)...)).Between(1, 7)
}
