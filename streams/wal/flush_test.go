package wal

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

func TestStepEnd(t *testing.T) {
	frames := func(n, size int) []frame {
		all := make([]frame, n)
		for i := range all {
			all[i] = frame{buf: make([]byte, size), base: streams.Sequence(10 * i), count: 10}
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		frames []frame
		bytes  int64
		want   streams.Sequence
	}{
		{"nothing waits", nil, 1, math.MaxUint64},
		{"less than a step", frames(3, 100), 1000, math.MaxUint64},
		{"one large frame", frames(3, 5000), 1000, 10},
		{"to the frame that makes it full", frames(5, 100), 250, 30},
		{"the last frame", frames(3, 100), 300, 30},
		{"many small frames are not left", frames(stepLeaves+50, 100), 100, 510},
	} {
		if got := stepEnd(tt.frames, tt.bytes); got != tt.want {
			t.Errorf("%s: to %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestDrainInSteps makes room for memory: shards take turns, nothing is written
// that needs not be, and each record is there once, wherever it is.
func TestDrainInSteps(t *testing.T) {
	o := small(memfs.New())
	o.TailBytes, o.CheckpointBytes, o.SegmentBytes = 1<<20, 1<<30, 1<<20
	l := open(t, "/data", o)
	defer func() { must(t, l.Close()) }()
	create(t, l, "a", 1)
	create(t, l, "b", 1)
	want := map[string][]string{}
	for i := range 12 {
		data := strings.Repeat(string(rune('a'+i)), 1000)
		for stream := range 2 {
			name := string(rune('a' + stream))
			appendAll(t, l, name, data)
			want[name] = append(want[name], data)
		}
	}
	waiting := func(name string) int {
		s := l.byName[name].shards[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.tail)
	}
	for step, w := range [][2]int{{9, 12}, {9, 9}, {6, 9}, {6, 6}} {
		l.drain(0, l.tailBytes.Load()-1)
		if got := [2]int{waiting("a"), waiting("b")}; got != w {
			t.Errorf("after step %d %v frames wait, want %v", step+1, got, w)
		}
	}
	check := func() {
		t.Helper()
		for name, data := range want {
			recs, err := readShard(t, l, name, 0)
			must(t, err)
			if len(recs) != len(data) {
				t.Fatalf("%d records of %s, want %d", len(recs), name, len(data))
			}
			for i, r := range recs {
				if string(r.Data) != data[i] {
					t.Errorf("record %d of %s is %.10q, want %.10q", i, name, r.Data, data[i])
				}
			}
		}
	}
	check()
	l.drain(0, 0)
	if n := waiting("a") + waiting("b"); n > 0 || l.tailBytes.Load() != 0 {
		t.Errorf("%d frames still wait, %d bytes", n, l.tailBytes.Load())
	}
	check()
}

// TestSealWithoutIndex completes segments while their indexes are dropped all the
// time, as others do who need memory for theirs.
func TestSealWithoutIndex(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 1)
	s, _, err := l.resolve(streams.ShardRef{Stream: "s"})
	must(t, err)
	var dropping sync.WaitGroup
	var done atomic.Bool
	dropping.Go(func() {
		for !done.Load() {
			if !s.mu.TryLock() {
				continue
			}
			for _, seg := range s.segs[max(0, len(s.segs)-5):] {
				l.indexes.forget(seg)
			}
			s.mu.Unlock()
		}
	})
	for range 100 {
		for range 20 {
			appendAll(t, l, "s", strings.Repeat("x", 2000))
		}
		must(t, l.checkpoint())
	}
	done.Store(true)
	dropping.Wait()
	s.mu.Lock()
	for _, seg := range s.segs[:len(s.segs)-1] {
		if !seg.sealed {
			t.Errorf("segment %s is not sealed", seg.path())
		}
	}
	s.mu.Unlock()
	must(t, l.Close())
}
