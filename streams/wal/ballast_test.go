package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// fill takes all that is left of a disk with a file of somebody else.
func fill(t *testing.T, fsys vfs.FS, path string) {
	t.Helper()
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	i, err := f.Stat()
	must(t, err)
	off := i.Size()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = error(nil); err == nil; {
			var n int
			n, err = f.WriteAt(make([]byte, size), off)
			off += int64(n)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
}

// steps is a monotonic clock that moves on with every look, so that free space
// is asked for each time. The wall clock stands, so that nothing expires.
func steps(o *Options) {
	var clock atomic.Int64
	o.Monotonic = func() time.Duration { return time.Duration(clock.Add(int64(2 * time.Second))) }
	o.Clock = func() time.Time { return time.Unix(1_800_000_000, 0) }
}

// rested returns when nothing goes on in the background that would take space or
// give some back, of a log that has no reason for a checkpoint or to make room in
// memory: the journal may be making a file ahead of need.
func rested(t *testing.T, l *Log) {
	t.Helper()
	done := make(chan error, 1)
	l.late.asked <- done // is taken between two groups only
	must(t, <-done)
	for deadline := time.Now().Add(time.Minute); l.preparing.Load(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no journal file is made in a minute")
		}
	}
}

// waitBallast waits until the file is there.
func waitBallast(t *testing.T, l *Log) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for l.Stats().Ballast == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the ballast is not made")
		}
	}
}

// diskFull runs a log on a disk that somebody else fills to the last byte:
// state is taken until long after, checkpoints and a start succeed, and
// records again when there is room, without a restart.
func diskFull(t *testing.T, fsys vfs.FS, dir string, o Options) {
	foreign := filepath.Join(filepath.Dir(dir), "foreign")
	steps(&o)
	o.CheckpointBytes, o.TailBytes = 1<<30, 1<<30 // when the test says so
	l := open(t, dir, o)
	waitBallast(t, l)
	create(t, l, "s", 1)
	var acked []string
	put := func(l *Log) error {
		d := fmt.Sprintf("%05d%s", len(acked), strings.Repeat("x", 1500))
		_, err := l.Append(t.Context(), "s", batch(d))
		if err == nil {
			acked = append(acked, d)
		}
		return err
	}
	state := func(l *Log, n int) error {
		for i := range n {
			if _, err := l.Append(t.Context(), "", &streams.Batch{State: []streams.StateUpdate{{Key: "position", Value: fmt.Append(nil, i)}}}); err != nil {
				return err
			}
		}
		return nil
	}
	for range 200 {
		must(t, put(l))
	}
	rested(t, l)
	fill(t, fsys, foreign)
	if err := put(l); !errors.Is(err, streams.ErrFull) {
		t.Errorf("a record on a full disk: %v", err)
	}
	// More than the reserve of the journal holds.
	must(t, state(l, int(o.BallastBytes/block/2)))
	if st := l.Stats(); st.Ballast != 0 || !st.Full || !st.DiskLow || st.ReadOnly {
		t.Errorf("ballast %d, full %v, low %v, read-only %v", st.Ballast, st.Full, st.DiskLow, st.ReadOnly)
	}
	if err := put(l); !errors.Is(err, streams.ErrFull) {
		t.Errorf("a record where only the space of the ballast is left: %v", err)
	}
	must(t, l.checkpoint())
	holds(t, l, acked, 0)
	// Space comes back, and so does the ballast.
	must(t, fsys.Remove(foreign))
	for deadline := time.Now().Add(time.Minute); ; {
		if err := put(l); err == nil {
			break
		} else if !errors.Is(err, streams.ErrFull) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	waitBallast(t, l)
	for range 20 {
		must(t, put(l))
	}
	must(t, l.Close())

	// A start on a disk without a byte, and without a journal file to spare.
	fill(t, fsys, foreign)
	list, err := fsys.ReadDir(filepath.Join(dir, journalDir))
	must(t, err)
	if len(list) == 0 {
		t.Fatal("no journal")
	}
	l, err = Open(dir, o)
	if err != nil {
		t.Fatalf("start without space: %v", err)
	}
	defer l.Close()
	holds(t, l, acked, 0)
	must(t, state(l, 20))
	if err := put(l); !errors.Is(err, streams.ErrFull) {
		t.Errorf("a record after a start without space: %v", err)
	}
	must(t, fsys.Remove(foreign))
	waitBallast(t, l)
	must(t, put(l))
	holds(t, l, acked, 0)
	must(t, l.Close())
}

// TestBallast fills a disk in memory.
func TestBallast(t *testing.T) {
	fsys := memfs.New()
	fsys.SetCapacity(16 << 20)
	o := small(fsys)
	o.BallastBytes = 1 << 20
	diskFull(t, fsys, "/data", o)
}

// TestStartWithoutSpace kills a log on a full disk, with all that it had in its
// journal only: the start finds room by the ballast. Without one it says so,
// and changes nothing.
func TestStartWithoutSpace(t *testing.T) {
	for _, with := range []int64{512 << 10, -1} {
		fsys := memfs.New()
		fsys.SetCapacity(4 << 20)
		o := small(fsys)
		o.BallastBytes, o.TailBytes = with, 1<<30
		l := open(t, "/data", o)
		if with > 0 {
			waitBallast(t, l)
		}
		create(t, l, "s", 1)
		var acked []string
		for i := range 20 {
			acked = append(acked, fmt.Sprint(i, strings.Repeat("x", 1000)))
			appendAll(t, l, "s", acked[i])
		}
		rested(t, l)
		killed := fsys.Crash(rand.New(rand.NewPCG(1, 1)))
		must(t, l.Close())
		// No journal file is left that could be used again.
		for _, path := range allFiles(t, killed, "/data/journal") {
			f, err := killed.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			head := make([]byte, block)
			_, err = f.ReadAt(head, 0)
			if h, ok := parseFileHead(head, l.seed); ok && h.generation == 0 && err == nil {
				must(t, killed.Remove(path))
			}
			must(t, f.Close())
		}
		fill(t, killed, "/foreign")
		o.FS = killed
		l, err := Open("/data", o)
		if with < 0 {
			if !isNoSpace(err) {
				t.Errorf("without ballast: %v", err)
			}
			must(t, killed.Remove("/foreign"))
			if l, err = Open("/data", o); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatalf("with ballast: %v", err)
		}
		holds(t, l, acked, 0)
		must(t, l.Close())
	}
}

// TestBallastIsMadeWhole leaves no half of a file behind, whatever fails.
func TestBallastIsMadeWhole(t *testing.T) {
	for n := 0; ; n++ {
		mem := memfs.New()
		var ops atomic.Int64
		e := errfs.New(mem, func(op errfs.Op) error {
			if strings.Contains(op.Path, ballastFile) && op.Kind.Changes() && op.Kind != errfs.Remove && ops.Add(1) == int64(n+1) {
				return syscall.EIO
			}
			return nil
		})
		o := small(e)
		o.BallastBytes = 3 << 20
		l := open(t, "/data", o)
		l.makeBallast() // the log's own goroutine tries as well, before or after it
		must(t, l.Close())
		failed := ops.Load() > int64(n)
		there := l.Stats().Ballast > 0
		i, err := mem.Stat("/data/" + ballastFile)
		if there != (err == nil) || there && i.Size() != o.BallastBytes {
			t.Errorf("operation %d fails: there %v, found %v, %v", n, there, i, err)
		}
		if _, err := mem.Stat("/data/" + ballastFile + ".tmp"); err == nil {
			t.Errorf("operation %d fails: half a file is left", n)
		}
		// Another start makes it, and another size makes another.
		o.BallastBytes = 1 << 20
		l = open(t, "/data", o)
		waitBallast(t, l)
		if i, err := mem.Stat("/data/" + ballastFile); err != nil || i.Size() < o.BallastBytes {
			t.Errorf("after a restart: %v, %v", i, err)
		}
		must(t, l.Close())
		if !failed {
			return
		}
	}
}

// TestDiskLow warns once when less than a tenth of the disk is free, not at
// every append.
func TestDiskLow(t *testing.T) {
	fsys := memfs.New()
	fsys.SetCapacity(8 << 20)
	var mu sync.Mutex
	var logged bytes.Buffer
	o := small(fsys)
	o.MinFreeBytes = 1 << 10
	o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return logged.Write(p)
	}), nil))
	steps(&o)
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	warned := func() int {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(logged.String(), "less than a tenth")
	}
	appendAll(t, l, "s", "a")
	if l.Stats().DiskLow || warned() != 0 {
		t.Error("called low when it is empty")
	}
	f, err := fsys.OpenFile("/foreign", os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, f.Truncate(8<<20-fsys.Used()-600<<10))
	for range 20 {
		appendAll(t, l, "s", "a")
	}
	if !l.Stats().DiskLow || l.Stats().Full || warned() != 1 {
		t.Errorf("low: %v, full: %v, %d warnings", l.Stats().DiskLow, l.Stats().Full, warned())
	}
	must(t, f.Truncate(0))
	if l.Stats().DiskLow {
		t.Error("still called low")
	}
	must(t, f.Close())
	must(t, l.Close())
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writerFunc(nil)
