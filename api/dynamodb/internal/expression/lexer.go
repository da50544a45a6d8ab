package expression

import (
	"fmt"
	"strings"
)

// MaxBytes is the largest expression.
const MaxBytes = 4096

// Error tells what is wrong with an expression.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

type tokenKind uint8

const (
	tokenEnd     tokenKind = iota
	tokenWord              // a name or a keyword
	tokenName              // #name
	tokenValue             // :value
	tokenNumber            // digits
	tokenSymbol            // an operator or a bracket
	tokenUnknown           // what no expression has
)

type token struct {
	kind       tokenKind
	text       string
	start, end int
}

// is reports whether the token is a symbol, or a keyword in any case.
func (t token) is(s string) bool {
	return t.kind == tokenSymbol && t.text == s || t.kind == tokenWord && strings.EqualFold(t.text, s)
}

func isWord(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
}

// IsPlaceholder reports whether s is # or : as given, and a name of letters,
// digits and underscores.
func IsPlaceholder(s string, first byte) bool {
	if len(s) < 2 || s[0] != first {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isWord(s[i]) {
			return false
		}
	}
	return true
}

// scan cuts an expression into tokens, the last of which is tokenEnd.
func scan(src string) []token {
	var tokens []token
	for i := 0; i < len(src); {
		c := src[i]
		start := i
		t := token{kind: tokenUnknown, start: start}
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c-'0' <= 9:
			t.kind = tokenNumber
			for i < len(src) && src[i]-'0' <= 9 {
				i++
			}
		case isWord(c) || c == '#' || c == ':':
			switch c {
			case '#':
				t.kind = tokenName
			case ':':
				t.kind = tokenValue
			default:
				t.kind = tokenWord
			}
			for i++; i < len(src) && isWord(src[i]); i++ {
			}
			if i == start+1 && t.kind != tokenWord {
				t.kind = tokenUnknown
			}
		case strings.IndexByte("=<>()[],.+-", c) >= 0:
			t.kind = tokenSymbol
			i++
			if i < len(src) && (c == '<' && (src[i] == '=' || src[i] == '>') || c == '>' && src[i] == '=') {
				i++
			}
		default:
			i++
			for i < len(src) && src[i]&0xc0 == 0x80 {
				i++
			}
		}
		t.end, t.text = i, src[start:i]
		tokens = append(tokens, t)
	}
	end := 0
	if len(tokens) > 0 {
		end = tokens[len(tokens)-1].end
	}
	return append(tokens, token{text: "<EOF>", start: end, end: end})
}
