package leases

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRead compares queries and scans of random items, read in pages, with a
// plain look at all of them.
func TestRead(t *testing.T) {
	seeds(t, 30, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		kinds := []string{"S", "N", "B"}
		def := &Definition{
			Name: "app", Schema: Schema{Hash: "h", Range: "r"},
			Attributes: map[string]string{"h": kinds[rng.IntN(3)], "r": kinds[rng.IntN(3)], "o": kinds[rng.IntN(3)]},
			Indexes:    []Index{{Name: "byO", Schema: Schema{Hash: "o", Range: "r"}, Projection: "ALL"}},
		}
		s, _ := newStore(t, nil)
		must(t, s.Create(t.Context(), def))
		var all []Item
		value := func(name string) Value { return smallValue(rng, def.kind(name)) }
		for range 60 {
			item := Item{"h": value("h"), "r": value("r")}
			if rng.IntN(4) > 0 {
				item["o"] = value("o")
			}
			all = slices.DeleteFunc(all, func(o Item) bool { return def.Key(o).Equal(def.Key(item)) })
			all = append(all, item)
			if _, err := s.Write(t.Context(), []Change{{Table: "app", Key: def.Key(item), Decide: func(Item) (Item, error) { return item, nil }}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 40 {
			q := Query{Table: "app", Limit: 1 + rng.IntN(6), Backwards: rng.IntN(2) == 0}
			schema := def.Schema
			if rng.IntN(2) == 0 {
				q.Index, schema = "byO", def.Indexes[0].Schema
			}
			if rng.IntN(4) > 0 {
				hash := value(schema.Hash)
				q.Hash = &hash
				q.Relation, q.Low, q.High = Relation(rng.IntN(8)), value("r"), value("r")
				if q.Relation == BeginsWith && def.kind("r") == KindNumber {
					q.Relation = Any
				}
			}
			compareRead(t, s, def, q, schema, all)
		}
	})
}

func smallValue(rng *rand.Rand, kind Kind) Value {
	switch kind {
	case KindNumber:
		return Number(Decimal.Neg(Whole(rng.IntN(5))))
	case KindBinary:
		return Binary(string([]byte{0xff, 0, 0xff, 0, 1}[rng.IntN(3) : 3+rng.IntN(3)]))
	}
	return String([]string{"a", "ab", "a\x00", "b", "a\x00\x01"}[rng.IntN(5)])
}

func compareRead(t *testing.T, s *Store, def *Definition, q Query, schema Schema, all []Item) {
	t.Helper()
	var want []string
	for _, item := range all {
		_, indexed := item[schema.Hash]
		if indexed && (q.Hash == nil || item[schema.Hash].Equal(*q.Hash) && relates(q.Relation, item["r"], q.Low, q.High)) {
			want = append(want, fmt.Sprint(def.Key(item)))
		}
	}
	var got []string
	var last *Value
	for pages := 0; ; pages++ {
		page, err := s.Read(q)
		must(t, err)
		if len(page.Items) > q.Limit || page.Last != nil && len(page.Items) != q.Limit || pages > len(all) {
			t.Fatalf("page %d of %+v has %d items", pages, q, len(page.Items))
		}
		for _, item := range page.Items {
			got = append(got, fmt.Sprint(def.Key(item)))
			r := item["r"]
			if q.Hash != nil && last != nil && (last.Compare(r) > 0) != q.Backwards && last.Compare(r) != 0 {
				t.Errorf("%+v: %v comes after %v", q, r, *last)
			}
			last = &r
		}
		if q.After = page.Last; page.Last == nil {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%+v: got %q, want %q", q, got, want)
	}
}

func relates(r Relation, v, low, high Value) bool {
	c := v.Compare(low)
	switch r {
	case Equals:
		return c == 0
	case Less:
		return c < 0
	case LessOrEqual:
		return c <= 0
	case Greater:
		return c > 0
	case GreaterOrEqual:
		return c >= 0
	case Between:
		return c >= 0 && v.Compare(high) <= 0
	case BeginsWith:
		return strings.HasPrefix(v.Text, low.Text)
	}
	return true
}

func TestReadRefuses(t *testing.T) {
	s, _ := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	write(t, s, set("app", lease("a", "w", 1)), set("app", lease("b", "w", 1)))
	hash, number := String("a"), Number(Whole(1))
	for _, tt := range []struct {
		name string
		q    Query
		want error
	}{
		{"no table", Query{Table: "none"}, ErrNotFound},
		{"no index", Query{Table: "app", Index: "none"}, ErrNotFound},
		{"hash of another kind", Query{Table: "app", Hash: &number}, ErrKey},
		{"range of a table without", Query{Table: "app", Hash: &hash, Relation: Equals, Low: hash}, ErrKey},
		{"start with too little", Query{Table: "app", After: Item{}}, ErrStart},
		{"start with too much", Query{Table: "app", After: lease("a", "w", 1)}, ErrStart},
		{"start in the index without its key", Query{Table: "app", Index: "owners", After: Item{"leaseKey": String("a")}}, ErrStart},
		{"start outside", Query{Table: "app", Hash: &hash, After: Item{"leaseKey": String("b")}}, ErrStart},
		{"start in another segment", Query{Table: "app", Segments: 2, Segment: 1 - int(segmentHash(hash)%2), After: Item{"leaseKey": hash}}, ErrStart},
	} {
		if page, err := s.Read(tt.q); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, page, err, tt.want)
		}
	}
	page, err := s.Read(Query{Table: "app", Bytes: 1})
	if err != nil || len(page.Items) != 1 || page.Last == nil {
		t.Errorf("a page of one byte has %+v, %v", page, err)
	}
}
