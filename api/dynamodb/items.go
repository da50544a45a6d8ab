package dynamodb

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// action is a write of one item, read from a request.
type action struct {
	change leases.Change
	// touched is what UPDATED_OLD and UPDATED_NEW show.
	touched *expression.Projection
}

// table returns the table that a request names by name or ARN, and its
// definition.
func (s *Service) table(in wire.Value) (string, *leases.Definition, error) {
	return s.tableOf(in.Get("TableName").Text())
}

var (
	writeLegacy      = []string{"Expected", "ConditionalOperator"}
	writeExpressions = []string{"ConditionExpression"}
)

// putAction reads a put, of PutItem or a transaction.
func (s *Service) putAction(in wire.Value) (*action, error) {
	p := newParameters(in, writeLegacy, writeExpressions)
	g := p.guard()
	if err := p.end(); err != nil {
		return nil, err
	}
	item, err := decodeItem(in.Get("Item"))
	if err != nil {
		return nil, err
	}
	if item.Size() > leases.MaxItemBytes {
		return nil, errItemSize
	}
	name, def, err := s.table(in)
	if err != nil {
		return nil, err
	}
	if err := checkItemKey(item, def); err != nil {
		return nil, err
	}
	return &action{change: leases.Change{
		Table: name, Key: def.Key(item),
		Decide: func(old leases.Item) (leases.Item, error) { return item, g.check(old) },
	}}, nil
}

// deleteAction reads a delete, or, if only checks is set, a ConditionCheck.
func (s *Service) deleteAction(in wire.Value, onlyChecks bool) (*action, error) {
	p := newParameters(in, writeLegacy, writeExpressions)
	g := p.guard()
	if err := p.end(); err != nil {
		return nil, err
	}
	name, def, err := s.table(in)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(in.Get("Key"), def)
	if err != nil {
		return nil, err
	}
	return &action{change: leases.Change{
		Table: name, Key: key,
		Decide: func(old leases.Item) (leases.Item, error) {
			if onlyChecks {
				return old, g.check(old)
			}
			return nil, g.check(old)
		},
	}}, nil
}

// updateAction reads an update in either form.
func (s *Service) updateAction(in wire.Value) (*action, error) {
	p := newParameters(in, append(slices.Clone(writeLegacy), "AttributeUpdates"), append([]string{"UpdateExpression"}, writeExpressions...))
	update := p.update("UpdateExpression")
	g := p.guard()
	if err := p.end(); err != nil {
		return nil, err
	}
	older, err := attributeUpdates(in.Get("AttributeUpdates"))
	if err != nil {
		return nil, err
	}
	name, def, err := s.table(in)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(in.Get("Key"), def)
	if err != nil {
		return nil, err
	}
	a := &action{touched: expression.Attributes()}
	attribute, changesKey := "", false
	if update != nil {
		a.touched = update.Paths()
		attribute, changesKey = update.Attribute(def.Hash, def.Range)
	}
	onlyDeletes := len(older) > 0
	var names []string
	for _, u := range older {
		names = append(names, u.name)
		onlyDeletes = onlyDeletes && u.action == "DELETE"
		if u.name == def.Hash || u.name == def.Range {
			attribute, changesKey = u.name, true
		}
	}
	if names != nil {
		a.touched = expression.Attributes(names...)
	}
	if changesKey {
		return nil, invalidParameter("Cannot update attribute %s. This attribute is part of the key", attribute)
	}
	a.change = leases.Change{Table: name, Key: key, Decide: func(old leases.Item) (leases.Item, error) {
		if err := g.check(old); err != nil {
			return nil, err
		}
		if old == nil && onlyDeletes {
			return nil, nil
		}
		item := maps.Clone(old)
		if item == nil {
			item = maps.Clone(key)
		}
		var err error
		if update != nil {
			if item, err = update.Apply(item); err != nil {
				return nil, invalid("%s", err.Error())
			}
		} else if item, err = applyLegacy(item, older); err != nil {
			return nil, err
		}
		if item.Size() > leases.MaxItemBytes {
			return nil, invalid(expression.MsgUpdateSize)
		}
		return item, nil
	}}
	return a, nil
}

// write makes one change. The outcome is not nil if the error is.
func (s *Service) write(ctx context.Context, a *action) (*leases.Outcome, error) {
	outcomes, err := s.store.Write(ctx, []leases.Change{a.change})
	if errors.Is(err, leases.ErrRefused) {
		err = outcomes[0].Err
	}
	if err != nil {
		return nil, s.translate(err)
	}
	return &outcomes[0], nil
}

// returnValues reads what a write shall return.
func returnValues(in wire.Value, update bool) (string, error) {
	v := in.Get("ReturnValues").Text()
	switch v {
	case "", "NONE", "ALL_OLD":
		return v, nil
	}
	if !update {
		return "", invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	return v, nil
}

func (s *Service) putItem(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	return s.writeItem(ctx, r, out, false, s.putAction)
}

func (s *Service) deleteItem(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	return s.writeItem(ctx, r, out, false, func(in wire.Value) (*action, error) { return s.deleteAction(in, false) })
}

func (s *Service) updateItem(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	return s.writeItem(ctx, r, out, true, s.updateAction)
}

func (s *Service) writeItem(ctx context.Context, r *wire.Request, out *wire.Encoder, update bool, read func(wire.Value) (*action, error)) error {
	what, err := returnValues(r.Input, update)
	if err != nil {
		return err
	}
	a, err := read(r.Input)
	if err != nil {
		return err
	}
	o, err := s.write(ctx, a)
	if err != nil {
		return err
	}
	var shown leases.Item
	switch what {
	case "ALL_OLD":
		shown = o.Old
	case "ALL_NEW":
		shown = o.New
	case "UPDATED_OLD":
		shown = a.touched.Of(o.Old)
	case "UPDATED_NEW":
		shown = a.touched.Of(o.New)
	}
	out.BeginObject()
	if len(shown) > 0 {
		out.Key("Attributes")
		encodeItem(out, shown)
	}
	s.consumed(out, r.Input, a.change.Table, writeUnits(o.Old, o.New))
	out.EndObject()
	return nil
}

func (s *Service) getItem(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	p := newParameters(r.Input, []string{"AttributesToGet"}, []string{"ProjectionExpression"})
	projection := p.projection()
	if err := p.end(); err != nil {
		return err
	}
	name, def, err := s.table(r.Input)
	if err != nil {
		return err
	}
	key, err := keyOf(r.Input.Get("Key"), def)
	if err != nil {
		return err
	}
	items, err := s.store.Get(leases.Ref{Table: name, Key: key})
	if err != nil {
		return s.translate(err)
	}
	out.BeginObject()
	if item := items[0]; item != nil {
		out.Key("Item")
		project(out, item, projection)
	}
	s.consumed(out, r.Input, name, readUnits(items[0].Size(), r.Input.Get("ConsistentRead").Bool(false)))
	out.EndObject()
	return nil
}
