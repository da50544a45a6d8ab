package leases

import (
	"flag"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams/wal"
)

var (
	seedFlag = flag.Int64("seed", -1, "run random tests with this seed only")
	update   = flag.Bool("update", false, "write the golden files again")
)

// seeds runs f with n seeds, or with that of -seed.
func seeds(t *testing.T, n int, f func(t *testing.T, seed uint64)) {
	t.Helper()
	first := uint64(time.Now().UnixNano())
	if *seedFlag >= 0 {
		first, n = uint64(*seedFlag), 1
	}
	for i := range uint64(n) {
		seed := (first + i) & (1<<62 - 1)
		if f(t, seed); t.Failed() {
			t.Fatalf("replay with -seed=%d", seed)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const dir = "/srv/data"

func openLog(fsys vfs.FS) (*wal.Log, error) {
	return wal.Open(dir, wal.Options{
		FS: fsys, SegmentBytes: 8 << 10, JournalBytes: 64 << 10, CheckpointBytes: 48 << 10, TailBytes: 32 << 10, MinFreeBytes: -1, BallastBytes: -1,
	})
}

// newStore returns a store on a log in memory, which ends with the test.
func newStore(t testing.TB, change func(*Options)) (*Store, *wal.Log) {
	t.Helper()
	log, err := openLog(memfs.New())
	must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	return reopen(t, log, change), log
}

func reopen(t testing.TB, log *wal.Log, change func(*Options)) *Store {
	t.Helper()
	opt := Options{Engine: log}
	if change != nil {
		change(&opt)
	}
	s, err := Open(t.Context(), opt)
	must(t, err)
	return s
}

// leaseDefinition is a table as the Kinesis Client Library makes it.
func leaseDefinition(name string) *Definition {
	return &Definition{
		Name: name, UUID: "5f6c", Created: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Schema: Schema{Hash: "leaseKey"}, OnDemand: true,
		Attributes: map[string]string{"leaseKey": "S", "leaseOwner": "S"},
		Indexes:    []Index{{Name: "owners", Schema: Schema{Hash: "leaseOwner", Range: "leaseKey"}, Projection: "KEYS_ONLY"}},
	}
}

// set returns a change that makes an item what it is given as.
func set(table string, item Item) Change {
	return Change{Table: table, Key: Item{"leaseKey": item["leaseKey"]}, Decide: func(Item) (Item, error) { return item, nil }}
}

func remove(table, key string) Change {
	return Change{Table: table, Key: Item{"leaseKey": String(key)}, Decide: func(Item) (Item, error) { return nil, nil }}
}

func lease(key, owner string, counter int) Item {
	return Item{"leaseKey": String(key), "leaseOwner": String(owner), "leaseCounter": Number(Whole(counter))}
}
