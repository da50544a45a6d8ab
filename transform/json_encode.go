package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

var errDeep = fmt.Errorf("json: nested deeper than %d", MaxDepth)

// AppendJSON appends v as compact JSON with sorted keys, so that equal values
// give equal bytes. It takes the types that Record.Value lists, int64 and
// json.Number. Floats are written as short as they read back equal, in the
// form of ECMAScript; as in jq NaN is null and infinities are the largest
// finite number. An error leaves dst as it was.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	e := encoder{b: dst}
	if err := e.value(v, 0); err != nil {
		return dst, err
	}
	return e.b, nil
}

type encoder struct {
	b   []byte
	big bool
}

func (e *encoder) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		e.b = append(e.b, "null"...)
	case bool:
		e.b = strconv.AppendBool(e.b, v)
	case int:
		e.b = strconv.AppendInt(e.b, int64(v), 10)
	case int64:
		e.b = strconv.AppendInt(e.b, v, 10)
	case float64:
		e.b = appendFloat(e.b, v)
	case *big.Int:
		e.big = true
		e.b = v.Append(e.b, 10)
	case json.Number:
		if !isNumber(string(v)) {
			return errors.New("json: text of a json.Number is no number")
		}
		e.b = append(e.b, v...)
	case string:
		e.b = AppendString(e.b, v)
	case []any:
		if depth++; depth > MaxDepth {
			return errDeep
		}
		e.b = append(e.b, '[')
		for i, x := range v {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			if err := e.value(x, depth); err != nil {
				return err
			}
		}
		e.b = append(e.b, ']')
	case map[string]any:
		return e.object(v, depth)
	default:
		return fmt.Errorf("json: a %T has no JSON form here", v)
	}
	return nil
}

func (e *encoder) object(m map[string]any, depth int) error {
	if depth++; depth > MaxDepth {
		return errDeep
	}
	var few [32]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.b = append(e.b, '{')
	for i, k := range keys {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = AppendString(e.b, k)
		e.b = append(e.b, ':')
		if err := e.value(m[k], depth); err != nil {
			return err
		}
	}
	e.b = append(e.b, '}')
	return nil
}

func isNumber(s string) bool {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	d := decoder{s: s}
	_, err := d.number()
	return err == nil && d.i == len(s)
}

// appendFloat follows the number to string rules of ECMAScript, as
// encoding/json and jq do.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) {
		return append(b, "null"...)
	}
	f = min(max(f, -math.MaxFloat64), math.MaxFloat64)
	format := byte('f')
	if x := math.Abs(f); x != 0 && x < 1e-6 || x >= 1e21 {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	// e-09 is written e-9.
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, one each; characters of HTML are not escaped.
func AppendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := plain(s, 0); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			start = i + 1
			i = plain(s, start)
			continue
		}
		r, n := decodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plain returns an index at or before the first byte from i on that needs a
// look, eight bytes a step: the tests for a control character, a quote, a
// backslash and a byte beyond ASCII work on all eight at once.
func plain[S string | []byte](s S, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		if ((x-ones*' ')|(quote-ones)|(slash-ones)|x)&high != 0 {
			break
		}
	}
	return i
}

func decodeRune[S string | []byte](s S) (rune, int) {
	// At most four bytes matter, so that the conversion stays on the stack.
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}
