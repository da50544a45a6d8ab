package firehose

import (
	"context"
	"strconv"

	"github.com/firehosed/firehosed/api/wire"
)

// destinationID names the one destination of a delivery stream.
const destinationID = "destinationId-000000000001"

func (s *Service) describe(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	name := r.Input.Get("DeliveryStreamName").Text()
	d, ok := s.streams.Get(name)
	if !ok {
		return s.notFound(name)
	}
	def := &d.Definition
	out.BeginObject()
	out.Key("DeliveryStreamDescription")
	out.BeginObject()
	out.StringMember("DeliveryStreamName", name)
	out.StringMember("DeliveryStreamARN", s.ARN(name))
	out.StringMember("DeliveryStreamStatus", d.Status)
	if d.FailureType != "" {
		out.Key("FailureDescription")
		out.BeginObject()
		out.StringMember("Type", d.FailureType)
		out.StringMember("Details", d.FailureDetails)
		out.EndObject()
	}
	encodeEncryption(out, def.Encryption)
	out.StringMember("DeliveryStreamType", def.Type)
	out.StringMember("VersionId", strconv.Itoa(max(d.Version, 1)))
	out.TimeMember("CreateTimestamp", d.Created)
	if !d.Updated.IsZero() {
		out.TimeMember("LastUpdateTimestamp", d.Updated)
	}
	if def.Source != nil {
		out.Key("Source")
		out.BeginObject()
		out.Key("KinesisStreamSourceDescription")
		out.BeginObject()
		out.StringMember("KinesisStreamARN", def.Source.StreamARN)
		out.StringMember("RoleARN", def.Source.RoleARN)
		if !d.DeliveryStart.IsZero() {
			out.TimeMember("DeliveryStartTimestamp", d.DeliveryStart)
		}
		out.EndObject()
		out.EndObject()
	}
	out.Key("Destinations")
	out.BeginList()
	out.BeginObject()
	out.StringMember("DestinationId", destinationID)
	switch {
	case def.S3 != nil:
		out.Key("S3DestinationDescription")
		encodeLocation(out, &def.S3.S3Location, nil)
		out.Key("ExtendedS3DestinationDescription")
		encodeS3(out, def.S3)
	case def.HTTP != nil:
		out.Key("HttpEndpointDestinationDescription")
		encodeHTTP(out, def.HTTP)
	}
	out.EndObject()
	out.EndList()
	out.BoolMember("HasMoreDestinations", false)
	out.EndObject()
	out.EndObject()
	return nil
}

func encodeEncryption(out *wire.Encoder, e *Encryption) {
	out.Key("DeliveryStreamEncryptionConfiguration")
	out.BeginObject()
	if e == nil {
		out.StringMember("Status", "DISABLED")
	} else {
		if e.KeyARN != "" {
			out.StringMember("KeyARN", e.KeyARN)
		}
		out.StringMember("KeyType", e.KeyType)
		out.StringMember("Status", "ENABLED")
	}
	out.EndObject()
}

// encodeLocation writes a place in S3 with its defaults, and what more its
// kind has.
func encodeLocation(out *wire.Encoder, l *S3Location, more func()) {
	out.BeginObject()
	out.StringMember("RoleARN", l.RoleARN)
	out.StringMember("BucketARN", l.BucketARN)
	if l.Prefix != "" {
		out.StringMember("Prefix", l.Prefix)
	}
	if l.ErrorOutputPrefix != "" {
		out.StringMember("ErrorOutputPrefix", l.ErrorOutputPrefix)
	}
	encodeBuffering(out, l.Buffering)
	out.StringMember("CompressionFormat", l.Compression)
	out.Key("EncryptionConfiguration")
	out.BeginObject()
	if l.KMSKeyARN == "" {
		out.StringMember("NoEncryptionConfig", "NoEncryption")
	} else {
		out.Key("KMSEncryptionConfig")
		out.BeginObject()
		out.StringMember("AWSKMSKeyARN", l.KMSKeyARN)
		out.EndObject()
	}
	out.EndObject()
	encodeLogging(out, l.Logging)
	if more != nil {
		more()
	}
	out.EndObject()
}

func encodeBuffering(out *wire.Encoder, b Buffering) {
	out.Key("BufferingHints")
	out.BeginObject()
	out.IntMember("SizeInMBs", int64(b.SizeMB))
	out.IntMember("IntervalInSeconds", int64(b.IntervalSeconds))
	out.EndObject()
}

func encodeLogging(out *wire.Encoder, l *Logging) {
	out.Key("CloudWatchLoggingOptions")
	out.BeginObject()
	out.BoolMember("Enabled", l != nil && l.Enabled)
	if l != nil && l.Group != "" {
		out.StringMember("LogGroupName", l.Group)
	}
	if l != nil && l.Stream != "" {
		out.StringMember("LogStreamName", l.Stream)
	}
	out.EndObject()
}

func encodeS3(out *wire.Encoder, d *S3Destination) {
	encodeLocation(out, &d.S3Location, func() {
		encodeProcessing(out, d.Processing)
		if d.Backup == nil {
			out.StringMember("S3BackupMode", "Disabled")
		} else {
			out.StringMember("S3BackupMode", "Enabled")
			out.Key("S3BackupDescription")
			encodeLocation(out, d.Backup, nil)
		}
		if d.FileExtension != "" {
			out.StringMember("FileExtension", d.FileExtension)
		}
		zone := d.TimeZone
		if zone == "" {
			zone = "UTC"
		}
		out.StringMember("CustomTimeZone", zone)
	})
}

func encodeProcessing(out *wire.Encoder, p *Processing) {
	if p == nil {
		return
	}
	out.Key("ProcessingConfiguration")
	out.BeginObject()
	out.BoolMember("Enabled", p.Enabled)
	out.Key("Processors")
	out.BeginList()
	for _, processor := range p.Processors {
		out.BeginObject()
		out.StringMember("Type", processor.Type)
		out.Key("Parameters")
		out.BeginList()
		for _, q := range processor.Parameters {
			out.BeginObject()
			out.StringMember("ParameterName", q.Name)
			out.StringMember("ParameterValue", q.Value)
			out.EndObject()
		}
		out.EndList()
		out.EndObject()
	}
	out.EndList()
	out.EndObject()
}

// encodeHTTP writes an endpoint, without its access key.
func encodeHTTP(out *wire.Encoder, d *HTTPDestination) {
	out.BeginObject()
	out.Key("EndpointConfiguration")
	out.BeginObject()
	out.StringMember("Url", d.URL)
	if d.Name != "" {
		out.StringMember("Name", d.Name)
	}
	out.EndObject()
	encodeBuffering(out, d.Buffering)
	encodeLogging(out, d.Logging)
	out.Key("RequestConfiguration")
	out.BeginObject()
	encoding := "NONE"
	if d.Gzip {
		encoding = "GZIP"
	}
	out.StringMember("ContentEncoding", encoding)
	out.Key("CommonAttributes")
	out.BeginList()
	for _, a := range d.Attributes {
		out.BeginObject()
		out.StringMember("AttributeName", a.Name)
		out.StringMember("AttributeValue", a.Value)
		out.EndObject()
	}
	out.EndList()
	out.EndObject()
	encodeProcessing(out, d.Processing)
	if d.RoleARN != "" {
		out.StringMember("RoleARN", d.RoleARN)
	}
	out.Key("RetryOptions")
	out.BeginObject()
	out.IntMember("DurationInSeconds", int64(d.RetrySeconds))
	out.EndObject()
	mode := "FailedDataOnly"
	if d.AllData {
		mode = "AllData"
	}
	out.StringMember("S3BackupMode", mode)
	out.Key("S3DestinationDescription")
	encodeLocation(out, &d.S3, nil)
	out.EndObject()
}
