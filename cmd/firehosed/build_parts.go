package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	nethttp "net/http"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/parquet"
	"github.com/firehosed/firehosed/formats/schema"
	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/dir"
	"github.com/firehosed/firehosed/sinks/http"
	"github.com/firehosed/firehosed/sinks/opensearch"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/exec"
	"github.com/firehosed/firehosed/transform/filter"
	"github.com/firehosed/firehosed/transform/jq"
	"github.com/firehosed/firehosed/transform/lambda"
	"github.com/firehosed/firehosed/transform/parse"
)

func newS3(ctx context.Context, c *config.S3, logger *slog.Logger) (sinks.ObjectSink, error) {
	roots, err := certificates(c.CAFile)
	if err != nil {
		return nil, err
	}
	return s3.New(ctx, s3.Options{
		Bucket: c.Bucket, Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle,
		Credentials: s3.Credentials{
			AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey.Reveal(), SessionToken: c.SessionToken.Reveal(), Profile: c.Profile,
		},
		PartBytes: int64(c.PartSize), ConditionalWrites: s3.Conditional(c.ConditionalWrites), StorageClass: c.StorageClass,
		Encryption: c.Encryption, KMSKeyID: c.KMSKeyID,
		// A server that is down must be noticed soon: a hanging write holds memory.
		HTTP:   s3.HTTPOptions{DialTimeout: 5 * time.Second, RootCAs: roots},
		Logger: logger,
	})
}

func newDir(c *config.Dir, logger *slog.Logger) (sinks.ObjectSink, error) {
	return dir.New(dir.Options{Path: c.Path, Logger: logger})
}

func (b *builder) format(f *config.Format) formats.Format {
	switch {
	case f.Raw != nil:
		return formats.Raw{Delimiter: f.Raw.Delimiter}
	case f.CSV != nil:
		csv := &formats.CSV{Columns: f.CSV.Columns, Header: f.CSV.Header, CRLF: f.CSV.CRLF}
		csv.Delimiter, _ = utf8.DecodeRuneInString(f.CSV.Delimiter) // one character, says config
		if err := csv.Validate(); err != nil {
			b.problem(err, "format", "csv")
		}
		return csv
	case f.Parquet != nil:
		return b.parquet(f.Parquet)
	}
	return formats.NDJSON{}
}

func (b *builder) parquet(c *config.Parquet) formats.Format {
	opt := parquet.Options{
		Compression: formats.Compression(c.Compression), RowGroupBytes: int64(c.RowGroupSize), PageBytes: int(c.PageSize),
		ExtraColumn: c.ExtraColumn, CaseInsensitive: c.CaseInsensitive,
	}
	failed := false
	for i, col := range c.Schema.Columns {
		typ, err := schema.ParseType(col.Type)
		if err != nil {
			b.problem(err, "format", "parquet", "schema", "columns", i, "type")
			failed = true
			continue
		}
		opt.Columns = append(opt.Columns, schema.Column{Name: col.Name, Type: typ, Key: col.Key, Required: !col.Optional})
	}
	if failed {
		return formats.NDJSON{} // not used: a problem was told
	}
	f, err := parquet.New(opt)
	if err != nil {
		b.problem(err, "format", "parquet")
		return formats.NDJSON{} // not used, as above
	}
	return f
}

// parquetMemory is what a writer of Parquet holds: the values of a row group
// and their encoded pages, and the spool of an inferred schema.
func parquetMemory(c *config.Parquet) int64 {
	return 2*int64(c.RowGroupSize) + 8<<20
}

// documentSink makes the sink of documents; kind is its key in the
// configuration.
func (b *builder) documentSink(d *config.Destination) (sink sinks.DocumentSink, kind string, err error) {
	if c := d.OpenSearch; c != nil {
		roots, err := certificates(c.CAFile)
		if err != nil {
			return nil, "opensearch", err
		}
		sink, err := opensearch.New(opensearch.Options{
			URLs: c.URLs, Index: c.Index, Rotation: opensearch.Rotation(c.Rotation), OpType: opensearch.OpType(c.OpType),
			Flavor: opensearch.Flavor(c.Flavor), Pipeline: c.Pipeline, Username: c.Username, Password: c.Password.Reveal(),
			APIKey: c.APIKey.Reveal(), RootCAs: roots, Timeout: time.Duration(c.Timeout), Logger: b.logger,
		})
		return sink, "opensearch", err
	}
	c := d.HTTP
	roots, err := certificates(c.CAFile)
	if err != nil {
		return nil, "http", err
	}
	logger := b.logger
	if c.Name != "" {
		logger = logger.With("endpoint", c.Name)
	}
	sink, err = http.New(http.Options{
		URL: c.URL, AccessKey: c.AccessKey.Reveal(), Gzip: c.Compression == "gzip", CommonAttributes: c.Attributes,
		SourceARN: b.arn, RootCAs: roots, Timeout: time.Duration(c.Timeout), Logger: logger,
	})
	return sink, "http", err
}

// certificates reads the certificates to trust; nil means those of the system.
func certificates(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

func (b *builder) lambda(c *config.Lambda) (transform.Transformer, error) {
	header := nethttp.Header{}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	return lambda.New(b.ctx, lambda.Options{
		URL: c.URL, Header: header, Function: c.Function, Endpoint: c.Endpoint, Region: c.Region,
		AccessKey: c.AccessKey, SecretKey: c.SecretKey.Reveal(), SessionToken: c.SessionToken.Reveal(), Profile: c.Profile,
		DeliveryStreamARN: b.arn, SourceStreamARN: b.sourceARN,
		Timeout: time.Duration(c.Timeout), Retries: c.Retries, BatchBytes: int(c.BatchSize), BatchRecords: c.BatchRecords, Concurrency: c.Concurrency,
	})
}

func (b *builder) exec(c *config.Exec) (transform.Transformer, error) {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, name+"="+c.Env[name].Reveal())
	}
	return exec.New(exec.Options{
		Command: c.Command, Env: env, Dir: c.Dir, DeliveryStreamARN: b.arn, SourceStreamARN: b.sourceARN, Region: b.region,
		Workers: c.Workers, Timeout: time.Duration(c.Timeout), Retries: c.Retries,
		Restart:    backoff.Policy{Initial: time.Duration(c.Restart.Initial), Max: time.Duration(c.Restart.Max)},
		BatchBytes: int(c.BatchSize), BatchRecords: c.BatchRecords, Logger: b.logger,
	})
}

// transform makes one step; kind is its key in the configuration.
func (b *builder) transform(t *config.Transform) (kind string, _ transform.Transformer, _ error) {
	switch {
	case t.Parse != nil:
		p := t.Parse
		step, err := parse.New(parse.Options{
			Format: p.Format, Pattern: p.Pattern, Columns: p.Columns, Delimiter: p.Delimiter,
			Field: p.Field, RawField: p.RawField, OnError: p.OnError,
		})
		return "parse", step, err
	case t.Filter != nil:
		step, err := filter.New(filter.Options{Expr: t.Filter.Expr})
		return "filter", step, err
	case t.JQ != nil:
		step, err := jq.New(jq.Options{Query: t.JQ.Query, Timeout: time.Duration(t.JQ.Timeout)})
		return "jq", step, err
	case t.Lambda != nil:
		step, err := b.lambda(t.Lambda)
		return "lambda", step, err
	case t.Exec != nil:
		step, err := b.exec(t.Exec)
		return "exec", step, err
	}
	return "", nil, errors.New("a transform needs a kind")
}
