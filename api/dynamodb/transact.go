package dynamodb

import (
	"context"
	"errors"
	"strings"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

func (s *Service) transactWriteItems(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	token := r.Input.Get("ClientRequestToken")
	if !token.Present() {
		return s.transact(ctx, r, out)
	}
	x, err := s.tokens.begin(token.Text(), sumOf(r.Input.Get("TransactItems")), s.clock())
	if err != nil {
		return err
	}
	if x == nil { // it was done, and its answer did not arrive
		out.BeginObject()
		out.EndObject()
		return nil
	}
	done := false
	defer func() { s.tokens.end(x, done) }()
	err = s.transact(ctx, r, out)
	done = err == nil
	return err
}

func (s *Service) transact(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	var changes []leases.Change
	for in := range r.Input.Get("TransactItems").Items() {
		a, err := s.transactAction(in)
		if err != nil {
			return err
		}
		changes = append(changes, a.change)
	}
	outcomes, err := s.store.Write(ctx, changes)
	switch {
	case errors.Is(err, leases.ErrTwice):
		return invalid("Transaction request cannot include multiple operations on one item")
	case errors.Is(err, leases.ErrRefused):
		return s.canceled(outcomes)
	case err != nil:
		return s.translate(err)
	}
	out.BeginObject()
	if wantsCapacity(r.Input) {
		var tables []string
		units := map[string]float64{}
		for i, o := range outcomes {
			name := changes[i].Table
			if _, ok := units[name]; !ok {
				tables = append(tables, name)
			}
			units[name] += 2 * writeUnits(o.Old, o.New)
		}
		encodeCapacities(out, tables, units)
	}
	out.EndObject()
	return nil
}

// transactAction reads one member of a transaction.
func (s *Service) transactAction(in wire.Value) (*action, error) {
	var found *action
	for _, kind := range []struct {
		name string
		read func(wire.Value) (*action, error)
	}{
		{"ConditionCheck", func(v wire.Value) (*action, error) { return s.deleteAction(v, true) }},
		{"Put", s.putAction},
		{"Delete", func(v wire.Value) (*action, error) { return s.deleteAction(v, false) }},
		{"Update", s.updateAction},
	} {
		v := in.Get(kind.name)
		if !v.Present() {
			continue
		}
		if kind.name == "ConditionCheck" && !v.Get("ConditionExpression").Present() {
			return nil, wire.Violation("transactItems.member.conditionCheck.conditionExpression", "Member must not be null")
		}
		if found != nil {
			return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		a, err := kind.read(v)
		if err != nil {
			return nil, err
		}
		found = a
	}
	if found == nil {
		return nil, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	}
	return found, nil
}

// canceled is the answer to a transaction that was refused.
func (s *Service) canceled(outcomes []leases.Outcome) error {
	codes := make([]string, len(outcomes))
	reasons := make([]*wire.Error, len(outcomes))
	for i, o := range outcomes {
		codes[i] = "None"
		if o.Err == nil {
			continue
		}
		if !errors.As(s.translate(o.Err), &reasons[i]) {
			return wire.Internal(o.Err)
		}
		switch reasons[i].Code {
		case codeCondition:
			codes[i] = "ConditionalCheckFailed"
		case wire.CodeValidation:
			codes[i] = "ValidationError"
		default:
			return reasons[i]
		}
	}
	return &wire.Error{
		Code:    codeCanceled,
		Message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		More: func(out *wire.Encoder) {
			out.Key("CancellationReasons")
			out.BeginList()
			for i, code := range codes {
				out.BeginObject()
				out.StringMember("Code", code)
				if r := reasons[i]; r != nil {
					out.StringMember("Message", r.Message)
					if r.More != nil {
						r.More(out)
					}
				}
				out.EndObject()
			}
			out.EndList()
		},
	}
}

func (s *Service) transactGetItems(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	var refs []leases.Ref
	var projections []*expression.Projection
	for in := range r.Input.Get("TransactItems").Items() {
		get := in.Get("Get")
		p := newParameters(get, nil, []string{"ProjectionExpression"})
		projections = append(projections, p.projection())
		if err := p.end(); err != nil {
			return err
		}
		name, def, err := s.table(get)
		if err != nil {
			return err
		}
		key, err := keyOf(get.Get("Key"), def)
		if err != nil {
			return err
		}
		refs = append(refs, leases.Ref{Table: name, Key: key})
	}
	items, err := s.store.Get(refs...)
	if err != nil {
		return s.translate(err)
	}
	total := 0
	for _, item := range items {
		total += item.Size()
	}
	if total > batchBytes {
		return invalid("The items of the transaction are larger than %d bytes together", batchBytes)
	}
	if total > 0 && r.Reserve(int64(total), int64(total)) == 0 {
		return wire.Unavailable("Slow down.")
	}
	out.BeginObject()
	out.Key("Responses")
	out.BeginList()
	for i, item := range items {
		out.BeginObject()
		if item != nil {
			out.Key("Item")
			project(out, item, projections[i])
		}
		out.EndObject()
	}
	out.EndList()
	out.EndObject()
	return nil
}
