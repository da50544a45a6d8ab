package wal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// flip alters a byte of a file, or with the same mask puts it back.
func flip(t *testing.T, fsys vfs.FS, path string, at int64) {
	t.Helper()
	f, err := fsys.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= 0x41
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	must(t, f.Close())
}

func sealedFiles(t *testing.T, fsys vfs.FS) (out []string) {
	t.Helper()
	for _, path := range allFiles(t, fsys, "/data/shards") {
		if strings.HasSuffix(path, ".seg") {
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		t.Fatal("no sealed segments")
	}
	return out
}

// TestScrub finds each altered byte of a sealed segment, and nothing in whole
// ones.
func TestScrub(t *testing.T) {
	t.Run("plain", func(t *testing.T) { scrubEachByte(t, func(o Options) Options { return o }) })
	t.Run("past the cache", func(t *testing.T) { scrubEachByte(t, past) })
}

func scrubEachByte(t *testing.T, change func(Options) Options) {
	t.Helper()
	fsys, _ := damagedLogWith(t, change)
	l := open(t, "/data", small(fsys))
	found := func() int64 {
		before := l.Stats().ScrubDamage
		must(t, l.scrub(&pacer{l: l}))
		return l.Stats().ScrubDamage - before
	}
	if n := found(); n != 0 {
		t.Fatalf("%d damaged places in a whole log", n)
	}
	shards := map[string]bool{} // how the files of the log fall is a matter of when checkpoints came
	for _, path := range sealedFiles(t, fsys)[:2] {
		shard, _, _ := strings.Cut(path, "-")
		shards[shard] = true
		st, err := fsys.Stat(path)
		must(t, err)
		step := int64(1)
		if testing.Short() {
			step = 13
		}
		for at := int64(0); at < st.Size(); at += step {
			flip(t, fsys, path, at)
			if found() == 0 {
				t.Fatalf("byte %d of %s is altered unseen", at, path)
			}
			flip(t, fsys, path, at)
		}
	}
	if n := found(); n != 0 {
		t.Errorf("%d damaged places after all was put right", n)
	}
	st := l.Stats()
	if st.ScrubbedBytes == 0 || st.DamageFound == 0 || st.Damaged != len(shards) {
		t.Errorf("%d shards with damage, want %d: %+v", st.Damaged, len(shards), st)
	}
}

// TestScrubTells names file and range in the log, once, and leaves the file as
// it is.
func TestScrubTells(t *testing.T) {
	fsys, _ := damagedLog(t)
	path := sealedFiles(t, fsys)[0]
	flip(t, fsys, path, segmentHead+headerBytes+9)
	before, err := readFile(fsys, path, 1<<20)
	must(t, err)
	var said bytes.Buffer
	o := small(fsys)
	o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	l := open(t, "/data", o)
	must(t, l.scrub(&pacer{l: l}))
	must(t, l.scrub(&pacer{l: l}))
	if n := strings.Count(said.String(), "by=scrub"); n != 1 || !strings.Contains(said.String(), "file="+path+" begin=128") {
		t.Errorf("told %d times:\n%s", n, said.String())
	}
	after, err := readFile(fsys, path, 1<<20)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	must(t, fsys.Remove(path))
	must(t, l.scrub(&pacer{l: l}))
	if st := l.Stats(); st.ScrubDamage != 3 {
		t.Errorf("%d damaged places, want 3 with the removed file", st.ScrubDamage)
	}
}

// TestScrubPace runs a pass a day, at the rate that was asked for, and ends
// with the log.
func TestScrubPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, _ := damagedLog(t)
		o := small(fsys)
		o.ScrubBytesPerSecond = 1000
		l := open(t, "/data", o)
		must(t, l.Configure(t.Context(), "s", maxRetention))
		time.Sleep(scrubAfter - time.Nanosecond)
		synctest.Wait()
		if l.Stats().ScrubbedBytes != 0 {
			t.Error("began at once")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := l.Stats().ScrubbedBytes; n < 4000 || n > 14_000 {
			t.Errorf("%d bytes in 10 s at 1,000 a second", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		st := l.Stats()
		if st.ScrubPasses != 1 || st.ScrubDamage != 0 {
			t.Errorf("after an hour: %d passes, %d damaged", st.ScrubPasses, st.ScrubDamage)
		}
		time.Sleep(scrubEvery)
		synctest.Wait()
		if again := l.Stats(); again.ScrubPasses != 2 || again.ScrubbedBytes != 2*st.ScrubbedBytes {
			t.Errorf("after a day: %d passes, %d bytes, one took %d", again.ScrubPasses, again.ScrubbedBytes, st.ScrubbedBytes)
		}
		time.Sleep(scrubEvery - 70*time.Minute + 5*time.Second) // in the middle of the next
		must(t, l.Close())
	})
}

// TestOnDamage reads a log with damage of each kind, by both ways: named, or
// passed over and counted.
func TestOnDamage(t *testing.T) {
	orig, want := damagedLog(t)
	segs := sealedFiles(t, orig)
	for _, tt := range []struct {
		name string
		lost int // records of shard 0, of 16
		harm func(t *testing.T, fsys *memfs.FS)
	}{
		{"body", 1, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, segs[0], segmentHead+headerBytes+20) }},
		{"header", 1, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, segs[0], segmentHead+8) }},
		{"missing segment", 8, func(t *testing.T, fsys *memfs.FS) { must(t, fsys.Remove(segs[0])) }},
		{"cut", 4, func(t *testing.T, fsys *memfs.FS) {
			b, err := readFile(fsys, segs[0], 1<<20)
			must(t, err)
			writeAll(t, fsys, segs[0], b[:len(b)/2])
		}},
	} {
		for _, from := range []streams.Position{{Kind: streams.Horizon}, {Kind: streams.AtTime}} {
			t.Run(tt.name, func(t *testing.T) {
				fsys := copyFS(t, orig, "/data")
				tt.harm(t, fsys)
				l := open(t, "/data", small(fsys))
				if _, err := readShard(t, l, "s", 0); !errors.As(err, new(*streams.DamageError)) {
					t.Errorf("read: %v", err)
				}
				if st := l.Stats(); st.DamagedReads == 0 || st.Damaged != 1 || st.Skipped != 0 {
					t.Errorf("stats %+v", st)
				}
				must(t, l.Close())
				o := small(fsys)
				o.OnDamage = SkipDamage
				l = open(t, "/data", o)
				var got []streams.Record
				for {
					p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, from, streams.Limit{Records: 3})
					must(t, err)
					got = append(got, p.Records...)
					if p.Next >= p.Tip {
						break
					}
					from = streams.Position{Kind: streams.At, Seq: p.Next}
				}
				if len(got) != len(want[0])-tt.lost {
					t.Errorf("%d of %d records", len(got), len(want[0]))
				}
				for _, r := range got {
					if string(r.Data) != want[0][r.Sequence-1] {
						t.Errorf("record %d is altered", r.Sequence)
					}
				}
				if st := l.Stats(); st.Skipped < int64(tt.lost) || st.DamagedReads != 0 {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}
