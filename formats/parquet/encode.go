package parquet

import (
	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats"
)

// Values wait in slices, one for each column, and go to the library in batches:
// a batch is small enough for the processor's cache and large enough that the
// calls do not count. The first batch of a row group is larger, as the encodings
// are chosen by it.
const (
	batchRows   = 256
	batchBytes  = 256 << 10
	batchValues = 32 << 10
	sampleTimes = 4
)

// encoder turns documents into the row groups of one file. Memory is bounded by
// the row group, whose compressed pages wait for its end, and by a page for each
// column.
type encoder struct {
	shredder
	// The generic writer offers the column writers of a row group no more than
	// this one, and both write them.
	w       *pq.Writer                   //nolint:staticcheck // see above
	group   *pq.ConcurrentRowGroupWriter // nil until a sample of its rows is there
	columns []*pq.ColumnWriter
	budget  int64 // of a row group, in bytes of records

	rows        int64 // accepted
	pendingRows int
	groupBytes  int64
	groupValues int64
}

func newEncoder(w *pq.Writer, p *plan, budget int64) *encoder { //nolint:staticcheck // see encoder
	return &encoder{shredder: newShredder(p), w: w, budget: budget}
}

// add takes the rows of a record, or refuses all of it. The error is that of the
// underlying writer.
func (e *encoder) add(record []byte) (*formats.RecordError, error) {
	rows, refused := e.shred(record)
	if refused != nil {
		return refused, nil
	}
	return nil, e.added(record, rows)
}

// addWhole takes a valid document that has too many values for its columns.
func (e *encoder) addWhole(doc []byte) error {
	e.keepWhole(doc)
	return e.added(doc, 1)
}

func (e *encoder) added(record []byte, rows int) error {
	e.rows += int64(rows)
	e.pendingRows += rows
	e.groupBytes += int64(len(record))
	times := 1
	if e.group == nil {
		times = sampleTimes
	}
	if e.pendingRows >= batchRows*times || e.pendingBytes >= batchBytes*times || e.pendingValues >= batchValues*times {
		return e.flush()
	}
	return nil
}

// flush hands the waiting values to the library, and ends the row group when it
// is large enough.
func (e *encoder) flush() error {
	if e.pendingRows == 0 {
		return nil
	}
	if e.group == nil {
		for i := range e.leaves {
			l := &e.leaves[i]
			l.encoding.dictionary = wantsDictionary(l.kind, e.values[i])
		}
		e.group = e.w.BeginRowGroup()
		e.columns = e.group.ColumnWriters()
	}
	for i, values := range e.values {
		if _, err := e.columns[i].WriteRowValues(values); err != nil {
			return err
		}
		clear(values) // or they would keep the records alive
		e.values[i] = values[:0]
		if cap(values) > 8*sampleTimes*batchRows {
			e.values[i] = nil // after a record with a very long list
		}
	}
	e.groupValues += int64(e.pendingValues)
	e.pendingRows, e.pendingValues, e.pendingBytes = 0, 0, 0
	e.releaseText()
	if e.groupBytes >= e.budget || e.groupValues >= e.budget/8 {
		return e.endGroup()
	}
	return nil
}

func (e *encoder) endGroup() error {
	group := e.group
	e.group, e.columns, e.groupBytes, e.groupValues = nil, nil, 0, 0
	_, err := group.Commit()
	return err
}

func (e *encoder) close() error {
	if err := e.flush(); err != nil {
		return err
	}
	if e.group != nil {
		if err := e.endGroup(); err != nil {
			return err
		}
	}
	return e.w.Close()
}

// wantsDictionary reports whether a column repeats itself: at most a quarter of
// its first values are different.
func wantsDictionary(kind pq.Kind, values []pq.Value) bool {
	if kind == pq.Boolean {
		return false
	}
	const few = 32 // below, a dictionary saves nothing
	total := 0
	for i := range values {
		if !values[i].IsNull() {
			total++
		}
	}
	if total < few {
		return false
	}
	limit := total / 4
	if kind == pq.ByteArray || kind == pq.FixedLenByteArray {
		distinct := make(map[string]struct{}, limit+1)
		for i := range values {
			if v := &values[i]; !v.IsNull() {
				if distinct[string(v.ByteArray())] = struct{}{}; len(distinct) > limit {
					return false
				}
			}
		}
		return true
	}
	distinct := make(map[uint64]struct{}, limit+1)
	for i := range values {
		if v := &values[i]; !v.IsNull() {
			if distinct[v.Uint64()] = struct{}{}; len(distinct) > limit {
				return false
			}
		}
	}
	return true
}
