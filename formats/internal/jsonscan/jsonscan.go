// Package jsonscan walks JSON text in place.
//
// It validates as it goes and gives positions, so that a caller can take values
// straight from the bytes without building maps. It follows RFC 8259 to the
// letter: text must be UTF-8, control characters in strings must be escaped,
// and nothing but white space may follow a document. Two things differ from
// encoding/json: invalid UTF-8 is an error instead of a replacement character,
// and nesting ends at [MaxDepth].
//
// It does not interpret numbers and does not look for repeated keys.
package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how many arrays and objects may be inside each other.
const MaxDepth = 1000

// SyntaxError says where the text stops being JSON.
type SyntaxError struct {
	Offset int // of the offending byte, from 0
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Unexpected is the error for the byte at i where the grammar wants something
// else, or for the end of the text.
func Unexpected(b []byte, i int, want string) error {
	if i >= len(b) {
		return &SyntaxError{Offset: len(b), Reason: "text ends where " + want + " is expected"}
	}
	return &SyntaxError{Offset: i, Reason: fmt.Sprintf("%s where %s is expected", describe(b[i:]), want)}
}

// Describe names the kind of a value by its first byte.
func Describe(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// describe names the first character of b, which is not empty.
func describe(b []byte) string {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		return fmt.Sprintf("byte 0x%02x", b[0])
	}
	return fmt.Sprintf("%q", r)
}

// SkipSpace returns the index of the first byte from i on that is not white
// space, or len(b).
func SkipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		switch b[i] {
		case ' ', '\n', '\t', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// Value validates the value whose first byte is b[i] and returns the index
// after it. It needs no memory and no recursion.
func Value(b []byte, i int) (int, error) {
	var objects [MaxDepth/64 + 1]uint64 // bit d: the container at depth d is an object
	depth := 0
	var err error
	for {
		if i >= len(b) {
			return i, Unexpected(b, i, "a value")
		}
		switch c := b[i]; c {
		case '"':
			i, _, err = String(b, i)
		case '{', '[':
			open := i
			i = SkipSpace(b, i+1)
			if i < len(b) && b[i] == c+2 { // '}' is '{'+2, ']' is '['+2
				i++
				break
			}
			if depth == MaxDepth {
				return open, &SyntaxError{Offset: open, Reason: fmt.Sprintf("nesting deeper than %d", MaxDepth)}
			}
			if c == '[' {
				objects[depth>>6] &^= 1 << (depth & 63)
				depth++
				continue
			}
			objects[depth>>6] |= 1 << (depth & 63)
			depth++
			if i, _, _, err = Key(b, i); err != nil {
				return i, err
			}
			continue
		default:
			i, err = Scalar(b, i)
		}
		if err != nil {
			return i, err
		}
		// A value has ended: close what ends with it, up to the next value.
		for {
			if depth == 0 {
				return i, nil
			}
			i = SkipSpace(b, i)
			object := objects[(depth-1)>>6]&(1<<((depth-1)&63)) != 0
			if i < len(b) && b[i] == ',' {
				i = SkipSpace(b, i+1)
				if object {
					if i, _, _, err = Key(b, i); err != nil {
						return i, err
					}
				}
				break
			}
			if i < len(b) && (object && b[i] == '}' || !object && b[i] == ']') {
				i++
				depth--
				continue
			}
			if object {
				return i, Unexpected(b, i, "',' or '}'")
			}
			return i, Unexpected(b, i, "',' or ']'")
		}
	}
}

// Key reads the key that begins at b[i], and the colon. It returns the index of
// the value, the bytes between the quotes, and whether these hold escapes.
func Key(b []byte, i int) (next int, key []byte, escaped bool, err error) {
	if i >= len(b) || b[i] != '"' {
		return i, nil, false, Unexpected(b, i, "a key")
	}
	end, escaped, err := String(b, i)
	if err != nil {
		return end, nil, false, err
	}
	key = b[i+1 : end-1]
	end = SkipSpace(b, end)
	if end >= len(b) || b[end] != ':' {
		return end, nil, false, Unexpected(b, end, "':'")
	}
	return SkipSpace(b, end+1), key, escaped, nil
}

// Scalar validates the number, true, false or null that begins at b[i] and
// returns the index after it.
func Scalar(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, Unexpected(b, i, "a value")
	}
	word := ""
	switch b[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	default:
		end, _, err := Number(b, i)
		return end, err
	}
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word), nil
	}
	return i, Unexpected(b, i, "a value")
}

// Number validates the number that begins at b[i]. It returns the index after
// it and whether it is written without fraction and exponent.
func Number(b []byte, i int) (end int, integer bool, err error) {
	if i < len(b) && b[i] == '-' {
		i++
		if i >= len(b) || b[i]-'0' > 9 {
			return i, false, Unexpected(b, i, "a digit")
		}
	}
	switch {
	case i >= len(b) || b[i]-'0' > 9:
		return i, false, Unexpected(b, i, "a value")
	case b[i] == '0':
		i++
	default:
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		if i, err = digits(b, i+1); err != nil {
			return i, false, err
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i, err = digits(b, i); err != nil {
			return i, false, err
		}
	}
	return i, integer, nil
}

func digits(b []byte, i int) (int, error) {
	if i >= len(b) || b[i]-'0' > 9 {
		return i, Unexpected(b, i, "a digit")
	}
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i, nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// String validates the string whose opening quote is b[i]. It returns the index
// after the closing quote and whether the string holds escapes.
func String(b []byte, i int) (end int, escaped bool, err error) {
	start := i + 1
	i = start
	var high uint64 // a bit is set when a byte beyond ASCII was seen
	for {
		// Eight bytes at a time: the lowest set bit of hit belongs to the first
		// byte that is a quote, a backslash or a control character; what lies
		// above it may be false and is not looked at.
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			quote := x ^ (ones * '"')
			slash := x ^ (ones * '\\')
			hit := (((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((x - ones*' ') &^ x)) & highs
			high |= x & highs
			if hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				goto special
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			high |= uint64(b[i]) & 0x80
			i++
		}
		if i >= len(b) {
			return i, false, &SyntaxError{Offset: len(b), Reason: "text ends inside a string"}
		}
	special:
		switch {
		case b[i] == '"':
			if high != 0 && !utf8.Valid(b[start:i]) {
				at := start
				for r, n := utf8.DecodeRune(b[at:]); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRune(b[at:]) {
					at += n
				}
				return at, false, &SyntaxError{Offset: at, Reason: "string is not UTF-8"}
			}
			return i + 1, escaped, nil
		case b[i] == '\\':
			escaped = true
			if i, err = escape(b, i+1); err != nil {
				return i, false, err
			}
		default:
			return i, false, &SyntaxError{Offset: i, Reason: fmt.Sprintf("control character 0x%02x in a string", b[i])}
		}
	}
}

// escape validates what follows the backslash before b[i].
func escape(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, &SyntaxError{Offset: len(b), Reason: "text ends inside a string"}
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		for j := i + 1; j < i+5; j++ {
			if j >= len(b) {
				return j, &SyntaxError{Offset: len(b), Reason: "text ends inside a string"}
			}
			if hexDigit(b[j]) < 0 {
				return j, Unexpected(b, j, "a hexadecimal digit")
			}
		}
		return i + 5, nil
	}
	return i, Unexpected(b, i, "an escape")
}

func hexDigit(c byte) rune {
	switch {
	case c-'0' <= 9:
		return rune(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20) - 'a' + 10
	}
	return -1
}
