package dynamodb

import (
	"errors"
	"strings"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// parameters are the expressions of a request, or what stood for them before
// there were any.
type parameters struct {
	in    wire.Value
	scope expression.Scope
	err   error // the first; nothing is read after it
}

// newParameters reads the placeholders of a request. Legacy and expressions
// are the names of the parameters that must not stand in one request.
func newParameters(in wire.Value, legacy, expressions []string) *parameters {
	p := &parameters{in: in}
	given := func(names []string) (found []string) {
		for _, name := range names {
			if in.Get(name).Present() {
				found = append(found, name)
			}
		}
		return found
	}
	old, with := given(legacy), given(expressions)
	names, values := in.Get("ExpressionAttributeNames"), in.Get("ExpressionAttributeValues")
	switch {
	case len(old) > 0 && len(with) > 0:
		p.fail("Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {%s} Expression parameters: {%s}",
			strings.Join(old, ", "), strings.Join(with, ", "))
	case names.Present() && len(with) == 0:
		p.fail("ExpressionAttributeNames can only be specified when using expressions")
	case values.Present() && len(with) == 0:
		p.fail("ExpressionAttributeValues can only be specified when using expressions: %s is null", expressions[0])
	case names.Present() && names.Len() == 0:
		p.fail("ExpressionAttributeNames must not be empty")
	case values.Present() && values.Len() == 0:
		p.fail("ExpressionAttributeValues must not be empty")
	}
	if p.err == nil {
		p.placeholders(names, values)
	}
	return p
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = invalid(format, args...)
	}
}

func (p *parameters) placeholders(names, values wire.Value) {
	p.scope.Names = make(map[string]string, names.Len())
	for key, v := range names.Pairs() {
		if !expression.IsPlaceholder(key, '#') {
			p.fail(`ExpressionAttributeNames contains invalid key: Syntax error; key: "%s"`, key)
		}
		if v.Kind() != wire.Text || len(v.Bytes()) == 0 {
			p.fail("ExpressionAttributeNames contains invalid value: Empty attribute name; key: %s", key)
		}
		p.scope.Names[key] = v.Text()
	}
	p.scope.Values = make(map[string]leases.Value, values.Len())
	for key, v := range values.Pairs() {
		if !expression.IsPlaceholder(key, ':') {
			p.fail(`ExpressionAttributeValues contains invalid key: Syntax error; key: "%s"`, key)
		}
		value, err := decodeValue(v)
		var answer *wire.Error
		if errors.As(err, &answer) && answer.Code == wire.CodeValidation {
			p.fail("ExpressionAttributeValues contains invalid value: %s for key %s", answer.Message, key)
		}
		if p.err == nil {
			p.err = err
		}
		p.scope.Values[key] = value
	}
}

// condition reads a condition, nil if it is absent.
func (p *parameters) condition(name string) *expression.Condition {
	return parse(p, name, expression.ParseCondition)
}

func (p *parameters) update(name string) *expression.Update {
	return parse(p, name, expression.ParseUpdate)
}

// projection reads what is shown of items: a ProjectionExpression or the older
// AttributesToGet. Nil is everything.
func (p *parameters) projection() *expression.Projection {
	if names := p.in.Get("AttributesToGet"); names.Present() && p.err == nil {
		var list []string
		for v := range names.Items() {
			list = append(list, v.Text())
		}
		return expression.Attributes(list...)
	}
	return parse(p, "ProjectionExpression", expression.ParseProjection)
}

func parse[T any](p *parameters, name string, read func(string, *expression.Scope) (*T, error)) *T {
	v := p.in.Get(name)
	if !v.Present() || p.err != nil {
		return nil
	}
	parsed, err := read(v.Text(), &p.scope)
	if err != nil {
		p.fail("Invalid %s: %s", name, err.Error())
		return nil
	}
	return parsed
}

// end returns what is wrong with all expressions together, when they were
// read.
func (p *parameters) end() error {
	if p.err != nil {
		return p.err
	}
	names, values := p.scope.Unused()
	if len(names) > 0 {
		return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(names, ", "))
	}
	if len(values) > 0 {
		return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(values, ", "))
	}
	return nil
}

// guard is the condition of a write.
type guard struct {
	condition *expression.Condition
	legacy    legacyTests
	showOld   bool // in the error
}

// guard reads the condition of a write in either form.
func (p *parameters) guard() guard {
	g := guard{
		condition: p.condition("ConditionExpression"),
		legacy:    legacyTests{or: p.in.Get("ConditionalOperator").Text() == "OR"},
		showOld:   p.in.Get("ReturnValuesOnConditionCheckFailure").Text() == "ALL_OLD",
	}
	old := p.in.Get("Expected")
	if p.in.Get("ConditionalOperator").Present() && !old.Present() {
		p.fail("One or more parameter values were invalid: ConditionalOperator cannot be used without Filter or Expected")
	}
	if p.err == nil && old.Present() {
		g.legacy.tests, p.err = expected(old)
	}
	return g
}

// check returns the refusal of a write if the condition is not true.
func (g *guard) check(old leases.Item) error {
	if (g.condition == nil || g.condition.Holds(old)) && g.legacy.holds(old) {
		return nil
	}
	refused := &wire.Error{Code: codeCondition, Message: "The conditional request failed"}
	if g.showOld && old != nil {
		refused.More = func(out *wire.Encoder) {
			out.Key("Item")
			encodeItem(out, old)
		}
	}
	return refused
}
