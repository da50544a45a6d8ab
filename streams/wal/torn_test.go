package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestTornBatch tears the last group of the journal in every way: each set of
// its sectors is written, the others are as they were, zeros or an older group.
// The batch is there whole, or not at all, and nothing is called damaged.
func TestTornBatch(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before int  // batches
		used   bool // the file held older groups
	}{
		{"new file", 6, false},
		{"file used again", 70, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Time stands still, so that no mark follows the last batch.
			for more := range 60 {
				done := false
				synctest.Test(t, func(t *testing.T) { done = testTornBatch(t, tt.before+more, tt.used) })
				if done || t.Failed() {
					return
				}
			}
			t.Fatal("no batch was of the kind that is wanted")
		})
	}
}

// testTornBatch reports false if another batch is wanted: if this one came to
// begin a file, whose head was then written with it, had one made ahead, was
// flushed at once, or lies on what was before in a way that changes too many sectors to try every set.
func testTornBatch(t *testing.T, batches int, used bool) bool {
	t.Helper()
	const sector = 512
	o := small(memfs.New())
	o.CheckpointBytes = 1 << 30
	l := open(t, "/data", o)
	create(t, l, "s", 2)
	var want []string
	put := func(n int) {
		b := &streams.Batch{State: []streams.StateUpdate{{Key: "n", Value: fmt.Append(nil, n)}}}
		d := fmt.Sprint(n, strings.Repeat(string(rune('a'+n%26)), 1500))
		for k := range uint64(2) {
			b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: streams.HashKey{Hi: k << 63}, Data: []byte(d)})
		}
		_, err := l.Append(t.Context(), "s", b)
		must(t, err)
		want = append(want, d)
	}
	for n := range batches {
		put(n)
		if n%20 == 19 {
			must(t, l.checkpoint())
		}
	}
	synctest.Wait() // a journal file may be made ahead
	before := copyFS(t, o.FS, "/data")
	put(batches)
	synctest.Wait()
	after := copyFS(t, o.FS, "/data")
	must(t, l.Close())

	path, old, new, written := "", []byte(nil), []byte(nil), []int(nil)
	for _, p := range allFiles(t, after, "/data") {
		a, err := readFile(before, p, 1<<30)
		if errors.Is(err, os.ErrNotExist) {
			return false
		}
		must(t, err)
		b, err := readFile(after, p, 1<<30)
		must(t, err)
		if bytes.Equal(a, b) {
			continue
		}
		if path != "" || len(a) != len(b) {
			return false
		}
		path, old, new = p, a, b
		for at := 0; at < len(a); at += sector {
			if !bytes.Equal(a[at:at+sector], b[at:at+sector]) {
				written = append(written, at)
			}
		}
	}
	if len(written) < 6 || len(written) > 9 || written[0] == 0 {
		return false
	}
	if was := old[written[2]]|old[written[2]+1]|old[written[2]+2] != 0; was != used {
		return false
	}
	for set := range 1 << len(written) {
		torn := bytes.Clone(old)
		for i, at := range written {
			if set>>i&1 == 1 {
				copy(torn[at:at+sector], new[at:at+sector])
			}
		}
		fsys := copyFS(t, before, "/data")
		writeAll(t, fsys, path, torn)
		l := open(t, "/data", small(fsys))
		n := batches
		if string(l.State("n")) == fmt.Sprint(batches) {
			n++
		}
		if set == 1<<len(written)-1 && n == batches {
			t.Error("a batch that was written whole is lost")
		}
		for id := range streams.ShardID(2) {
			recs, err := readShard(t, l, "s", id)
			must(t, err)
			if !slices.Equal(texts(recs), want[:n]) {
				t.Errorf("set %b of sectors: shard %s has %d records, the state says %d", set, id, len(recs), n)
			}
		}
		if res := appendAll(t, l, "s", "next"); int(res.Placed[0].Sequence) != n+1 { //nolint:gosec // Small.
			t.Errorf("set %b of sectors: sequence %d after %d records", set, res.Placed[0].Sequence, n)
		}
		if st := l.Stats(); st.Damaged != 0 {
			t.Errorf("set %b of sectors: %d shards are called damaged", set, st.Damaged)
		}
		must(t, l.Close())
		if t.Failed() {
			return true
		}
	}
	t.Logf("%d sets of %d sectors", 1<<len(written), len(written))
	return true
}

// TestTornFirstGroup cuts the power while the first group is written to a journal
// file of a process that was killed before it had synced the file's head. The
// stream is there or it is not, and nothing is called damaged.
func TestTornFirstGroup(t *testing.T) {
	fsys := memfs.New()
	dead, headWritten := false, false
	e := errfs.New(fsys, func(op errfs.Op) error {
		dead = dead || headWritten
		if dead {
			return syscall.EIO
		}
		headWritten = op.Kind == errfs.Write && strings.HasSuffix(op.Path, ".journal") && op.Offset == 0 && op.Size == block
		return nil
	})
	if _, err := Open("/data", small(e)); !dead || !errors.Is(err, syscall.EIO) {
		t.Fatalf("the first process was to end before the sync of a head: %t, %v", dead, err)
	}

	// What the first process wrote is in the page cache, for the second to read.
	var cut atomic.Bool
	l := open(t, "/data", small(errfs.New(fsys, func(op errfs.Op) error {
		if cut.Load() && op.Kind.Changes() && op.Kind != errfs.Write {
			return syscall.EIO
		}
		return nil
	})))
	cut.Store(true)
	if _, err := l.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1}); err == nil {
		t.Fatal("a stream was made without a sync")
	}
	_ = l.Close() // it failed

	found := map[bool]int{}
	for seed := range uint64(200) {
		after := fsys.Crash(rand.New(rand.NewPCG(seed, 1)))
		l := open(t, "/data", small(after))
		found[len(l.List()) == 1]++
		must(t, l.Close())
		// Files that were found damaged are there when no snapshot needs them any more.
		if list, err := after.ReadDir("/data/" + foundDir); err == nil && len(list) > 0 {
			t.Fatalf("after power cut %d lost+found has %v", seed, list)
		}
	}
	if found[true] == 0 || found[false] == 0 {
		t.Errorf("the stream was there %d times and missing %d times; wanted some of both", found[true], found[false])
	}
}
