package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

func createAs(t testing.TB, l *Log, name string, d streams.Durability) {
	t.Helper()
	_, err := l.Create(t.Context(), streams.StreamSpec{Name: name, Shards: 1, Durability: d})
	must(t, err)
}

// TestSyncInterval acknowledges and shows before the sync, which comes when the
// interval is over, when the log rests, with a checkpoint, with what is synced
// anyway, or at the end.
func TestSyncInterval(t *testing.T) {
	for _, c := range []struct {
		name string
		d    streams.Durability
		do   func(t *testing.T, l *Log)
		late time.Duration // after it everything is synced, and not before
	}{
		{"interval", streams.Interval, nil, 300 * time.Millisecond},
		{"none, idle", streams.None, nil, markAfter},
		{"checkpoint", streams.None, func(t *testing.T, l *Log) { must(t, l.checkpoint()) }, 0},
		{"fsync stream", streams.None, func(t *testing.T, l *Log) { appendAll(t, l, "strict", "x") }, 0},
		{"state", streams.None, func(t *testing.T, l *Log) {
			_, err := l.Append(t.Context(), "", &streams.Batch{State: []streams.StateUpdate{{Key: "k", Value: []byte("v")}}})
			must(t, err)
		}, 0},
		{"records with state", streams.None, func(t *testing.T, l *Log) {
			b := batch("x")
			b.State = []streams.StateUpdate{{Key: "k", Value: []byte("v")}}
			_, err := l.Append(t.Context(), "s", b)
			must(t, err)
		}, 0},
		{"change of a stream", streams.Interval, func(t *testing.T, l *Log) {
			must(t, l.SetDurability(t.Context(), "s", streams.Fsync))
		}, 0},
		{"close", streams.Interval, func(t *testing.T, l *Log) { must(t, l.Close()) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := memfs.New()
				o := Options{FS: fsys, MinFreeBytes: -1, SyncInterval: 300 * time.Millisecond, CheckpointInterval: time.Hour}
				l := open(t, "/data", o)
				createAs(t, l, "strict", streams.Fsync)
				createAs(t, l, "s", c.d)
				before := l.Stats().Syncs
				appendAll(t, l, "s", "a")
				appendAll(t, l, "s", "b")
				got, err := readShard(t, l, "s", 0)
				must(t, err)
				wantTexts(t, got, "a", "b")
				if st := l.Stats(); st.Syncs != before || st.Unsynced == 0 || st.ByDurability[c.d] == 0 {
					t.Errorf("after two appends: %d syncs, %d bytes not synced, streams %v", st.Syncs-before, st.Unsynced, st.ByDurability)
				}
				if c.do == nil {
					time.Sleep(c.late - 1)
					synctest.Wait()
					if l.Stats().Unsynced == 0 {
						t.Errorf("synced before %v", c.late)
					}
					time.Sleep(time.Nanosecond)
					synctest.Wait()
				} else {
					c.do(t, l)
				}
				if n := l.Stats().Unsynced; n != 0 {
					t.Errorf("%d bytes are not synced", n)
				}
				// Now the power may go.
				l2 := open(t, "/data", small(fsys.Crash(rand.New(rand.NewPCG(1, 1)))))
				got, err = readShard(t, l2, "s", 0)
				must(t, err)
				if len(got) < 2 || string(got[0].Data) != "a" || string(got[1].Data) != "b" {
					t.Errorf("after a loss of power: %q", texts(got))
				}
				must(t, l2.Close())
				must(t, l.Close())
			})
		})
	}
}

// TestSyncUnderLoad syncs within the interval although a group always waits.
func TestSyncUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(memfs.New())
		o.SyncInterval, o.CheckpointInterval, o.CheckpointBytes = 10*time.Millisecond, time.Hour, 1<<40
		l := open(t, "/data", o)
		createAs(t, l, "s", streams.Interval)
		before, start := l.Stats().Syncs, time.Now()
		for time.Since(start) < 100*time.Millisecond {
			appendAll(t, l, "s", "x")
			time.Sleep(time.Millisecond)
		}
		if n := l.Stats().Syncs - before; n < 8 || n > 14 {
			t.Errorf("%d syncs in 10 intervals", n)
		}
		must(t, l.Close())
	})
}

// TestSyncAskedUnderLoad answers who asked for a sync also when groups that are
// synced anyway follow each other without a pause: nothing is left to sync then.
func TestSyncAskedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{late: newLateSync()}
		l.journal.unsynced.Store(100)
		answered := make(chan error, 1)
		go func() { answered <- l.syncJournal() }()
		synctest.Wait() // it asks
		l.journal.unsynced.Store(0)
		l.syncIfDue()
		synctest.Wait()
		select {
		case err := <-answered:
			must(t, err)
		default:
			t.Error("no answer between two groups")
			close(l.late.ended)
		}
	})
}

// TestLateSyncFails makes the log read-only when records were acknowledged that
// the disk does not take, and says so to the end of the process.
func TestLateSyncFails(t *testing.T) {
	fsys := memfs.New()
	e := errfs.New(fsys, nil)
	l := open(t, "/data", small(e))
	createAs(t, l, "s", streams.None)
	appendAll(t, l, "s", "a")
	e.SetInject(func(op errfs.Op) error {
		if op.Kind == errfs.Sync && strings.HasSuffix(op.Path, ".journal") {
			return syscall.EIO
		}
		return nil
	})
	if err := l.checkpoint(); err == nil {
		t.Error("a checkpoint went through, without the sync of the journal")
	}
	<-l.Failed()
	if _, err := l.Append(t.Context(), "s", batch("b")); !errors.Is(err, streams.ErrReadOnly) {
		t.Errorf("append after it: %v", err)
	}
	if err := l.Close(); !errors.Is(err, streams.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
	e.SetInject(nil)
	l = open(t, "/data", small(fsys))
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, got, "a")
	must(t, l.Close())
}

// groupsOf lists the groups of a journal file that the head's generation wrote.
func groupsOf(b []byte, seed uint32) (at []int) {
	h, ok := parseFileHead(b, seed)
	for i := block; ok && i+block <= len(b); i += block {
		if g, ok := parseGroup(b[i:], seed); ok && g.frames > 0 && g.generation == h.generation {
			at = append(at, i)
		}
	}
	return at
}

// breakGroup alters the body of the group of a log that holds some text, and
// reports whether there was one.
func breakGroup(t *testing.T, fsys vfs.FS, seed uint32, text string) bool {
	t.Helper()
	for _, path := range allFiles(t, fsys, "/data/journal") {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		for _, at := range groupsOf(b, seed) {
			g, _ := parseGroup(b[at:], seed)
			if i := strings.Index(string(b[at:at+int(g.total)]), text); i >= 0 {
				b[at+i] ^= 1
				writeAll(t, fsys, path, b)
				return true
			}
		}
	}
	return false
}

// TestTornMiddle loses a group that was not synced while a later one, not synced
// either, reached the disk: a torn tail, since nothing says that it was durable.
// What is written afterwards is not mixed with what was given up, also when the
// power goes again.
func TestTornMiddle(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.CheckpointBytes, o.CheckpointInterval = 1<<30, time.Hour
	l := open(t, "/data", o)
	createAs(t, l, "strict", streams.Fsync)
	createAs(t, l, "s", streams.None)
	appendAll(t, l, "s", "first")
	appendAll(t, l, "strict", "kept")
	for i := range 4 {
		appendAll(t, l, "s", fmt.Sprintf("late-%d", i))
	}
	cut := copyFS(t, fsys, "/data")
	must(t, l.Close())
	if !breakGroup(t, cut, l.seed, "late-1") {
		t.Fatal("the group is not there")
	}
	want := []string{"first", "late-0"}
	for n := range 4 {
		o.FS = cut
		l = open(t, "/data", o)
		if d := l.Stats().Damaged; d != 0 {
			t.Errorf("start %d: %d shards are called damaged", n, d)
		}
		got, err := readShard(t, l, "s", 0)
		must(t, err)
		wantTexts(t, got, want...)
		got, err = readShard(t, l, "strict", 0)
		must(t, err)
		wantTexts(t, got, "kept")
		d := fmt.Sprintf("again-%d", n)
		if res := appendAll(t, l, "s", d); res.Placed[0].Sequence != streams.Sequence(len(want)+1) {
			t.Errorf("start %d: sequence %d, want %d", n, res.Placed[0].Sequence, len(want)+1)
		}
		must(t, l.syncJournal()) // no other group follows that would
		want = append(want, d)
		cut = copyFS(t, cut, "/data")
		must(t, l.Close())
	}
}

// TestDamageBeforeLateGroups names a group that was synced as damaged although
// the ones behind it were not.
func TestDamageBeforeLateGroups(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.CheckpointBytes, o.CheckpointInterval = 1<<30, time.Hour
	l := open(t, "/data", o)
	createAs(t, l, "strict", streams.Fsync)
	createAs(t, l, "s", streams.None)
	appendAll(t, l, "strict", "a")
	appendAll(t, l, "strict", "was synced")
	appendAll(t, l, "s", "late")
	cut := copyFS(t, fsys, "/data")
	must(t, l.Close())
	if !breakGroup(t, cut, l.seed, "was synced") {
		t.Fatal("the group is not there")
	}
	l = open(t, "/data", small(cut))
	if l.Stats().Damaged == 0 {
		t.Error("nothing is called damaged")
	}
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, got, "late")
	_, err = readShard(t, l, "strict", 0)
	var bad *streams.DamageError
	if !errors.As(err, &bad) {
		t.Errorf("read of the damaged shard: %v", err)
	}
	must(t, l.Close())
}

// TestStartCutShort cuts starts that have something to replay at each operation,
// once and again: nothing is lost by that.
func TestStartCutShort(t *testing.T) {
	base := memfs.New()
	o := small(base)
	o.CheckpointBytes, o.CheckpointInterval = 1<<30, time.Hour
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	var acked []string
	for i := range 5 {
		acked = append(acked, fmt.Sprintf("%d-%s", i, strings.Repeat("x", 300)))
		appendAll(t, l, "s", acked[i])
	}
	for n := 0; ; n++ {
		done := false
		for seed := range uint64(8) {
			rng := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // Small.
			fsys := base.Crash(rng)
			for range 2 {
				left := n
				e := errfs.New(fsys, func(op errfs.Op) error {
					if op.Kind.Changes() {
						if left--; left < 0 {
							return syscall.EIO
						}
					}
					return nil
				})
				o := small(e)
				o.ScrubBytesPerSecond = -1
				if l, err := openIdle("/data", o); err == nil {
					done = true
					must(t, l.journal.close())
					must(t, l.lock.Close())
				}
				fsys = fsys.Crash(rng)
			}
			l := open(t, "/data", small(fsys))
			if l.Stats().Damaged > 0 {
				t.Errorf("cut at operation %d, seed %d: called damaged", n, seed)
			}
			holds(t, l, acked, 0)
			must(t, l.Close())
			if t.Failed() {
				t.FailNow()
			}
		}
		if done {
			break
		}
	}
	must(t, l.Close())
}
