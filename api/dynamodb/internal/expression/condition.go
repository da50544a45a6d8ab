package expression

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firehosed/firehosed/leases"
)

// Condition is a question about an item.
type Condition struct {
	root  node
	paths []Path
}

// ParseCondition reads a condition, filter or key condition.
func ParseCondition(src string, scope *Scope) (*Condition, error) {
	p, err := newParser(src, scope)
	if err != nil {
		return nil, err
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return &Condition{root: root, paths: p.paths}, nil
}

// Holds reports whether the condition is true of an item; nil is an item
// without attributes.
func (c *Condition) Holds(item leases.Item) bool { return c.root.holds(item) }

// Uses reports whether the condition looks at an attribute.
func (c *Condition) Uses(attribute string) bool {
	for _, p := range c.paths {
		if p[0].Name == attribute {
			return true
		}
	}
	return false
}

// node is a part of a condition.
type node interface{ holds(item leases.Item) bool }

type (
	orNode  []node
	andNode []node
	notNode struct{ of node }
	// test is an operator or function with its operands.
	test struct {
		op       string // as in messages
		operands []operand
	}
)

func (n orNode) holds(item leases.Item) bool {
	for _, of := range n {
		if of.holds(item) {
			return true
		}
	}
	return false
}

func (n andNode) holds(item leases.Item) bool {
	for _, of := range n {
		if !of.holds(item) {
			return false
		}
	}
	return true
}

func (n notNode) holds(item leases.Item) bool { return !n.of.holds(item) }

// operand is a path, the size of what is at a path, or a value.
type operand struct {
	path  Path // nil for a value
	size  bool
	value leases.Value
}

func (o operand) in(item leases.Item) (leases.Value, bool) {
	if o.path == nil {
		return o.value, true
	}
	v, ok := o.path.Find(item)
	if ok && o.size {
		return Size(v)
	}
	return v, ok
}

// Size returns the size of a value as the function size does; numbers,
// booleans and null have none.
func Size(v leases.Value) (leases.Value, bool) {
	n := 0
	switch v.Kind {
	case leases.KindString:
		n = utf8.RuneCountInString(v.Text)
	case leases.KindBinary:
		n = len(v.Text)
	case leases.KindMap:
		n = len(v.Map)
	case leases.KindList, leases.KindStringSet, leases.KindNumberSet, leases.KindBinarySet:
		n = len(v.List)
	default:
		return leases.Value{}, false
	}
	return leases.Number(leases.Whole(n)), true
}

func (p *parser) or() (node, error) {
	first, err := p.and()
	if err != nil || !p.peek().is("OR") {
		return first, err
	}
	list := orNode{first}
	for p.accept("OR") {
		n, err := p.and()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

func (p *parser) and() (node, error) {
	first, err := p.not()
	if err != nil || !p.peek().is("AND") {
		return first, err
	}
	list := andNode{first}
	for p.accept("AND") {
		n, err := p.not()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

func (p *parser) not() (node, error) {
	if p.accept("NOT") {
		n, err := p.not()
		return notNode{n}, err
	}
	if p.accept("(") {
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	}
	if name, ok := p.call(); ok && name != "size" {
		return p.function(name)
	}
	return p.comparison()
}

// functions are the functions of conditions, by the number of their operands.
var functions = map[string]int{
	"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2,
}

func (p *parser) function(name string) (node, error) {
	count, ok := functions[name]
	if !ok {
		if name == "if_not_exists" || name == "list_append" {
			return nil, wrong("The function is not allowed in a condition expression; function: %s", name)
		}
		return nil, wrong("Invalid function name; function: %s", name)
	}
	p.at += 2
	t := test{op: name}
	for {
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		t.operands = append(t.operands, o)
		if !p.accept(",") {
			break
		}
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if len(t.operands) != count {
		return nil, wrong("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(t.operands))
	}
	return t, t.checkFunction()
}

func (t test) checkFunction() error {
	first := t.operands[0]
	if t.op != "begins_with" && t.op != "contains" && (first.path == nil || first.size) {
		return wrong("Operator or function requires a document path; operator or function: %s", t.op)
	}
	switch t.op {
	case "attribute_type":
		kind := t.operands[1]
		if kind.path != nil || kind.value.Kind != leases.KindString {
			return t.wrongType(kind.value.Kind)
		}
		if leases.KindOf(kind.value.Text) == 0 {
			return wrong("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", kind.value.Text)
		}
	case "begins_with":
		for _, o := range t.operands {
			if o.path == nil && o.value.Kind != leases.KindString && o.value.Kind != leases.KindBinary {
				return t.wrongType(o.value.Kind)
			}
		}
	}
	return nil
}

func (t test) wrongType(kind leases.Kind) error {
	return wrong("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", t.op, kind)
}

func (p *parser) comparison() (node, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	t := test{operands: []operand{left}}
	switch op := p.peek(); {
	case op.is("BETWEEN"):
		p.at++
		t.op = "BETWEEN"
		for i := range 2 {
			if i == 1 {
				if err := p.expect("AND"); err != nil {
					return nil, err
				}
			}
			o, err := p.operand()
			if err != nil {
				return nil, err
			}
			t.operands = append(t.operands, o)
		}
	case op.is("IN"):
		p.at++
		t.op = "IN"
		if err := p.expect("("); err != nil {
			return nil, err
		}
		for more := true; more; more = p.accept(",") {
			o, err := p.operand()
			if err != nil {
				return nil, err
			}
			t.operands = append(t.operands, o)
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
		if n := len(t.operands) - 1; n > 100 {
			return nil, wrong("Incorrect number of operands for operator or function; operator or function: IN, number of operands: %d", n)
		}
		return t, nil
	case op.kind == tokenSymbol && slices.Contains(comparators, op.text):
		p.at++
		t.op = op.text
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		t.operands = append(t.operands, o)
	default:
		return nil, p.syntax()
	}
	return t, t.checkComparison()
}

var comparators = []string{"=", "<>", "<", "<=", ">", ">="}

func (t test) checkComparison() error {
	if t.op != "=" && t.op != "<>" {
		for _, o := range t.operands {
			if o.path == nil && o.value.Kind.SetOf() == 0 {
				return t.wrongType(o.value.Kind)
			}
		}
	}
	if t.op == "BETWEEN" {
		low, high := t.operands[1], t.operands[2]
		if low.path == nil && high.path == nil {
			switch {
			case low.value.Kind != high.value.Kind:
				return wrong("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {%s}, upper bound operand: AttributeValue: {%s}", describe(low.value), describe(high.value))
			case low.value.Compare(high.value) > 0:
				return wrong("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {%s}, upper bound operand: AttributeValue: {%s}", describe(low.value), describe(high.value))
			}
		}
		return nil
	}
	a, b := t.operands[0], t.operands[1]
	if a.path != nil && !a.size && !b.size && a.path.String() == b.path.String() && b.path != nil {
		return wrong("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", t.op, a.path)
	}
	return nil
}

// describe renders a scalar as messages do.
func describe(v leases.Value) string {
	if v.Kind == leases.KindNumber {
		return "N:" + v.Number.String()
	}
	return v.Kind.String() + ":" + v.Text
}

func (p *parser) operand() (operand, error) {
	if p.peek().kind == tokenValue {
		v, err := p.value()
		return operand{value: v}, err
	}
	if name, ok := p.call(); ok {
		if name != "size" {
			if _, known := functions[name]; known {
				return operand{}, wrong("The function is not allowed to be used this way in an expression; function: %s", name)
			}
			return operand{}, wrong("Invalid function name; function: %s", name)
		}
		p.at += 2
		if !p.startsPath() {
			if p.peek().kind == tokenValue {
				return operand{}, wrong("Operator or function requires a document path; operator or function: size")
			}
			return operand{}, p.syntax()
		}
		path, err := p.path()
		if err != nil {
			return operand{}, err
		}
		return operand{path: path, size: true}, p.expect(")")
	}
	path, err := p.path()
	return operand{path: path}, err
}

func (t test) holds(item leases.Item) bool {
	first, ok := t.operands[0].in(item)
	switch t.op {
	case "attribute_exists":
		return ok
	case "attribute_not_exists":
		return !ok
	case "attribute_type":
		return ok && first.Kind.String() == t.operands[1].value.Text
	}
	rest := t.operands[1:]
	if t.op == "IN" {
		for _, o := range rest {
			if v, found := o.in(item); ok && found && first.Equal(v) {
				return true
			}
		}
		return false
	}
	second, found := rest[0].in(item)
	if t.op == "BETWEEN" {
		third, there := rest[1].in(item)
		return ok && found && there && Compare(">=", first, second) && Compare("<=", first, third)
	}
	if !ok || !found {
		return t.op == "<>"
	}
	switch t.op {
	case "begins_with":
		return BeginsWith(first, second)
	case "contains":
		return Contains(first, second)
	}
	return Compare(t.op, first, second)
}

// Compare reports whether a comparison holds. Values of different kinds are
// not equal and in no order.
func Compare(op string, a, b leases.Value) bool {
	switch op {
	case "=":
		return a.Equal(b)
	case "<>":
		return !a.Equal(b)
	}
	if a.Kind != b.Kind || a.Kind.SetOf() == 0 {
		return false
	}
	c := a.Compare(b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// BeginsWith reports whether a text or binary begins with another one.
func BeginsWith(v, prefix leases.Value) bool {
	return v.Kind == prefix.Kind && (v.Kind == leases.KindString || v.Kind == leases.KindBinary) && strings.HasPrefix(v.Text, prefix.Text)
}

// Contains reports whether a text or binary has a part, or a set or list an
// element.
func Contains(v, part leases.Value) bool {
	switch v.Kind {
	case leases.KindString, leases.KindBinary:
		return v.Kind == part.Kind && strings.Contains(v.Text, part.Text)
	case leases.KindList, leases.KindStringSet, leases.KindNumberSet, leases.KindBinarySet:
		for _, e := range v.List {
			if e.Equal(part) {
				return true
			}
		}
	}
	return false
}
