package expression

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firehosed/firehosed/leases"
)

// Scope resolves the placeholders of the expressions of one request.
type Scope struct {
	Names  map[string]string       // by #name
	Values map[string]leases.Value // by :value

	usedNames, usedValues map[string]bool
}

// Unused returns the placeholders, in order, that no expression used.
func (s *Scope) Unused() (names, values []string) {
	for k := range s.Names {
		if !s.usedNames[k] {
			names = append(names, k)
		}
	}
	for k := range s.Values {
		if !s.usedValues[k] {
			values = append(values, k)
		}
	}
	slices.Sort(names)
	slices.Sort(values)
	return names, values
}

// Path is the place of a value in an item.
type Path []Step

// Step is one part of a path: the name of an attribute, or an index of a list.
type Step struct {
	Name  string
	Index int // -1 for a name
}

// String renders the path as messages do.
func (p Path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if parts[i] = s.Name; s.Index >= 0 {
			parts[i] = fmt.Sprintf("[%d]", s.Index)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Find returns the value at the path.
func (p Path) Find(item leases.Item) (leases.Value, bool) {
	v, ok := item[p[0].Name]
	for _, s := range p[1:] {
		if !ok {
			return leases.Value{}, false
		}
		v, ok = s.in(v)
	}
	return v, ok
}

func (s Step) in(v leases.Value) (leases.Value, bool) {
	if s.Index < 0 {
		if v.Kind != leases.KindMap {
			return leases.Value{}, false
		}
		v, ok := v.Map[s.Name]
		return v, ok
	}
	if v.Kind != leases.KindList || s.Index >= len(v.List) {
		return leases.Value{}, false
	}
	return v.List[s.Index], true
}

// parser reads one expression.
type parser struct {
	src    string
	tokens []token
	at     int
	scope  *Scope
	paths  []Path // all that were read
}

func newParser(src string, scope *Scope) (*parser, error) {
	if len(src) > MaxBytes {
		return nil, wrong("Expression size has exceeded the maximum allowed size; expression size: %d", len(src))
	}
	if strings.TrimSpace(src) == "" {
		return nil, wrong("The expression can not be empty;")
	}
	if scope.usedNames == nil {
		scope.usedNames, scope.usedValues = map[string]bool{}, map[string]bool{}
	}
	return &parser{src: src, tokens: scan(src), scope: scope}, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept takes the next token if it is s.
func (p *parser) accept(s string) bool {
	if !p.peek().is(s) {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(s string) error {
	if !p.accept(s) {
		return p.syntax()
	}
	return nil
}

// syntax is the error about the next token.
func (p *parser) syntax() error {
	t := p.peek()
	from, to := t.start, t.end
	if p.at > 0 {
		from = p.tokens[p.at-1].start
	}
	if p.at+1 < len(p.tokens) {
		to = p.tokens[p.at+1].end
	}
	return wrong(`Syntax error; token: "%s", near: "%s"`, t.text, p.src[from:to])
}

// end makes sure that nothing is left.
func (p *parser) end() error {
	if p.peek().kind != tokenEnd {
		return p.syntax()
	}
	return nil
}

// startsPath reports whether the next token can begin a path.
func (p *parser) startsPath() bool {
	k := p.peek().kind
	return k == tokenWord || k == tokenName
}

func (p *parser) name() (string, error) {
	t := p.peek()
	switch t.kind {
	case tokenWord:
		p.at++
		return t.text, nil
	case tokenName:
		name, ok := p.scope.Names[t.text]
		if !ok {
			return "", wrong("An expression attribute name used in the document path is not defined; attribute name: %s", t.text)
		}
		p.scope.usedNames[t.text] = true
		p.at++
		return name, nil
	}
	return "", p.syntax()
}

func (p *parser) path() (Path, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	path := Path{{Name: name, Index: -1}}
	for {
		switch {
		case p.accept("."):
			if name, err = p.name(); err != nil {
				return nil, err
			}
			path = append(path, Step{Name: name, Index: -1})
		case p.accept("["):
			t := p.peek()
			n, err := strconv.Atoi(t.text)
			if t.kind != tokenNumber {
				return nil, p.syntax()
			}
			if err != nil || n > 1<<30 {
				return nil, wrong("List index is not within the allowable range; index: [%s]", t.text)
			}
			p.at++
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			path = append(path, Step{Index: n})
		default:
			p.paths = append(p.paths, path)
			return path, nil
		}
	}
}

func (p *parser) value() (leases.Value, error) {
	t := p.peek()
	if t.kind != tokenValue {
		return leases.Value{}, p.syntax()
	}
	v, ok := p.scope.Values[t.text]
	if !ok {
		return leases.Value{}, wrong("An expression attribute value used in expression is not defined; attribute value: %s", t.text)
	}
	p.scope.usedValues[t.text] = true
	p.at++
	return v, nil
}

// call reports whether a function follows: a word and a bracket.
func (p *parser) call() (string, bool) {
	t := p.peek()
	if t.kind != tokenWord || !p.tokens[p.at+1].is("(") {
		return "", false
	}
	return t.text, true
}
