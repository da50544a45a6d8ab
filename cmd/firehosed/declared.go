package main

import (
	"time"

	"github.com/firehosed/firehosed/api/firehose"
	"github.com/firehosed/firehosed/config"
)

// declared describes a delivery stream of the file as well as the Firehose API
// can say it: a destination that the API has no words for is shown as a bucket
// or endpoint of the same name.
func (r *registry) declared(name string, d *config.DeliveryStream) firehose.Description {
	def := firehose.Definition{Name: name, Type: firehose.DirectPut}
	created := time.Time{}
	source := ownStream(name)
	if d.Source.Stream != nil {
		source = d.Source.Stream.Name
		def.Type = firehose.KinesisStreamAsSource
		def.Source = &firehose.KinesisSource{
			Stream:    source,
			StreamARN: "arn:aws:kinesis:" + r.n.cfg.Region + ":" + r.n.cfg.AccountID + ":stream/" + source,
			RoleARN:   r.roleARN(),
		}
	}
	if info, err := r.n.engine.Describe(source); err == nil {
		created = info.Created
	}
	buffering := firehose.Buffering{SizeMB: int(max(d.Buffer.Size>>20, 1)), IntervalSeconds: int(time.Duration(d.Buffer.Interval) / time.Second)}
	switch dest := d.Destination; {
	case dest.HTTP != nil:
		def.HTTP = &firehose.HTTPDestination{
			URL: dest.HTTP.URL, Name: dest.HTTP.Name, Gzip: dest.HTTP.Compression == "gzip", Buffering: buffering,
			RoleARN: r.roleARN(), S3: r.declaredLocation(errorsBucket(d), "", d.Compression, buffering),
		}
	case dest.OpenSearch != nil:
		def.HTTP = &firehose.HTTPDestination{
			URL: dest.OpenSearch.URLs[0], Name: "opensearch " + dest.OpenSearch.Index, Buffering: buffering,
			RoleARN: r.roleARN(), S3: r.declaredLocation(errorsBucket(d), "", d.Compression, buffering),
		}
	case dest.S3 != nil:
		def.S3 = &firehose.S3Destination{
			S3Location: r.declaredLocation(dest.S3.Bucket, dest.S3.Prefix, d.Compression, buffering), TimeZone: d.TimeZone,
		}
	default:
		def.S3 = &firehose.S3Destination{
			S3Location: r.declaredLocation("directory", dest.Dir.Prefix, d.Compression, buffering), TimeZone: d.TimeZone,
		}
	}
	desc := firehose.Description{Definition: def, Status: "ACTIVE", Version: 1, Created: created, Updated: created}
	if def.Source != nil {
		desc.DeliveryStart = created
	}
	return desc
}

func (r *registry) roleARN() string { return "arn:aws:iam::" + r.n.cfg.AccountID + ":role/firehosed" }

func errorsBucket(d *config.DeliveryStream) string {
	if d.Errors.S3 != nil {
		return d.Errors.S3.Bucket
	}
	return "directory"
}

func (r *registry) declaredLocation(bucket, prefix, compression string, b firehose.Buffering) firehose.S3Location {
	format := firehose.Uncompressed
	switch compression {
	case "gzip":
		format = firehose.Gzip
	case "snappy":
		format = firehose.Snappy
	}
	return firehose.S3Location{
		RoleARN: r.roleARN(), BucketARN: "arn:aws:s3:::" + bucket, Bucket: bucket, Prefix: prefix,
		Buffering: b, Compression: format,
	}
}
