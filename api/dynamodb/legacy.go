package dynamodb

import (
	"slices"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// legacyTest is one condition of the time before expressions.
type legacyTest struct {
	attribute string
	op        string
	values    []leases.Value
}

// legacyTests are conditions joined by AND or OR.
type legacyTests struct {
	tests []legacyTest
	or    bool
}

var comparisonOperators = []string{
	"EQ", "NE", "IN", "LE", "LT", "GE", "GT", "BETWEEN", "NOT_NULL", "NULL", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH",
}

// operands is how many values an operator takes; -1 is one or more.
func operands(op string) int {
	switch op {
	case "NULL", "NOT_NULL":
		return 0
	case "BETWEEN":
		return 2
	case "IN":
		return -1
	}
	return 1
}

// newLegacyTest checks an operator and its values.
func newLegacyTest(attribute, op string, values []leases.Value) (legacyTest, error) {
	t := legacyTest{attribute: attribute, op: op, values: values}
	if want := operands(op); want >= 0 && len(values) != want || want < 0 && len(values) == 0 {
		return t, invalidParameter("Invalid number of argument(s) for the %s ComparisonOperator", op)
	}
	for _, v := range values {
		if v.Kind != values[0].Kind {
			return t, invalidParameter("AttributeValues inside AttributeValueList must be of same type")
		}
		ordered := !slices.Contains([]string{"EQ", "NE", "CONTAINS", "NOT_CONTAINS"}, op)
		if ordered && v.Kind.SetOf() == 0 || op == "BEGINS_WITH" && v.Kind == leases.KindNumber {
			return t, invalidParameter("ComparisonOperator %s is not valid for %s AttributeValue type", op, v.Kind)
		}
	}
	if op == "BETWEEN" && values[0].Compare(values[1]) > 0 {
		return t, invalid("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
	}
	return t, nil
}

func (t legacyTest) holds(item leases.Item) bool {
	v, ok := item[t.attribute]
	switch t.op {
	case "NULL":
		return !ok
	case "NOT_NULL":
		return ok
	case "NE":
		return !ok || !v.Equal(t.values[0])
	}
	if !ok {
		return false
	}
	switch t.op {
	case "EQ":
		return v.Equal(t.values[0])
	case "IN":
		return slices.ContainsFunc(t.values, v.Equal)
	case "BETWEEN":
		return expression.Compare(">=", v, t.values[0]) && expression.Compare("<=", v, t.values[1])
	case "CONTAINS":
		return expression.Contains(v, t.values[0])
	case "NOT_CONTAINS":
		return !expression.Contains(v, t.values[0])
	case "BEGINS_WITH":
		return expression.BeginsWith(v, t.values[0])
	}
	return expression.Compare(map[string]string{"LT": "<", "LE": "<=", "GT": ">", "GE": ">="}[t.op], v, t.values[0])
}

func (l *legacyTests) holds(item leases.Item) bool {
	for _, t := range l.tests {
		if t.holds(item) == l.or {
			return l.or
		}
	}
	return !l.or || len(l.tests) == 0
}

// conditions reads a map of conditions: ScanFilter, QueryFilter, KeyConditions.
func conditions(in wire.Value) ([]legacyTest, error) {
	var tests []legacyTest
	for name, c := range in.Pairs() {
		values, err := valueList(c.Get("AttributeValueList"))
		if err != nil {
			return nil, err
		}
		t, err := newLegacyTest(name, c.Get("ComparisonOperator").Text(), values)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return tests, nil
}

func valueList(in wire.Value) ([]leases.Value, error) {
	if !in.Present() {
		return nil, nil
	}
	return decodeList(in, decodeValue)
}

// expected reads the parameter Expected.
func expected(in wire.Value) ([]legacyTest, error) {
	var tests []legacyTest
	for name, c := range in.Pairs() {
		t, err := expectation(name, c)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return tests, nil
}

func expectation(name string, c wire.Value) (legacyTest, error) {
	var t legacyTest
	values, err := valueList(c.Get("AttributeValueList"))
	if err != nil {
		return t, err
	}
	value, exists, op, list := c.Get("Value"), c.Get("Exists"), c.Get("ComparisonOperator"), c.Get("AttributeValueList")
	if value.Present() {
		v, err := decodeValue(value)
		if err != nil {
			return t, err
		}
		values = append(values, v)
	}
	switch {
	case op.Present() && exists.Present():
		return t, invalidParameter("Exists and ComparisonOperator cannot be used together for Attribute: %s", name)
	case op.Present() && value.Present() && list.Present():
		return t, invalidParameter("Value and AttributeValueList cannot be used together for Attribute: %s", name)
	case op.Present():
		if n := operands(op.Text()); !value.Present() && !list.Present() && n != 0 {
			return t, invalidParameter("Value or AttributeValueList must be used with ComparisonOperator: %s for Attribute: %s", op.Text(), name)
		}
		return newLegacyTest(name, op.Text(), values)
	case list.Present():
		return t, invalidParameter("AttributeValueList can only be used with a ComparisonOperator for Attribute: %s", name)
	case exists.Present() && !exists.Bool(true) && value.Present():
		return t, invalidParameter("Value cannot be used when Exists is set to false for Attribute: %s", name)
	case exists.Present() && !exists.Bool(true):
		return legacyTest{attribute: name, op: "NULL"}, nil
	case !value.Present():
		shown := "null"
		if exists.Present() {
			shown = "true"
		}
		return t, invalidParameter("Value must be provided when Exists is %s for Attribute: %s", shown, name)
	}
	return legacyTest{attribute: name, op: "EQ", values: values}, nil
}

// legacyUpdate is one member of AttributeUpdates.
type legacyUpdate struct {
	name   string
	action string // PUT, ADD, DELETE
	value  leases.Value
	given  bool // there is a value
}

func attributeUpdates(in wire.Value) ([]legacyUpdate, error) {
	var updates []legacyUpdate
	for name, c := range in.Pairs() {
		u := legacyUpdate{name: name, action: "PUT"}
		if a := c.Get("Action"); a.Present() {
			u.action = a.Text()
		}
		if v := c.Get("Value"); v.Present() {
			value, err := decodeValue(v)
			if err != nil {
				return nil, err
			}
			u.value, u.given = value, true
		}
		kind := u.value.Kind
		switch {
		case !u.given && u.action != "DELETE":
			return nil, invalidParameter("Only DELETE action is allowed when no attribute value is specified")
		case u.action == "ADD" && kind != leases.KindNumber && kind.Element() == 0 && kind != leases.KindList:
			return nil, invalidParameter("ADD action is not supported for the type %s", kind)
		case u.given && u.action == "DELETE" && kind.Element() == 0:
			return nil, invalidParameter("DELETE action with value is not supported for the type %s", kind)
		}
		updates = append(updates, u)
	}
	return updates, nil
}

// applyLegacy changes a copy of an item, which may be nil if there is none.
func applyLegacy(item leases.Item, updates []legacyUpdate) (leases.Item, error) {
	for _, u := range updates {
		old, found := item[u.name]
		switch {
		case u.action == "PUT", u.action == "ADD" && !found:
			item[u.name] = u.value
		case u.action == "ADD" && old.Kind == leases.KindList && u.value.Kind == leases.KindList:
			item[u.name] = leases.Value{Kind: leases.KindList, List: slices.Concat(old.List, u.value.List)}
		case u.action == "ADD":
			if old.Kind != u.value.Kind {
				return nil, invalid("Type mismatch for attribute to update")
			}
			v, err := expression.Add(old, u.value)
			if err != nil {
				return nil, invalid("%s", err.Error())
			}
			item[u.name] = v
		case !found:
		case !u.given:
			delete(item, u.name)
		default:
			if old.Kind != u.value.Kind {
				return nil, invalid("Type mismatch for attribute to update")
			}
			rest, some, err := expression.Subtract(old, u.value)
			if err != nil {
				return nil, invalid("%s", err.Error())
			}
			if item[u.name] = rest; !some {
				delete(item, u.name)
			}
		}
	}
	return item, nil
}
