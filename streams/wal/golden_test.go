package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// goldenTime is when the logs of TestGoldenLogs were written.
var goldenTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func goldenLogs() map[string]func(Options) Options {
	return map[string]func(Options) Options{
		"plain": func(o Options) Options { return o },
		"past":  past,
		"zstd-encrypted": func(o Options) Options {
			o.Keys.Current = testKey(1)
			return o
		},
	}
}

// goldenData is record i of TestGoldenLogs.
func goldenData(i int) string { return strings.Repeat(fmt.Sprintf("golden %d ", i), 1+i%37) }

const goldenRecords = 300

// TestGoldenLogs reads logs that were written when their format was new: every
// later version has to. With -update they are written again, which only a new
// format is a reason for.
func TestGoldenLogs(t *testing.T) {
	for name, change := range goldenLogs() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "golden", fmt.Sprintf("format-%d", formatVersion), name)
			if *update {
				must(t, os.RemoveAll(dir))
				writeGolden(t, dir, change)
			}
			fsys := memfs.New()
			loadDir(t, fsys, dir, "/data")
			o := change(small(fsys))
			o.Clock = func() time.Time { return goldenTime.Add(time.Hour) }
			l := open(t, "/data", o)
			readGolden(t, l)
			if st := l.Stats(); st.Damaged > 0 || st.DamageFound > 0 {
				t.Errorf("called damaged: %+v", st)
			}
			_, err := l.Append(t.Context(), "orders", batch("more"))
			must(t, err)
			must(t, l.Close())
		})
	}
}

// writeGolden makes a log with segments of every kind, a split and a merge, and
// copies it as it lies on the disk while the journal has more than they.
func writeGolden(t *testing.T, dir string, change func(Options) Options) {
	t.Helper()
	fsys := memfs.New()
	o := change(small(fsys))
	o.SegmentBytes, o.CheckpointBytes, o.TailBytes, o.BallastBytes = 4096, 1<<30, 1<<30, -1
	now := goldenTime
	o.Clock = func() time.Time { return now }
	l := open(t, "/data", o)
	create(t, l, "orders", 2)
	create(t, l, "empty", 1)
	var b streams.Batch
	for i := range goldenRecords {
		r := streams.NewRecord{PartitionKey: fmt.Sprint("key ", i), Data: []byte(goldenData(i))}
		if i%5 == 0 {
			r.Explicit, r.HashKey = true, streams.HashKey{Hi: uint64(i) << 54, Lo: uint64(i)}
		}
		b.Records = append(b.Records, r)
		if i%10 < 9 {
			continue
		}
		now = now.Add(100 * time.Millisecond)
		b.State = []streams.StateUpdate{{Key: "last", Value: fmt.Append(nil, i)}}
		_, err := l.Append(t.Context(), "orders", &b)
		must(t, err)
		b.Records = b.Records[:0]
		switch i + 1 {
		case goldenRecords / 3:
			must(t, l.Split(t.Context(), "orders", 0, streams.HashKey{Hi: 1 << 62}))
		case goldenRecords / 2:
			must(t, l.Merge(t.Context(), "orders", 3, 1))
		case goldenRecords * 2 / 3:
			must(t, l.checkpoint())
			if l.keys.newFiles().none() {
				break
			}
			must(t, l.compressAll(&pacer{l: l, done: &l.compressed.read}))
		}
	}
	l.commit(true)
	for _, path := range allFiles(t, fsys, "/data") {
		if strings.HasSuffix(path, lockFile) {
			continue
		}
		b, err := readFile(fsys, path, 1<<20)
		must(t, err)
		to := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "/data")))
		must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		must(t, os.WriteFile(to, b, 0o644))
	}
	must(t, l.Close())
}

func loadDir(t *testing.T, fsys vfs.FS, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.ToSlash(filepath.Join(to, rel))
		if d.IsDir() {
			return fsys.MkdirAll(at, 0o700)
		}
		b, err := os.ReadFile(path)
		if err == nil {
			writeAll(t, fsys, at, b)
		}
		return err
	}))
}

func readGolden(t *testing.T, l *Log) {
	t.Helper()
	info, err := l.Describe("orders")
	must(t, err)
	if len(info.Shards) != 5 {
		t.Errorf("%d shards, want 5: %+v", len(info.Shards), info.Shards)
	}
	seen := map[string]string{}
	for _, s := range info.Shards {
		recs, err := readShard(t, l, "orders", s.ID)
		must(t, err)
		for _, r := range recs {
			seen[r.PartitionKey] = string(r.Data)
			if r.Arrival.Before(goldenTime) || r.Arrival.After(goldenTime.Add(time.Minute)) {
				t.Errorf("%q arrived at %v", r.PartitionKey, r.Arrival)
			}
		}
	}
	for i := range goldenRecords {
		if seen[fmt.Sprint("key ", i)] != goldenData(i) {
			t.Errorf("record %d is %.40q", i, seen[fmt.Sprint("key ", i)])
		}
	}
	if len(seen) != goldenRecords {
		t.Errorf("%d records, want %d", len(seen), goldenRecords)
	}
	if got := string(l.State("last")); got != fmt.Sprint(goldenRecords-1) {
		t.Errorf("state %q", got)
	}
	if _, err := l.Describe("empty"); err != nil {
		t.Error(err)
	}
}
