package formats

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// Codes of [RecordError], as Amazon Data Firehose writes them into its error
// output (Developer Guide, "Convert input record format").
const (
	// CodeParseError is for a record that is not JSON.
	CodeParseError = "DataFormatConversion.ParseError"
	// CodeMalformedData is for JSON that does not fit the schema, and for a
	// record with nothing in it.
	CodeMalformedData = "DataFormatConversion.MalformedData"
)

// ParseError is the refusal of a record that is not JSON.
func ParseError(err error) *RecordError {
	return &RecordError{Code: CodeParseError, Err: fmt.Errorf("record is not JSON: %w", err)}
}

// MalformedData is the refusal of a record that does not fit.
func MalformedData(format string, args ...any) *RecordError {
	return &RecordError{Code: CodeMalformedData, Err: fmt.Errorf(format, args...)}
}

// ErrEmptyRecord is the cause of the refusal of a record without a document.
var ErrEmptyRecord = errors.New("record is empty or only white space")

// Documents yields the JSON documents of a record, which may be several with or
// without white space between them, each without the space around it. Every
// document it yields is valid. The last pair may instead hold a refusal.
func Documents(record []byte) iter.Seq2[[]byte, *RecordError] {
	return func(yield func([]byte, *RecordError) bool) {
		i := jsonscan.SkipSpace(record, 0)
		if i == len(record) {
			yield(nil, &RecordError{Code: CodeMalformedData, Err: ErrEmptyRecord})
			return
		}
		for i < len(record) {
			end, err := jsonscan.Value(record, i)
			if err != nil {
				yield(nil, ParseError(err))
				return
			}
			next := jsonscan.SkipSpace(record, end)
			if c := record[i]; next == end && next < len(record) && c != '{' && c != '[' {
				// 1true, "a""b": nothing says where one ends.
				yield(nil, ParseError(jsonscan.Unexpected(record, next, "the end of the record")))
				return
			}
			if !yield(record[i:end], nil) {
				return
			}
			i = next
		}
	}
}

// flushAt is how much output a text format gathers before it writes.
const flushAt = 64 << 10

// rows gathers the output of a text format. A record adds its rows to buf and
// then either keeps or drops them, so that a refused record leaves nothing.
// It holds at most flushAt bytes and the output of one record.
type rows struct {
	w      io.Writer
	buf    []byte
	n      int64 // rows kept
	closed bool
	err    error // of w, or errClosed; the object ends with it
}

var errClosed = errors.New("write after close of the object")

func newRows(w io.Writer) rows { return rows{w: w, buf: make([]byte, 0, flushAt+4<<10)} }

// each calls add for each record. add appends the rows of a record to the
// buffer, and says how many or why not.
func (r *rows) each(records [][]byte, refuse func(int, *RecordError), add func([]byte) (int, *RecordError)) error {
	if r.closed && r.err == nil {
		return errClosed
	}
	for i, record := range records {
		if r.err != nil {
			return r.err
		}
		mark := len(r.buf)
		n, refused := add(record)
		if refused != nil {
			r.buf = r.buf[:mark]
			refuse(i, refused)
			continue
		}
		r.n += int64(n)
		if len(r.buf) >= flushAt {
			r.flush()
		}
	}
	return r.err
}

func (r *rows) flush() {
	if len(r.buf) == 0 || r.err != nil {
		return
	}
	if _, err := r.w.Write(r.buf); err != nil {
		r.err = err
	}
	if cap(r.buf) > 4*flushAt {
		r.buf = make([]byte, 0, flushAt+4<<10) // one large record must not be paid for to the end
	}
	r.buf = r.buf[:0]
}

// Close writes what is left. It does not close the underlying writer.
func (r *rows) Close() error {
	r.closed = true
	r.flush()
	return r.err
}

func (r *rows) State() []byte { return nil }
func (r *rows) Rows() int64   { return r.n }
