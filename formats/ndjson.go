package formats

import (
	"bytes"
	"io"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// NDJSON writes one line for each JSON document: https://github.com/ndjson/ndjson-spec.
//
// A record holds one document of any kind or several of them, which become as
// many lines. A document is written as it came; only when it spans lines is the
// white space between its tokens removed. A record that is not JSON is refused;
// for plain text lines use [Raw] with a delimiter.
type NDJSON struct{}

var _ Format = NDJSON{}

func (NDJSON) Extension() string   { return ".ndjson" }
func (NDJSON) ContentType() string { return "application/x-ndjson" }

// NewWriter starts an object. It uses no option.
func (NDJSON) NewWriter(w io.Writer, _ WriterOptions) (Writer, error) {
	return &ndjsonWriter{newRows(w)}, nil
}

type ndjsonWriter struct{ rows }

func (w *ndjsonWriter) Write(records [][]byte, refuse func(int, *RecordError)) error {
	return w.each(records, refuse, w.add)
}

func (w *ndjsonWriter) add(record []byte) (int, *RecordError) {
	n := 0
	for doc, refused := range Documents(record) {
		if refused != nil {
			return 0, refused
		}
		if bytes.IndexByte(doc, '\n') >= 0 || bytes.IndexByte(doc, '\r') >= 0 {
			w.buf = jsonscan.Compact(w.buf, doc)
		} else {
			w.buf = append(w.buf, doc...)
		}
		w.buf = append(w.buf, '\n')
		n++
	}
	return n, nil
}
