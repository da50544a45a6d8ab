package leases

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/firehosed/firehosed/streams"
)

// Defaults and limits.
const (
	// DefaultMaxBytes is how much all items may count for: room for some 30,000
	// leases.
	DefaultMaxBytes = 64 << 20
	// DefaultMaxTables is how many tables there may be.
	DefaultMaxTables = 256
	// MaxItemBytes is the largest Size of an item.
	MaxItemBytes = 400 << 10
	// itemOverhead and valueOverhead are what an item, and each value in it,
	// counts for beyond its Size.
	itemOverhead  = 256
	valueOverhead = 128
)

// Errors that callers decide on.
var (
	// ErrNotFound means that there is no such table or index.
	ErrNotFound = errors.New("table not found")
	// ErrExists means that there is a table of that name.
	ErrExists = errors.New("table exists")
	// ErrTables means that there are as many tables as there may be.
	ErrTables = errors.New("too many tables")
	// ErrFull means that the items count for as much as they may.
	ErrFull = errors.New("lease store is full")
	// ErrProtected means that the table is not to be deleted.
	ErrProtected = errors.New("table is protected")
	// ErrKey means that a key does not have exactly the attributes of the schema,
	// each of its kind.
	ErrKey = errors.New("key does not match the schema")
	// ErrStart means that a page cannot begin after the key given.
	ErrStart = errors.New("start key is not in what is read")
	// ErrTwice means that a write names an item twice.
	ErrTwice = errors.New("item is written twice")
	// ErrRefused means that a write was decided against; outcomes tell why.
	ErrRefused = errors.New("write was refused")
	// ErrItemSize means that an item would be larger than MaxItemBytes.
	ErrItemSize = errors.New("item is too large")
	// ErrItemDepth means that an item would nest deeper than MaxDepth.
	ErrItemDepth = errors.New("item is nested too deep")
	// ErrKeyChanged means that a write would give an item another key.
	ErrKeyChanged = errors.New("key of an item was changed")
)

// IndexKeyError means that an item has a value in an attribute of an index
// that cannot be there.
type IndexKeyError struct {
	Index, Attribute string
	Want, Got        Kind
	Empty            bool // the value is of the right kind, and empty
}

func (e *IndexKeyError) Error() string {
	return fmt.Sprintf("attribute %s of index %s: %s, expected %s that is not empty", e.Attribute, e.Index, e.Got, e.Want)
}

// Options of a Store.
type Options struct {
	// Engine keeps the tables. Required. No one else may use its state keys that
	// begin with "leases/".
	Engine streams.Engine
	// MaxBytes bounds what all items count for, which is about what they take in
	// memory: their Size, 256 bytes each, and 128 bytes for each value in them. 0
	// means 64 MiB.
	MaxBytes int64
	// MaxTables bounds the number of tables; 0 means 256.
	MaxTables int
	// Logger gets what Open finds; nil discards.
	Logger *slog.Logger
}

// Store is a set of tables. All methods may be called concurrently.
type Store struct {
	engine    streams.Engine
	maxBytes  int64
	maxTables int
	log       *slog.Logger
	control   sync.Mutex // held while tables are made, changed and dropped
	locks     locks

	mu      sync.RWMutex
	tables  map[string]*table // by name
	nextID  uint64            // of the next table
	charged int64             // what all items count for, writes under way included
}

// Keys of the engine's state.
const (
	prefix      = "leases/"
	tablePrefix = prefix + "table/"
	itemPrefix  = prefix + "item/"
	dropPrefix  = prefix + "drop/"
)

func hex16(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(s):] + s
}

func parseHex16(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("number %q is not 16 hex digits", s)
	}
	return n, nil
}

func itemKey(table, item uint64) string { return itemPrefix + hex16(table) + "/" + hex16(item) }

// Open reads what the engine has and finishes the removal of tables that a
// crash interrupted. It refuses what it cannot read: nothing is dropped.
func Open(ctx context.Context, opt Options) (*Store, error) {
	if opt.Engine == nil {
		return nil, errors.New("leases: no engine")
	}
	s := &Store{
		engine: opt.Engine, maxBytes: opt.MaxBytes, maxTables: opt.MaxTables, log: opt.Logger,
		tables: map[string]*table{}, nextID: 1,
	}
	if s.maxBytes <= 0 {
		s.maxBytes = DefaultMaxBytes
	}
	if s.maxTables <= 0 {
		s.maxTables = DefaultMaxTables
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	ids := map[uint64]*table{}
	for key, value := range s.engine.StateAll(tablePrefix) {
		id, err := parseHex16(strings.TrimPrefix(key, tablePrefix))
		if err != nil {
			return fmt.Errorf("state key %q: %w", key, err)
		}
		def, err := decodeDefinition(value)
		if err != nil {
			return fmt.Errorf("state key %q: %w", key, err)
		}
		if s.tables[def.Name] != nil {
			return fmt.Errorf("state key %q: table %s is there twice", key, def.Name)
		}
		t := &table{id: id, def: def, next: 1}
		ids[id], s.tables[def.Name] = t, t
		s.nextID = max(s.nextID, id+1)
	}
	dropped := map[uint64][]string{} // keys of items by table
	for key := range s.engine.StateAll(dropPrefix) {
		id, err := parseHex16(strings.TrimPrefix(key, dropPrefix))
		if err != nil {
			return fmt.Errorf("state key %q: %w", key, err)
		}
		dropped[id] = nil
		s.nextID = max(s.nextID, id+1)
	}
	for key, value := range s.engine.StateAll(itemPrefix) {
		if err := loadItem(ids, dropped, key, value); err != nil {
			return fmt.Errorf("state key %q: %w", key, err)
		}
	}
	for _, t := range ids {
		t.all.sort()
		for i := range t.all.list[min(1, len(t.all.list)):] {
			if a, b := t.all.list[i].e, t.all.list[i+1].e; a.key == b.key {
				return fmt.Errorf("state keys %q and %q: the same item", itemKey(t.id, a.id), itemKey(t.id, b.id))
			}
		}
		t.reindex(t.def)
		s.charged += t.weight
	}
	for id, keys := range dropped {
		if err := s.removeItems(ctx, id, keys); err != nil {
			return err
		}
	}
	s.log.Debug("lease store opened", "tables", len(s.tables), "bytes", s.charged)
	return nil
}

// loadItem adds one item of the state to its table.
func loadItem(tables map[uint64]*table, dropped map[uint64][]string, key string, value []byte) error {
	first, second, _ := strings.Cut(strings.TrimPrefix(key, itemPrefix), "/")
	tableID, err := parseHex16(first)
	if err != nil {
		return err
	}
	id, err := parseHex16(second)
	if err != nil {
		return err
	}
	t := tables[tableID]
	if t == nil {
		if _, ok := dropped[tableID]; !ok {
			return errors.New("no table has this item")
		}
		dropped[tableID] = append(dropped[tableID], key)
		return nil
	}
	item, err := decodeItem(value)
	if err != nil {
		return err
	}
	e, err := t.entry(id, item)
	if err != nil {
		return err
	}
	t.all.list = append(t.all.list, placed{e.key, e})
	t.size += int64(e.size)
	t.weight += e.weight
	t.next = max(t.next, id+1)
	return nil
}

// entry makes an entry of an item.
func (t *table) entry(id uint64, item Item) (*entry, error) {
	key, ok := t.def.place(t.def.Schema, item)
	if !ok {
		return nil, ErrKey
	}
	size := item.Size()
	return &entry{
		key: key, hash: segmentHash(item[t.def.Hash]), id: id, item: item, size: size,
		weight: int64(size) + itemOverhead + valueOverhead*int64(item.count()),
	}, nil
}

// segmentHash spreads items over the segments of a scan.
func segmentHash(v Value) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(appendPlace(nil, v))
	return h.Sum32()
}

// append makes state durable. What was begun is carried through even if the
// client has gone: what memory shows must be what the journal has.
func (s *Store) append(ctx context.Context, updates ...streams.StateUpdate) error {
	_, err := s.engine.Append(context.WithoutCancel(ctx), "", &streams.Batch{State: updates})
	return err
}

// removeBatch is how many items of a dropped table one batch removes.
const removeBatch = 1000

// removeItems removes what is left of a dropped table, the mark that says so
// last.
func (s *Store) removeItems(ctx context.Context, id uint64, keys []string) error {
	for batch := range slices.Chunk(keys, removeBatch) {
		updates := make([]streams.StateUpdate, len(batch))
		for i, key := range batch {
			updates[i].Key = key
		}
		if err := s.append(ctx, updates...); err != nil {
			return fmt.Errorf("remove the items of a dropped table: %w", err)
		}
	}
	if err := s.append(ctx, streams.StateUpdate{Key: dropPrefix + hex16(id)}); err != nil {
		return fmt.Errorf("forget a dropped table: %w", err)
	}
	return nil
}

// Create makes a table. The definition is not kept. ErrExists, ErrTables.
func (s *Store) Create(ctx context.Context, def *Definition) error {
	s.control.Lock()
	defer s.control.Unlock()
	d := def.clone()
	if err := d.check(); err != nil {
		return err
	}
	s.mu.RLock()
	id, count, taken := s.nextID, len(s.tables), s.tables[d.Name] != nil
	s.mu.RUnlock()
	switch {
	case taken:
		return ErrExists
	case count >= s.maxTables:
		return ErrTables
	}
	value, err := encodeDefinition(&d)
	if err != nil {
		return err
	}
	if err := s.append(ctx, streams.StateUpdate{Key: tablePrefix + hex16(id), Value: value}); err != nil {
		return fmt.Errorf("create table %s: %w", d.Name, err)
	}
	t := &table{id: id, next: 1}
	t.reindex(&d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	s.tables[d.Name] = t
	return nil
}

// Change replaces the definition of a table by what edit makes of it. Edit
// must not change the name, the key, or an index that stays. An error of edit
// is returned as it is. ErrNotFound.
func (s *Store) Change(ctx context.Context, name string, edit func(d *Definition) error) error {
	s.control.Lock()
	defer s.control.Unlock()
	t := s.table(name)
	if t == nil {
		return ErrNotFound
	}
	d := t.def.clone() // it is replaced under control only
	if err := edit(&d); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	value, err := encodeDefinition(&d)
	if err != nil {
		return err
	}
	// No write is under way that knows only the old indexes.
	t.gate.Lock()
	defer t.gate.Unlock()
	if err := s.append(ctx, streams.StateUpdate{Key: tablePrefix + hex16(t.id), Value: value}); err != nil {
		return fmt.Errorf("change table %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.reindex(&d)
	return nil
}

// Drop removes a table with its items and returns what it was. A crash in the
// middle leaves a table that is gone, whose items the next Open removes.
// ErrNotFound, ErrProtected.
func (s *Store) Drop(ctx context.Context, name string) (Info, error) {
	s.control.Lock()
	defer s.control.Unlock()
	info, err := s.Describe(name)
	if err != nil {
		return Info{}, err
	}
	if info.Protected {
		return Info{}, ErrProtected
	}
	t := s.table(name)
	t.gate.Lock()
	defer t.gate.Unlock()
	err = s.append(ctx, streams.StateUpdate{Key: tablePrefix + hex16(t.id)},
		streams.StateUpdate{Key: dropPrefix + hex16(t.id), Value: []byte(name)})
	if err != nil {
		return Info{}, fmt.Errorf("drop table %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.tables, name)
	s.mu.Unlock()
	t.gone = true
	keys := make([]string, len(t.all.list))
	for i, p := range t.all.list {
		keys[i] = itemKey(t.id, p.e.id)
	}
	if err := s.removeItems(ctx, t.id, keys); err != nil {
		return Info{}, fmt.Errorf("table %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.charged -= t.weight
	return info, nil
}

// Info describes a table.
type Info struct {
	Definition
	Items int64
	// Bytes is the Size of all items.
	Bytes int64
	// InIndex counts the items of each index, by its name.
	InIndex map[string]int64
}

// Describe returns what is known of a table. ErrNotFound.
func (s *Store) Describe(name string) (Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables[name]
	if t == nil {
		return Info{}, ErrNotFound
	}
	info := Info{Definition: t.def.clone(), Items: int64(len(t.all.list)), Bytes: t.size, InIndex: map[string]int64{}}
	for index, o := range t.by {
		info.InIndex[index] = int64(len(o.list))
	}
	return info, nil
}

// Definition returns the definition of a table, which must not be changed.
// ErrNotFound.
func (s *Store) Definition(name string) (*Definition, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tables[name]; t != nil {
		return t.def, nil
	}
	return nil, ErrNotFound
}

// Names returns the names of all tables in order.
func (s *Store) Names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.tables))
}

// Usage returns what all items count for and how much that may be, in bytes.
func (s *Store) Usage() (used, limit int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.charged, s.maxBytes
}

func (s *Store) table(name string) *table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables[name]
}
