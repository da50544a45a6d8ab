package transform

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested in a record.
const MaxDepth = 64

// maxIntDigits bounds integers: reading and printing them takes more than
// linear time.
const maxIntDigits = 4096

// SyntaxError says where and why bytes are not one JSON value.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("json: byte %d: %s", e.Offset, e.Reason)
}

// DecodeJSON decodes exactly one JSON value (RFC 8259) with white space around
// it, to the types that Record.Value lists. Numbers with a fraction or an
// exponent become float64; one outside its range is an error. In strings,
// bytes that are not UTF-8 and surrogates without their half become U+FFFD.
// Strings of the result share one copy of b.
func DecodeJSON(b []byte) (any, error) {
	d := decoder{s: string(b)}
	return d.decode()
}

type decoder struct {
	s     string
	i     int
	depth int
	big   bool
}

func (d *decoder) fail(at int, format string, args ...any) error {
	return &SyntaxError{Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// found describes what stands at the position, never more than a character.
func (d *decoder) found() string {
	if d.i >= len(d.s) {
		return "the end"
	}
	r, n := utf8.DecodeRuneInString(d.s[d.i:])
	if r == utf8.RuneError && n <= 1 {
		return fmt.Sprintf("byte 0x%02x", d.s[d.i])
	}
	return strconv.QuoteRune(r)
}

func (d *decoder) decode() (any, error) {
	d.space()
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return v, nil
}

func (d *decoder) end() error {
	d.space()
	if d.i < len(d.s) {
		return d.fail(d.i, "%s after the value", d.found())
	}
	return nil
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

func (d *decoder) value() (any, error) {
	if d.i >= len(d.s) {
		return nil, d.fail(d.i, "a value is missing at the end")
	}
	switch c := d.s[d.i]; c {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return d.str()
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return d.number()
		}
		return nil, d.fail(d.i, "%s where a value should start", d.found())
	}
}

func (d *decoder) word(w string) error {
	if !strings.HasPrefix(d.s[d.i:], w) {
		return d.fail(d.i, "%s where a value should start (did you mean %s?)", d.found(), w)
	}
	d.i += len(w)
	return nil
}

func (d *decoder) enter() error {
	if d.depth++; d.depth > MaxDepth {
		return d.fail(d.i, "nested deeper than %d", MaxDepth)
	}
	d.i++
	d.space()
	return nil
}

func (d *decoder) object() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	m := make(map[string]any)
	if d.i < len(d.s) && d.s[d.i] == '}' {
		d.i++
		d.depth--
		return m, nil
	}
	for {
		k, err := d.key()
		if err != nil {
			return nil, err
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		m[k] = v
		if end, err := d.next('}'); err != nil {
			return nil, err
		} else if end {
			return m, nil
		}
	}
}

// key passes a key, its colon and the space around.
func (d *decoder) key() (string, error) {
	if d.i >= len(d.s) || d.s[d.i] != '"' {
		return "", d.fail(d.i, "%s where a key should start", d.found())
	}
	k, err := d.str()
	if err != nil {
		return "", err
	}
	d.space()
	if d.i >= len(d.s) || d.s[d.i] != ':' {
		return "", d.fail(d.i, "%s where a colon should follow the key", d.found())
	}
	d.i++
	d.space()
	return k, nil
}

func (d *decoder) array() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	a := []any{}
	if d.i < len(d.s) && d.s[d.i] == ']' {
		d.i++
		d.depth--
		return a, nil
	}
	for {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		if end, err := d.next(']'); err != nil {
			return nil, err
		} else if end {
			return a, nil
		}
	}
}

// next passes a comma, or the end of the array or object.
func (d *decoder) next(end byte) (bool, error) {
	d.space()
	if d.i < len(d.s) {
		switch d.s[d.i] {
		case ',':
			d.i++
			d.space()
			return false, nil
		case end:
			d.i++
			d.depth--
			return true, nil
		}
	}
	return false, d.fail(d.i, "%s where ',' or %q should follow", d.found(), end)
}

func (d *decoder) digits() int {
	start := d.i
	for d.i < len(d.s) && '0' <= d.s[d.i] && d.s[d.i] <= '9' {
		d.i++
	}
	return d.i - start
}

func (d *decoder) number() (any, error) {
	start := d.i
	if d.s[d.i] == '-' {
		d.i++
	}
	first := d.i
	n := d.digits()
	if n == 0 {
		return nil, d.fail(d.i, "%s where a digit should follow '-'", d.found())
	}
	if n > 1 && d.s[first] == '0' {
		return nil, d.fail(first, "number starts with 0")
	}
	whole := true
	if d.i < len(d.s) && d.s[d.i] == '.' {
		whole = false
		d.i++
		if d.digits() == 0 {
			return nil, d.fail(d.i, "%s where a digit should follow '.'", d.found())
		}
	}
	if d.i < len(d.s) && d.s[d.i]|0x20 == 'e' {
		whole = false
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if d.digits() == 0 {
			return nil, d.fail(d.i, "%s where the exponent should have a digit", d.found())
		}
	}
	text := d.s[start:d.i]
	// Minus zero is no integer; as a float it keeps its sign.
	if whole && text != "-0" {
		if v, err := strconv.Atoi(text); err == nil {
			return v, nil
		}
		if n > maxIntDigits {
			return nil, d.fail(start, "integer has %d digits, the limit is %d", n, maxIntDigits)
		}
		v, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, d.fail(start, "not an integer")
		}
		d.big = true
		return v, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, d.fail(start, "number is outside the range of a float64")
	}
	return f, nil
}

func (d *decoder) str() (string, error) {
	d.i++
	start, ascii := d.i, true
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '"':
			s := d.s[start:d.i]
			d.i++
			if ascii || utf8.ValidString(s) {
				return s, nil
			}
			d.i = start
			return d.strSlow(start)
		case c == '\\':
			return d.strSlow(start)
		case c < ' ':
			return "", d.fail(d.i, "control character 0x%02x in a string", c)
		default:
			ascii = ascii && c < utf8.RuneSelf
			d.i++
		}
	}
	return "", d.fail(start-1, "string has no end")
}

// strSlow reads a string that has escapes or bytes that are not UTF-8. The
// bytes from start to the position are plain.
func (d *decoder) strSlow(start int) (string, error) {
	b := append(make([]byte, 0, d.i-start+32), d.s[start:d.i]...)
	if !utf8.Valid(b) {
		b, d.i = b[:0], start
	}
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return string(b), nil
		case c == '\\':
			var err error
			if b, err = d.escape(b); err != nil {
				return "", err
			}
		case c < ' ':
			return "", d.fail(d.i, "control character 0x%02x in a string", c)
		case c < utf8.RuneSelf:
			b = append(b, c)
			d.i++
		default:
			r, n := utf8.DecodeRuneInString(d.s[d.i:])
			b = utf8.AppendRune(b, r)
			d.i += n
		}
	}
	return "", d.fail(start-1, "string has no end")
}

func (d *decoder) escape(b []byte) ([]byte, error) {
	at := d.i
	d.i += 2
	if d.i > len(d.s) {
		return nil, d.fail(at, "string has no end")
	}
	switch c := d.s[d.i-1]; c {
	case '"', '\\', '/':
		return append(b, c), nil
	case 'b':
		return append(b, '\b'), nil
	case 'f':
		return append(b, '\f'), nil
	case 'n':
		return append(b, '\n'), nil
	case 'r':
		return append(b, '\r'), nil
	case 't':
		return append(b, '\t'), nil
	case 'u':
		r, ok := d.hex4()
		if !ok {
			return nil, d.fail(at, `\u without four hexadecimal digits`)
		}
		if utf16.IsSurrogate(r) {
			second := d.i
			r2 := rune(utf8.RuneError)
			if strings.HasPrefix(d.s[d.i:], `\u`) {
				d.i += 2
				if h, ok := d.hex4(); ok {
					r2 = h
				}
			}
			if r = utf16.DecodeRune(r, r2); r == utf8.RuneError {
				d.i = second // what follows stands for itself
			}
		}
		return utf8.AppendRune(b, r), nil
	}
	return nil, d.fail(at, "unknown escape in a string")
}

func (d *decoder) hex4() (rune, bool) {
	if len(d.s)-d.i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(d.s[d.i : d.i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	d.i += 4
	return r, true
}
