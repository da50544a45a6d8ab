package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// breakSnapshots makes every snapshot of a log unreadable.
func breakSnapshots(t *testing.T, fsys vfs.FS) {
	t.Helper()
	for _, path := range allFiles(t, fsys, "/data/meta") {
		flip(t, fsys, path, 30)
	}
}

// oldLog is a log that was used for so long that the journal does not know how
// its stream came to be: three shards, of which one was split.
func oldLog(t *testing.T) (*memfs.FS, map[streams.ShardID][]string) {
	t.Helper()
	fsys := memfs.New()
	o := small(fsys)
	o.SegmentBytes, o.CheckpointBytes, o.TailBytes, o.CheckpointInterval = 4096, 1<<30, 1<<30, 24*time.Hour
	l := open(t, "/data", o)
	create(t, l, "old", 2)
	want := map[streams.ShardID][]string{}
	put := func(stream string, n int) {
		for i := range n {
			data := fmt.Sprintf("%d-%s", i, strings.Repeat("q", 700))
			res, err := l.Append(t.Context(), stream, &streams.Batch{
				Records: []streams.NewRecord{{PartitionKey: fmt.Sprint(i), Data: []byte(data)}},
				State:   []streams.StateUpdate{{Key: stream, Value: fmt.Append(nil, i)}},
			})
			must(t, err)
			if stream == "old" {
				want[res.Placed[0].Shard] = append(want[res.Placed[0].Shard], data)
			}
		}
	}
	put("old", 40)
	must(t, l.Split(t.Context(), "old", 0, streams.HashKey{Hi: 1 << 61}))
	put("old", 60)
	must(t, l.checkpoint())
	for range 3 { // until the beginning is in no journal file any more
		must(t, l.checkpoint())
		put("old", 30)
	}
	create(t, l, "new", 1)
	must(t, l.Configure(t.Context(), "new", maxRetention/2))
	put("new", 3)
	l.commit(true)
	out := copyFS(t, fsys, "/data")
	must(t, l.Close())
	return out, want
}

// TestRebuild starts without any snapshot: what is in segments and journal can
// be read, nothing can be changed and nothing is changed on the disk. A repair
// makes it writable.
func TestRebuild(t *testing.T) {
	for _, how := range []string{"damaged", "missing"} {
		t.Run(how, func(t *testing.T) {
			fsys, want := oldLog(t)
			if how == "damaged" {
				breakSnapshots(t, fsys)
			} else {
				for _, path := range allFiles(t, fsys, "/data/meta") {
					must(t, fsys.Remove(path))
				}
				must(t, fsys.Remove("/data/meta"))
			}
			before := contents(t, fsys)
			l := open(t, "/data", small(fsys))
			readRebuilt(t, l, want)
			for name, err := range map[string]error{
				"append": func() error { _, err := l.Append(t.Context(), "new", batch("x")); return err }(),
				"state": func() error {
					_, err := l.Append(t.Context(), "", &streams.Batch{State: []streams.StateUpdate{{Key: "k", Value: []byte("v")}}})
					return err
				}(),
				"create":    func() error { _, err := l.Create(t.Context(), streams.StreamSpec{Name: "x", Shards: 1}); return err }(),
				"delete":    l.Delete(t.Context(), "new"),
				"configure": l.Configure(t.Context(), "new", maxRetention),
			} {
				if !errors.Is(err, streams.ErrReadOnly) || !strings.Contains(err.Error(), "firehosed repair") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if !l.Stats().ReadOnly {
				t.Error("not called read-only")
			}
			must(t, l.Close())
			sameContents(t, contents(t, fsys), before)

			told := repair(t, fsys, false)
			sameContents(t, contents(t, fsys), before)
			if told.Rebuilt == "" || len(told.Streams) != 2 || len(told.Losses) != 0 {
				t.Errorf("told: %+v", told)
			}
			repair(t, fsys, true)
			if r := repair(t, fsys, false); !r.Clean() {
				t.Errorf("after the repair: %+v", r)
			}
			found := allFiles(t, fsys, "/data/"+foundDir)
			for path := range before {
				if strings.Contains(path, "/meta/") && !slices.ContainsFunc(found, func(f string) bool {
					b, err := readFile(fsys, f, 1<<30)
					must(t, err)
					return string(b) == before[path]
				}) {
					t.Errorf("%s is not in lost+found", path)
				}
			}
			l = open(t, "/data", small(fsys))
			readRebuilt(t, l, want)
			info, err := l.Describe("recovered-1")
			must(t, err)
			for _, s := range info.Shards {
				if s.Closed {
					continue
				}
				res, err := l.Append(t.Context(), "recovered-1", &streams.Batch{Records: []streams.NewRecord{
					{Explicit: true, HashKey: s.Range.Start, Data: []byte("after")},
				}})
				must(t, err)
				if p := res.Placed[0]; p.Shard != s.ID || int(p.Sequence) != len(want[s.ID])+1 { //nolint:gosec // Small.
					t.Errorf("placed at %s %d, want %s %d", p.Shard, p.Sequence, s.ID, len(want[s.ID])+1)
				}
			}
			created, err := l.Create(t.Context(), streams.StreamSpec{Name: "later", Shards: 1})
			must(t, err)
			if created.ID <= 2 {
				t.Errorf("stream id %d is given again", created.ID)
			}
			must(t, l.Close())
		})
	}
}

// readRebuilt compares what is left of oldLog.
func readRebuilt(t *testing.T, l *Log, want map[streams.ShardID][]string) {
	t.Helper()
	info, err := l.Describe("recovered-1")
	must(t, err)
	if info.Retention != maxRetention || len(info.Shards) != len(want) {
		t.Errorf("%+v", info)
	}
	for id, data := range want {
		recs, err := readShard(t, l, "recovered-1", id)
		must(t, err)
		if !slices.Equal(texts(recs), data) {
			t.Errorf("%s: %d of %d records", id, len(recs), len(data))
		}
	}
	recs, err := readShard(t, l, "new", 0)
	must(t, err)
	if info, err := l.Describe("new"); err != nil || info.Retention != maxRetention/2 || len(recs) != 3 {
		t.Errorf("new: %+v, %v, %d records", info, err, len(recs))
	}
	if string(l.State("new")) != "2" || string(l.State("old")) != "29" {
		t.Errorf("state %q", l.StateAll(""))
	}
}

// TestRebuildDamaged names what is lost beside the snapshots.
func TestRebuildDamaged(t *testing.T) {
	orig, want := damagedLog(t)
	tried := 0
	for _, path := range allFiles(t, orig, "/data/shards") {
		fsys := copyFS(t, orig, "/data")
		breakSnapshots(t, fsys)
		must(t, fsys.Remove(path))
		l := open(t, "/data", small(fsys))
		list := l.List()
		if len(list) != 1 {
			t.Fatalf("%s: streams %+v", path, list)
		}
		must(t, l.Close())
		if list[0].Name != "s" {
			continue // the journal had forgotten it
		}
		tried++
		repair(t, fsys, true)
		repaired(t, fsys, want)
	}
	if tried == 0 {
		t.Error("the journal never knew the stream")
	}
}

// TestRebuildCrash cuts the power while a log without snapshots is repaired.
func TestRebuildCrash(t *testing.T) {
	orig, want := oldLog(t)
	breakSnapshots(t, orig)
	seeds(t, max(*crashSeeds/3, 1), func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 5))
		fsys := copyFS(t, orig, "/data")
		syncAll(t, fsys, "/")
		for range 4 {
			var left atomic.Int64
			left.Store(rng.Int64N(60))
			o := small(errfs.New(fsys, func(op errfs.Op) error {
				if op.Kind.Changes() && left.Add(-1) < 0 || left.Load() < 0 {
					return syscall.EIO
				}
				return nil
			}))
			_, _ = Repair(t.Context(), "/data", RepairOptions{Options: o, Apply: true}) // it is cut off, or not
			fsys = fsys.Crash(rng)
		}
		repair(t, fsys, true)
		l := open(t, "/data", small(fsys))
		readRebuilt(t, l, want)
		must(t, l.Close())
	})
}
