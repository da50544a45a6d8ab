// Package parquet writes records as Apache Parquet files.
//
// JSON text is walked once and its values go straight to the columns; no maps
// are built. The schema is declared, or inferred from the records and kept from
// object to object. Lists and maps have the standard three levels, times are
// INT64 microseconds, and every column is optional unless it is required.
// What each type takes is in docs/formats/objects.md.
//
// A record that does not fit is refused and leaves nothing behind. The same
// records give the same file.
//
// The package does not read Parquet, does not sort, and writes no bloom filters
// and no INT96.
package parquet

import (
	"errors"
	"fmt"
	"io"
	"os"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/schema"
)

// Options of a Parquet format. The zero value infers the schema.
type Options struct {
	// Columns declare the schema. Empty means it is inferred.
	Columns []schema.Column
	// Compression of the pages: none, snappy, gzip or zstd. Default zstd.
	Compression formats.Compression
	// RowGroupBytes closes a row group when its records have that many bytes, or
	// an eighth as many values. It bounds the memory of a writer. Default
	// 64 MiB, at least 64 KiB.
	RowGroupBytes int64
	// PageBytes closes a page when its values have that many bytes. Default
	// 1 MiB, 4 KiB to 64 MiB.
	PageBytes int
	// ExtraColumn is the name of a column that keeps, as the text of a JSON
	// object, what the record has beyond the columns. Keys inside structs and
	// lists are written as a path, user.tags.0.x. Empty drops it, except that an
	// inferred schema then names the column _extra once it needs one.
	ExtraColumn string
	// CaseInsensitive finds the columns of keys in any case.
	CaseInsensitive bool
	// SpoolBytes is how much of the records of an inferred object is held in
	// memory; the rest goes to a temporary file. Default 8 MiB, at least 64 KiB.
	SpoolBytes int
}

const (
	defaultRowGroupBytes = 64 << 20
	defaultPageBytes     = 1 << 20
	defaultSpoolBytes    = 8 << 20
	defaultExtraColumn   = "_extra"
)

// Format writes Parquet files. It may be used concurrently.
type Format struct {
	opt   Options
	codec compress.Codec
}

var _ formats.Format = (*Format)(nil)

// New returns a format, or an error that names every wrong option.
func New(opt Options) (*Format, error) {
	f := &Format{opt: opt}
	if err := f.setDefaults(); err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return f, nil
}

func (f *Format) setDefaults() error {
	var errs []error
	o := &f.opt
	// The library's codecs hold pools of encoders, hence one for each format.
	switch o.Compression {
	case "", formats.CompressionZstd:
		f.codec = &zstd.Codec{Level: zstd.SpeedDefault}
	case formats.CompressionSnappy:
		f.codec = &snappy.Codec{}
	case formats.CompressionGzip:
		f.codec = &gzip.Codec{Level: 3}
	case formats.CompressionNone:
		f.codec = &uncompressed.Codec{}
	default:
		errs = append(errs, fmt.Errorf("compression %q is not one of none, snappy, gzip, zstd", string(o.Compression)))
	}
	within := func(name string, v *int64, standard, low, high int64) {
		if *v == 0 {
			*v = standard
		}
		if *v < low || *v > high {
			errs = append(errs, fmt.Errorf("%s: %d bytes is outside %d to %d", name, *v, low, high))
		}
	}
	page, spool := int64(o.PageBytes), int64(o.SpoolBytes)
	within("row group", &o.RowGroupBytes, defaultRowGroupBytes, 64<<10, 4<<30)
	within("page", &page, defaultPageBytes, 4<<10, 64<<20)
	within("spool", &spool, defaultSpoolBytes, 64<<10, 1<<30)
	o.PageBytes, o.SpoolBytes = int(page), int(spool)

	if len(o.Columns) > 0 {
		if err := schema.Validate(o.Columns); err != nil {
			errs = append(errs, err)
		}
		folded := map[string]string{}
		for _, c := range o.Columns {
			if c.Name == o.ExtraColumn {
				errs = append(errs, fmt.Errorf("extra column %q is also a declared column", c.Name))
			}
			key := c.Key
			if key == "" {
				key = c.Name
			}
			key = (&plan{foldNames: o.CaseInsensitive}).fold(key)
			if other, ok := folded[key]; ok && o.CaseInsensitive && other != c.Name {
				errs = append(errs, fmt.Errorf("columns %q and %q differ only in case", other, c.Name))
			}
			folded[key] = c.Name
		}
	} else if o.CaseInsensitive {
		errs = append(errs, errors.New("case-insensitive keys need declared columns"))
	}
	return errors.Join(errs...)
}

func (*Format) Extension() string   { return ".parquet" }
func (*Format) ContentType() string { return "application/vnd.apache.parquet" }

// NewWriter starts a file. An inferred schema goes on from opt.State and keeps a
// temporary file in opt.TempDir until Close. The writer also has a method
// UnknownKeys() int64, which counts the keys of taken records without a column.
func (f *Format) NewWriter(w io.Writer, opt formats.WriterOptions) (formats.Writer, error) {
	if len(f.opt.Columns) > 0 {
		enc, err := f.newEncoder(w, newPlan(f.opt.Columns, f.opt.ExtraColumn, f.opt.CaseInsensitive))
		if err != nil {
			return nil, err
		}
		return &declaredWriter{enc: enc}, nil
	}
	extra := f.opt.ExtraColumn
	if extra == "" {
		extra = defaultExtraColumn
	}
	inferred, err := schema.DecodeInferred(opt.State, extra)
	if err != nil {
		return nil, fmt.Errorf("parquet state: %w", err)
	}
	dir := opt.TempDir
	if dir == "" {
		dir = os.TempDir()
	}
	return &inferredWriter{f: f, w: w, extra: extra, schema: inferred, spool: spool{dir: dir, limit: f.opt.SpoolBytes}}, nil
}

// SchemaKey is the key under which a file's metadata holds its schema as one
// struct in the grammar of schema.ParseType. It tells which text columns are json.
const SchemaKey = "firehosed.schema"

var errClosed = errors.New("parquet: write after close of the object")

// declaredWriter writes with a schema that is known from the start.
type declaredWriter struct {
	enc    *encoder
	closed bool
	err    error
}

func (w *declaredWriter) Write(records [][]byte, refuse func(int, *formats.RecordError)) error {
	if w.err == nil && w.closed {
		return errClosed
	}
	for i, record := range records {
		if w.err != nil {
			return w.err
		}
		var refused *formats.RecordError
		if refused, w.err = w.enc.add(record); refused != nil {
			refuse(i, refused)
		}
	}
	return w.err
}

func (w *declaredWriter) Close() error {
	if !w.closed && w.err == nil {
		w.err = w.enc.close()
	}
	w.closed = true
	return w.err
}

func (w *declaredWriter) State() []byte      { return nil }
func (w *declaredWriter) Rows() int64        { return w.enc.rows }
func (w *declaredWriter) UnknownKeys() int64 { return w.enc.unknown }

// newEncoder starts a file.
func (f *Format) newEncoder(w io.Writer, p *plan) (*encoder, error) {
	options := []pq.WriterOption{
		p.schema,
		pq.Compression(f.codec),
		pq.PageBufferSize(f.opt.PageBytes),
		pq.WriteBufferSize(64 << 10),
		// What parquet-mr and Arrow write by default, and so what is read best.
		pq.DataPageVersion(1),
		// Smallest and largest values are in the column index and in the column
		// chunks. In page headers they would be there four times, at full length.
		pq.DataPageStatistics(false),
		// Fixed text, so that an update does not change the bytes of a file that is
		// written again.
		pq.CreatedBy("firehosed", "1", "parquet-go"),
		pq.KeyValueMetadata(SchemaKey, p.columns.String()),
	}
	for _, path := range p.noBounds {
		options = append(options, pq.SkipPageBounds(path...))
	}
	// NewWriter panics for what this refuses.
	if _, err := pq.NewWriterConfig(options...); err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return newEncoder(pq.NewWriter(w, options...), p, f.opt.RowGroupBytes), nil
}
