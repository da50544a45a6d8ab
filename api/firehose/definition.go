package firehose

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/firehosed/firehosed/api/wire"
)

// Defaults of the real service.
const (
	defaultSizeMB          = 5
	defaultIntervalSeconds = 300
	defaultRetrySeconds    = 300
)

// ParseDefinition makes a Definition of its Raw form. Errors say what is wrong
// in the words of the API.
func ParseDefinition(raw []byte) (Definition, error) {
	v, err := wire.Decode(bytes.Clone(raw), createInput())
	if err != nil {
		return Definition{}, fmt.Errorf("delivery stream definition: %w", err)
	}
	d, err := readDefinition(v)
	if err != nil {
		return Definition{}, fmt.Errorf("delivery stream definition: %w", err)
	}
	return d, nil
}

func invalid(format string, args ...any) error {
	return wire.Errorf(codeArgument, format, args...)
}

// readDefinition reads the input of CreateDeliveryStream, which fits its
// shape, and checks what a shape cannot say.
func readDefinition(in wire.Value) (Definition, error) {
	d := Definition{
		Name: in.Get("DeliveryStreamName").Text(),
		Type: in.Get("DeliveryStreamType").Text(),
		Raw:  in.AppendJSON(nil),
	}
	if d.Type == "" {
		d.Type = DirectPut
	}
	if err := readSource(in, &d); err != nil {
		return d, err
	}
	if e := in.Get("DeliveryStreamEncryptionConfigurationInput"); e.Present() {
		d.Encryption = &Encryption{KeyType: e.Get("KeyType").Text(), KeyARN: e.Get("KeyARN").Text()}
	}
	for tag := range in.Get("Tags").Items() {
		d.Tags = append(d.Tags, Tag{Key: tag.Get("Key").Text(), Value: tag.Get("Value").Text()})
	}
	member, err := destinationOf(in)
	if err != nil {
		return d, err
	}
	v := in.Get(member)
	if member == memberHTTP {
		d.HTTP, err = readHTTP(v)
	} else {
		d.S3, err = readS3(v)
	}
	return d, err
}

func readSource(in wire.Value, d *Definition) error {
	switch d.Type {
	case DirectPut:
		return nil // a source that comes with it is ignored, as by the real service
	case KinesisStreamAsSource:
		src := in.Get("KinesisStreamSourceConfiguration")
		if !src.Present() {
			return invalid("KinesisSourceStreamConfig is mandatory for KinesisStreamAsSource stream type.")
		}
		arn := src.Get("KinesisStreamARN").Text()
		_, name, _ := strings.Cut(arn, ":stream/")
		d.Source = &KinesisSource{StreamARN: arn, Stream: name, RoleARN: src.Get("RoleARN").Text()}
		return nil
	case "DatabaseAsSource":
		if !in.Get("IcebergDestinationConfiguration").Present() {
			return invalid("IcebergDestinationConfiguration must be specified for Database as Source.")
		}
	}
	return invalid("DeliveryStreamType %s is not available here. Use %s or %s.", d.Type, DirectPut, KinesisStreamAsSource)
}

// destinationOf returns the one member that holds the destination.
func destinationOf(in wire.Value) (string, error) {
	found := ""
	count := 0
	for _, member := range append([]string{memberS3, memberExtendedS3, memberHTTP}, otherDestinations[:]...) {
		if in.Get(member).Present() {
			found = member
			count++
		}
	}
	switch {
	case count != 1:
		return "", invalid("Exactly one destination configuration is supported for a Firehose")
	case found != memberS3 && found != memberExtendedS3 && found != memberHTTP:
		return "", invalid("%s is not available here. Use %s or %s, or declare the delivery stream in the configuration file of this server.",
			found, memberExtendedS3, memberHTTP)
	}
	return found, nil
}

// readLocation reads a place in S3. member names it in messages.
func readLocation(v wire.Value, member string) (S3Location, error) {
	l := S3Location{
		RoleARN:           v.Get("RoleARN").Text(),
		BucketARN:         v.Get("BucketARN").Text(),
		Prefix:            v.Get("Prefix").Text(),
		ErrorOutputPrefix: v.Get("ErrorOutputPrefix").Text(),
		Buffering:         readBuffering(v.Get("BufferingHints")),
		Compression:       v.Get("CompressionFormat").Text(),
		KMSKeyARN:         v.Get("EncryptionConfiguration").Get("KMSEncryptionConfig").Get("AWSKMSKeyARN").Text(),
		Logging:           readLogging(v.Get("CloudWatchLoggingOptions")),
	}
	_, l.Bucket, _ = strings.Cut(l.BucketARN, ":::")
	if l.Compression == "" {
		l.Compression = Uncompressed
	}
	if l.Bucket == "." || l.Bucket == ".." {
		return l, invalid("%s.BucketARN: %q is not the name of a bucket.", member, l.Bucket)
	}
	return l, checkPrefixes(l.Prefix, l.ErrorOutputPrefix)
}

func readBuffering(v wire.Value) Buffering {
	return Buffering{
		SizeMB:          int(v.Get("SizeInMBs").Int(defaultSizeMB)),
		IntervalSeconds: int(v.Get("IntervalInSeconds").Int(defaultIntervalSeconds)),
	}
}

func readLogging(v wire.Value) *Logging {
	if !v.Present() {
		return nil
	}
	return &Logging{
		Enabled: v.Get("Enabled").Bool(false),
		Group:   v.Get("LogGroupName").Text(),
		Stream:  v.Get("LogStreamName").Text(),
	}
}

func readS3(v wire.Value) (*S3Destination, error) {
	l, err := readLocation(v, memberExtendedS3)
	if err != nil {
		return nil, err
	}
	d := &S3Destination{
		S3Location:    l,
		FileExtension: v.Get("FileExtension").Text(),
		TimeZone:      v.Get("CustomTimeZone").Text(),
	}
	// Both are refused rather than left out: objects would not look as asked.
	if c := v.Get("DataFormatConversionConfiguration"); c.Present() && c.Get("Enabled").Bool(true) {
		return nil, invalid("DataFormatConversionConfiguration: format conversion is not available for delivery streams made by this API yet. " +
			"Declare the delivery stream in the configuration file of this server, with format: {parquet: ...}.")
	}
	if v.Get("DynamicPartitioningConfiguration").Get("Enabled").Bool(false) {
		return nil, invalid("DynamicPartitioningConfiguration: dynamic partitioning is not available yet.")
	}
	if d.Processing, err = readProcessing(v.Get("ProcessingConfiguration"), l.RoleARN); err != nil {
		return nil, err
	}
	if v.Get("S3BackupMode").Text() == "Enabled" {
		b := v.Get("S3BackupConfiguration")
		if !b.Present() {
			return nil, invalid("S3 backup destination configuration is required when enabling S3 backup.")
		}
		backup, err := readLocation(b, "S3BackupConfiguration")
		if err != nil {
			return nil, err
		}
		d.Backup = &backup
	}
	return d, nil
}

func readHTTP(v wire.Value) (*HTTPDestination, error) {
	endpoint, request := v.Get("EndpointConfiguration"), v.Get("RequestConfiguration")
	d := &HTTPDestination{
		URL:          endpoint.Get("Url").Text(),
		Name:         endpoint.Get("Name").Text(),
		AccessKey:    endpoint.Get("AccessKey").Text(),
		Gzip:         request.Get("ContentEncoding").Text() == "GZIP",
		Buffering:    readBuffering(v.Get("BufferingHints")),
		RetrySeconds: int(v.Get("RetryOptions").Get("DurationInSeconds").Int(defaultRetrySeconds)),
		RoleARN:      v.Get("RoleARN").Text(),
		AllData:      v.Get("S3BackupMode").Text() == "AllData",
		Logging:      readLogging(v.Get("CloudWatchLoggingOptions")),
	}
	if err := checkURL(d.URL); err != nil {
		return nil, err
	}
	if v.Get("SecretsManagerConfiguration").Get("Enabled").Bool(false) {
		return nil, invalid("SecretsManagerConfiguration is not available here. Give the access key in EndpointConfiguration.AccessKey.")
	}
	for a := range request.Get("CommonAttributes").Items() {
		name := a.Get("AttributeName").Text()
		for _, other := range d.Attributes {
			if other.Name == name {
				return nil, invalid("Http Endpoint Common Attributes have duplicate name %s", name)
			}
		}
		d.Attributes = append(d.Attributes, Attribute{Name: name, Value: a.Get("AttributeValue").Text()})
	}
	var err error
	if d.S3, err = readLocation(v.Get("S3Configuration"), "S3Configuration"); err != nil {
		return nil, err
	}
	role := d.RoleARN
	if role == "" {
		role = d.S3.RoleARN
	}
	d.Processing, err = readProcessing(v.Get("ProcessingConfiguration"), role)
	return d, err
}
