package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// script is a fixed history that meets every kind of operation. It returns
// what was acknowledged, and stops when the log does.
func script(t *testing.T, l *Log, d streams.Durability) (acked []string, err error) {
	t.Helper()
	ctx := t.Context()
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "s", Shards: 1, Durability: d}); err != nil && !errors.Is(err, streams.ErrExists) {
		return nil, err
	}
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "doomed", Shards: 1}); err != nil && !errors.Is(err, streams.ErrExists) {
		return nil, err
	}
	if _, err := l.Append(ctx, "doomed", batch("x")); err != nil {
		return nil, err
	}
	for i := range 30 {
		d := fmt.Sprintf("%04d-%s", i, strings.Repeat("x", 700))
		if _, err := l.Append(ctx, "s", batch(d)); err != nil {
			return acked, err
		}
		acked = append(acked, d)
		switch i {
		case 10:
			if err := l.Delete(ctx, "doomed"); err != nil {
				return acked, err
			}
		case 5, 12, 20, 21:
			if err := l.checkpoint(); err != nil {
				return acked, err
			}
		}
	}
	return acked, nil
}

// holds checks that what was acknowledged comes first, then at most extra
// records that were asked for.
func holds(t *testing.T, l *Log, acked []string, extra int) {
	t.Helper()
	recs, err := readShard(t, l, "s", 0)
	if errors.Is(err, streams.ErrNotFound) && len(acked) == 0 {
		return
	}
	must(t, err)
	got := texts(recs)
	if len(got) < len(acked) || len(got) > len(acked)+extra || !slices.Equal(got[:len(acked)], acked) {
		t.Errorf("found %d records, %d were acknowledged", len(got), len(acked))
	}
}

// TestErrNth fails each operation in turn, once: nothing acknowledged is lost,
// and a start afterwards works.
func TestErrNth(t *testing.T) {
	t.Run("plain", func(t *testing.T) { errNth(t, streams.Fsync, func(o Options) Options { return o }) })
	t.Run("past the cache", func(t *testing.T) { errNth(t, streams.Fsync, past) })
	t.Run("not synced", func(t *testing.T) { errNth(t, streams.None, func(o Options) Options { return o }) })
}

func errNth(t *testing.T, d streams.Durability, change func(Options) Options) {
	t.Helper()
	for n := 0; ; n++ {
		fsys := memfs.New()
		var changes atomic.Int64
		var failed atomic.Bool
		var what atomic.Value
		e := errfs.New(fsys, func(op errfs.Op) error {
			if op.Kind.Changes() && changes.Add(1) == int64(n)+1 {
				failed.Store(true)
				what.Store(op)
				return syscall.EIO
			}
			return nil
		})
		var acked []string
		l, err := Open("/data", change(small(e)))
		if err == nil {
			acked, err = script(t, l, d)
			if err != nil && !errors.Is(err, streams.ErrReadOnly) && !errors.Is(err, syscall.EIO) {
				t.Errorf("operation %d: %v", n, err)
			}
			if errors.Is(err, streams.ErrReadOnly) {
				<-l.Failed()
				if l.Err() == nil || !l.Stats().ReadOnly {
					t.Errorf("operation %d: no reason for being read-only", n)
				}
				// Reads go on.
				holds(t, l, acked, 1)
			}
			_ = l.Close() // may report the failure again
		}
		l, err = Open("/data", small(fsys))
		if err != nil {
			t.Fatalf("start after operation %d failed (%+v): %v", n, what.Load(), err)
		}
		holds(t, l, acked, 1)
		if l.Stats().Damaged > 0 {
			t.Errorf("operation %d (%+v): called damaged", n, what.Load())
		}
		must(t, l.Close())
		if !failed.Load() {
			if n < 50 {
				t.Errorf("only %d operations", n)
			}
			return
		}
		if t.Failed() {
			t.Fatalf("operation %d: %+v", n, what.Load())
		}
	}
}

// TestNoSpace lets each write in turn find the disk full, and all after it for
// a while: appends get ErrFull, reads go on, and when there is space again the
// same process goes on without a loss.
func TestNoSpace(t *testing.T) {
	t.Run("plain", func(t *testing.T) { noSpace(t, streams.Fsync, func(o Options) Options { return o }) })
	t.Run("not synced", func(t *testing.T) { noSpace(t, streams.Interval, func(o Options) Options { return o }) })
	t.Run("past the cache", func(t *testing.T) { noSpace(t, streams.Fsync, past) })
}

func noSpace(t *testing.T, d streams.Durability, change func(Options) Options) {
	t.Helper()
	for n := 0; ; n++ {
		fsys := memfs.New()
		var changes atomic.Int64
		var met, full atomic.Bool
		e := errfs.New(fsys, func(op errfs.Op) error {
			if op.Kind != errfs.Write && op.Kind != errfs.Create {
				return nil
			}
			if changes.Add(1) == int64(n)+1 {
				met.Store(true)
				full.Store(true)
			}
			if full.Load() {
				return &errfs.Fault{Err: syscall.ENOSPC, Bytes: op.Size / 2}
			}
			return nil
		})
		var clock atomic.Int64
		o := change(small(e))
		o.Monotonic = func() time.Duration { return time.Duration(clock.Add(int64(200 * time.Millisecond))) }
		o.Clock = func() time.Time { return time.Unix(1_800_000_000, clock.Load()) }
		l, err := Open("/data", o)
		if err != nil {
			full.Store(false)
			l, err = Open("/data", o)
			must(t, err)
		}
		acked, err := script(t, l, d)
		for tries := 0; err != nil; tries++ {
			if !errors.Is(err, streams.ErrFull) && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("write %d: %v", n, err)
			}
			holds(t, l, acked, 0)
			if full.Swap(false); tries > 3 {
				t.Fatalf("write %d: still %v after there was space again", n, err)
			}
			acked = nil
			for _, r := range must2(readShard(t, l, "s", 0)) {
				acked = append(acked, string(r.Data))
			}
			var more []string
			more, err = script(t, l, d)
			acked = append(acked, more...)
		}
		full.Store(false)
		holds(t, l, acked, 0)
		if err := l.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("close: %v", err) // no room for the last checkpoint: the journal has it
		}
		l = open(t, "/data", small(fsys))
		holds(t, l, acked, 0)
		must(t, l.Close())
		if !met.Load() {
			return
		}
	}
}

func must2(recs []streams.Record, err error) []streams.Record {
	if err != nil && !errors.Is(err, streams.ErrNotFound) {
		panic(err)
	}
	return recs
}

// TestMinFree refuses before the disk is full, and goes on when it is not.
func TestMinFree(t *testing.T) {
	fsys := memfs.New()
	fsys.SetCapacity(8 << 20)
	var clock atomic.Int64
	o := small(fsys)
	o.MinFreeBytes = 4 << 20
	o.Monotonic = func() time.Duration { return time.Duration(clock.Add(int64(2 * time.Second))) }
	o.Clock = func() time.Time { return time.Unix(1_800_000_000, clock.Load()) }
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	var acked []string
	for i := 0; ; i++ {
		d := fmt.Sprintf("%05d%s", i, strings.Repeat("x", 3000))
		_, err := l.Append(t.Context(), "s", batch(d))
		if errors.Is(err, streams.ErrFull) {
			break
		}
		must(t, err)
		acked = append(acked, d)
		if i > 10_000 {
			t.Fatal("never full")
		}
	}
	holds(t, l, acked, 0)
	// A checkpoint that goes on gives some journal back.
	fsys.SetCapacity(6 << 20)
	if !l.Stats().Full {
		t.Error("not called full")
	}
	fsys.SetCapacity(64 << 20)
	if l.Stats().Full {
		t.Error("still called full, until somebody appends")
	}
	appendAll(t, l, "s", "after")
	holds(t, l, append(acked, "after"), 0)
	must(t, l.Close())
}

// TestTwoProcesses keeps a second log out of a directory.
func TestTwoProcesses(t *testing.T) {
	dir := tempDir(t)
	l := open(t, dir, Options{MinFreeBytes: -1})
	_, err := Open(dir, Options{})
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "another process uses this data directory") {
		t.Errorf("second open: %v", err)
	}
	must(t, l.Close())
	l, err = Open(dir, Options{MinFreeBytes: -1})
	must(t, err)
	must(t, l.Close())
}

// TestForeignDirectory refuses what this version must not touch, with a
// sentence, and changes nothing.
func TestForeignDirectory(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string
	}{
		{"newer", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, formatFile))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, formatFile), []byte(strings.Replace(string(b), "format 1", "format 2", 1)), 0o600))
		}, "was written by a newer version"},
		{"something else", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, formatFile), []byte("hello"), 0o600))
		}, "data directory of something else"},
		{"no format file", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, formatFile))) }, "is missing, yet there is data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			l := open(t, dir, small(nil))
			create(t, l, "s", 1)
			appendAll(t, l, "s", "a")
			must(t, l.Close())
			c.change(t, dir)
			before := tree(t, dir)
			if _, err := Open(dir, small(nil)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if after := tree(t, dir); !slices.Equal(before, after) {
				t.Errorf("files changed from %q to %q", before, after)
			}
		})
	}
}

func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			i, ierr := d.Info()
			if ierr != nil {
				return ierr
			}
			out = append(out, fmt.Sprint(path, i.Size()))
		}
		return err
	}))
	return out
}

// TestTooManyFiles lets no more files be open than are in use at a time,
// whatever the limit of the log: others of the process have taken the rest.
func TestTooManyFiles(t *testing.T) {
	fsys := memfs.New()
	var segments, refused atomic.Int64
	e := errfs.New(fsys, func(op errfs.Op) error {
		if !strings.Contains(op.Path, "/"+shardsDir+"/") {
			return nil
		}
		switch op.Kind {
		case errfs.Open, errfs.Create:
			if segments.Add(1) > syncers+1 {
				segments.Add(-1)
				refused.Add(1)
				return syscall.EMFILE
			}
		case errfs.Close:
			segments.Add(-1)
		}
		return nil
	})
	o := small(e)
	o.MaxOpenFiles = 100
	l := open(t, "/data", o)
	create(t, l, "s", 4*syncers)
	var want int
	for i := range 10 {
		var b streams.Batch
		for k := range 100 {
			b.Records = append(b.Records, streams.NewRecord{PartitionKey: fmt.Sprint(k), Data: fmt.Append(nil, i, k)})
		}
		_, err := l.Append(t.Context(), "s", &b)
		must(t, err)
		want += len(b.Records)
		must(t, l.checkpoint())
	}
	got := 0
	for id := range streams.ShardID(4 * syncers) {
		got += len(must2(readShard(t, l, "s", id)))
	}
	if got != want || refused.Load() == 0 {
		t.Errorf("%d of %d records, %d opens refused", got, want, refused.Load())
	}
	must(t, l.Close())
}
