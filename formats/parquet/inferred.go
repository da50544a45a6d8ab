package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/internal/jsonscan"
	"github.com/firehosed/firehosed/formats/schema"
)

// inferredWriter learns the schema while records come and writes the file at
// Close: a Parquet file begins with its first values, and the schema is known
// only with the last.
type inferredWriter struct {
	f       *Format
	w       io.Writer
	extra   string
	schema  *schema.Inferred
	spool   spool
	rows    int64
	unknown int64
	closed  bool
	err     error
}

func (w *inferredWriter) Write(records [][]byte, refuse func(int, *formats.RecordError)) error {
	if w.err == nil && w.closed {
		return errClosed
	}
	for i, record := range records {
		if w.err != nil {
			return w.err
		}
		var refused *formats.RecordError
		if refused, w.err = w.take(record); refused != nil {
			refuse(i, refused)
		}
		if w.err != nil {
			// Close may not be called after an error; the file must not stay.
			w.err = errors.Join(w.err, w.spool.close())
		}
	}
	return w.err
}

// take makes the schema hold the record and keeps it, or refuses it and changes
// nothing.
func (w *inferredWriter) take(record []byte) (*formats.RecordError, error) {
	start := jsonscan.SkipSpace(record, 0)
	if start < len(record) && record[start] == '{' {
		end, fits, err := w.schema.Fits(record, start)
		if err != nil {
			return formats.ParseError(err), nil
		}
		if fits && jsonscan.SkipSpace(record, end) == len(record) {
			return nil, w.keep(record[start:end])
		}
	}
	// Look at the whole record before anything changes for it.
	for doc, refused := range formats.Documents(record) {
		if refused != nil {
			return refused, nil
		}
		if doc[0] != '{' {
			return formats.MalformedData("record holds %s where a JSON object is wanted", jsonscan.Describe(doc[0])), nil
		}
	}
	for doc, refused := range formats.Documents(record) {
		if refused != nil {
			return refused, nil
		}
		if _, fits, _ := w.schema.Fits(doc, 0); !fits {
			w.schema.Grow(doc, 0)
		}
		if err := w.keep(doc); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// keep takes a document that the schema holds.
func (w *inferredWriter) keep(doc []byte) error {
	// With the columns that the schema may yet get, a list may have too many
	// values. Then the document goes into the extra column as it is.
	const objects, values = maxRecordValues / (2 * schema.MaxInferredColumns), maxRecordValues / 4
	if len(doc) > 2*objects && (bytes.Count(doc, []byte("{")) > objects || bytes.Count(doc, []byte(",")) > values) {
		w.schema.SetOverflow()
	}
	w.rows++
	return w.spool.add(doc)
}

// Close writes the file and removes what was kept for it.
func (w *inferredWriter) Close() error {
	if w.closed || w.err != nil {
		w.closed = true
		return errors.Join(w.err, w.spool.close())
	}
	w.closed = true
	w.err = errors.Join(w.encode(), w.spool.close())
	return w.err
}

func (w *inferredWriter) encode() error {
	columns := w.schema.Columns()
	extra := w.f.opt.ExtraColumn
	if extra == "" && (w.schema.Overflow() || len(columns) == 0) {
		// A file needs a column; without any, the rows are {} or hold only nulls.
		extra = w.extra
	}
	enc, err := w.f.newEncoder(w.w, newPlan(columns, extra, false))
	if err != nil {
		return err
	}
	err = w.spool.each(func(record []byte) error {
		refused, err := enc.add(record)
		switch {
		case refused == nil:
			return err
		case errors.Is(refused, errTooMany) && enc.extra >= 0:
			return enc.addWhole(record)
		}
		return fmt.Errorf("parquet: record does not fit the schema inferred from it: %w", refused)
	})
	if err != nil {
		return err
	}
	w.unknown = enc.unknown
	return enc.close()
}

func (w *inferredWriter) State() []byte      { return w.schema.State() }
func (w *inferredWriter) Rows() int64        { return w.rows }
func (w *inferredWriter) UnknownKeys() int64 { return w.unknown }
