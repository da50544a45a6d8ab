package leases

import "fmt"

// Ref names an item.
type Ref struct {
	Table string
	Key   Item // exactly the attributes of the table's key
}

// Get returns items, nil for each that is not there, all as they are at one
// moment. ErrNotFound, ErrKey.
func (s *Store) Get(refs ...Ref) ([]Item, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	items := make([]Item, len(refs))
	for i, r := range refs {
		t := s.tables[r.Table]
		if t == nil {
			return nil, ErrNotFound
		}
		place, ok := t.def.place(t.def.Schema, r.Key)
		if !ok || len(r.Key) != len(t.def.attributes()) {
			return nil, ErrKey
		}
		if e := t.all.get(place); e != nil {
			items[i] = e.item
		}
	}
	return items, nil
}

// Relation is what a query asks of the range attribute.
type Relation uint8

// The relations.
const (
	Any Relation = iota
	Equals
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
	Between    // both ends included
	BeginsWith // for text and binary
)

// Query says which items to read, in which order.
type Query struct {
	Table string
	Index string // empty for the table itself
	// Hash restricts to one value of the hash attribute; nil reads all.
	Hash *Value
	// Relation restricts the range attribute by Low, and for Between by High.
	Relation  Relation
	Low, High Value
	Backwards bool
	// After is the key of the last item of the page before, nil for the first.
	After Item
	// Segment of Segments restricts to a part of all items; Segments 0 is all.
	Segment, Segments int
	// Limit bounds the items of the page, 0 for any number; Bytes bounds their
	// size together, but not the first.
	Limit int
	Bytes int
}

// Page is what one read found.
type Page struct {
	Items []Item
	// Last is the key to continue after, nil if there is nothing more.
	Last Item
	// Bytes is the Size of the items.
	Bytes int
}

// Read returns a page of whole items. ErrNotFound for the table, an error that
// is ErrNotFound for the index, ErrKey for values of other kinds than the
// schema has, ErrStart.
func (s *Store) Read(q Query) (Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables[q.Table]
	if t == nil {
		return Page{}, ErrNotFound
	}
	o, schema, index := &t.all, t.def.Schema, (*Index)(nil)
	if q.Index != "" {
		if index = t.def.Index(q.Index); index == nil {
			return Page{}, fmt.Errorf("index %s: %w", q.Index, ErrNotFound)
		}
		o, schema = t.by[q.Index], index.Schema
	}
	low, high, err := span(t.def, schema, &q)
	if err != nil {
		return Page{}, err
	}
	from, _ := o.find(low)
	to := len(o.list)
	if high != "" {
		to, _ = o.find(high)
	}
	if q.After != nil {
		if from, to, err = resume(t.def, index, o, &q, from, max(to, from)); err != nil {
			return Page{}, err
		}
	}
	return page(t.def, index, o.list[from:max(from, to)], &q), nil
}

// page takes a page from the front of list, or from its back.
func page(def *Definition, index *Index, list []placed, q *Query) Page {
	var p Page
	for i := range list {
		e := list[i].e
		if q.Backwards {
			e = list[len(list)-1-i].e
		}
		if q.Segments > 0 && int(e.hash%uint32(q.Segments)) != q.Segment {
			continue
		}
		p.Items = append(p.Items, e.item)
		p.Bytes += e.size
		if len(p.Items) == q.Limit || q.Bytes > 0 && p.Bytes >= q.Bytes {
			p.Last = def.Key(e.item)
			if index != nil {
				p.Last = def.IndexKey(index, e.item)
			}
			return p
		}
	}
	return p
}

// span returns the places that a query covers: from low on, and before high
// unless that is empty.
func span(def *Definition, schema Schema, q *Query) (low, high string, err error) {
	if q.Hash == nil {
		return "", "", nil
	}
	if q.Hash.Kind != def.kind(schema.Hash) {
		return "", "", ErrKey
	}
	hash := string(appendPlace(nil, *q.Hash))
	if q.Relation == Any {
		return hash, after(hash), nil
	}
	kind := def.kind(schema.Range)
	if kind == 0 || q.Low.Kind != kind || q.Relation == Between && q.High.Kind != kind || q.Relation == BeginsWith && kind == KindNumber {
		return "", "", ErrKey
	}
	at := hash + string(appendPlace(nil, q.Low))
	switch q.Relation {
	case Equals:
		return at, after(at), nil
	case Less:
		return hash, at, nil
	case LessOrEqual:
		return hash, after(at), nil
	case Greater:
		return after(at), after(hash), nil
	case GreaterOrEqual:
		return at, after(hash), nil
	case Between:
		return at, after(hash + string(appendPlace(nil, q.High))), nil
	}
	start := hash + string(appendTextPlace(nil, q.Low.Text))
	return start, after(start), nil
}

// resume narrows [from, to) to what comes after the key of the page before.
func resume(def *Definition, index *Index, o *order, q *Query, from, to int) (int, int, error) {
	key, ok := def.place(def.Schema, q.After)
	at, want := key, len(def.attributes())
	if index != nil && ok {
		at, ok = def.indexPlace(index, q.After, key)
		want = len(def.IndexKey(index, q.After))
	}
	if !ok || len(q.After) != want {
		return 0, 0, ErrStart
	}
	if q.Segments > 0 && int(segmentHash(q.After[def.Hash])%uint32(q.Segments)) != q.Segment {
		return 0, 0, ErrStart
	}
	i, found := o.find(at)
	if i < from || i > to || found && i == to {
		return 0, 0, ErrStart
	}
	if q.Backwards {
		return from, i, nil
	}
	if found {
		i++
	}
	return i, to, nil
}
