package parse

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/firehosed/firehosed/transform"
)

const maxColumns = 4096

// separated is CSV as in RFC 4180 with one record a text: fields may be quoted,
// a quote inside is written twice, a quoted field may hold line breaks. All
// values are strings; a field with nothing in it, not even quotes, is null.
type separated struct {
	keys      []string // encoded, with the colon
	columns   []string
	delimiter []byte
}

func newCSV(columns []string, delimiter string) (*separated, error) {
	if len(columns) == 0 {
		return nil, errors.New("columns are missing")
	}
	if len(columns) > maxColumns {
		return nil, fmt.Errorf("%d columns, the limit is %d", len(columns), maxColumns)
	}
	d, err := delimiterRune(delimiter)
	if err != nil {
		return nil, err
	}
	c := &separated{columns: columns, delimiter: []byte(d)}
	seen := make(map[string]bool)
	for i, n := range columns {
		if n == "" {
			return nil, fmt.Errorf("columns[%d] has no name", i)
		}
		if seen[n] {
			return nil, fmt.Errorf("columns[%d] %q is named twice", i, n)
		}
		seen[n] = true
		c.keys = append(c.keys, string(transform.AppendString(nil, n))+":")
	}
	return c, nil
}

func (c *separated) names() []string { return c.columns }

func (c *separated) members(dst, text []byte) ([]byte, mismatch) {
	i := 0
	for col := 0; ; col++ {
		if col == len(c.keys) {
			return dst, mismatch{i, fmt.Sprintf("more than %d columns", len(c.keys))}
		}
		if col > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c.keys[col]...)
		var bad mismatch
		if i < len(text) && text[i] == '"' {
			dst, i, bad = c.quoted(dst, text, i)
		} else {
			dst, i, bad = c.plain(dst, text, i)
		}
		if bad.why != "" {
			return dst, bad
		}
		if i == len(text) {
			if col+1 < len(c.keys) {
				return dst, mismatch{i, fmt.Sprintf("%d of %d columns", col+1, len(c.keys))}
			}
			return dst, mismatch{}
		}
		i += len(c.delimiter)
	}
}

func (c *separated) plain(dst, text []byte, i int) ([]byte, int, mismatch) {
	end := len(text)
	if n := bytes.Index(text[i:], c.delimiter); n >= 0 {
		end = i + n
	}
	field := text[i:end]
	if len(field) == 0 {
		return append(dst, "null"...), end, mismatch{}
	}
	for k, b := range field {
		switch b {
		case '"':
			return dst, 0, mismatch{i + k, "a quote in a field that does not start with one"}
		case '\n', '\r':
			return dst, 0, mismatch{i + k, "a line break outside of quotes: one record is one line"}
		}
	}
	return transform.AppendString(dst, field), end, mismatch{}
}

func (c *separated) quoted(dst, text []byte, start int) ([]byte, int, mismatch) {
	var joined []byte // if there are quotes inside
	i, from := start+1, start+1
	for {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return dst, 0, mismatch{start, "a quoted field has no end"}
		}
		i += n + 1
		if i < len(text) && text[i] == '"' {
			joined = append(joined, text[from:i]...)
			i++
			from = i
			continue
		}
		if i < len(text) && !bytes.HasPrefix(text[i:], c.delimiter) {
			return dst, 0, mismatch{i, "text after the closing quote of a field"}
		}
		if joined == nil {
			return transform.AppendString(dst, text[from:i-1]), i, mismatch{}
		}
		return transform.AppendString(dst, append(joined, text[from:i-1]...)), i, mismatch{}
	}
}

// delimiterRune checks that a delimiter is one character that can be one.
func delimiterRune(s string) (string, error) {
	if s == "" {
		return ",", nil
	}
	if r, n := utf8.DecodeRuneInString(s); n != len(s) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
		return "", fmt.Errorf("delimiter %q is not one character other than a quote or a line break", s)
	}
	return s, nil
}
