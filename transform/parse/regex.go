package parse

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/firehosed/firehosed/transform"
)

// regex makes members of the named groups of an expression; a group that takes
// no part in the match is null.
type regex struct {
	re     *regexp.Regexp
	groups []group
}

type group struct {
	index int
	key   string // encoded, with the colon
	name  string
}

func newRegex(pattern string) (*regex, error) {
	if pattern == "" {
		return nil, errors.New("pattern is missing")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	x := &regex{re: re}
	for i, n := range re.SubexpNames() {
		if n != "" {
			x.groups = append(x.groups, group{i, string(transform.AppendString(nil, n)) + ":", n})
		}
	}
	if len(x.groups) == 0 {
		return nil, errors.New("pattern has no named group such as (?P<name>...)")
	}
	return x, nil
}

func (x *regex) members(dst, text []byte) ([]byte, mismatch) {
	at := x.re.FindSubmatchIndex(text)
	if at == nil {
		return dst, mismatch{0, "the pattern matches nowhere"}
	}
	for i, g := range x.groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, g.key...)
		if from := at[2*g.index]; from >= 0 {
			dst = transform.AppendString(dst, text[from:at[2*g.index+1]])
		} else {
			dst = append(dst, "null"...)
		}
	}
	return dst, mismatch{}
}

func (x *regex) names() []string {
	var n []string
	for _, g := range x.groups {
		n = append(n, g.name)
	}
	return n
}
