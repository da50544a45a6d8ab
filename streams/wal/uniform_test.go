package wal

import (
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestReshardIsAtomic cuts the power at every operation of a reshard: all of
// its splits and merges are found afterwards, or none.
func TestReshardIsAtomic(t *testing.T) {
	for cut := int64(0); ; cut++ {
		fsys := memfs.New()
		l := open(t, "/data", small(fsys))
		create(t, l, "s", 3)
		must(t, l.Close())
		var ops atomic.Int64
		ops.Store(-1 << 40)
		e := errfs.New(fsys, func(op errfs.Op) error {
			if op.Kind.Changes() && ops.Add(1) > cut {
				return syscall.EIO
			}
			return nil
		})
		l = open(t, "/data", small(e))
		ops.Store(0)
		failed := l.Reshard(t.Context(), "s", 7)
		_ = l.Close()
		whole := ops.Load() <= cut
		l = open(t, "/data", small(fsys.Crash(rand.New(rand.NewPCG(uint64(cut), 3)))))
		info, err := l.Describe("s")
		must(t, err)
		checkTiled(t, info)
		switch n := openShards(info); {
		case n != 3 && n != 7:
			t.Errorf("cut at operation %d: %d open shards", cut, n)
		case n == 3 && failed == nil:
			t.Errorf("cut at operation %d: an acknowledged reshard is lost", cut)
		case n == 3 && len(info.Shards) != 3:
			t.Errorf("cut at operation %d: parts of a reshard are there: %+v", cut, info.Shards)
		}
		must(t, l.Close())
		if whole {
			return
		}
	}
}

func openShards(info streams.StreamInfo) (n int) {
	for _, s := range info.Shards {
		if !s.Closed {
			n++
		}
	}
	return n
}

// checkTiled checks that every key belongs to one open shard.
func checkTiled(t *testing.T, info streams.StreamInfo) {
	t.Helper()
	starts := map[streams.HashKey]streams.ShardInfo{}
	for _, s := range info.Shards {
		if !s.Closed {
			starts[s.Range.Start] = s
		}
	}
	at, n := streams.HashKey{}, 0
	for {
		s, ok := starts[at]
		if !ok {
			t.Errorf("%s: no open shard begins at %s: %+v", info.Name, at, info.Shards)
			return
		}
		n++
		if s.Range.End == streams.MaxHashKey {
			break
		}
		at = s.Range.End.Next()
	}
	if n != len(starts) {
		t.Errorf("%s: %d open shards, of which %d cover the key space", info.Name, len(starts), n)
	}
}

// FuzzControl decodes any bytes as a control record, and applies what it
// believes.
func FuzzControl(f *testing.F) {
	for _, s := range []string{
		`{"op":"create","stream":1,"name":"s","shards":2,"retention_ms":1000}`,
		`{"op":"split","stream":1,"shard":0,"at":"17","child":2,"created_ms":5}`,
		`{"op":"merge","stream":1,"shard":0,"adjacent":1,"child":2}`,
		`{"op":"reshard","stream":1,"child":2,"steps":[{"shard":0,"at":"99","created_ms":1},{"shard":3,"adjacent":1,"created_ms":1}]}`,
		`{"op":"delete","stream":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeControl(b)
		if err != nil || c.Shards > 100 {
			return
		}
		name := text("s")
		l := &Log{byName: map[string]*stream{}, byID: map[uint64]*stream{}, nextStream: 1}
		l.apply(&control{Op: "create", Stream: 1, Name: &name, Shards: 2, Retention: 1000})
		l.apply(c)
	})
}
