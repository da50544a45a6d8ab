package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sources/file"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

// built is a delivery stream whose parts are made and not yet running.
type built struct {
	opt     delivery.Options
	file    *file.Options // if its source is files
	closers []func() error
}

func (b *built) close() error {
	var errs []error
	for _, c := range b.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// builder turns what the configuration says of a delivery stream into parts.
// It opens nothing: it is also what `firehosed check` runs.
type builder struct {
	ctx    context.Context //nolint:containedctx // of one build
	logger *slog.Logger
	// problem gives an error its place; elements are those of config.Path below
	// the delivery stream.
	problem func(err error, elem ...any)
	name    string
	// arn and sourceARN stand in requests to transforms.
	arn, sourceARN, region string
	out                    *built
}

// build makes the parts of a delivery stream. Every problem was told when it
// returns; the parts are then not to be used.
func (b *builder) build(d *config.DeliveryStream) *built {
	b.out = &built{}
	opt := &b.out.opt
	opt.Name = b.name
	opt.Logger = b.logger
	opt.Hints = buffer.Hints{Bytes: int64(d.Buffer.Size), Records: int64(d.Buffer.Records), Interval: time.Duration(d.Buffer.Interval)}
	opt.Retry = backoff.Policy{Initial: time.Duration(d.Retry.Initial), Max: time.Duration(d.Retry.Max)}
	zone, err := time.LoadLocation(d.TimeZone)
	if err != nil {
		b.problem(fmt.Errorf("time zone %q is not known here", d.TimeZone), "time_zone")
		zone = time.UTC
	}
	b.source(&d.Source)
	b.transforms(d.Transforms)
	b.destination(d, zone)
	b.errorOutput(d.Errors, zone)
	b.backup(d.Backup, zone)
	opt.MemoryBytes = workingSet(d)
	return b.out
}

func (b *builder) source(src *config.Source) {
	opt := &b.out.opt
	opt.Start = streams.Horizon
	switch {
	case src.DirectPut != nil:
		opt.HoldRetention = time.Duration(src.DirectPut.Retention)
	case src.Stream != nil:
		opt.Source = src.Stream.Name
		if src.Stream.Start == "latest" {
			opt.Start = streams.Tip
		}
	case src.File != nil:
		opt.HoldRetention = time.Duration(src.File.Retention)
		b.file(src.File)
	}
	if opt.Source == "" {
		opt.Source = ownStream(b.name)
	}
}

// ownStream is the internal stream of a delivery stream that has one.
func ownStream(id string) string { return "$delivery/" + id }

func (b *builder) file(f *config.FileSource) {
	o := &file.Options{
		Name: b.name, Include: f.Include, Exclude: f.Exclude, FromEnd: f.Start == "end",
		MaxLine: int(f.MaxLine), Poll: time.Duration(f.Poll), CloseAfter: time.Duration(f.CloseDeletedAfter),
		MaxBatch: int(f.MaxBatch), MaxFiles: f.MaxFiles, Logger: b.logger,
	}
	if m := f.Multiline; m != nil {
		start, err := regexp.Compile(m.StartPattern)
		if err != nil {
			b.problem(err, "source", "file", "multiline", "start_pattern")
		}
		o.Multiline = &file.Multiline{Start: start, MaxLines: m.MaxLines, Timeout: time.Duration(m.Timeout)}
	}
	b.out.file = o
}

func (b *builder) transforms(list []config.Transform) {
	if len(list) == 0 {
		return
	}
	var steps []transform.Step
	for i := range list {
		kind, t, err := b.transform(&list[i])
		if err != nil {
			b.problem(err, "transforms", i, kind)
			continue
		}
		steps = append(steps, transform.Step{Name: fmt.Sprintf("transforms[%d] %s", i, kind), T: t})
	}
	chain := transform.NewChain(steps...)
	b.out.opt.Transforms = chain
	b.out.closers = append(b.out.closers, chain.Close)
}

func (b *builder) destination(d *config.DeliveryStream, zone *time.Location) {
	opt := &b.out.opt
	if d.Destination.Objects() {
		sink, prefix, extension, elem := b.objectSink("destination", d.Destination.S3, d.Destination.Dir)
		out := &delivery.ObjectOutput{
			Output:    delivery.Output{Sink: sink, Compression: formats.Compression(d.Compression)},
			Format:    b.format(&d.Format),
			Extension: extension,
		}
		var err error
		if out.Prefix, err = delivery.ParsePrefix(prefix, zone); err != nil {
			b.problem(err, "destination", elem, "prefix")
		}
		opt.Objects = out
		return
	}
	sink, kind, err := b.documentSink(&d.Destination)
	if err != nil {
		b.problem(err, "destination", kind)
		return
	}
	b.out.closers = append(b.out.closers, sink.Close)
	errorType := "http-endpoint-failed"
	if d.Destination.OpenSearch != nil {
		errorType = "AmazonOpenSearchService-failed"
	}
	opt.Documents = &delivery.DocumentOutput{Sink: sink, ErrorType: errorType, GiveUpAfter: time.Duration(d.Retry.GiveUpAfter)}
}

func (b *builder) errorOutput(e *config.ErrorOutput, zone *time.Location) {
	sink, prefix, _, elem := b.objectSink("errors", e.S3, e.Dir)
	parsed, err := delivery.ParseErrorPrefix(prefix, zone)
	if err != nil {
		b.problem(err, "errors", elem, "prefix")
	}
	b.out.opt.Errors = &delivery.Output{Sink: sink, Prefix: parsed, Compression: formats.Compression(e.Compression)}
}

func (b *builder) backup(k *config.Backup, zone *time.Location) {
	if k == nil {
		return
	}
	sink, prefix, extension, elem := b.objectSink("backup", k.S3, k.Dir)
	parsed, err := delivery.ParsePrefix(prefix, zone)
	if err != nil {
		b.problem(err, "backup", elem, "prefix")
	}
	b.out.opt.Backup = &delivery.ObjectOutput{
		Output:    delivery.Output{Sink: sink, Prefix: parsed, Compression: formats.Compression(k.Compression)},
		Format:    formats.Raw{Delimiter: "\n"},
		Extension: extension,
	}
}

// objectSink makes the sink of a destination, an error output or a backup, as
// section says. elem is its key there.
func (b *builder) objectSink(section string, s3 *config.S3, dir *config.Dir) (sink sinks.ObjectSink, prefix, extension, elem string) {
	var err error
	if s3 != nil {
		sink, err = newS3(b.ctx, s3, b.logger)
		prefix, extension, elem = s3.Prefix, s3.Extension, "s3"
	} else {
		sink, err = newDir(dir, b.logger)
		prefix, extension, elem = dir.Prefix, dir.Extension, "dir"
	}
	if err != nil {
		b.problem(err, section, elem)
		return nil, prefix, extension, elem
	}
	b.out.closers = append(b.out.closers, sink.Close)
	return sink, prefix, extension, elem
}

// workingSet is what writing one object or batch holds in memory at its peak.
func workingSet(d *config.DeliveryStream) int64 {
	const pages = 8 << 20 // a page of records, its outcomes, compression
	n := int64(pages)
	if p := d.Format.Parquet; p != nil {
		n += parquetMemory(p)
	}
	switch {
	case d.Destination.S3 != nil:
		n += 3 * int64(d.Destination.S3.PartSize)
	case !d.Destination.Objects():
		n += 3 * int64(d.Buffer.Size)
	}
	return n
}
