package dynamodb

import (
	"context"
	"errors"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// batchBytes is how much one BatchGetItem or TransactGetItems reads.
const batchBytes = 16 << 20

var errDuplicates = wire.Errorf(wire.CodeValidation, "Provided list of item keys contains duplicates")

// tableOf is table for a name that stands by itself.
func (s *Service) tableOf(given string) (string, *leases.Definition, error) {
	name, err := s.tableName(given)
	if err != nil {
		return "", nil, err
	}
	def, err := s.store.Definition(name)
	if err != nil {
		return "", nil, s.translate(err)
	}
	return name, def, nil
}

// wanted is what a BatchGetItem asks of one table.
type wanted struct {
	given      string // name or ARN
	in         wire.Value
	refs       []leases.Ref
	projection *expression.Projection
	consistent bool
}

func (s *Service) readWanted(given string, in wire.Value) (*wanted, error) {
	p := newParameters(in, []string{"AttributesToGet"}, []string{"ProjectionExpression"})
	w := &wanted{given: given, in: in, projection: p.projection(), consistent: in.Get("ConsistentRead").Bool(false)}
	if err := p.end(); err != nil {
		return nil, err
	}
	name, def, err := s.tableOf(given)
	if err != nil {
		return nil, err
	}
	for v := range in.Get("Keys").Items() {
		key, err := keyOf(v, def)
		if err != nil {
			return nil, err
		}
		for _, r := range w.refs {
			if r.Key.Equal(key) {
				return nil, errDuplicates
			}
		}
		w.refs = append(w.refs, leases.Ref{Table: name, Key: key})
	}
	return w, nil
}

func (s *Service) batchGetItem(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	var all []*wanted
	var refs []leases.Ref
	for given, in := range r.Input.Get("RequestItems").Pairs() {
		if len(refs)+in.Get("Keys").Len() > maxBatchGet {
			return invalid("Too many items requested for the BatchGetItem call")
		}
		w, err := s.readWanted(given, in)
		if err != nil {
			return err
		}
		all, refs = append(all, w), append(refs, w.refs...)
	}
	items, err := s.store.Get(refs...)
	if err != nil {
		return s.translate(err)
	}
	// What there is no room for is told as not processed: clients ask again.
	room, err := reserve(r, items)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.Key("Responses")
	out.BeginObject()
	left := make([]int, len(all)) // how many keys of a table were processed
	next := items
	for i, w := range all {
		out.TextKey(w.given)
		out.BeginList()
		for _, item := range next[:len(w.refs)] {
			if room -= item.Size(); room < 0 {
				break
			}
			left[i]++
			if item != nil {
				project(out, item, w.projection)
			}
		}
		out.EndList()
		next = next[len(w.refs):]
	}
	out.EndObject()
	out.Key("UnprocessedKeys")
	out.BeginObject()
	for i, w := range all {
		if left[i] < len(w.refs) {
			w.encodeRest(out, left[i])
		}
	}
	out.EndObject()
	if wantsCapacity(r.Input) {
		out.Key("ConsumedCapacity")
		out.BeginList()
		next = items
		for i, w := range all {
			units := 0.0
			for _, item := range next[:left[i]] {
				units += readUnits(item.Size(), w.consistent)
			}
			encodeCapacity(out, w.given, units)
			next = next[len(w.refs):]
		}
		out.EndList()
	}
	out.EndObject()
	return nil
}

// reserve asks for room for items in a response, and returns how many bytes
// there are.
func reserve(r *wire.Request, items []leases.Item) (int, error) {
	total, first := 0, 0
	for _, item := range items {
		n := item.Size()
		total += n
		first = max(first, n)
	}
	granted := r.Reserve(int64(min(max(total, 1), batchBytes)), int64(max(first, 1)))
	if granted == 0 {
		return 0, wire.Unavailable("Slow down.")
	}
	return int(granted), nil
}

func project(out *wire.Encoder, item leases.Item, projection *expression.Projection) {
	if projection != nil {
		item = projection.Of(item)
	}
	encodeItem(out, item)
}

// encodeRest writes what was asked of the table without the first keys.
func (w *wanted) encodeRest(out *wire.Encoder, done int) {
	out.TextKey(w.given)
	out.BeginObject()
	out.Key("Keys")
	out.BeginList()
	for _, r := range w.refs[done:] {
		encodeItem(out, r.Key)
	}
	out.EndList()
	for _, name := range []string{"AttributesToGet", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"} {
		if v := w.in.Get(name); v.Present() {
			out.Key(name)
			out.Raw(v.AppendJSON(nil))
		}
	}
	out.EndObject()
}

// batchWriteItem makes all of a batch or, if the store is full, none: nothing
// is left unprocessed.
func (s *Service) batchWriteItem(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	var changes []leases.Change
	var tables []string
	for given, list := range r.Input.Get("RequestItems").Pairs() {
		name, def, err := s.tableOf(given)
		if err != nil {
			return err
		}
		if list.Len() == 0 || len(changes)+list.Len() > maxBatchWrite {
			return invalid("Too many items requested for the BatchWriteItem call")
		}
		tables = append(tables, given)
		for in := range list.Items() {
			c, err := batchChange(in, def)
			if err != nil {
				return err
			}
			c.Table = name
			changes = append(changes, c)
		}
	}
	outcomes, err := s.store.Write(ctx, changes)
	switch {
	case errors.Is(err, leases.ErrTwice):
		return errDuplicates
	case errors.Is(err, leases.ErrRefused):
		for _, o := range outcomes {
			if o.Err != nil {
				return s.translate(o.Err)
			}
		}
	case err != nil:
		return s.translate(err)
	}
	out.BeginObject()
	out.Key("UnprocessedItems")
	out.BeginObject()
	out.EndObject()
	if wantsCapacity(r.Input) {
		units := map[string]float64{}
		for i, o := range outcomes {
			units[changes[i].Table] += writeUnits(o.Old, o.New)
		}
		encodeCapacities(out, tables, units)
	}
	out.EndObject()
	return nil
}

func batchChange(in wire.Value, def *leases.Definition) (leases.Change, error) {
	put, remove := in.Get("PutRequest"), in.Get("DeleteRequest")
	switch {
	case put.Present() == remove.Present():
		return leases.Change{}, invalid("Supplied WriteRequest must contain exactly one of PutRequest and DeleteRequest")
	case put.Present():
		item, err := decodeItem(put.Get("Item"))
		if err != nil {
			return leases.Change{}, err
		}
		if err := checkItemKey(item, def); err != nil {
			return leases.Change{}, err
		}
		return leases.Change{Key: def.Key(item), Decide: func(leases.Item) (leases.Item, error) { return item, nil }}, nil
	}
	key, err := keyOf(remove.Get("Key"), def)
	return leases.Change{Key: key, Decide: func(leases.Item) (leases.Item, error) { return nil, nil }}, err
}

// encodeCapacities writes the capacity of a call on several tables.
func encodeCapacities(out *wire.Encoder, tables []string, units map[string]float64) {
	out.Key("ConsumedCapacity")
	out.BeginList()
	for _, name := range tables {
		encodeCapacity(out, name, units[name])
	}
	out.EndList()
}
