package leases

import (
	"slices"
	"strings"
	"sync"
)

// entry is an item in its table. Entries are never changed: a write makes a
// new one.
type entry struct {
	key  string // place in the table, by Schema
	hash uint32 // of the hash attribute, for segments
	id   uint64 // number in the keys of the engine's state
	item Item
	size int
	// weight is what the entry counts for in the store's budget.
	weight int64
}

// order is a sorted list of the entries of a table, or of those in an index.
type order struct {
	list []placed
}

type placed struct {
	at string
	e  *entry
}

// find returns the number of places before at, and whether at is there.
func (o *order) find(at string) (int, bool) {
	return slices.BinarySearchFunc(o.list, at, func(p placed, at string) int { return strings.Compare(p.at, at) })
}

func (o *order) get(at string) *entry {
	if i, ok := o.find(at); ok {
		return o.list[i].e
	}
	return nil
}

func (o *order) put(at string, e *entry) {
	i, ok := o.find(at)
	if ok {
		o.list[i].e = e
		return
	}
	o.list = slices.Insert(o.list, i, placed{at, e})
}

func (o *order) remove(at string) {
	if i, ok := o.find(at); ok {
		o.list = slices.Delete(o.list, i, i+1)
	}
}

// sort brings a list that was appended to into order.
func (o *order) sort() {
	slices.SortFunc(o.list, func(a, b placed) int { return strings.Compare(a.at, b.at) })
}

// Keys are ordered as bytes. Each part ends in a way that no part of another
// key continues, so that the keys of one hash value are neighbours.

// appendPlace appends the part of a key for one value of kind S, N or B.
func appendPlace(b []byte, v Value) []byte {
	if v.Kind == KindNumber {
		return appendNumberPlace(b, v.Number)
	}
	return append(appendTextPlace(b, v.Text), 0, 1)
}

// appendTextPlace appends a text without its end: a prefix of all texts that
// begin with it.
func appendTextPlace(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return b
}

func appendNumberPlace(b []byte, d Decimal) []byte {
	sign := d.sign()
	b = append(b, byte(sign+2))
	if sign == 0 {
		return b
	}
	start := len(b)
	e := uint16(int(d.exponent) + 1024)
	b = append(b, byte(e>>8), byte(e))
	b = append(append(b, d.digits...), 0)
	if sign < 0 {
		for i := start; i < len(b); i++ {
			b[i] = ^b[i]
		}
	}
	return b
}

// place returns the place of an item by a schema; false if the item lacks an
// attribute of it or has one of another kind.
func (d *Definition) place(s Schema, item Item) (string, bool) {
	var b []byte
	for _, name := range s.attributes() {
		v, ok := item[name]
		if !ok || v.Kind != d.kind(name) {
			return "", false
		}
		b = appendPlace(b, v)
	}
	return string(b), true
}

// indexPlace returns the place of an item in an index. Several items may have
// the same key there, so that of the table follows.
func (d *Definition) indexPlace(index *Index, item Item, key string) (string, bool) {
	at, ok := d.place(index.Schema, item)
	return at + key, ok
}

// after returns the first place that does not begin with prefix; empty means
// that there is none.
func after(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 {
		if b[len(b)-1] < 0xff {
			b[len(b)-1]++
			return string(b)
		}
		b = b[:len(b)-1]
	}
	return ""
}

// table is a table in memory. The store's mutex guards what changes.
type table struct {
	// gate is held shared by writes, and alone by changes of the table.
	gate sync.RWMutex
	gone bool // it was dropped; guarded by gate

	id     uint64
	def    *Definition // replaced, never changed
	next   uint64      // number of the next item
	all    order
	by     map[string]*order // indexes by name
	size   int64             // of all items
	weight int64             // of all entries
}

func (t *table) set(old, e *entry) {
	if old != nil {
		t.size -= int64(old.size)
		t.weight -= old.weight
		for i := range t.def.Indexes {
			if at, ok := t.def.indexPlace(&t.def.Indexes[i], old.item, old.key); ok {
				t.by[t.def.Indexes[i].Name].remove(at)
			}
		}
	}
	if e == nil {
		t.all.remove(old.key)
		return
	}
	t.size += int64(e.size)
	t.weight += e.weight
	t.all.put(e.key, e)
	for i := range t.def.Indexes {
		if at, ok := t.def.indexPlace(&t.def.Indexes[i], e.item, e.key); ok {
			t.by[t.def.Indexes[i].Name].put(at, e)
		}
	}
}

// reindex makes the indexes of a new definition, keeping those that were there.
func (t *table) reindex(def *Definition) {
	old := t.by
	t.def, t.by = def, make(map[string]*order, len(def.Indexes))
	for i := range def.Indexes {
		index := &def.Indexes[i]
		if o := old[index.Name]; o != nil {
			t.by[index.Name] = o
			continue
		}
		o := new(order)
		for _, p := range t.all.list {
			if at, ok := def.indexPlace(index, p.e.item, p.e.key); ok {
				o.list = append(o.list, placed{at, p.e})
			}
		}
		o.sort()
		t.by[index.Name] = o
	}
}
