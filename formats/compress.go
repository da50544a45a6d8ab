package formats

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compression names how a whole object is compressed. Parquet has its own
// compression inside and is not compressed again.
type Compression string

const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
	CompressionZstd Compression = "zstd"
	// CompressionSnappy is the official framing format, which the snappy command
	// line tools and libraries read (google/snappy framing_format.txt).
	CompressionSnappy Compression = "snappy"
	// CompressionSnappyXerial is the stream of the snappy-java library, which is
	// what Amazon Data Firehose calls Snappy. Streams made through its API use it.
	CompressionSnappyXerial Compression = "snappy_xerial"
)

// Compressions lists the valid names.
func Compressions() []Compression {
	return []Compression{CompressionNone, CompressionGzip, CompressionZstd, CompressionSnappy, CompressionSnappyXerial}
}

// Validate returns an error for an unknown name. The empty name means none.
func (c Compression) Validate() error {
	if c == "" {
		return nil
	}
	for _, known := range Compressions() {
		if c == known {
			return nil
		}
	}
	return fmt.Errorf("compression %q is unknown; known are %v", string(c), Compressions())
}

// Extension is what is added to the object name, with the dot, or empty.
func (c Compression) Extension() string {
	switch c {
	case CompressionGzip:
		return ".gz"
	case CompressionZstd:
		return ".zst"
	case CompressionSnappy, CompressionSnappyXerial:
		return ".snappy"
	}
	return ""
}

// ContentEncoding is the value for a Content-Encoding header, or empty. Beware
// that HTTP clients decompress gzip and zstd on their own when they see it.
func (c Compression) ContentEncoding() string {
	switch c {
	case CompressionGzip:
		return "gzip"
	case CompressionZstd:
		return "zstd"
	case CompressionSnappy:
		return "x-snappy-framed"
	case CompressionSnappyXerial:
		return "snappy-java" // what Firehose sets
	}
	return ""
}

// GzipLevel is the level used. Against the usual 6 it takes half the time or
// less for 15 to 30 % more bytes; against 1 it takes up to a quarter more time
// for 1 to 15 % fewer bytes. Measured on access logs and nested JSON, see
// docs/formats/objects.md and BenchmarkCompression.
const GzipLevel = 2

// NewCompressor returns a writer that compresses to w. Its Close completes the
// compressed stream, does not close w, and must be called once, also after an
// error. The same bytes give the same output however they are cut into writes:
// no time, name or random number is in it. It starts no goroutine and holds
// about 0.1 MiB for snappy, 1 MiB for gzip and 5 MiB for zstd.
// It is not for concurrent use.
func NewCompressor(c Compression, w io.Writer) (io.WriteCloser, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	switch c {
	case CompressionGzip:
		return newPooled(&gzipWriters, w), nil
	case CompressionZstd:
		return newPooled(&zstdWriters, w), nil
	case CompressionSnappy:
		return newPooled(&snappyWriters, w), nil
	case CompressionSnappyXerial:
		return newPooled(&xerialWriters, w), nil
	}
	return plain{w}, nil
}

// plain is the compressor that does not compress.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// encoder is what the compressors have in common.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// The pools keep idle encoders, which are large, for the next object. They hold
// no data of the last one.
var (
	gzipWriters = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(io.Discard, GzipLevel)
		return made(w, err)
	}}
	zstdWriters = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(io.Discard,
			zstd.WithEncoderConcurrency(1), // no goroutines, and one fixed way to cut blocks
			zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithLowerEncoderMem(true))
		return made(w, err)
	}}
	snappyWriters = sync.Pool{New: func() any {
		return s2.NewWriter(io.Discard, s2.WriterSnappyCompat(), s2.WriterConcurrency(1))
	}}
	xerialWriters = sync.Pool{New: func() any { return newXerialWriter(io.Discard) }}
)

// made returns w, or nil when the fixed options above are refused.
func made(w encoder, err error) any {
	if err != nil {
		return nil
	}
	return w
}

// pooled lends an encoder out until Close.
type pooled struct {
	pool *sync.Pool
	enc  encoder // nil after Close
	err  error
}

func newPooled(pool *sync.Pool, w io.Writer) *pooled {
	p := &pooled{pool: pool}
	enc, ok := pool.Get().(encoder)
	if !ok {
		p.err = fmt.Errorf("compressor is not available")
		return p
	}
	enc.Reset(w)
	p.enc = enc
	return p
}

func (p *pooled) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.enc == nil {
		return 0, errClosed
	}
	n, err := p.enc.Write(b)
	p.err = err
	return n, err
}

func (p *pooled) Close() error {
	if p.enc == nil {
		return p.err
	}
	enc := p.enc
	p.enc = nil
	if p.err != nil {
		return p.err // an encoder that failed is not used again
	}
	if p.err = enc.Close(); p.err != nil {
		return p.err
	}
	enc.Reset(nil)
	p.pool.Put(enc)
	return nil
}
