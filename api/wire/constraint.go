package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMessages is how many constraint failures one answer names.
const maxMessages = 10

// constraints collects what is wrong with a converted document.
type constraints struct {
	d    *document
	path []step
	// hideValues leaves values out of messages, as services of a newer make do.
	hideValues bool
	// complete requires conditional members; else waived tells that one is
	// absent.
	complete, waived bool
	messages         []string
}

// step is one part of a path: a member, or the item of a list.
type step struct {
	name string
	item int // from 1; 0 for a member
}

// check returns the ValidationException for a converted document, or nil, and
// then whether conditional members are absent.
func (d *document) check(s *Shape, hideValues bool) (waived bool, err *Error) {
	c := constraints{d: d, hideValues: hideValues}
	c.structure(0, s)
	switch {
	case len(c.messages) == 0:
		return c.waived, nil
	case c.waived:
		return false, d.checkComplete(s, hideValues)
	}
	return false, c.err()
}

// checkComplete is check with all conditional members required.
func (d *document) checkComplete(s *Shape, hideValues bool) *Error {
	c := constraints{d: d, hideValues: hideValues, complete: true}
	c.structure(0, s)
	return c.err()
}

func (c *constraints) err() *Error {
	switch len(c.messages) {
	case 0:
		return nil
	case 1:
		return Errorf(CodeValidation, "1 validation error detected: %s", c.messages[0])
	}
	return Errorf(CodeValidation, "%d validation errors detected: %s", len(c.messages), strings.Join(c.messages, "; "))
}

// Violation returns a ValidationException with one message in the form of the
// constraint checks, without the value: for constraints that depend on more
// than the request.
func Violation(path, rule string) *Error {
	return Errorf(CodeValidation, "1 validation error detected: Value at '%s' failed to satisfy constraint: %s", path, rule)
}

func (c *constraints) full() bool { return len(c.messages) >= maxMessages }

// fail adds a message about the value at the present path. value is how the
// message shows it; with shown false it does not.
func (c *constraints) fail(value string, shown bool, format string, args ...any) {
	if c.full() {
		return
	}
	var b strings.Builder
	b.WriteString("Value ")
	if shown && !c.hideValues {
		b.WriteString(value)
		b.WriteByte(' ')
	}
	b.WriteString("at '")
	for i, s := range c.path {
		if i > 0 {
			b.WriteByte('.')
		}
		if s.item > 0 {
			b.WriteString(strconv.Itoa(s.item))
			b.WriteString(".member")
		} else {
			b.WriteString(lowerFirst(s.name))
		}
	}
	b.WriteString("' failed to satisfy constraint: ")
	fmt.Fprintf(&b, format, args...)
	c.messages = append(c.messages, b.String())
}

func (c *constraints) structure(i uint32, s *Shape) {
	for m := range s.members {
		if c.full() {
			return
		}
		member := &s.members[m]
		v := c.d.memberAt(i, m)
		if v == 0 && !member.Required || v != 0 && c.plainly(v, member.Shape) {
			continue
		}
		if v == 0 && member.conditional && !c.complete {
			c.waived = true
			continue
		}
		c.path = append(c.path, step{name: member.Name})
		if v == 0 {
			c.fail("null", true, "Member must not be null")
		} else {
			c.value(v, member.Shape)
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// plainly reports that a value satisfies its constraints, as far as that can be
// told from its kind and its length in bytes: most do.
func (c *constraints) plainly(i uint32, s *Shape) bool {
	size := int64(c.d.nodes[i].len())
	switch s.kind {
	case kindString:
		// Characters have up to four bytes.
		return s.pattern == nil && s.enum == nil && (!s.hasMin || (size+3)/4 >= s.min) && (!s.hasMax || size <= s.max)
	case kindBlob:
		return (!s.hasMin || size >= s.min) && (!s.hasMax || size <= s.max)
	}
	return false
}

func (c *constraints) value(i uint32, s *Shape) {
	n := &c.d.nodes[i]
	switch s.kind {
	case kindStructure:
		c.structure(i, s)
	case kindList:
		c.list(i, s)
	case kindMap:
		c.mapping(i, s)
	case kindString:
		c.text(c.d.text(i), s)
	case kindBlob:
		size := int64(n.end - n.start)
		if s.hasMin && size < s.min {
			c.fail("", false, "Member must have length greater than or equal to %d", s.min)
		}
		if s.hasMax && size > s.max {
			c.fail("", false, "Member must have length less than or equal to %d", s.max)
		}
	case kindInteger, kindLong, kindDouble:
		c.number(n, s)
	}
}

func (c *constraints) number(n *node, s *Shape) {
	low, high := false, false
	value := ""
	if n.kind == nodeFloat {
		f := math.Float64frombits(uint64(n.num))
		low, high = s.hasMin && f < float64(s.min), s.hasMax && f > float64(s.max)
		value = strconv.FormatFloat(f, 'g', -1, 64)
	} else {
		low, high = s.hasMin && n.num < s.min, s.hasMax && n.num > s.max
		value = strconv.FormatInt(n.num, 10)
	}
	if low {
		c.fail("'"+value+"'", true, "Member must have value greater than or equal to %d", s.min)
	}
	if high {
		c.fail("'"+value+"'", true, "Member must have value less than or equal to %d", s.max)
	}
}

// text checks a string: pattern first, then lengths, then the set of values.
func (c *constraints) text(b []byte, s *Shape) {
	if s.pattern != nil && !s.pattern.match(b) {
		c.fail("'"+quote(b)+"'", true, "Member must satisfy regular expression pattern: %s", s.pattern.text)
	}
	if s.hasMin || s.hasMax {
		if length := int64(utf8.RuneCount(b)); s.hasMin && length < s.min {
			c.fail("'"+quote(b)+"'", true, "Member must have length greater than or equal to %d", s.min)
		} else if s.hasMax && length > s.max {
			c.fail("'"+quote(b)+"'", true, "Member must have length less than or equal to %d", s.max)
		}
	}
	if s.enum != nil {
		for _, v := range s.enum {
			if v == string(b) {
				return
			}
		}
		c.fail("'"+quote(b)+"'", true, "Member must satisfy enum value set: [%s]", strings.Join(s.enum, ", "))
	}
}

func (c *constraints) list(i uint32, s *Shape) {
	count := int64(c.d.nodes[i].count)
	if s.hasMin && count < s.min {
		c.fail("'"+c.shortList(i)+"'", true, "Member must have length greater than or equal to %d", s.min)
	}
	if s.hasMax && count > s.max {
		c.fail("", false, "Member must have length less than or equal to %d", s.max)
		return
	}
	// Plain texts are named as a set; structures are looked into one by one.
	if s.item.kind == kindString {
		if rules, ok := c.itemRules(i, s.item); !ok {
			c.fail("'"+c.shortList(i)+"'", true, "Member must satisfy constraint: [%s]", strings.Join(rules, ", "))
		}
		return
	}
	at := 0
	for v := i + 1; v < c.d.nodes[i].next && !c.full(); v = c.d.nodes[v].next {
		at++
		c.path = append(c.path, step{item: at})
		if c.d.nodes[v].kind == nodeNull {
			c.fail("null", true, "Member must not be null")
		} else {
			c.value(v, s.item)
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// itemRules reports whether all texts of a list fit s, and the rules of s.
func (c *constraints) itemRules(i uint32, s *Shape) ([]string, bool) {
	ok := true
	for v := i + 1; v < c.d.nodes[i].next && ok; v = c.d.nodes[v].next {
		ok = c.d.nodes[v].kind != nodeNull && fits(c.d.text(v), s)
	}
	if ok {
		return nil, true
	}
	return rulesOf(s), false
}

// fits reports whether a text satisfies every rule of s.
func fits(b []byte, s *Shape) bool {
	length := int64(utf8.RuneCount(b))
	if s.hasMin && length < s.min || s.hasMax && length > s.max || s.pattern != nil && !s.pattern.match(b) {
		return false
	}
	for _, v := range s.enum {
		if v == string(b) {
			return true
		}
	}
	return s.enum == nil
}

// rulesOf lists the rules of a text in the order the real service does.
func rulesOf(s *Shape) []string {
	var rules []string
	if s.hasMax {
		rules = append(rules, fmt.Sprintf("Member must have length less than or equal to %d", s.max))
	}
	if s.hasMin {
		rules = append(rules, fmt.Sprintf("Member must have length greater than or equal to %d", s.min))
	}
	if s.pattern != nil {
		rules = append(rules, "Member must satisfy regular expression pattern: "+s.pattern.text)
	}
	if s.enum != nil {
		rules = append(rules, fmt.Sprintf("Member must satisfy enum value set: [%s]", strings.Join(s.enum, ", ")))
	}
	return rules
}

func (c *constraints) mapping(i uint32, s *Shape) {
	n := &c.d.nodes[i]
	count := int64(n.count)
	if s.hasMin && count < s.min {
		c.fail("'"+c.shortMap(i)+"'", true, "Member must have length greater than or equal to %d", s.min)
	}
	if s.hasMax && count > s.max {
		c.fail("", false, "Member must have length less than or equal to %d", s.max)
		return
	}
	keys, values := true, true
	for k := i + 1; k < n.next; k = c.d.nodes[k+1].next {
		keys = keys && fits(c.d.text(k), s.key)
		if v := &c.d.nodes[k+1]; s.item.kind == kindString && v.kind != nodeNull {
			values = values && fits(c.d.text(k+1), s.item)
		}
	}
	if !keys {
		c.fail("'"+c.shortMap(i)+"'", true, "Map keys must satisfy constraint: [%s]", strings.Join(rulesOf(s.key), ", "))
	}
	if !values {
		c.fail("'"+c.shortMap(i)+"'", true, "Map value must satisfy constraint: [%s]", strings.Join(rulesOf(s.item), ", "))
	}
}

// shortList renders a list of texts as "[a, b]".
func (c *constraints) shortList(i uint32) string {
	b := []byte{'['}
	for v := i + 1; v < c.d.nodes[i].next && len(b) <= maxQuoted; v = c.d.nodes[v].next {
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		if k := c.d.nodes[v].kind; k == nodeString {
			b = append(b, c.d.text(v)...)
		}
	}
	return quote(append(b, ']'))
}

// shortMap renders a map of texts as "{k=v, k2=v2}".
func (c *constraints) shortMap(i uint32) string {
	b := []byte{'{'}
	for k := i + 1; k < c.d.nodes[i].next && len(b) <= maxQuoted; k = c.d.nodes[k+1].next {
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		b = append(b, c.d.text(k)...)
		b = append(b, '=')
		if c.d.nodes[k+1].kind == nodeString {
			b = append(b, c.d.text(k+1)...)
		}
	}
	return quote(append(b, '}'))
}
