package expression

import "github.com/firehosed/firehosed/leases"

// KeyTerm is one part of a key condition.
type KeyTerm struct {
	Attribute string
	Op        string // =, <, <=, >, >=, BETWEEN, begins_with
	Values    []leases.Value
}

// KeyTerms returns the parts of a condition that is a key condition: terms on
// attributes, joined by AND.
func (c *Condition) KeyTerms() ([]KeyTerm, error) {
	parts, ok := c.root.(andNode)
	if !ok {
		parts = andNode{c.root}
	}
	var terms []KeyTerm
	for _, n := range parts {
		switch n := n.(type) {
		case orNode:
			return nil, wrong("Invalid operator used in KeyConditionExpression: OR")
		case notNode:
			return nil, wrong("Invalid operator used in KeyConditionExpression: NOT")
		case andNode:
			more, err := (&Condition{root: n}).KeyTerms()
			if err != nil {
				return nil, err
			}
			terms = append(terms, more...)
		case test:
			term, err := n.keyTerm()
			if err != nil {
				return nil, err
			}
			terms = append(terms, term)
		}
	}
	return terms, nil
}

// mirrored are the operators with their operands exchanged.
var mirrored = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func (t test) keyTerm() (KeyTerm, error) {
	switch t.op {
	case "<>", "IN", "attribute_exists", "attribute_not_exists", "attribute_type", "contains":
		return KeyTerm{}, wrong("Invalid operator used in KeyConditionExpression: %s", t.op)
	}
	op, operands := t.op, t.operands
	if m, ok := mirrored[op]; ok && operands[0].path == nil {
		op, operands = m, []operand{operands[1], operands[0]}
	}
	first := operands[0]
	switch {
	case first.size:
		return KeyTerm{}, wrong("KeyConditionExpressions cannot contain the function size")
	case first.path == nil:
		return KeyTerm{}, wrong("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", op)
	case len(first.path) > 1:
		return KeyTerm{}, wrong("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	term := KeyTerm{Attribute: first.path[0].Name, Op: op}
	for _, o := range operands[1:] {
		if o.path != nil {
			return KeyTerm{}, wrong("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		}
		term.Values = append(term.Values, o.value)
	}
	return term, nil
}
