package leases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firehosed/firehosed/streams"
)

// Change is what a write does to one item.
type Change struct {
	Table string
	// Key has exactly the attributes of the table's key.
	Key Item
	// Decide returns what the item shall be, given what it is (nil if there is
	// none): old itself to leave it, nil to remove it. It must not change old, and
	// what it returns is not to be changed later. It may be called while other
	// items are written, but never twice at once for one item.
	Decide func(old Item) (Item, error)
}

// Outcome is what became of one Change.
type Outcome struct {
	Old, New Item
	// Err is why the write was refused, if this change was the reason.
	Err error
}

// Write makes all changes or none, as one durable unit. The items stand still
// between the decisions and the end of the write. If a decision fails, or its
// item cannot be kept (ErrItemSize, ErrItemDepth, ErrKeyChanged,
// *IndexKeyError), the error is ErrRefused and the outcomes tell why. Other
// errors come with no outcomes: ErrNotFound, ErrKey, ErrTwice, ErrFull, the
// error of ctx while it waits for its turn, and those of the engine.
func (s *Store) Write(ctx context.Context, changes []Change) ([]Outcome, error) {
	tables, leave, err := s.enter(changes)
	if err != nil {
		return nil, err
	}
	defer leave()
	targets := make([]target, len(changes))
	for i := range changes {
		t := tables[changes[i].Table]
		place, ok := t.def.place(t.def.Schema, changes[i].Key)
		if !ok || len(changes[i].Key) != len(t.def.attributes()) {
			return nil, ErrKey
		}
		targets[i] = target{t: t, place: place}
	}
	unlock, err := s.lock(ctx, targets)
	if err != nil {
		return nil, err
	}
	defer unlock()

	s.mu.RLock()
	for i := range targets {
		targets[i].old = targets[i].t.all.get(targets[i].place)
	}
	s.mu.RUnlock()
	outcomes := make([]Outcome, len(changes))
	refused := false
	for i := range changes {
		o := &outcomes[i]
		if old := targets[i].old; old != nil {
			o.Old = old.item
		}
		if o.New, o.Err = changes[i].Decide(o.Old); o.Err == nil {
			o.Err = targets[i].check(o.New)
		}
		refused = refused || o.Err != nil
	}
	if refused {
		return outcomes, ErrRefused
	}
	if err := s.commit(ctx, targets, outcomes); err != nil {
		return nil, err
	}
	return outcomes, nil
}

// target is an item that is written.
type target struct {
	t       *table
	place   string
	old     *entry // nil if there is none
	new     *entry // nil if there shall be none
	changed bool
}

// enter finds the tables of changes and keeps them as they are until leave is
// called.
func (s *Store) enter(changes []Change) (tables map[string]*table, leave func(), err error) {
	tables = make(map[string]*table, 1)
	for i := range changes {
		tables[changes[i].Table] = nil
	}
	var entered []*table
	leave = func() {
		for _, t := range entered {
			t.gate.RUnlock()
		}
	}
	// In the order of names: two writes never wait for each other.
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		t := s.table(name)
		if t == nil {
			leave()
			return nil, nil, ErrNotFound
		}
		t.gate.RLock()
		entered = append(entered, t)
		if t.gone {
			leave()
			return nil, nil, ErrNotFound
		}
		tables[name] = t
	}
	return tables, leave, nil
}

// lock takes the locks of the items, in one order for all writes.
func (s *Store) lock(ctx context.Context, targets []target) (unlock func(), err error) {
	keys := make([]lockKey, len(targets))
	for i := range targets {
		keys[i] = lockKey{targets[i].t.id, targets[i].place}
	}
	slices.SortFunc(keys, func(a, b lockKey) int {
		if a.table != b.table {
			if a.table < b.table {
				return -1
			}
			return 1
		}
		return strings.Compare(a.place, b.place)
	})
	for i := range keys[min(1, len(keys)):] {
		if keys[i] == keys[i+1] {
			return nil, ErrTwice
		}
	}
	held := 0
	unlock = func() {
		for _, k := range keys[:held] {
			s.locks.release(k)
		}
	}
	for _, k := range keys {
		if err := s.locks.acquire(ctx, k); err != nil {
			unlock()
			return nil, err
		}
		held++
	}
	return unlock, nil
}

// check tells whether the table can keep what an item shall be.
func (x *target) check(item Item) error {
	if item == nil {
		return nil
	}
	def := x.t.def
	if place, ok := def.place(def.Schema, item); !ok || place != x.place {
		return ErrKeyChanged
	}
	if item.Size() > MaxItemBytes {
		return ErrItemSize
	}
	if item.depth() > MaxDepth {
		return ErrItemDepth
	}
	for i := range def.Indexes {
		index := &def.Indexes[i]
		for _, name := range index.attributes() {
			v, ok := item[name]
			if !ok {
				continue
			}
			if want := def.kind(name); v.Kind != want {
				return &IndexKeyError{Index: index.Name, Attribute: name, Want: want, Got: v.Kind}
			} else if v.Text == "" && want != KindNumber {
				return &IndexKeyError{Index: index.Name, Attribute: name, Want: want, Got: v.Kind, Empty: true}
			}
		}
	}
	return nil
}

// commit makes what was decided durable, and then shows it.
func (s *Store) commit(ctx context.Context, targets []target, outcomes []Outcome) error {
	var updates []streams.StateUpdate
	more := int64(0)
	for i := range targets {
		x, o := &targets[i], &outcomes[i]
		if (o.Old == nil) == (o.New == nil) && o.Old.Equal(o.New) {
			continue // it is on the disk as it shall be
		}
		x.changed = true
		if x.old != nil {
			more -= x.old.weight
		}
		if o.New == nil {
			updates = append(updates, streams.StateUpdate{Key: itemKey(x.t.id, x.old.id)})
			continue
		}
		e, err := x.t.entry(0, o.New)
		if err != nil {
			return err
		}
		if x.old != nil {
			e.id = x.old.id
		} else {
			e.id = s.number(x.t)
		}
		x.new = e
		more += e.weight
		updates = append(updates, streams.StateUpdate{Key: itemKey(x.t.id, e.id), Value: encodeItem(nil, o.New)})
	}
	if len(updates) == 0 {
		return nil
	}
	if !s.reserve(more) {
		return ErrFull
	}
	// What a client is told to be written is on the disk: nothing is shown, and
	// no write returns, before this one has (TestCrash).
	if err := s.append(ctx, updates...); err != nil {
		s.reserve(-more)
		if errors.Is(err, streams.ErrTooLarge) {
			return fmt.Errorf("%w: %w", ErrItemSize, err)
		}
		return fmt.Errorf("write %d items: %w", len(updates), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range targets {
		if x := &targets[i]; x.changed {
			x.t.set(x.old, x.new)
		}
	}
	return nil
}

// number returns the number of a new item.
func (s *Store) number(t *table) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.next++
	return t.next - 1
}

// reserve adds to what the items count for. False means that there is no room.
func (s *Store) reserve(more int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if more > 0 && s.charged+more > s.maxBytes {
		return false
	}
	s.charged += more
	return true
}
