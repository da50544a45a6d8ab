package formats

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// CSV writes JSON objects as lines of RFC 4180.
//
// A column holds the value of the key of its name at the top of the object:
// text as such, numbers, true and false as written, arrays and objects as JSON
// text on one line. A missing key and null leave the field empty; the empty text
// is written as "", so that readers can tell them apart. Keys without a column
// are left out. When a key is repeated, the last one counts. A record may hold
// several objects, which become as many lines; anything else is refused.
type CSV struct {
	Columns   []string // names of the columns in order, up to [MaxCSVColumns]; required
	Header    bool     // begin each object with the names
	Delimiter rune     // default ','
	CRLF      bool     // end lines with \r\n as in the RFC instead of \n
}

// MaxCSVColumns is how many columns a CSV may have.
const MaxCSVColumns = 4096

var _ Format = (*CSV)(nil)

func (*CSV) Extension() string   { return ".csv" }
func (*CSV) ContentType() string { return "text/csv" }

// Validate reports every problem of the settings.
func (f *CSV) Validate() error {
	var errs []error
	if len(f.Columns) == 0 || len(f.Columns) > MaxCSVColumns {
		errs = append(errs, fmt.Errorf("csv columns: %d names, want 1 to %d", len(f.Columns), MaxCSVColumns))
	}
	seen := make(map[string]bool, len(f.Columns))
	for _, c := range f.Columns {
		if seen[c] {
			errs = append(errs, fmt.Errorf("csv columns: %q is there twice", c))
		}
		seen[c] = true
		if !utf8.ValidString(c) {
			errs = append(errs, fmt.Errorf("csv columns: %q is not UTF-8", c))
		}
	}
	switch d := f.Delimiter; {
	case d == 0:
	case d == '"' || d == '\r' || d == '\n' || d == utf8.RuneError || !utf8.ValidRune(d):
		errs = append(errs, fmt.Errorf("csv delimiter: %q cannot separate fields", d))
	}
	return errors.Join(errs...)
}

// NewWriter starts an object. It uses no option.
func (f *CSV) NewWriter(w io.Writer, _ WriterOptions) (Writer, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	cw := &csvWriter{
		rows:      newRows(w),
		columns:   make(map[string]int, len(f.Columns)),
		fields:    make([]csvField, len(f.Columns)),
		delimiter: ",",
		end:       "\n",
	}
	if f.Delimiter != 0 {
		cw.delimiter = string(f.Delimiter)
	}
	if f.CRLF {
		cw.end = "\r\n"
	}
	for _, c := range []byte("\"\r\n" + cw.delimiter) {
		cw.special[c] = true
	}
	for i, c := range f.Columns {
		cw.columns[c] = i
		cw.fields[i] = csvField{present: true, from: len(cw.scratch), to: len(cw.scratch) + len(c)}
		cw.scratch = append(cw.scratch, c...)
	}
	if f.Header {
		cw.line()
	}
	return cw, nil
}

type csvWriter struct {
	rows
	columns   map[string]int
	fields    []csvField // of the line being made
	scratch   []byte     // text of the fields
	key       []byte     // scratch for keys with escapes
	delimiter string
	special   [256]bool // a field with one of these bytes is quoted
	end       string
}

// csvField is where the text of a field is in scratch.
type csvField struct {
	present  bool
	from, to int
}

func (w *csvWriter) Write(records [][]byte, refuse func(int, *RecordError)) error {
	return w.each(records, refuse, w.add)
}

func (w *csvWriter) add(record []byte) (int, *RecordError) {
	n := 0
	for doc, refused := range Documents(record) {
		if refused != nil {
			return 0, refused
		}
		if doc[0] != '{' {
			return 0, MalformedData("record holds %s where a JSON object is wanted", jsonscan.Describe(doc[0]))
		}
		if err := w.object(doc); err != nil {
			return 0, ParseError(err)
		}
		w.line()
		n++
	}
	if cap(w.scratch) > 4*flushAt {
		w.scratch = nil
	}
	return n, nil
}

// object takes the fields from the valid object doc.
func (w *csvWriter) object(doc []byte) error {
	clear(w.fields)
	w.scratch = w.scratch[:0]
	i := jsonscan.SkipSpace(doc, 1)
	for doc[i] != '}' {
		next, key, escaped, err := jsonscan.Key(doc, i)
		if err != nil {
			return err
		}
		if escaped {
			w.key = jsonscan.Unquote(w.key[:0], key)
			key = w.key
		}
		end, err := jsonscan.Value(doc, next)
		if err != nil {
			return err
		}
		if c, ok := w.columns[string(key)]; ok {
			w.fields[c] = w.field(doc[next:end])
		}
		if i = jsonscan.SkipSpace(doc, end); doc[i] == ',' {
			i = jsonscan.SkipSpace(doc, i+1)
		}
	}
	return nil
}

func (w *csvWriter) field(value []byte) csvField {
	from := len(w.scratch)
	switch value[0] {
	case 'n':
		return csvField{}
	case '"':
		w.scratch = jsonscan.Unquote(w.scratch, value[1:len(value)-1])
	case '{', '[':
		w.scratch = jsonscan.Compact(w.scratch, value)
	default:
		w.scratch = append(w.scratch, value...)
	}
	return csvField{present: true, from: from, to: len(w.scratch)}
}

// line adds the fields to the buffer.
func (w *csvWriter) line() {
	for i, f := range w.fields {
		if i > 0 {
			w.buf = append(w.buf, w.delimiter...)
		}
		text := w.scratch[f.from:f.to]
		switch {
		// A line with one empty field would be a blank line, which readers skip.
		case !f.present && len(w.fields) > 1:
		case w.quoted(text):
			w.buf = append(w.buf, '"')
			for _, c := range text {
				if c == '"' {
					w.buf = append(w.buf, '"')
				}
				w.buf = append(w.buf, c)
			}
			w.buf = append(w.buf, '"')
		default:
			w.buf = append(w.buf, text...)
		}
	}
	w.buf = append(w.buf, w.end...)
}

// quoted reports whether text needs quotes: for what RFC 4180 asks, and for
// space at the ends, which some readers drop.
func (w *csvWriter) quoted(text []byte) bool {
	if len(text) == 0 || text[0] == ' ' || text[0] == '\t' || text[len(text)-1] == ' ' || text[len(text)-1] == '\t' {
		return true
	}
	for _, c := range text {
		if w.special[c] {
			return true
		}
	}
	return false
}
