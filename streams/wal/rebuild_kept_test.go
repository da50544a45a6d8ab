package wal

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestRebuildKept starts without snapshots a log whose sealed segments are
// compressed, and one that was encrypted with a key, then with another one, and
// then with none: all that is in its files can be read, before a repair and after.
func TestRebuildKept(t *testing.T) {
	zstd := func(o Options) Options {
		o.Compression, o.compressRate = Zstd, -1
		return o
	}
	with := func(keys Keys) func(Options) Options {
		return func(o Options) Options {
			o.Keys = keys
			return o
		}
	}
	both := func(a, b func(Options) Options) func(Options) Options {
		return func(o Options) Options { return a(b(o)) }
	}
	first := with(Keys{Current: testKey(1)})
	second := with(Keys{Current: testKey(2), Old: []*Key{testKey(1)}})
	off := with(Keys{Old: []*Key{testKey(2), testKey(1)}})
	for _, tt := range []struct {
		name  string
		lives []func(Options) Options // one start each
		start func(Options) Options   // without snapshots; nil for that of the last life
	}{
		{"compressed", []func(Options) Options{zstd, zstd}, nil},
		{"to be compressed from now on", []func(Options) Options{with(Keys{})}, zstd},
		{"a key, another one, none", []func(Options) Options{first, second, off}, nil},
		{"compressed, and another key", []func(Options) Options{both(zstd, first), both(zstd, second)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys, want := keptLog(t, tt.lives)
			breakSnapshots(t, fsys)
			if tt.start == nil {
				tt.start = tt.lives[len(tt.lives)-1]
			}
			options := func() Options {
				o := tt.start(small(fsys))
				o.SegmentBytes, o.TailBytes = 4096, 1<<30
				return o
			}
			before := contents(t, fsys)
			l := open(t, "/data", options())
			if !l.Stats().ReadOnly {
				t.Error("not called read-only")
			}
			readKept(t, l, want)
			must(t, l.compressAll(&pacer{l: l, done: &l.compressed.read}))
			must(t, l.Close())
			sameContents(t, contents(t, fsys), before)

			_, err := Repair(t.Context(), "/data", RepairOptions{Options: options(), Apply: true})
			must(t, err)
			if r, err := Repair(t.Context(), "/data", RepairOptions{Options: options()}); err != nil || !r.Clean() {
				t.Errorf("after the repair: %+v, %v", r, err)
			}
			l = open(t, "/data", options())
			readKept(t, l, want)
			if _, err := l.Append(t.Context(), "recovered-1", batch("after")); err != nil {
				t.Error(err)
			}
			must(t, l.Close())
		})
	}
}

// keptLog is a log that was used for several lives, each with its options, until
// the journal does not know any more how its stream came to be.
func keptLog(t *testing.T, lives []func(Options) Options) (*memfs.FS, map[streams.ShardID][]string) {
	t.Helper()
	fsys := memfs.New()
	want := map[streams.ShardID][]string{}
	var l *Log
	put := func(life, n int) {
		for i := range n {
			data := fmt.Sprintf("%d-%d-%s", life, i, strings.Repeat("kept ", 140))
			res, err := l.Append(t.Context(), "old", &streams.Batch{Records: []streams.NewRecord{{PartitionKey: fmt.Sprint(i), Data: []byte(data)}}})
			must(t, err)
			want[res.Placed[0].Shard] = append(want[res.Placed[0].Shard], data)
		}
	}
	for i, change := range lives {
		o := change(small(fsys))
		o.SegmentBytes, o.CheckpointBytes, o.TailBytes, o.CheckpointInterval = 4096, 1<<30, 1<<30, 24*time.Hour
		l = open(t, "/data", o)
		if i == 0 {
			create(t, l, "old", 2)
			put(i, 20)
			must(t, l.Split(t.Context(), "old", 0, streams.HashKey{Hi: 1 << 61}))
		}
		for range 4 {
			put(i, 30)
			must(t, l.checkpoint())
			if o.Compression == Zstd {
				compressed(t, l)
			}
		}
		put(i, 5)
		if i < len(lives)-1 {
			must(t, l.Close())
		}
	}
	l.commit(true)
	out := copyFS(t, fsys, "/data")
	must(t, l.Close())
	return out, want
}

// compressed waits until the log has compressed what is sealed.
func compressed(t *testing.T, l *Log) {
	t.Helper()
	for {
		due := false
		for _, s := range l.allShards() {
			s.mu.Lock()
			for _, seg := range s.segs {
				due = due || seg.sealed && !seg.settled
			}
			s.mu.Unlock()
		}
		if !due {
			break
		}
		signal(l.compressNow)
		runtime.Gosched()
	}
	if l.Stats().Compressed == 0 {
		t.Fatal("nothing was compressed")
	}
}

func readKept(t *testing.T, l *Log, want map[streams.ShardID][]string) {
	t.Helper()
	info, err := l.Describe("recovered-1")
	must(t, err)
	if len(info.Shards) != len(want) {
		t.Errorf("%d shards, want %d", len(info.Shards), len(want))
	}
	for id, data := range want {
		recs, err := readShard(t, l, "recovered-1", id)
		must(t, err)
		got := texts(recs)
		if len(got) < len(data) {
			t.Errorf("%s: %d of %d records", id, len(got), len(data))
			continue
		}
		for i := range data {
			if got[i] != data[i] {
				t.Errorf("%s: record %d is altered", id, i)
				break
			}
		}
	}
}
