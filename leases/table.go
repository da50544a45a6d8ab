package leases

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Schema names the attributes of a key.
type Schema struct {
	Hash  string `json:"hash"`
	Range string `json:"range,omitempty"` // empty if the key is the hash attribute alone
}

// attributes returns the names in the key, the hash attribute first.
func (s Schema) attributes() []string {
	if s.Range == "" {
		return []string{s.Hash}
	}
	return []string{s.Hash, s.Range}
}

// Index is a second order of the items of a table that have all of its
// attributes.
type Index struct {
	Name string `json:"name"`
	Schema
	// Projection is KEYS_ONLY, INCLUDE or ALL; NonKey are the attributes that
	// INCLUDE adds.
	Projection string   `json:"projection"`
	NonKey     []string `json:"non_key,omitempty"`
	Read       int64    `json:"read,omitempty"`
	Write      int64    `json:"write,omitempty"`
}

// Definition is what a table is, besides its items. Capacities, tags and most
// settings are only kept and told: nothing acts on them.
type Definition struct {
	Name    string    `json:"name"`
	UUID    string    `json:"uuid"`
	Created time.Time `json:"created"`
	Schema
	// Attributes are the kinds (S, N or B) of the attributes of keys.
	Attributes map[string]string `json:"attributes"`
	Indexes    []Index           `json:"indexes,omitempty"`
	OnDemand   bool              `json:"on_demand,omitempty"`
	Read       int64             `json:"read,omitempty"`
	Write      int64             `json:"write,omitempty"`
	Class      string            `json:"class,omitempty"`
	// Protected tables are not deleted.
	Protected bool              `json:"protected,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	// RecoveryDays is 0 if there are no continuous backups to point at.
	RecoveryDays int64     `json:"recovery_days,omitempty"`
	RecoveryFrom time.Time `json:"recovery_from,omitzero"`
}

// clone returns a copy that shares nothing with d.
func (d *Definition) clone() Definition {
	c := *d
	c.Attributes = maps.Clone(d.Attributes)
	c.Tags = maps.Clone(d.Tags)
	c.Indexes = slices.Clone(d.Indexes)
	for i := range c.Indexes {
		c.Indexes[i].NonKey = slices.Clone(c.Indexes[i].NonKey)
	}
	return c
}

// Index returns the index of a name, or nil.
func (d *Definition) Index(name string) *Index {
	for i := range d.Indexes {
		if d.Indexes[i].Name == name {
			return &d.Indexes[i]
		}
	}
	return nil
}

// kind returns the kind of an attribute of a key.
func (d *Definition) kind(attribute string) Kind { return KindOf(d.Attributes[attribute]) }

// Key returns the part of an item that is its key in the table.
func (d *Definition) Key(item Item) Item { return pick(item, d.attributes()) }

// IndexKey returns the part of an item that is its key in an index: that of
// the index and that of the table.
func (d *Definition) IndexKey(index *Index, item Item) Item {
	return pick(item, slices.Concat(index.attributes(), d.attributes()))
}

// Project returns what an index shows of an item.
func (d *Definition) Project(index *Index, item Item) Item {
	switch index.Projection {
	case "ALL":
		return item
	case "INCLUDE":
		return pick(item, slices.Concat(index.attributes(), d.attributes(), index.NonKey))
	}
	return d.IndexKey(index, item)
}

func pick(item Item, names []string) Item {
	out := make(Item, len(names))
	for _, name := range names {
		if v, ok := item[name]; ok {
			out[name] = v
		}
	}
	return out
}

// check refuses a definition that no operation makes.
func (d *Definition) check() error {
	if d.Name == "" || d.Hash == "" {
		return fmt.Errorf("table %q has no name or no key", d.Name)
	}
	check := func(what string, s Schema) error {
		for _, a := range s.attributes() {
			if d.kind(a).SetOf() == 0 {
				return fmt.Errorf("table %q: %s attribute %q has kind %q", d.Name, what, a, d.Attributes[a])
			}
		}
		return nil
	}
	if err := check("key", d.Schema); err != nil {
		return err
	}
	for i := range d.Indexes {
		if d.Indexes[i].Hash == "" || d.Index(d.Indexes[i].Name) != &d.Indexes[i] {
			return fmt.Errorf("table %q: index %q has no key or a name twice", d.Name, d.Indexes[i].Name)
		}
		if err := check("index", d.Indexes[i].Schema); err != nil {
			return err
		}
	}
	return nil
}

func encodeDefinition(d *Definition) ([]byte, error) { return json.Marshal(d) }

func decodeDefinition(b []byte) (*Definition, error) {
	d := new(Definition)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}
