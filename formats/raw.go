package formats

import "io"

// Raw writes records byte for byte. It refuses none.
type Raw struct {
	// Delimiter is added after each record. Default none, as Amazon Data
	// Firehose does: a record then has to bring its own.
	Delimiter string
}

var _ Format = Raw{}

// Extension is empty: what the records are is not known.
func (Raw) Extension() string   { return "" }
func (Raw) ContentType() string { return "application/octet-stream" }

// NewWriter starts an object. It uses no option.
func (f Raw) NewWriter(w io.Writer, _ WriterOptions) (Writer, error) {
	return &rawWriter{newRows(w), f.Delimiter}, nil
}

type rawWriter struct {
	rows
	delimiter string
}

func (w *rawWriter) Write(records [][]byte, refuse func(int, *RecordError)) error {
	return w.each(records, refuse, w.add)
}

func (w *rawWriter) add(record []byte) (int, *RecordError) {
	w.buf = append(w.buf, record...)
	w.buf = append(w.buf, w.delimiter...)
	return 1, nil
}
