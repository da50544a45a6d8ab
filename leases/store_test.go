package leases

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

func write(t testing.TB, s *Store, changes ...Change) {
	t.Helper()
	if outcomes, err := s.Write(t.Context(), changes); err != nil {
		t.Fatalf("write: %v, %+v", err, outcomes)
	}
}

func get(t testing.TB, s *Store, table, key string) Item {
	t.Helper()
	items, err := s.Get(Ref{Table: table, Key: Item{"leaseKey": String(key)}})
	must(t, err)
	return items[0]
}

func TestStoreKeepsItems(t *testing.T) {
	s, log := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	if err := s.Create(t.Context(), leaseDefinition("app")); !errors.Is(err, ErrExists) {
		t.Errorf("create twice: %v", err)
	}
	write(t, s, set("app", lease("a", "w1", 1)), set("app", lease("b", "w1", 2)), set("app", lease("c", "w2", 3)))
	write(t, s, remove("app", "b"))
	write(t, s, set("app", lease("c", "w1", 4)))
	for _, s := range []*Store{s, reopen(t, log, nil)} {
		if a, b, c := get(t, s, "app", "a"), get(t, s, "app", "b"), get(t, s, "app", "c"); !a.Equal(lease("a", "w1", 1)) || b != nil || !c.Equal(lease("c", "w1", 4)) {
			t.Errorf("found %v, %v, %v", a, b, c)
		}
		owner := String("w1")
		page, err := s.Read(Query{Table: "app", Index: "owners", Hash: &owner})
		if err != nil || len(page.Items) != 2 || page.Last != nil {
			t.Errorf("the index has %+v, %v", page, err)
		}
		owner = String("w2")
		if page, err := s.Read(Query{Table: "app", Index: "owners", Hash: &owner}); err != nil || len(page.Items) != 0 {
			t.Errorf("the index has %+v, %v", page, err)
		}
		info, err := s.Describe("app")
		if err != nil || info.Items != 2 || info.InIndex["owners"] != 2 || info.Bytes != int64(2*lease("a", "w1", 1).Size()) {
			t.Errorf("described as %+v, %v", info, err)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	s, _ := newStore(t, func(o *Options) { o.MaxBytes, o.MaxTables = 1<<20, 1 })
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	if err := s.Create(t.Context(), leaseDefinition("other")); !errors.Is(err, ErrTables) {
		t.Errorf("one table too many: %v", err)
	}
	write(t, s, set("app", lease("a", "w1", 1)))
	deep := Value{Kind: KindNull}
	for range MaxDepth {
		deep = Value{Kind: KindList, List: []Value{deep}}
	}
	with := func(name string, v Value) Item {
		item := lease("a", "w1", 1)
		item[name] = v
		return item
	}
	no := errors.New("no")
	var index *IndexKeyError
	for _, tt := range []struct {
		name    string
		changes []Change
		want    error
		reason  error // of the first change
	}{
		{"no table", []Change{set("none", lease("a", "", 1))}, ErrNotFound, nil},
		{"key of another kind", []Change{set("app", Item{"leaseKey": Number(Whole(1))})}, ErrKey, nil},
		{"item twice", []Change{set("app", lease("a", "w", 1)), remove("app", "a")}, ErrTwice, nil},
		{"too large", []Change{set("app", with("x", String(strings.Repeat("x", MaxItemBytes))))}, ErrRefused, ErrItemSize},
		{"too deep", []Change{set("app", with("x", deep))}, ErrRefused, ErrItemDepth},
		{"index of another kind", []Change{set("app", with("leaseOwner", Number(Whole(1))))}, ErrRefused, &IndexKeyError{"owners", "leaseOwner", KindString, KindNumber, false}},
		{"empty index key", []Change{set("app", with("leaseOwner", String("")))}, ErrRefused, &IndexKeyError{"owners", "leaseOwner", KindString, KindString, true}},
		{"decided against", []Change{{Table: "app", Key: Item{"leaseKey": String("a")}, Decide: func(Item) (Item, error) { return nil, no }}, set("app", lease("b", "w", 1))}, ErrRefused, no},
		{"another key", []Change{{Table: "app", Key: Item{"leaseKey": String("a")}, Decide: func(Item) (Item, error) { return lease("z", "w", 1), nil }}}, ErrRefused, ErrKeyChanged},
		{"full", []Change{
			set("app", lease("b", "w", 1)),
			set("app", Item{"leaseKey": String("c"), "x": String(strings.Repeat("x", 399<<10))}),
			set("app", Item{"leaseKey": String("d"), "x": String(strings.Repeat("x", 399<<10))}),
			set("app", Item{"leaseKey": String("e"), "x": String(strings.Repeat("x", 399<<10))}),
		}, ErrFull, nil},
	} {
		outcomes, err := s.Write(t.Context(), tt.changes)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if tt.reason == nil {
			continue
		}
		got := outcomes[0].Err
		if !errors.Is(got, tt.reason) && !(errors.As(got, &index) && index.Error() == tt.reason.Error()) {
			t.Errorf("%s: reason %v, want %v", tt.name, got, tt.reason)
		}
	}
	page, err := s.Read(Query{Table: "app"})
	if err != nil || len(page.Items) != 1 || !page.Items[0].Equal(lease("a", "w1", 1)) {
		t.Errorf("refused writes left %+v, %v", page, err)
	}
	before, _ := s.Usage()
	write(t, s, remove("app", "a"))
	if after, _ := s.Usage(); before == 0 || after != 0 {
		t.Errorf("charged %d, then %d with no item", before, after)
	}
}

// TestStoreConcurrent raises counters by conditional writes of many writers
// at once: none is lost, and a writer sees each number once.
func TestStoreConcurrent(t *testing.T) {
	const writers, rounds, keys = 16, 25, 3
	s, log := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	for k := range keys {
		write(t, s, set("app", lease(fmt.Sprint(k), "w", 0)))
	}
	stale := errors.New("counter changed")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				key := fmt.Sprint((w + i) % keys)
				for {
					items, err := s.Get(Ref{Table: "app", Key: Item{"leaseKey": String(key)}})
					if err != nil {
						t.Error(err)
						return
					}
					seen := items[0]["leaseCounter"].Number
					_, err = s.Write(t.Context(), []Change{{Table: "app", Key: Item{"leaseKey": String(key)}, Decide: func(old Item) (Item, error) {
						if old["leaseCounter"].Number != seen {
							return nil, stale
						}
						next, err := seen.Add(Whole(1))
						item := lease(key, fmt.Sprint(w), 0)
						item["leaseCounter"] = Number(next)
						return item, err
					}}})
					if err == nil {
						break
					}
					if !errors.Is(err, ErrRefused) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for _, s := range []*Store{s, reopen(t, log, nil)} {
		total := Decimal{}
		for k := range keys {
			var err error
			total, err = total.Add(get(t, s, "app", fmt.Sprint(k))["leaseCounter"].Number)
			must(t, err)
		}
		if total != Whole(writers*rounds) {
			t.Errorf("counted to %s, want %d", total, writers*rounds)
		}
	}
	if len(s.locks.held) != 0 {
		t.Errorf("%d locks are left", len(s.locks.held))
	}
}

// TestStoreTransactions moves amounts between accounts in transactions that
// name them in every order, beside writers of single items: the sum stays.
func TestStoreTransactions(t *testing.T) {
	const accounts, writers, rounds = 5, 8, 25
	s, _ := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	for k := range accounts {
		write(t, s, set("app", lease(fmt.Sprint(k), "w", 100)))
	}
	seeds(t, 1, func(t *testing.T, seed uint64) {
		var wg sync.WaitGroup
		for w := range uint64(writers) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, w))
				for range rounds {
					order := rng.Perm(accounts)
					by := Whole(rng.IntN(10))
					add := func(account int, by Decimal) Change {
						key := fmt.Sprint(account)
						return Change{Table: "app", Key: Item{"leaseKey": String(key)}, Decide: func(old Item) (Item, error) {
							sum, err := old["leaseCounter"].Number.Add(by)
							return Item{"leaseKey": String(key), "leaseCounter": Number(sum)}, err
						}}
					}
					if _, err := s.Write(t.Context(), []Change{add(order[0], by), add(order[1], by.Neg())}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
	refs := make([]Ref, accounts)
	for k := range refs {
		refs[k] = Ref{Table: "app", Key: Item{"leaseKey": String(fmt.Sprint(k))}}
	}
	items, err := s.Get(refs...)
	must(t, err)
	total := Decimal{}
	for _, item := range items {
		total, err = total.Add(item["leaseCounter"].Number)
		must(t, err)
	}
	if total != Whole(100*accounts) {
		t.Errorf("the sum is %s", total)
	}
}

// TestStoreWaits gives up waiting for an item when the context ends, and leaves
// no lock behind.
func TestStoreWaits(t *testing.T) {
	s, _ := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	inside, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := s.Write(t.Context(), []Change{{Table: "app", Key: Item{"leaseKey": String("a")}, Decide: func(Item) (Item, error) {
			close(inside)
			<-leave
			return lease("a", "w", 1), nil
		}}})
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Write(ctx, []Change{set("app", lease("b", "w", 1)), set("app", lease("a", "w", 2))}); !errors.Is(err, context.Canceled) {
		t.Errorf("wait for an item: %v", err)
	}
	write(t, s, set("app", lease("c", "w", 1))) // others go on
	close(leave)
	must(t, <-done)
	if len(s.locks.held) != 0 {
		t.Errorf("%d locks are left", len(s.locks.held))
	}
}

func TestChangeTable(t *testing.T) {
	s, log := newStore(t, nil)
	def := leaseDefinition("app")
	def.Indexes, def.Protected = nil, true
	must(t, s.Create(t.Context(), def))
	for i := range 20 {
		item := lease(fmt.Sprintf("%02d", i), fmt.Sprint("w", i%2), i)
		if i%5 == 0 {
			item["leaseOwner"] = Number(Whole(i)) // not in the index that comes later
		}
		write(t, s, set("app", item))
	}
	if _, err := s.Drop(t.Context(), "app"); !errors.Is(err, ErrProtected) {
		t.Errorf("drop a protected table: %v", err)
	}
	must(t, s.Change(t.Context(), "app", func(d *Definition) error {
		d.Indexes, d.Protected = leaseDefinition("").Indexes, false
		return nil
	}))
	for _, s := range []*Store{s, reopen(t, log, nil)} {
		owner := String("w1")
		var keys []string
		for q := (Query{Table: "app", Index: "owners", Hash: &owner, Limit: 3, Backwards: true}); ; {
			page, err := s.Read(q)
			must(t, err)
			for _, item := range page.Items {
				keys = append(keys, item["leaseKey"].Text)
			}
			if q.After = page.Last; page.Last == nil {
				break
			}
		}
		if want := []string{"19", "17", "13", "11", "09", "07", "03", "01"}; !slices.Equal(keys, want) {
			t.Errorf("the index has %q, want %q", keys, want)
		}
	}
	refused := errors.New("no")
	if err := s.Change(t.Context(), "app", func(*Definition) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("an edit that fails: %v", err)
	}
	info, err := s.Drop(t.Context(), "app")
	if err != nil || info.Items != 20 {
		t.Errorf("dropped %+v, %v", info, err)
	}
	if _, err := s.Write(t.Context(), []Change{set("app", lease("a", "", 1))}); !errors.Is(err, ErrNotFound) {
		t.Errorf("write into a table that is gone: %v", err)
	}
	if left := log.StateAll(prefix); len(left) != 0 {
		t.Errorf("%d keys of state are left", len(left))
	}
	if used, _ := s.Usage(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

// TestDropGoesOn opens a log on which a drop was interrupted after its first
// step.
func TestDropGoesOn(t *testing.T) {
	s, log := newStore(t, nil)
	must(t, s.Create(t.Context(), leaseDefinition("app")))
	must(t, s.Create(t.Context(), leaseDefinition("kept")))
	for i := range 5 {
		write(t, s, set("app", lease(fmt.Sprint(i), "w", i)), set("kept", lease(fmt.Sprint(i), "w", i)))
	}
	id := s.table("app").id
	must(t, s.append(t.Context(), streams.StateUpdate{Key: tablePrefix + hex16(id)}, streams.StateUpdate{Key: dropPrefix + hex16(id), Value: []byte("app")}))
	s = reopen(t, log, nil)
	if names := s.Names(); !slices.Equal(names, []string{"kept"}) {
		t.Errorf("tables %q", names)
	}
	if left := log.StateAll(itemPrefix); len(left) != 5 {
		t.Errorf("%d items are left", len(left))
	}
	if left := log.StateAll(dropPrefix); len(left) != 0 {
		t.Errorf("%d drops are left", len(left))
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	for _, tt := range []struct {
		name, key string
		value     []byte
		want      string
	}{
		{"item without a table", itemKey(99, 1), encodeItem(nil, lease("a", "w", 1)), "no table has this item"},
		{"item that cannot be read", itemKey(1, 7), []byte{9}, "format 9"},
		{"item without a key", itemKey(1, 7), encodeItem(nil, Item{}), ErrKey.Error()},
		{"item twice", itemKey(1, 7), encodeItem(nil, lease("a", "w", 1)), "the same item"},
		{"table that cannot be read", tablePrefix + hex16(7), []byte("{"), "definition"},
		{"table without a key", tablePrefix + hex16(7), []byte(`{"name":"x"}`), "no name or no key"},
		{"table twice", tablePrefix + hex16(7), []byte(`{"name":"app","hash":"k","attributes":{"k":"S"}}`), "there twice"},
		{"number that is none", dropPrefix + "x", []byte("x"), "16 hex digits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, log := newStore(t, nil)
			must(t, s.Create(t.Context(), leaseDefinition("app")))
			write(t, s, set("app", lease("a", "w", 1)))
			must(t, s.append(t.Context(), streams.StateUpdate{Key: tt.key, Value: tt.value}))
			if _, err := Open(t.Context(), Options{Engine: log}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
