package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firehosed/firehosed/api/firehose"
	"github.com/firehosed/firehosed/config"
)

// describe turns the definition of a made delivery stream into what the file
// would say, so that one builder serves both. What AWS keeps in ARNs and roles
// (endpoints, credentials) comes from the api section of the file.
func (r *registry) describe(m *madeStream) (*config.DeliveryStream, error) {
	def := &m.def
	d := &config.DeliveryStream{TimeZone: "UTC"}
	d.Retry.Initial, d.Retry.Max = config.Duration(time.Second), config.Duration(2*time.Minute)
	if def.Source != nil {
		// Like the real service, which begins at LATEST when it becomes ACTIVE.
		d.Source.Stream = &config.StreamSource{Name: def.Source.Stream, Start: "latest"}
	} else {
		d.Source.DirectPut = &config.DirectPut{Retention: config.Duration(24 * time.Hour)}
	}
	switch {
	case def.S3 != nil:
		return d, r.describeS3(d, def.S3)
	case def.HTTP != nil:
		return d, r.describeHTTP(d, def.HTTP)
	}
	return nil, fmt.Errorf("%w: it has no destination", firehose.ErrInvalid)
}

func (r *registry) describeS3(d *config.DeliveryStream, s *firehose.S3Destination) error {
	compression, err := objectCompression(s.Compression)
	if err != nil {
		return err
	}
	d.Buffer = bufferOf(s.Buffering)
	d.Compression = compression
	d.TimeZone = "UTC"
	if s.TimeZone != "" {
		d.TimeZone = s.TimeZone
	}
	delimiter := ""
	if d.Transforms, delimiter, err = r.processors(s.Processing); err != nil {
		return err
	}
	d.Format.Raw = &config.Raw{Delimiter: delimiter}
	d.Destination.S3 = r.bucket(s.Bucket, s.Prefix, s.FileExtension)
	d.Errors = &config.ErrorOutput{Compression: compression, S3: r.bucket(s.Bucket, errorPrefix(s.S3Location), "")}
	return r.describeBackup(d, s.Backup)
}

func (r *registry) describeHTTP(d *config.DeliveryStream, h *firehose.HTTPDestination) error {
	d.Buffer = bufferOf(h.Buffering)
	d.Retry.GiveUpAfter = config.Duration(time.Duration(h.RetrySeconds) * time.Second)
	var err error
	delimiter := ""
	if d.Transforms, delimiter, err = r.processors(h.Processing); err != nil {
		return err
	}
	if delimiter != "" {
		return fmt.Errorf("%w: AppendDelimiterToRecord is for S3 destinations", firehose.ErrInvalid)
	}
	out := &config.HTTPEndpoint{
		URL: h.URL, Name: h.Name, AccessKey: config.NewSecret(h.AccessKey), Compression: "none",
		Attributes: map[string]string{}, Timeout: config.Duration(3 * time.Minute),
	}
	if h.Gzip {
		out.Compression = "gzip"
	}
	for _, a := range h.Attributes {
		out.Attributes[a.Name] = a.Value
	}
	d.Destination.HTTP = out
	compression, err := objectCompression(h.S3.Compression)
	if err != nil {
		return err
	}
	d.Errors = &config.ErrorOutput{Compression: compression, S3: r.bucket(h.S3.Bucket, errorPrefix(h.S3), "")}
	if h.AllData {
		return r.describeBackup(d, &h.S3)
	}
	return nil
}

func (r *registry) describeBackup(d *config.DeliveryStream, l *firehose.S3Location) error {
	if l == nil {
		return nil
	}
	compression, err := objectCompression(l.Compression)
	if err != nil {
		return err
	}
	d.Backup = &config.Backup{Mode: "all", Compression: compression, S3: r.bucket(l.Bucket, l.Prefix, "")}
	return nil
}

// errorPrefix is where failed records go. Without a prefix for errors they go
// below the prefix of the data, which then has no expressions.
func errorPrefix(l firehose.S3Location) string {
	if l.ErrorOutputPrefix != "" {
		return l.ErrorOutputPrefix
	}
	return l.Prefix
}

// bucket is a bucket that a call named, reached as the file says.
func (r *registry) bucket(name, prefix, extension string) *config.S3 {
	s3 := config.S3{Region: r.n.cfg.Region, PartSize: 8 << 20, ConditionalWrites: "auto"}
	if a := r.n.cfg.API.S3; a != nil {
		s3.Endpoint, s3.PathStyle, s3.Profile = a.Endpoint, a.PathStyle, a.Profile
		s3.AccessKey, s3.SecretKey, s3.SessionToken = a.AccessKey, a.SecretKey, a.SessionToken
		if a.Region != "" {
			s3.Region = a.Region
		}
	}
	s3.Bucket, s3.Prefix, s3.Extension = name, prefix, extension
	return &s3
}

func bufferOf(b firehose.Buffering) config.Buffer {
	return config.Buffer{Size: config.Bytes(b.SizeMB) << 20, Interval: config.Duration(time.Duration(b.IntervalSeconds) * time.Second)}
}

func objectCompression(format string) (string, error) {
	switch format {
	case firehose.Uncompressed:
		return "none", nil
	case firehose.Gzip:
		return "gzip", nil
	case firehose.Snappy:
		return "snappy_xerial", nil
	}
	return "", fmt.Errorf("%w: compression format %s is not available yet; use GZIP, Snappy or UNCOMPRESSED", firehose.ErrInvalid, format)
}

// processors turns the steps of a definition into transforms, and the
// delimiter to put behind each record.
func (r *registry) processors(p *firehose.Processing) (list []config.Transform, delimiter string, err error) {
	if p == nil || !p.Enabled {
		return nil, "", nil
	}
	for _, proc := range p.Processors {
		switch proc.Type {
		case "Lambda":
			l, err := r.lambda(proc)
			if err != nil {
				return nil, "", err
			}
			list = append(list, config.Transform{Lambda: l})
		case "AppendDelimiterToRecord":
			delimiter = "\n"
			if v := proc.Parameter("Delimiter"); v != "" {
				delimiter = strings.NewReplacer(`\\n`, "\n", `\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(v)
			}
		default:
			return nil, "", fmt.Errorf("%w: processor %s is not available yet", firehose.ErrInvalid, proc.Type)
		}
	}
	return list, delimiter, nil
}

func (r *registry) lambda(proc firehose.Processor) (*config.Lambda, error) {
	l := &config.Lambda{
		Function: strings.TrimSuffix(proc.Parameter("LambdaArn"), ":$LATEST"), Region: r.n.cfg.Region,
		Timeout: config.Duration(5 * time.Minute), Retries: 3, BatchSize: 1 << 20, BatchRecords: 10_000,
	}
	if a := r.n.cfg.API.Lambda; a != nil {
		l.Endpoint, l.Profile = a.Endpoint, a.Profile
		l.AccessKey, l.SecretKey, l.SessionToken = a.AccessKey, a.SecretKey, a.SessionToken
		if a.Region != "" {
			l.Region = a.Region
		}
	}
	if v := proc.Parameter("NumberOfRetries"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, fmt.Errorf("%w: NumberOfRetries %q", firehose.ErrInvalid, v)
		}
		l.Retries = n
	}
	if v := proc.Parameter("BufferSizeInMBs"); v != "" {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: BufferSizeInMBs %q", firehose.ErrInvalid, v)
		}
		l.BatchSize = config.Bytes(n * (1 << 20))
	}
	return l, nil
}
