package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// dropping counts how often bytes of journal files are asked to come from the
// disk.
type dropping struct {
	vfs.FS
	n atomic.Int64
}

func (d *dropping) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &droppingFile{f, d}, nil
}

type droppingFile struct {
	vfs.File
	d *dropping
}

func (f *droppingFile) DropCache(_, _ int64) { f.d.n.Add(1) }

// failedLog is a log with a checkpoint in the middle whose last sync failed.
func failedLog(t *testing.T) (fsys *memfs.FS, want []string) {
	t.Helper()
	fsys = memfs.New()
	var broken atomic.Bool
	e := errfs.New(fsys, func(op errfs.Op) error {
		if broken.Load() && op.Kind == errfs.Sync && strings.Contains(op.Path, "/"+journalDir+"/") {
			return &errfs.Fault{Err: syscall.EIO, Done: false}
		}
		return nil
	})
	o := small(e)
	o.CheckpointBytes, o.TailBytes = 1<<30, 1<<30
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	for i := range 30 {
		data := fmt.Sprintf("%d-%s", i, strings.Repeat("z", 2000))
		appendAll(t, l, "s", data)
		want = append(want, data)
		if i == 10 {
			must(t, l.checkpoint())
		}
	}
	broken.Store(true)
	if _, err := l.Append(t.Context(), "s", batch("in doubt")); !errors.Is(err, streams.ErrReadOnly) {
		t.Fatalf("append: %v", err)
	}
	<-l.Failed()
	if err := l.Close(); !errors.Is(err, streams.ErrReadOnly) {
		t.Fatalf("close: %v", err)
	}
	if _, err := fsys.Stat("/data/" + failedFile); err != nil {
		t.Fatalf("no note of the failure: %v", err)
	}
	return fsys, want
}

// TestSyncFailedBefore starts after a failed sync: the journal is read from the
// disk, and all that no checkpoint covers is in a new file, and durable, before
// anything is shown.
func TestSyncFailedBefore(t *testing.T) {
	fsys, want := failedLog(t)
	old := allFiles(t, fsys, "/data/journal")
	d := &dropping{FS: fsys}
	o := small(d)
	o.TailBytes = 1 << 30
	l, err := openIdle("/data", o)
	must(t, err)
	if int(d.n.Load()) != len(old) {
		t.Errorf("%d of %d journal files were read from the disk", d.n.Load(), len(old))
	}
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	if len(got) < len(want) || len(got) > len(want)+1 {
		t.Fatalf("%d records, want %d and perhaps the one in doubt", len(got), len(want))
	}
	// The files from before turn out to be lost, and the power is cut: nothing
	// that was shown may be missing.
	after := fsys.Crash(rand.New(rand.NewPCG(1, 1)))
	for _, path := range old {
		must(t, after.Remove(path))
	}
	must(t, l.Close())
	if _, err := fsys.Stat("/data/" + failedFile); err == nil {
		t.Error("the note of the failure is still there")
	}
	l = open(t, "/data", small(after))
	again, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, again, texts(got)...)
	if st := l.Stats(); st.Damaged != 0 {
		t.Errorf("%d shards are called damaged", st.Damaged)
	}
}

// TestSyncFailedCrash cuts the power during starts after a failed sync.
func TestSyncFailedCrash(t *testing.T) {
	orig, want := failedLog(t)
	seeds(t, *crashSeeds, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 4))
		fsys := copyFS(t, orig, "/data")
		syncAll(t, fsys, "/")
		shown := len(want)
		for range 4 {
			var left atomic.Int64
			left.Store(rng.Int64N(80))
			l, err := openIdle("/data", small(errfs.New(fsys, func(op errfs.Op) error {
				if op.Kind.Changes() && left.Add(-1) < 0 || left.Load() < 0 {
					return syscall.EIO
				}
				return nil
			})))
			if err == nil {
				got, err := readShard(t, l, "s", 0)
				if err == nil {
					shown = max(shown, len(got))
				}
				_ = l.Close() // or the power is cut
			}
			fsys = fsys.Crash(rng)
			if rng.IntN(2) == 0 {
				writeAll(t, fsys, "/data/"+failedFile, []byte("again"))
			}
		}
		l := open(t, "/data", small(fsys))
		got, err := readShard(t, l, "s", 0)
		must(t, err)
		if len(got) < shown {
			t.Fatalf("%d records, %d were shown", len(got), shown)
		}
		wantTexts(t, got[:len(want)], want...)
		if res := appendAll(t, l, "s", "more"); int(res.Placed[0].Sequence) != len(got)+1 { //nolint:gosec // Small.
			t.Errorf("sequence %d after %d records", res.Placed[0].Sequence, len(got))
		}
		must(t, l.Close())
		if list, err := fsys.ReadDir("/data/" + foundDir); err == nil && len(list) > 0 {
			t.Errorf("lost+found has %v", list)
		}
	})
}
