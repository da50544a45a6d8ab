package firehose

import (
	"github.com/firehosed/firehosed/api/wire"
)

// Limits of the API.
const (
	maxRecordBytes  = 1_024_000 // 1,000 KiB
	maxBatchRecords = 500
	maxBatchBytes   = 4 << 20
	defaultListing  = 10
)

func deliveryStreamName() *wire.Shape {
	return wire.String().Match(namePattern).Between(1, 64)
}

var (
	namePattern      = wire.Regexp(`[a-zA-Z0-9_.-]+`)
	rolePattern      = wire.Regexp(`arn:.*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+`)
	bucketPattern    = wire.Regexp(`arn:.*:s3:::[\w\.\-]{1,255}`)
	streamPattern    = wire.Regexp(`arn:.*:kinesis:[a-zA-Z0-9\-]+:\d{12}:stream/[a-zA-Z0-9_.-]+`)
	extensionPattern = wire.Regexp(`^$|\.[0-9a-z!\-_.*'()]+`)
	zonePattern      = wire.Regexp(`^$|[a-zA-Z/_]+`)
	urlPattern       = wire.Regexp(`https?://.*`)
)

// Names of the members that hold a destination, all that clients know.
const (
	memberS3         = "S3DestinationConfiguration"
	memberExtendedS3 = "ExtendedS3DestinationConfiguration"
	memberHTTP       = "HttpEndpointDestinationConfiguration"
)

var otherDestinations = [...]string{
	"RedshiftDestinationConfiguration",
	"ElasticsearchDestinationConfiguration",
	"AmazonopensearchserviceDestinationConfiguration",
	"AmazonOpenSearchServerlessDestinationConfiguration",
	"SplunkDestinationConfiguration",
	"SnowflakeDestinationConfiguration",
	"IcebergDestinationConfiguration",
}

func roleARN() *wire.Shape { return wire.String().Match(rolePattern).Between(1, 512) }

func bufferingHints(maxSize int64) *wire.Shape {
	return wire.Structure(
		wire.Optional("SizeInMBs", wire.Integer().Between(1, maxSize)),
		wire.Optional("IntervalInSeconds", wire.Integer().Between(0, 900)),
	)
}

func loggingOptions() *wire.Shape {
	return wire.Structure(
		wire.Optional("Enabled", wire.Boolean()),
		wire.Optional("LogGroupName", wire.String().Between(0, 512)),
		wire.Optional("LogStreamName", wire.String().Between(0, 512)),
	)
}

// s3Members are the members of every place in S3.
func s3Members() []wire.Member {
	return []wire.Member{
		wire.Required("RoleARN", roleARN()),
		wire.Required("BucketARN", wire.String().Match(bucketPattern).Between(1, 2048)),
		wire.Optional("Prefix", wire.String().Between(0, 1024)),
		wire.Optional("ErrorOutputPrefix", wire.String().Between(0, 1024)),
		wire.Optional("BufferingHints", bufferingHints(128)),
		wire.Optional("CompressionFormat", wire.Enum(Zip, HadoopSnappy, Snappy, Gzip, Uncompressed)),
		wire.Optional("EncryptionConfiguration", wire.Structure(
			wire.Optional("NoEncryptionConfig", wire.Enum("NoEncryption")),
			wire.Optional("KMSEncryptionConfig", wire.Structure(
				wire.Required("AWSKMSKeyARN", wire.String().Between(1, 512)),
			)),
		)),
		wire.Optional("CloudWatchLoggingOptions", loggingOptions()),
	}
}

func processingConfiguration() *wire.Shape {
	return wire.Structure(
		wire.Optional("Enabled", wire.Boolean()),
		wire.Optional("Processors", wire.List(wire.Structure(
			wire.Required("Type", wire.Enum("RecordDeAggregation", "Decompression", "CloudWatchLogProcessing",
				"Lambda", "MetadataExtraction", "AppendDelimiterToRecord")),
			wire.Optional("Parameters", wire.List(wire.Structure(
				wire.Required("ParameterName", wire.Enum("LambdaArn", "NumberOfRetries", "MetadataExtractionQuery", "JsonParsingEngine",
					"RoleArn", "BufferSizeInMBs", "BufferIntervalInSeconds", "SubRecordType", "Delimiter",
					"CompressionFormat", "DataMessageExtraction")),
				wire.Required("ParameterValue", wire.String().Between(1, 5120)),
			)).AtMost(64)),
		)).AtMost(64)),
	)
}

func extendedS3() *wire.Shape {
	return wire.Structure(append(s3Members(),
		wire.Optional("ProcessingConfiguration", processingConfiguration()),
		wire.Optional("S3BackupMode", wire.Enum("Disabled", "Enabled")),
		wire.Optional("S3BackupConfiguration", wire.Structure(s3Members()...)),
		wire.Optional("DataFormatConversionConfiguration", wire.Structure(wire.Optional("Enabled", wire.Boolean()))),
		wire.Optional("DynamicPartitioningConfiguration", wire.Structure(wire.Optional("Enabled", wire.Boolean()))),
		wire.Optional("FileExtension", wire.String().Match(extensionPattern).Between(0, 128)),
		wire.Optional("CustomTimeZone", wire.String().Match(zonePattern).Between(0, 50)),
	)...)
}

func httpEndpoint() *wire.Shape {
	return wire.Structure(
		wire.Required("EndpointConfiguration", wire.Structure(
			wire.Required("Url", wire.String().Match(urlPattern).Between(1, 1000)),
			wire.Optional("Name", wire.String().Between(1, 256)),
			wire.Optional("AccessKey", wire.String().Between(0, 4096)),
		)),
		wire.Optional("BufferingHints", bufferingHints(64)),
		wire.Optional("CloudWatchLoggingOptions", loggingOptions()),
		wire.Optional("RequestConfiguration", wire.Structure(
			wire.Optional("ContentEncoding", wire.Enum("NONE", "GZIP")),
			wire.Optional("CommonAttributes", wire.List(wire.Structure(
				wire.Required("AttributeName", wire.String().Between(1, 256)),
				wire.Required("AttributeValue", wire.String().Between(0, 1024)),
			)).Between(0, 50)),
		)),
		wire.Optional("ProcessingConfiguration", processingConfiguration()),
		wire.Optional("RoleARN", roleARN()),
		wire.Optional("RetryOptions", wire.Structure(wire.Optional("DurationInSeconds", wire.Integer().Between(0, 7200)))),
		wire.Optional("S3BackupMode", wire.Enum("FailedDataOnly", "AllData")),
		wire.Required("S3Configuration", wire.Structure(s3Members()...)),
		wire.Optional("SecretsManagerConfiguration", wire.Structure(wire.Optional("Enabled", wire.Boolean()))),
	)
}

// createInput is the shape of CreateDeliveryStream.
func createInput() *wire.Shape {
	members := []wire.Member{
		wire.Required("DeliveryStreamName", deliveryStreamName()),
		wire.Optional("DeliveryStreamType", wire.Enum(DirectPut, KinesisStreamAsSource, "MSKAsSource", "DatabaseAsSource")),
		wire.Optional("KinesisStreamSourceConfiguration", wire.Structure(
			wire.Required("KinesisStreamARN", wire.String().Match(streamPattern).Between(1, 512)),
			wire.Required("RoleARN", roleARN()),
		)),
		wire.Optional("DeliveryStreamEncryptionConfigurationInput", wire.Structure(
			wire.Optional("KeyARN", wire.String().Between(1, 512)),
			wire.Required("KeyType", wire.Enum("AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK")),
		)),
		wire.Optional(memberS3, wire.Structure(s3Members()...)),
		wire.Optional(memberExtendedS3, extendedS3()),
		wire.Optional(memberHTTP, httpEndpoint()),
		wire.Optional("Tags", wire.List(wire.Structure(
			wire.Required("Key", wire.String().Between(1, 128)),
			wire.Optional("Value", wire.String().Between(0, 256)),
		)).Between(1, 50)),
	}
	for _, name := range otherDestinations {
		members = append(members, wire.Optional(name, wire.Structure()))
	}
	return wire.Structure(members...)
}

// Wire returns the table of operations.
func (s *Service) Wire() wire.Service {
	record := func() *wire.Shape {
		return wire.Structure(wire.Required("Data", wire.Blob().AtMost(maxRecordBytes)))
	}
	return wire.Service{
		Target:      "Firehose_20150804",
		SigningName: "firehose",
		HideValues:  true,
		Operations: []wire.Operation{
			{Name: "CreateDeliveryStream", Handle: s.create, Input: createInput()},
			{Name: "DeleteDeliveryStream", Handle: s.delete, Input: wire.Structure(
				wire.Required("DeliveryStreamName", deliveryStreamName()),
				wire.Optional("AllowForceDelete", wire.Boolean()),
			)},
			{Name: "DescribeDeliveryStream", Handle: s.describe, Input: wire.Structure(
				wire.Required("DeliveryStreamName", deliveryStreamName()),
				wire.Optional("Limit", wire.Integer().Between(1, 10_000)),
				wire.Optional("ExclusiveStartDestinationId", wire.String().Match(wire.Regexp(`[a-zA-Z0-9-]+`)).Between(1, 100)),
			)},
			{Name: "ListDeliveryStreams", Handle: s.list, Input: wire.Structure(
				wire.Optional("Limit", wire.Integer().Between(1, 10_000)),
				wire.Optional("DeliveryStreamType", wire.Enum(DirectPut, KinesisStreamAsSource, "MSKAsSource", "DatabaseAsSource")),
				wire.Optional("ExclusiveStartDeliveryStreamName", deliveryStreamName()),
			)},
			{Name: "PutRecord", Handle: s.putRecord, Input: wire.Structure(
				wire.Required("DeliveryStreamName", deliveryStreamName()),
				wire.Required("Record", record()),
			)},
			{Name: "PutRecordBatch", Handle: s.putRecordBatch, Input: wire.Structure(
				wire.Required("DeliveryStreamName", deliveryStreamName()),
				wire.Required("Records", wire.List(record()).Between(1, maxBatchRecords)),
			)},
		},
	}
}
