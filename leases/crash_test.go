package leases

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
)

// TestCrash runs random histories on a file system that forgets what was not
// synced, cuts the power at a random operation, and looks whether every
// acknowledged write is found, and of the others all or nothing.
func TestCrash(t *testing.T) {
	seeds(t, 12, func(t *testing.T, seed uint64) {
		h := &crashHistory{rng: rand.New(rand.NewPCG(seed, 0)), fs: memfs.New(), workers: make([]*crashWorker, 4)}
		for i := range h.workers {
			h.workers[i] = &crashWorker{name: fmt.Sprint("w", i)}
		}
		for range 3 {
			if h.life(t); t.Failed() {
				return
			}
			h.fs = h.fs.Crash(h.rng)
			if h.look(t); t.Failed() {
				return
			}
		}
	})
}

type crashHistory struct {
	rng     *rand.Rand
	fs      *memfs.FS
	workers []*crashWorker
}

// crashWorker writes two items that always change together, and a table of its
// own that comes and goes.
type crashWorker struct {
	name  string
	acked int  // value of both items, 0 if there are none
	asked int  // value that was not acknowledged, -1 if there is none
	table bool // its table is there
	maybe bool // a change of the table was not acknowledged
}

func (h *crashHistory) life(t *testing.T) {
	var changes atomic.Int64
	cut := int64(h.rng.IntN(300))
	log, err := openLog(errfs.New(h.fs, func(op errfs.Op) error {
		if op.Kind.Changes() && changes.Add(1) > cut {
			return syscall.EIO
		}
		return nil
	}))
	if err != nil {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("open: %v", err)
		}
		return
	}
	defer func() { _ = log.Close() }()
	s, err := Open(t.Context(), Options{Engine: log})
	if err != nil {
		return // the power went while it cleaned up
	}
	if err := s.Create(t.Context(), leaseDefinition("app")); err != nil && !errors.Is(err, ErrExists) {
		return
	}
	var wg sync.WaitGroup
	for i, w := range h.workers {
		rng := rand.New(rand.NewPCG(h.rng.Uint64(), uint64(i)))
		wg.Go(func() { w.work(t, s, rng) })
	}
	wg.Wait()
}

func (w *crashWorker) work(t *testing.T, s *Store, rng *rand.Rand) {
	for i := range 60 {
		if i%10 == 9 {
			w.maybe = true
			if !w.turnTable(t, s) {
				return
			}
			w.maybe, w.table = false, !w.table
			continue
		}
		w.asked = rng.IntN(1000)
		var changes []Change
		for _, half := range []string{"/a", "/b"} {
			if w.asked%10 == 0 {
				changes = append(changes, remove("app", w.name+half))
			} else {
				changes = append(changes, set("app", lease(w.name+half, w.name, w.asked)))
			}
		}
		if w.asked%10 == 0 {
			w.asked = 0
		}
		if _, err := s.Write(t.Context(), changes); err != nil {
			return
		}
		w.acked, w.asked = w.asked, -1
	}
	w.asked = -1
}

// turnTable makes the worker's table with some items, or drops it.
func (w *crashWorker) turnTable(t *testing.T, s *Store) bool {
	if w.table {
		_, err := s.Drop(t.Context(), w.name)
		return err == nil
	}
	if s.Create(t.Context(), leaseDefinition(w.name)) != nil {
		return false
	}
	for i := range 3 {
		if _, err := s.Write(t.Context(), []Change{set(w.name, lease(fmt.Sprint(i, "+"), "w", 1))}); err != nil {
			return false
		}
	}
	return true
}

// look opens what the power cut left and compares.
func (h *crashHistory) look(t *testing.T) {
	log, err := openLog(h.fs)
	must(t, err)
	defer func() { must(t, log.Close()) }()
	s, err := Open(t.Context(), Options{Engine: log})
	must(t, err)
	items := 0
	for _, name := range s.Names() {
		info, err := s.Describe(name)
		must(t, err)
		items += int(info.Items)
	}
	if got := len(log.StateAll(itemPrefix)); got != items || len(log.StateAll(dropPrefix)) > 0 {
		t.Errorf("the state has %d items, the tables have %d; %d drops are left", got, items, len(log.StateAll(dropPrefix)))
	}
	for _, w := range h.workers {
		_, err := s.Describe(w.name)
		if there := err == nil; there != w.table && !w.maybe {
			t.Errorf("table %s is there: %t, acknowledged: %t", w.name, there, w.table)
		} else {
			w.table, w.maybe = there, false
		}
		found := -1
		if _, err := s.Describe("app"); err != nil {
			found = 0
		} else {
			a, b := get(t, s, "app", w.name+"/a"), get(t, s, "app", w.name+"/b")
			for v := range 1000 {
				if v > 0 && a.Equal(lease(w.name+"/a", w.name, v)) && b.Equal(lease(w.name+"/b", w.name, v)) || v == 0 && a == nil && b == nil {
					found = v
				}
			}
		}
		if found != w.acked && found != w.asked || found == -1 {
			t.Errorf("worker %s: found %d, acknowledged %d, asked for %d", w.name, found, w.acked, w.asked)
		}
		w.acked, w.asked = found, -1
	}
}
