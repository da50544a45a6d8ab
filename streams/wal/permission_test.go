package wal

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestPermissionNth takes a permission away at each operation in turn that needs
// it, for good. What is acknowledged before and after is not lost: the log goes
// on with the files that it has open, or says why it does not. A start without
// the permission is refused, names a path and loses nothing; one with it again is
// complete.
func TestPermissionNth(t *testing.T) {
	names := []errfs.Kind{errfs.Create, errfs.Mkdir, errfs.Rename, errfs.Remove}
	for _, tt := range []struct {
		name  string
		kinds []errfs.Kind // that need it
		err   error
		reads bool // can do without it
	}{
		{"directories may not be written", names, syscall.EACCES, true},
		{"directories are immutable", names, syscall.EPERM, true},
		{"directories may not be entered", append(slices.Clone(names), errfs.Open, errfs.Stat, errfs.ReadDir, errfs.SyncDir, errfs.Lock), syscall.EACCES, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := int64(0); ; n++ {
				if !permissionNth(t, n, tt.kinds, tt.err, tt.reads) {
					if n < 20 {
						t.Errorf("only %d operations", n)
					}
					return
				}
				if t.Failed() {
					t.Fatalf("operation %d", n)
				}
			}
		})
	}
}

func permissionNth(t *testing.T, n int64, kinds []errfs.Kind, lost error, reads bool) (met bool) {
	t.Helper()
	fsys := memfs.New()
	var left atomic.Int64
	left.Store(n)
	e := errfs.New(fsys, func(op errfs.Op) error {
		if slices.Contains(kinds, op.Kind) && left.Add(-1) < 0 {
			return lost
		}
		return nil
	})
	said := func(what string, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, streams.ErrReadOnly) && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var acked []string
	l, err := Open("/data", small(e))
	said("start", err)
	if err == nil {
		acked, err = script(t, l, streams.Fsync)
		said("work", err)
		if errors.Is(err, streams.ErrReadOnly) && (l.Err() == nil || !strings.Contains(l.Err().Error(), "/data")) {
			t.Errorf("read-only because of %v", l.Err())
		}
		if reads {
			holds(t, l, acked, 1)
		}
		said("stop", l.Close())
	}
	met = left.Load() < 0
	if met {
		l, err = Open("/data", small(e))
		switch {
		case err == nil && reads: // it needed no new file yet
			holds(t, l, acked, 1)
			said("stop", l.Close())
		case err == nil:
			t.Error("a start succeeded without permission")
			must(t, l.Close())
		case !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/data"):
			t.Errorf("start without permission: %v", err)
		}
	}
	l, err = Open("/data", small(fsys))
	must(t, err)
	holds(t, l, acked, 1)
	if l.Stats().Damaged > 0 {
		t.Error("called damaged")
	}
	create(t, l, "later", 1)
	appendAll(t, l, "later", "new")
	must(t, l.Close())
	return met
}
