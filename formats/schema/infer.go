package schema

import (
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// Limits of an inferred schema. What is beyond them is not lost: it belongs
// into an extra column, see [Inferred.Overflow].
const (
	MaxInferredColumns = 1000 // leaf columns
	MaxInferredDepth   = 16   // lists and structs inside each other; what is deeper is JSON text
	MaxInferredName    = 255  // bytes of a name
	maxInferredNodes   = 4 * MaxInferredColumns
)

// Inferred is a schema that grows with the records shown to it, and never
// takes anything back: a type only widens, and a column that was there stays.
//
// What is seen becomes boolean, bigint, double, string, array or struct. A bigint
// column that meets a fraction becomes double, unless it has held integers that
// a double cannot hold exactly. Any other conflict makes the column json, which
// holds every value as its text. Null fits everything. A column appears when its
// type is known, after those that are there: null, {} and [] alone make none.
// Names that are empty, longer than [MaxInferredName], hold control characters
// or differ from another only in case get no column.
//
// It is not for concurrent use.
type Inferred struct {
	root     node
	leaves   int
	nodes    int
	overflow bool
	reserved string
}

// node is what is known of one place in the records.
type node struct {
	kind   Kind // 0 until a value was seen; else Boolean, Int64, Double, String, JSON, List or Struct
	large  bool // an Int64 has held a value that is not exact as a double
	leaves int  // of this node; 0 while nothing in it has a type
	elem   *node
	fields []field
	index  map[string]int  // of fields, by name
	folded map[string]bool // names in lower case
}

type field struct {
	name string
	node *node
}

// NewInferred returns a schema without columns. No column is ever named
// reserved, which is for the extra column.
func NewInferred(reserved string) *Inferred {
	return &Inferred{root: node{kind: Struct}, reserved: reserved}
}

// Overflow reports whether a value was seen that has no place in the columns.
func (s *Inferred) Overflow() bool { return s.overflow }

// SetOverflow makes Overflow report true from now on.
func (s *Inferred) SetOverflow() { s.overflow = true }

// Columns returns the columns known so far.
func (s *Inferred) Columns() []Column {
	var out []Column
	for _, f := range s.root.fields {
		if f.node.leaves > 0 {
			out = append(out, Column{Name: f.name, Type: f.node.typ()})
		}
	}
	return out
}

// typ is the type of a node that has leaves.
func (n *node) typ() *Type {
	switch n.kind {
	case List:
		return &Type{Kind: List, Elem: n.elem.typ()}
	case Struct:
		t := &Type{Kind: Struct}
		for _, f := range n.fields {
			if f.node.leaves > 0 {
				t.Fields = append(t.Fields, Field{Name: f.name, Type: f.node.typ()})
			}
		}
		return t
	}
	return &Type{Kind: n.kind}
}

// Fits walks the object that begins at b[i] and returns the index after it and
// whether the schema has a place for all of it. It changes nothing. When it
// does not fit, the rest of the object was not looked at.
func (s *Inferred) Fits(b []byte, i int) (end int, fits bool, err error) {
	return s.fits(&s.root, b, i)
}

func (s *Inferred) fits(n *node, b []byte, i int) (end int, fits bool, err error) {
	if i >= len(b) {
		return i, false, jsonscan.Unexpected(b, i, "a value")
	}
	c := b[i]
	switch {
	case c == 'n' || n.kind == JSON:
		end, err = jsonscan.Value(b, i)
		return end, true, err
	case c == '{':
		if n.kind != Struct {
			return i, false, nil
		}
		return s.fitsObject(n, b, i)
	case c == '[':
		if n.kind != List {
			return i, false, nil
		}
		return s.fitsArray(n, b, i)
	case c == '"':
		end, _, err = jsonscan.String(b, i)
		return end, n.kind == String, err
	case c == 't' || c == 'f':
		end, err = jsonscan.Scalar(b, i)
		return end, n.kind == Boolean, err
	}
	end, integer, err := jsonscan.Number(b, i)
	if err != nil {
		return end, false, err
	}
	kind, large := numberKind(b[i:end], integer)
	switch n.kind {
	case Int64:
		return end, kind == Int64 && (n.large || !large), nil
	case Double:
		return end, kind == Double || kind == Int64 && !large, nil
	}
	return end, false, nil
}

// numberKind says what a number fits into: Int64, Double or, when neither holds
// it, JSON. large is for an integer that a double does not hold exactly.
func numberKind(text []byte, integer bool) (kind Kind, large bool) {
	if integer && len(text) < 16 {
		return Int64, false
	}
	if integer {
		v, err := strconv.ParseInt(view(text), 10, 64)
		if err != nil {
			return JSON, true
		}
		return Int64, v > 1<<53 || v < -1<<53
	}
	if len(text) < 300 && strings.IndexByte(view(text), 'e') < 0 && strings.IndexByte(view(text), 'E') < 0 {
		return Double, false
	}
	if v, err := strconv.ParseFloat(view(text), 64); err != nil || math.IsInf(v, 0) {
		return JSON, false
	}
	return Double, false
}

// view is b as a string for a call that does not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (s *Inferred) fitsObject(n *node, b []byte, i int) (end int, fits bool, err error) {
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, true, nil
	}
	hint := 0
	for {
		next, key, escaped, err := jsonscan.Key(b, i)
		if err != nil {
			return next, false, err
		}
		if escaped {
			key = jsonscan.Unquote(nil, key)
		}
		at, ok := n.find(key, hint)
		switch {
		case ok:
			hint = at + 1
			if i, fits, err = s.fits(n.fields[at].node, b, next); err != nil || !fits {
				return i, false, err
			}
		default:
			if i, err = jsonscan.Value(b, next); err != nil {
				return i, false, err
			}
			if b[next] != 'n' && (!s.overflow || s.canAdd(n, key)) {
				return i, false, nil
			}
		}
		i = jsonscan.SkipSpace(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = jsonscan.SkipSpace(b, i+1)
		case i < len(b) && b[i] == '}':
			return i + 1, true, nil
		default:
			return i, false, jsonscan.Unexpected(b, i, "',' or '}'")
		}
	}
}

func (s *Inferred) fitsArray(n *node, b []byte, i int) (end int, fits bool, err error) {
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, true, nil
	}
	for {
		if i, fits, err = s.fits(n.elem, b, i); err != nil || !fits {
			return i, false, err
		}
		i = jsonscan.SkipSpace(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = jsonscan.SkipSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1, true, nil
		default:
			return i, false, jsonscan.Unexpected(b, i, "',' or ']'")
		}
	}
}

// find returns the index of the field with that name, which is likely hint.
func (n *node) find(name []byte, hint int) (int, bool) {
	if hint < len(n.fields) && n.fields[hint].name == string(name) {
		return hint, true
	}
	at, ok := n.index[string(name)]
	return at, ok
}

// canAdd reports whether n may get a field of that name.
func (s *Inferred) canAdd(n *node, name []byte) bool {
	if s.leaves >= MaxInferredColumns || s.nodes >= maxInferredNodes || !goodName(view(name)) ||
		n == &s.root && string(name) == s.reserved {
		return false
	}
	return !n.folded[strings.ToLower(view(name))]
}

func goodName(name string) bool {
	if name == "" || len(name) > MaxInferredName {
		return false
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// Grow makes a place for all of the valid object that begins at b[i].
func (s *Inferred) Grow(b []byte, i int) {
	_, change := s.grow(&s.root, b, i, 0)
	s.root.leaves += change
}

// grow widens n for the valid value at b[i]. It returns the index after the
// value and by how much the leaves of n have changed, which is in s.leaves but
// not yet in n.leaves.
func (s *Inferred) grow(n *node, b []byte, i, depth int) (end, change int) {
	c := b[i]
	seen, large := JSON, false
	switch {
	case c == 'n' || n.kind == JSON:
		end, _ = jsonscan.Value(b, i)
		return end, 0
	case c == '{' && depth <= MaxInferredDepth && (n.kind == 0 || n.kind == Struct):
		if n.kind == 0 {
			n.kind = Struct
		}
		return s.growObject(n, b, i, depth)
	case c == '[' && depth <= MaxInferredDepth && (n.kind == 0 || n.kind == List):
		if n.kind == 0 {
			n.kind, n.elem = List, &node{}
			s.nodes++
		}
		return s.growArray(n, b, i, depth)
	case c == '{' || c == '[':
		end, _ = jsonscan.Value(b, i)
	case c == '"':
		seen = String
		end, _, _ = jsonscan.String(b, i)
	case c == 't' || c == 'f':
		seen = Boolean
		end, _ = jsonscan.Scalar(b, i)
	default:
		var integer bool
		end, integer, _ = jsonscan.Number(b, i)
		seen, large = numberKind(b[i:end], integer)
	}
	return end, s.widen(n, seen, large)
}

// widen makes n hold a leaf of the kind seen as well.
func (s *Inferred) widen(n *node, seen Kind, large bool) (change int) {
	switch {
	case n.kind == 0:
	case n.kind == Int64 && seen == Int64:
		n.large = n.large || large
		return 0
	case n.kind == Double && seen == Int64 && !large, n.kind == seen:
		return 0
	case n.kind == Int64 && seen == Double && !n.large:
	default:
		seen = JSON
	}
	if n.leaves == 0 && s.leaves >= MaxInferredColumns {
		s.overflow = true // it stays without a column, and so all of it is extra
		return 0
	}
	change = 1 - n.leaves
	s.leaves += change
	*n = node{kind: seen, large: large && seen == Int64, leaves: n.leaves}
	return change
}

func (s *Inferred) growObject(n *node, b []byte, i, depth int) (end, change int) {
	for i = jsonscan.SkipSpace(b, i+1); b[i] != '}'; {
		next, key, escaped, _ := jsonscan.Key(b, i)
		if escaped {
			key = jsonscan.Unquote(nil, key)
		}
		at, ok := n.index[string(key)]
		switch {
		case b[next] == 'n':
			i, _ = jsonscan.Scalar(b, next)
		case !ok && !s.canAdd(n, key):
			s.overflow = true
			i, _ = jsonscan.Value(b, next)
		default:
			if !ok {
				at = s.add(n, string(key), &node{})
			}
			f := n.fields[at].node
			had := f.leaves
			var c int
			i, c = s.grow(f, b, next, depth+1)
			f.leaves += c
			change += c
			if had == 0 && f.leaves > 0 && at < len(n.fields)-1 {
				n.moveToEnd(at)
			}
		}
		if i = jsonscan.SkipSpace(b, i); b[i] == ',' {
			i = jsonscan.SkipSpace(b, i+1)
		}
	}
	return i + 1, change
}

func (s *Inferred) growArray(n *node, b []byte, i, depth int) (end, change int) {
	for i = jsonscan.SkipSpace(b, i+1); b[i] != ']'; {
		var c int
		i, c = s.grow(n.elem, b, i, depth+1)
		n.elem.leaves += c
		change += c
		if i = jsonscan.SkipSpace(b, i); b[i] == ',' {
			i = jsonscan.SkipSpace(b, i+1)
		}
	}
	return i + 1, change
}

func (s *Inferred) add(n *node, name string, f *node) int {
	if n.index == nil {
		n.index, n.folded = map[string]int{}, map[string]bool{}
	}
	n.index[name] = len(n.fields)
	n.folded[strings.ToLower(name)] = true
	n.fields = append(n.fields, field{name, f})
	s.nodes++
	return len(n.fields) - 1
}

// moveToEnd puts a field that just got its type after those that had theirs
// before, so that columns are only ever appended.
func (n *node) moveToEnd(at int) {
	f := n.fields[at]
	n.fields = append(append(n.fields[:at:at], n.fields[at+1:]...), f)
	for i, f := range n.fields {
		n.index[f.name] = i
	}
}
