// Package formats turns records into the bytes of objects: ndjson, raw, csv
// and parquet, and compresses them.
//
// A format refuses bad records one by one and never fails an object because
// of one. The same records under the same options give the same bytes: formats
// take no clock and no random number. They do not know where records come from
// or where objects go.
package formats

import (
	"fmt"
	"io"
)

// Format makes writers of one kind of object. It may be used concurrently.
type Format interface {
	// NewWriter starts an object on w.
	NewWriter(w io.Writer, opt WriterOptions) (Writer, error)
	// Extension of object names, with the dot, or empty: ".parquet".
	Extension() string
	ContentType() string
}

// WriterOptions are what a writer needs beside its format.
type WriterOptions struct {
	// State is what an earlier Writer of the same delivery stream returned from
	// State, or nil: the schema inferred so far.
	State []byte
	// TempDir is where a writer may keep a file while it works; it removes it.
	// Empty means the system's.
	TempDir string
}

// Writer writes one object. It is not for concurrent use.
type Writer interface {
	// Write adds records. refuse is called, before Write returns, for each
	// record that the format cannot hold; the others are in the object. The
	// writer does not keep the slices after it returns. An error other than a
	// refusal ends the object.
	Write(records [][]byte, refuse func(i int, err *RecordError)) error
	// Close completes the object. It does not close the underlying writer.
	Close() error
	// State returns, after Close, what the next Writer should be given, or nil.
	State() []byte
	// Rows returns how many rows the object has so far.
	Rows() int64
}

// RecordError says why a format refused a record.
type RecordError struct {
	// Code is for machines: "DataFormatConversion.ParseError" or
	// "DataFormatConversion.MalformedData" as in Amazon Data Firehose.
	Code string
	Err  error
}

func (e *RecordError) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }

func (e *RecordError) Unwrap() error { return e.Err }
