package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a file, or worth a note.
type Problem struct {
	File      string
	Line, Col int    // from 1
	Path      string // where in the tree, see Path; empty for the file itself
	Message   string
}

// Error renders the problem in one line: file:line:col: message.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
}

// Problems are all problems of a file, ordered by place. It is the error of
// Load.
type Problems struct {
	List []Problem
	// Omitted counts those beyond the first hundred.
	Omitted int
}

// maxProblems bounds what a broken file can make us keep and print.
const maxProblems = 100

// Error renders a line for each problem.
func (p *Problems) Error() string {
	var b strings.Builder
	for i := range p.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.List[i].Error())
	}
	if p.Omitted > 0 {
		fmt.Fprintf(&b, "\nand %d more", p.Omitted)
	}
	return b.String()
}

// Unwrap gives errors.As each problem.
func (p *Problems) Unwrap() []error {
	errs := make([]error, len(p.List))
	for i := range p.List {
		errs[i] = &p.List[i]
	}
	return errs
}

// place is where a path stands in the file, and what must not be printed of
// its value.
type place struct {
	line, col int
	origin    string // "${env:X}", or "the file" for a secret, if the value must not be printed
	value     string // that value
}

// Path joins keys, names (strings) and list indexes (ints) to the path that
// Problem and Given take: Path("delivery_streams", name, "transforms", 0,
// "filter", "expr"). Names with other characters than letters, digits, _ and -
// are quoted in it.
func Path(elem ...any) string {
	var path string
	for _, e := range elem {
		switch e := e.(type) {
		case int:
			path = pathIndex(path, e)
		default:
			path = pathKey(path, fmt.Sprint(e))
		}
	}
	return path
}

func pathIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func pathKey(path, key string) string {
	plain := key != ""
	for _, r := range key {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}
	if !plain {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// pathParent cuts the last element of a path, or returns "".
func pathParent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		switch path[i] {
		case '"': // a quoted name: skip to where its quotation began
			for i--; i >= 0 && (path[i] != '"' || i > 0 && path[i-1] == '\\'); i-- {
			}
		case '.', '[':
			return path[:i]
		}
	}
	return ""
}

// Given reports whether the file has something at a path, so that its value is
// not a default.
func (c *Config) Given(path string) bool {
	_, ok := c.places[path]
	return ok
}

// Problem gives an error found by a part of the daemon its place in the file:
// that of the path, or of the nearest one above it that the file has. What came
// from the environment or from a file is cut out of the text. It returns nil
// for a nil error.
func (c *Config) Problem(path string, err error) error {
	if err == nil {
		return nil
	}
	text := c.redact(path, err.Error())
	if path != "" {
		text = path + ": " + text
	}
	p := c.problemAt(path, text)
	return &wrapped{Problem: p, err: err}
}

// wrapped keeps the cause of a problem for errors.Is.
type wrapped struct {
	Problem
	err error
}

func (w *wrapped) Unwrap() []error { return []error{&w.Problem, w.err} }

func (c *Config) problemAt(path, message string) Problem {
	at := place{line: 1, col: 1}
	for p := path; ; p = pathParent(p) {
		if found, ok := c.places[p]; ok {
			at = found
			break
		}
		if p == "" {
			break
		}
	}
	return Problem{File: c.file, Line: at.line, Col: at.col, Path: path, Message: message}
}

// redact replaces, in a text about a path, the values there and below that
// must not be printed.
func (c *Config) redact(path, text string) string {
	var hide []place
	for p, at := range c.places {
		if at.origin != "" && at.value != "" && (p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[")) {
			hide = append(hide, at)
		}
	}
	// The longest first: one value may be part of another.
	slices.SortFunc(hide, func(a, b place) int {
		return cmp.Or(cmp.Compare(len(b.value), len(a.value)), cmp.Compare(a.value, b.value), cmp.Compare(a.origin, b.origin))
	})
	for _, h := range hide {
		quoted := strconv.Quote(h.value)
		for _, form := range []string{quoted, quoted[1 : len(quoted)-1], h.value} {
			text = strings.ReplaceAll(text, form, h.shown())
		}
	}
	return text
}

// shown stands for a value that must not be printed.
func (p place) shown() string { return "[value from " + p.origin + "]" }

// collector gathers problems.
type collector struct {
	list    []Problem
	bad     map[string]bool // paths with a problem; checks do not pile more on them
	seen    map[Problem]bool
	omitted int
}

func newCollector() *collector {
	return &collector{bad: map[string]bool{}, seen: map[Problem]bool{}}
}

func (c *collector) add(p Problem) {
	c.bad[p.Path] = true
	if len(c.list) >= maxProblems {
		c.omitted++
		return
	}
	// An anchor that is used twice is the same text in two places of the tree: one
	// problem.
	key := p
	key.Path = ""
	for _, path := range []string{p.Path, pathParent(p.Path)} {
		if path != "" {
			key.Message = strings.ReplaceAll(key.Message, path, "")
		}
	}
	if !c.seen[key] {
		c.seen[key] = true
		c.list = append(c.list, p)
	}
}

// err returns the problems in the order of the file, or nil.
func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	sortProblems(c.list)
	return &Problems{List: c.list, Omitted: c.omitted}
}

func sortProblems(list []Problem) {
	slices.SortFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Message, b.Message))
	})
}

// Join makes one error of those that Config.Problem returned, ordered by place
// like the error of Load; nil ones are left out. It returns nil if none is left.
func Join(errs ...error) error {
	c := newCollector()
	for _, err := range errs {
		if p, ok := errors.AsType[*Problem](err); ok {
			c.add(*p)
		} else if err != nil {
			c.add(Problem{Line: 1, Col: 1, Message: err.Error()})
		}
	}
	return c.err()
}
