package dynamodb

import (
	"context"
	"errors"
	"slices"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// pageBytes is how much one page of a Scan or Query reads.
const pageBytes = 1 << 20

// reading is a Scan or a Query, read from a request.
type reading struct {
	query      leases.Query
	def        *leases.Definition
	index      *leases.Index // nil for the table
	filter     *expression.Condition
	legacy     legacyTests
	projection *expression.Projection
	count      bool // only
	consistent bool
}

// newReading reads what Scan and Query have in common. The parameters may
// have a mistake that their end tells.
func (s *Service) newReading(in wire.Value, p *parameters, filter string) (*reading, error) {
	r := &reading{consistent: in.Get("ConsistentRead").Bool(false)}
	r.filter = p.condition("FilterExpression")
	r.projection = p.projection()
	r.legacy.or = in.Get("ConditionalOperator").Text() == "OR"
	if p.err == nil {
		r.legacy.tests, p.err = conditions(in.Get(filter))
	}
	if p.err != nil {
		return nil, p.err
	}
	name, def, err := s.table(in)
	if err != nil {
		return nil, err
	}
	r.def = def
	r.query = leases.Query{Table: name, Index: in.Get("IndexName").Text(), Limit: int(in.Get("Limit").Int(0))}
	if r.query.Index != "" {
		if r.index = def.Index(r.query.Index); r.index == nil {
			return nil, invalid("The table does not have the specified index: %s", r.query.Index)
		}
		if r.consistent {
			return nil, invalid("Consistent reads are not supported on global secondary indexes")
		}
	}
	switch in.Get("Select").Text() {
	case "COUNT":
		r.count = true
		if r.projection != nil {
			return nil, invalid("Cannot specify the ProjectionExpression when choosing to get only the Count")
		}
	case "SPECIFIC_ATTRIBUTES":
		if r.projection == nil {
			return nil, invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
		}
	case "ALL_PROJECTED_ATTRIBUTES":
		if r.index == nil {
			return nil, invalidParameter("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
		}
	case "ALL_ATTRIBUTES":
		if r.projection != nil {
			return nil, invalid("Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES")
		}
		if r.index != nil && r.index.Projection != "ALL" {
			return nil, invalidParameter("Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", r.index.Name)
		}
	}
	if start := in.Get("ExclusiveStartKey"); start.Present() {
		if r.query.After, err = decodeItem(start); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// page reads a page, filters it, and writes the answer.
func (s *Service) page(req *wire.Request, r *reading, out *wire.Encoder) error {
	granted := req.Reserve(pageBytes, pageBytes/16)
	if granted == 0 {
		return wire.Unavailable("Slow down.")
	}
	r.query.Bytes = int(granted)
	page, err := s.store.Read(r.query)
	switch {
	case errors.Is(err, leases.ErrKey):
		return invalidParameter("Condition parameter type does not match schema type")
	case err != nil:
		return s.translate(err)
	}
	var found []leases.Item
	count := 0
	for _, item := range page.Items {
		if r.index != nil {
			item = r.def.Project(r.index, item)
		}
		if r.filter != nil && !r.filter.Holds(item) || !r.legacy.holds(item) {
			continue
		}
		count++
		if r.count {
			continue
		}
		if r.projection != nil {
			item = r.projection.Of(item)
		}
		found = append(found, item)
	}
	out.BeginObject()
	if !r.count {
		out.Key("Items")
		encodeItems(out, found)
	}
	out.IntMember("Count", int64(count))
	out.IntMember("ScannedCount", int64(len(page.Items)))
	if page.Last != nil {
		out.Key("LastEvaluatedKey")
		encodeItem(out, page.Last)
	}
	s.consumed(out, req.Input, r.query.Table, readUnits(page.Bytes, r.consistent))
	out.EndObject()
	return nil
}

func (s *Service) scan(_ context.Context, req *wire.Request, out *wire.Encoder) error {
	in := req.Input
	p := newParameters(in, []string{"AttributesToGet", "ScanFilter", "ConditionalOperator"}, []string{"FilterExpression", "ProjectionExpression"})
	segment, total := in.Get("Segment"), in.Get("TotalSegments")
	switch {
	case segment.Present() && !total.Present():
		return invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case total.Present() && !segment.Present():
		return invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case total.Present() && segment.Int(0) >= total.Int(0):
		return invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", segment.Int(0), total.Int(0))
	}
	r, err := s.newReading(in, p, "ScanFilter")
	if err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	r.query.Segment, r.query.Segments = int(segment.Int(0)), int(total.Int(0))
	return s.page(req, r, out)
}

func (s *Service) query(_ context.Context, req *wire.Request, out *wire.Encoder) error {
	in := req.Input
	p := newParameters(in, []string{"AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"},
		[]string{"KeyConditionExpression", "FilterExpression", "ProjectionExpression"})
	key := p.condition("KeyConditionExpression")
	r, err := s.newReading(in, p, "QueryFilter")
	if err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	var terms []expression.KeyTerm
	switch {
	case key != nil:
		if terms, err = key.KeyTerms(); err != nil {
			return invalid("%s", err.Error())
		}
	case in.Get("KeyConditions").Present():
		if terms, err = legacyTerms(in.Get("KeyConditions")); err != nil {
			return err
		}
	default:
		return invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	schema := r.def.Schema
	if r.index != nil {
		schema = r.index.Schema
	}
	if err := bound(&r.query, schema, r.def, terms); err != nil {
		return err
	}
	for _, name := range []string{schema.Hash, schema.Range} {
		if name == "" {
			continue
		}
		if r.filter != nil && r.filter.Uses(name) {
			return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
		if slices.ContainsFunc(r.legacy.tests, func(t legacyTest) bool { return t.attribute == name }) {
			return invalid("QueryFilter can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	r.query.Backwards = !in.Get("ScanIndexForward").Bool(true)
	return s.page(req, r, out)
}

// legacyTerms reads KeyConditions.
func legacyTerms(in wire.Value) ([]expression.KeyTerm, error) {
	tests, err := conditions(in)
	if err != nil {
		return nil, err
	}
	ops := map[string]string{"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "BETWEEN": "BETWEEN", "BEGINS_WITH": "begins_with"}
	terms := make([]expression.KeyTerm, len(tests))
	for i, t := range tests {
		op, ok := ops[t.op]
		if !ok {
			return nil, invalid("Attempted conditional constraint is not an indexable operation")
		}
		terms[i] = expression.KeyTerm{Attribute: t.attribute, Op: op, Values: t.values}
	}
	return terms, nil
}

var relations = map[string]leases.Relation{
	"=": leases.Equals, "<": leases.Less, "<=": leases.LessOrEqual, ">": leases.Greater, ">=": leases.GreaterOrEqual,
	"BETWEEN": leases.Between, "begins_with": leases.BeginsWith,
}

// bound makes terms the bounds of a query on a schema.
func bound(q *leases.Query, schema leases.Schema, def *leases.Definition, terms []expression.KeyTerm) error {
	for _, t := range terms {
		if t.Attribute != schema.Hash && (t.Attribute != schema.Range || schema.Range == "") {
			missed := schema.Hash
			if slices.ContainsFunc(terms, func(t expression.KeyTerm) bool { return t.Attribute == schema.Hash }) {
				missed = schema.Range
			}
			if missed == "" {
				return invalid("Query key condition not supported")
			}
			return invalid("Query condition missed key schema element: %s", missed)
		}
		for _, v := range t.Values {
			if v.Kind.String() != def.Attributes[t.Attribute] {
				return invalidParameter("Condition parameter type does not match schema type")
			}
			if v.Text == "" && v.Kind != leases.KindNumber {
				return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", longKind(v.Kind), t.Attribute)
			}
		}
		if t.Attribute == schema.Hash {
			switch {
			case q.Hash != nil:
				return invalid("KeyConditionExpressions must only contain one condition per key")
			case t.Op != "=":
				return invalid("Query key condition not supported")
			}
			q.Hash = &t.Values[0]
			continue
		}
		if q.Relation != leases.Any {
			return invalid("KeyConditionExpressions must only contain one condition per key")
		}
		if t.Op == "begins_with" && t.Values[0].Kind == leases.KindNumber {
			return invalid("Query key condition not supported")
		}
		q.Relation, q.Low = relations[t.Op], t.Values[0]
		if t.Op == "BETWEEN" {
			q.High = t.Values[1]
		}
	}
	if q.Hash == nil {
		return invalid("Query condition missed key schema element: %s", schema.Hash)
	}
	return nil
}
