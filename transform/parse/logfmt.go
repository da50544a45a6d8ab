package parse

import (
	"bytes"

	"github.com/firehosed/firehosed/transform"
)

const maxPairs = 1024

// logfmt is `key=value key="quoted value" key`, as Heroku and many Go programs
// write it. Values are strings; a key without = is true; of keys that occur
// twice the last value stands at the place of the first. A text without any =
// is prose, not logfmt.
type logfmt struct {
	skip string // a key that is not to be taken from the text
}

func (logfmt) names() []string { return nil }

type pair struct {
	key, value []byte
	bare       bool // no =
	escaped    bool // value has escapes
}

func (l logfmt) members(dst, text []byte) ([]byte, mismatch) {
	var room [32]pair
	pairs := room[:0]
	equals := false
	for i := 0; ; {
		for i < len(text) && isSpace(text[i]) {
			i++
		}
		if i == len(text) {
			break
		}
		p, next, bad := scanPair(text, i)
		if bad.why != "" {
			return dst, bad
		}
		equals = equals || !p.bare
		if pairs = put(pairs, p); len(pairs) > maxPairs {
			return dst, mismatch{i, "more than 1024 keys"}
		}
		i = next
	}
	if !equals {
		return dst, mismatch{0, "no key=value"}
	}
	start := len(dst)
	for _, p := range pairs {
		if string(p.key) == l.skip && l.skip != "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = transform.AppendString(dst, p.key)
		dst = append(dst, ':')
		switch {
		case p.bare:
			dst = append(dst, "true"...)
		case p.escaped:
			dst = transform.AppendString(dst, unescape(p.value, true))
		default:
			dst = transform.AppendString(dst, p.value)
		}
	}
	if len(dst) == start {
		return dst, mismatch{0, "no key=value beside the raw field"}
	}
	return dst, mismatch{}
}

func put(pairs []pair, p pair) []pair {
	for i := range pairs {
		if bytes.Equal(pairs[i].key, p.key) {
			pairs[i] = p
			return pairs
		}
	}
	return append(pairs, p)
}

func isSpace(c byte) bool { return c <= ' ' }

func scanPair(text []byte, i int) (pair, int, mismatch) {
	start := i
	for i < len(text) && !isSpace(text[i]) && text[i] != '=' && text[i] != '"' {
		i++
	}
	p := pair{key: text[start:i]}
	switch {
	case i < len(text) && text[i] == '"':
		return p, i, mismatch{i, "a quote in a key"}
	case i == start:
		return p, i, mismatch{i, "= without a key"}
	case i == len(text) || text[i] != '=':
		p.bare = true
		return p, i, mismatch{}
	}
	i++
	if i < len(text) && text[i] == '"' {
		start = i + 1
		for i = start; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' {
				p.escaped = true
				i++
			}
		}
		if i >= len(text) {
			return p, i, mismatch{start - 1, "a quoted value has no end"}
		}
		p.value = text[start:i]
		if i++; i < len(text) && !isSpace(text[i]) {
			return p, i, mismatch{i, "text after the closing quote of a value"}
		}
		return p, i, mismatch{}
	}
	start = i
	for i < len(text) && !isSpace(text[i]) {
		if text[i] == '"' {
			return p, i, mismatch{i, "a quote in a value that does not start with one"}
		}
		i++
	}
	p.value = text[start:i]
	return p, i, mismatch{}
}
