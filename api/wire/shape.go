package wire

import (
	"regexp"
	"strings"
)

type shapeKind uint8

const (
	kindString shapeKind = iota
	kindInteger
	kindLong
	kindDouble
	kindBoolean
	kindBlob
	kindTimestamp
	kindList
	kindMap
	kindStructure
	kindAny
)

// Shape says what a value must be: its type and its constraints. Shapes are
// made once, when a service is made, and only read after that.
type Shape struct {
	kind           shapeKind
	min, max       int64 // of a number, a length in characters or bytes, or a count
	hasMin, hasMax bool
	pattern        *Pattern
	enum           []string
	members        []Member // of a structure, in the order of its messages
	item           *Shape   // of a list or the values of a map
	key            *Shape   // of a map
}

// Member is a member of a structure.
type Member struct {
	Name     string
	Required bool
	Shape    *Shape

	conditional bool
}

// Required returns a member that must be present and not null.
func Required(name string, s *Shape) Member { return Member{Name: name, Required: true, Shape: s} }

// Conditional returns a member that an operation requires of some requests and
// not of others: see Request.Complete. Where something else is wrong its
// absence is named too.
func Conditional(name string, s *Shape) Member {
	return Member{Name: name, Required: true, Shape: s, conditional: true}
}

// Optional returns a member that may be absent or null.
func Optional(name string, s *Shape) Member { return Member{Name: name, Shape: s} }

// String returns a shape of text.
func String() *Shape { return &Shape{kind: kindString} }

// Enum returns a shape of text that is one of values, listed in this order in
// messages.
func Enum(values ...string) *Shape { return &Shape{kind: kindString, enum: values} }

// Integer returns a shape of 32-bit whole numbers. Larger ones count as the
// largest, fractions are cut off.
func Integer() *Shape { return &Shape{kind: kindInteger} }

// Long returns a shape of 64-bit whole numbers.
func Long() *Shape { return &Shape{kind: kindLong} }

// Double returns a shape of floating-point numbers.
func Double() *Shape { return &Shape{kind: kindDouble} }

// Boolean returns a shape of true and false.
func Boolean() *Shape { return &Shape{kind: kindBoolean} }

// Blob returns a shape of raw bytes: base64 in JSON, a byte string in CBOR.
func Blob() *Shape { return &Shape{kind: kindBlob} }

// Timestamp returns a shape of times: seconds with a fraction in JSON, whole
// milliseconds (tag 1 or none) in CBOR. They are kept in milliseconds.
func Timestamp() *Shape { return &Shape{kind: kindTimestamp} }

// List returns a shape of lists of item.
func List(item *Shape) *Shape { return &Shape{kind: kindList, item: item} }

// Map returns a shape of maps from text to values.
func Map(key, value *Shape) *Shape { return &Shape{kind: kindMap, key: key, item: value} }

// Any returns a shape of values of any kind: for what a service reads itself,
// by Value.Kind, because its shape depends on what it says.
func Any() *Shape { return &Shape{kind: kindAny} }

// Structure returns a shape of objects with known members; others are ignored.
// Messages about several members come in the order given here.
func Structure(members ...Member) *Shape { return &Shape{kind: kindStructure, members: members} }

// AtLeast sets the lower bound of a number, a length or a count, and returns s.
func (s *Shape) AtLeast(n int64) *Shape {
	s.min, s.hasMin = n, true
	return s
}

// AtMost sets the upper bound of a number, a length or a count, and returns s.
func (s *Shape) AtMost(n int64) *Shape {
	s.max, s.hasMax = n, true
	return s
}

// Between sets both bounds and returns s.
func (s *Shape) Between(low, high int64) *Shape { return s.AtLeast(low).AtMost(high) }

// Match sets the pattern of a text and returns s.
func (s *Shape) Match(p *Pattern) *Shape {
	s.pattern = p
	return s
}

// Pattern is what a text must look like as a whole.
type Pattern struct {
	text  string
	match func(b []byte) bool
}

// PatternFunc returns a pattern that is written as text in messages and tested
// by match, for patterns on the way of every record.
func PatternFunc(text string, match func(b []byte) bool) *Pattern {
	return &Pattern{text: text, match: match}
}

// Regexp returns the pattern of an RE2 expression, which must match the whole
// text. It panics if the expression does not compile; expressions are
// constants of a service's table.
func Regexp(expr string) *Pattern {
	re := regexp.MustCompile(`^(?:` + expr + `)$`)
	return &Pattern{text: expr, match: re.Match}
}

// lowerFirst renders the name of a member as messages do.
func lowerFirst(name string) string {
	if name == "" {
		return name
	}
	return strings.ToLower(name[:1]) + name[1:]
}
