package expression

import (
	"slices"
	"strings"

	"github.com/firehosed/firehosed/leases"
)

// Update is a change of an item.
type Update struct {
	set    []assignment
	remove []Path
	add    []change
	delete []change
	paths  []Path
}

type assignment struct {
	path Path
	to   expr
}

// change is a path and the value that is added to it or deleted from it.
type change struct {
	path Path
	by   leases.Value
}

// expr is what an attribute is set to.
type expr struct {
	op   string // empty for a path or a value; "+", "-", "if_not_exists", "list_append"
	path Path
	// value if op and path are empty.
	value leases.Value
	args  []expr
}

// ParseUpdate reads an update expression.
func ParseUpdate(src string, scope *Scope) (*Update, error) {
	p, err := newParser(src, scope)
	if err != nil {
		return nil, err
	}
	u := &Update{}
	seen := map[string]bool{}
	for p.peek().kind != tokenEnd {
		section := strings.ToUpper(p.peek().text)
		if p.peek().kind != tokenWord || !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, section) {
			return nil, p.syntax()
		}
		if seen[section] {
			return nil, wrong(`The "%s" section can only be used once in an update expression;`, section)
		}
		seen[section] = true
		p.at++
		for more := true; more; more = p.accept(",") {
			if err := p.action(u, section); err != nil {
				return nil, err
			}
		}
	}
	return u, disjoint(u.paths)
}

// Paths returns what the update changes.
func (u *Update) Paths() *Projection { return &Projection{u.paths} }

// Attribute returns the first of names that the update changes.
func (u *Update) Attribute(names ...string) (string, bool) {
	for _, p := range u.paths {
		if slices.Contains(names, p[0].Name) {
			return p[0].Name, true
		}
	}
	return "", false
}

func (p *parser) action(u *Update, section string) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	u.paths = append(u.paths, path)
	switch section {
	case "REMOVE":
		u.remove = append(u.remove, path)
		return nil
	case "SET":
		if err := p.expect("="); err != nil {
			return err
		}
		to, err := p.sum(0)
		u.set = append(u.set, assignment{path, to})
		return err
	}
	by, err := p.value()
	if err != nil {
		return err
	}
	if section == "ADD" {
		if by.Kind != leases.KindNumber && by.Kind.Element() == 0 {
			return wrong("Incorrect operand type for operator or function; operator: ADD, operand type: %s, typeSet: ALLOWED_FOR_ADD_OPERAND", longName(by.Kind))
		}
		u.add = append(u.add, change{path, by})
		return nil
	}
	if by.Kind.Element() == 0 {
		return wrong("Incorrect operand type for operator or function; operator: DELETE, operand type: %s, typeSet: ALLOWED_FOR_DELETE_OPERAND", longName(by.Kind))
	}
	u.delete = append(u.delete, change{path, by})
	return nil
}

func longName(k leases.Kind) string {
	switch k {
	case leases.KindString:
		return "STRING"
	case leases.KindNumber:
		return "NUMBER"
	case leases.KindBinary:
		return "BINARY"
	case leases.KindBool:
		return "BOOLEAN"
	case leases.KindMap:
		return "MAP"
	case leases.KindList:
		return "LIST"
	}
	return k.String()
}

func (p *parser) sum(depth int) (expr, error) {
	left, err := p.term(depth)
	if err != nil || !p.peek().is("+") && !p.peek().is("-") {
		return left, err
	}
	op := p.next().text
	right, err := p.term(depth)
	if err != nil {
		return expr{}, err
	}
	for _, e := range []expr{left, right} {
		if e.op == "" && e.path == nil && e.value.Kind != leases.KindNumber {
			return expr{}, wrong("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", op, e.value.Kind)
		}
	}
	return expr{op: op, args: []expr{left, right}}, nil
}

// maxCalls is how deep calls may nest.
const maxCalls = 32

func (p *parser) term(depth int) (expr, error) {
	if p.peek().kind == tokenValue {
		v, err := p.value()
		return expr{value: v}, err
	}
	if p.accept("(") {
		if depth > maxCalls {
			return expr{}, wrong("The expression contains too many nested operators")
		}
		e, err := p.sum(depth + 1)
		if err != nil {
			return expr{}, err
		}
		return e, p.expect(")")
	}
	name, ok := p.call()
	if !ok {
		path, err := p.path()
		return expr{path: path}, err
	}
	if name != "if_not_exists" && name != "list_append" {
		if _, known := functions[name]; known || name == "size" {
			return expr{}, wrong("The function is not allowed in an update expression; function: %s", name)
		}
		return expr{}, wrong("Invalid function name; function: %s", name)
	}
	if depth > maxCalls {
		return expr{}, wrong("The expression contains too many nested operators")
	}
	p.at += 2
	e := expr{op: name}
	for more := true; more; more = p.accept(",") {
		arg, err := p.term(depth + 1)
		if err != nil {
			return expr{}, err
		}
		e.args = append(e.args, arg)
	}
	if err := p.expect(")"); err != nil {
		return expr{}, err
	}
	if len(e.args) != 2 {
		return expr{}, wrong("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(e.args))
	}
	if name == "if_not_exists" && e.args[0].path == nil {
		return expr{}, wrong("Operator or function requires a document path; operator or function: if_not_exists")
	}
	for _, arg := range e.args {
		if name == "list_append" && arg.op == "" && arg.path == nil && arg.value.Kind != leases.KindList {
			return expr{}, wrong("Incorrect operand type for operator or function; operator or function: list_append, operand type: %s", arg.value.Kind)
		}
	}
	return e, nil
}

// Errors of an update that does not fit the item.
const (
	msgNoAttribute = "The provided expression refers to an attribute that does not exist in the item"
	msgWrongType   = "An operand in the update expression has an incorrect data type"
	// MsgUpdateSize is for an item that would be too large.
	MsgUpdateSize = "Item size to update has exceeded the maximum allowed size"
	msgBadPath    = "The document path provided in the update expression is invalid for update"
)

// Apply returns a changed copy of an item. All values that the expression
// reads are those of before. Errors are of type *Error.
func (u *Update) Apply(item leases.Item) (leases.Item, error) {
	whole := leases.Value{Kind: leases.KindMap, Map: item}
	values := make([]leases.Value, len(u.set))
	room := maxElements
	for i := range u.set {
		v, err := u.set[i].to.in(item, &room)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	// Elements of one list from left to right, those after its end last.
	order := make([]int, len(u.set))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(u.set[a].path, u.set[b].path) })
	var ok bool
	for _, i := range order {
		if whole, ok = put(whole, u.set[i].path, values[i]); !ok {
			return nil, wrong(msgBadPath)
		}
	}
	for _, c := range u.add {
		v, found := c.path.Find(item)
		if !found {
			v = c.by
		} else {
			var err error
			if v, err = Add(v, c.by); err != nil {
				return nil, err
			}
		}
		if whole, ok = put(whole, c.path, v); !ok {
			return nil, wrong(msgBadPath)
		}
	}
	for _, c := range u.delete {
		old, found := c.path.Find(item)
		if !found {
			continue
		}
		rest, some, err := Subtract(old, c.by)
		if err != nil {
			return nil, err
		}
		if some {
			whole, ok = put(whole, c.path, rest)
		} else {
			whole, ok = remove(whole, c.path)
		}
		if !ok {
			return nil, wrong(msgBadPath)
		}
	}
	// From the right, so that indexes stay what they were.
	gone := slices.Clone(u.remove)
	slices.SortStableFunc(gone, func(a, b Path) int { return compare(b, a) })
	for _, path := range gone {
		if whole, ok = remove(whole, path); !ok {
			return nil, wrong(msgBadPath)
		}
	}
	if whole.Map == nil {
		whole.Map = leases.Item{}
	}
	return whole.Map, nil
}

// compare orders paths by their names and indexes.
func compare(a, b Path) int {
	return slices.CompareFunc(a, b, func(x, y Step) int {
		if x.Index != y.Index {
			return x.Index - y.Index
		}
		return strings.Compare(x.Name, y.Name)
	})
}

// maxElements bounds the elements that the lists of one update are made of: more
// do not fit into an item.
const maxElements = leases.MaxItemBytes

// in evaluates e for an item. Room is how many elements may still be put into
// lists.
func (e *expr) in(item leases.Item, room *int) (leases.Value, error) {
	switch e.op {
	case "":
		if e.path == nil {
			return e.value, nil
		}
		v, ok := e.path.Find(item)
		if !ok {
			return v, wrong(msgNoAttribute)
		}
		return v, nil
	case "if_not_exists":
		if v, ok := e.args[0].path.Find(item); ok {
			return v, nil
		}
		return e.args[1].in(item, room)
	}
	a, err := e.args[0].in(item, room)
	if err != nil {
		return a, err
	}
	b, err := e.args[1].in(item, room)
	if err != nil {
		return b, err
	}
	if e.op == "list_append" {
		if a.Kind != leases.KindList || b.Kind != leases.KindList {
			return a, wrong(msgWrongType)
		}
		if *room -= len(a.List) + len(b.List); *room < 0 {
			return a, wrong(MsgUpdateSize)
		}
		return leases.Value{Kind: leases.KindList, List: slices.Concat(a.List, b.List)}, nil
	}
	if a.Kind != leases.KindNumber || b.Kind != leases.KindNumber {
		return a, wrong(msgWrongType)
	}
	if e.op == "-" {
		b.Number = b.Number.Neg()
	}
	return sum(a.Number, b.Number)
}

func sum(a, b leases.Decimal) (leases.Value, error) {
	d, err := a.Add(b)
	if err != nil {
		return leases.Value{}, wrong("%s", NumberMessage(err))
	}
	return leases.Number(d), nil
}

// Add adds a number to a number, or elements to a set. The error is a *Error.
func Add(old, by leases.Value) (leases.Value, error) {
	switch {
	case old.Kind != by.Kind:
		return old, wrong(msgWrongType)
	case by.Kind == leases.KindNumber:
		return sum(old.Number, by.Number)
	}
	all := slices.Clone(old.List)
	for _, e := range by.List {
		if !has(old, e) {
			all = append(all, e)
		}
	}
	v, _ := leases.Set(by.Kind, all)
	return v, nil
}

// has reports whether a set has an element.
func has(set, e leases.Value) bool {
	_, found := slices.BinarySearchFunc(set.List, e, leases.Value.Compare)
	return found
}

// Subtract returns a set without some elements; false means that none is left.
func Subtract(old, by leases.Value) (leases.Value, bool, error) {
	if old.Kind != by.Kind || by.Kind.Element() == 0 {
		return old, true, wrong(msgWrongType)
	}
	rest := slices.DeleteFunc(slices.Clone(old.List), func(e leases.Value) bool {
		return has(by, e)
	})
	return leases.Value{Kind: old.Kind, List: rest}, len(rest) > 0, nil
}
