package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// contents is every file of a directory.
func contents(t *testing.T, fsys vfs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range allFiles(t, fsys, "/data") {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		out[path] = string(b)
	}
	return out
}

func sameContents(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s was changed", path)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is new", path)
		}
	}
}

func repair(t *testing.T, fsys vfs.FS, apply bool) *Repaired {
	t.Helper()
	o := small(fsys)
	o.SegmentBytes, o.TailBytes = 4096, 1<<30
	r, err := Repair(t.Context(), "/data", RepairOptions{Options: o, Apply: apply})
	must(t, err)
	return r
}

// repaired checks that a log was repaired: nothing is left to repair, every
// record that is there is unaltered, reads come to the end of each shard, and
// each shard takes records under sequences that were never given. It returns
// how many records are missing.
func repaired(t *testing.T, fsys vfs.FS, want map[streams.ShardID][]string) (missing int) {
	t.Helper()
	if r := repair(t, fsys, false); !r.Clean() {
		t.Errorf("after the repair: %+v", r)
	}
	l := open(t, "/data", small(fsys))
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		for _, r := range recs {
			if int(r.Sequence) > len(data) || string(r.Data) != data[r.Sequence-1] { //nolint:gosec // Small.
				t.Errorf("%s: record %d is altered", id, r.Sequence)
			}
		}
		missing += len(data) - len(recs)
	}
	b := new(streams.Batch)
	for id := range want {
		b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: streams.HashKey{Hi: uint64(id) << 63}, Data: []byte("new")})
	}
	res, err := l.Append(t.Context(), "s", b)
	if err != nil {
		t.Errorf("append: %v", err)
	}
	for _, p := range res.Placed {
		if int(p.Sequence) <= len(want[p.Shard]) { //nolint:gosec // Small.
			t.Errorf("%s: sequence %d is given again", p.Shard, p.Sequence)
		}
	}
	if st := l.Stats(); st.Damaged != 0 || st.DamagedReads != 0 {
		t.Errorf("stats %+v", st)
	}
	must(t, l.Close())
	l = open(t, "/data", small(fsys)) // and all of that stays
	for id := range want {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		if n := len(recs); n == 0 || string(recs[n-1].Data) != "new" {
			t.Errorf("%s: the new record is lost", id)
		}
	}
	must(t, l.Close())
	return missing
}

func withSuffix(t *testing.T, fsys vfs.FS, dir, suffix string) string {
	t.Helper()
	for _, path := range allFiles(t, fsys, dir) {
		if strings.HasSuffix(path, suffix) {
			return path
		}
	}
	t.Fatalf("no file %s in %s", suffix, dir)
	return ""
}

// TestRepair damages a log in each way, has it told and then repaired.
func TestRepair(t *testing.T) {
	orig, want := damagedLog(t)
	seg := func(t *testing.T, fsys vfs.FS) string { return withSuffix(t, fsys, "/data/shards", ".seg") }
	active := func(t *testing.T, fsys vfs.FS) string { return withSuffix(t, fsys, "/data/shards", ".open") }
	size := func(t *testing.T, fsys vfs.FS, path string) int64 {
		st, err := fsys.Stat(path)
		must(t, err)
		return st.Size()
	}
	cut := func(t *testing.T, fsys vfs.FS, path string, to int64) {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		writeAll(t, fsys, path, b[:to])
	}
	group := func(t *testing.T, fsys vfs.FS, skip int) (string, int64) { // of records, from the last
		seed := seedOfFS(t, fsys)
		type at struct {
			lsn  uint64
			path string
			off  int64
		}
		var all []at
		for _, path := range allFiles(t, fsys, "/data/journal") {
			b, err := readFile(fsys, path, 1<<30)
			must(t, err)
			for i := block; i+block <= len(b); i += block {
				if g, ok := parseGroup(b[i:], seed); ok && g.frames > 0 {
					all = append(all, at{g.lsn, path, int64(i)})
				}
			}
		}
		slices.SortFunc(all, func(a, b at) int { return cmpU64(a.lsn, b.lsn) })
		g := all[len(all)-1-skip]
		return g.path, g.off
	}
	type harm = func(t *testing.T, fsys *memfs.FS)
	for _, tt := range []struct {
		name   string
		lost   int // records missing afterwards
		ranges int // losses told
		files  int // other damage told
		harm   harm
	}{
		{"nothing", 0, 0, 0, func(*testing.T, *memfs.FS) {}},
		{"body in a sealed segment", 1, 1, 0, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, seg(t, fsys), segmentHead+headerBytes+20) }},
		{"header in a sealed segment", 1, 1, 0, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, seg(t, fsys), segmentHead+8) }},
		{"two bodies", 2, 2, 0, func(t *testing.T, fsys *memfs.FS) {
			flip(t, fsys, seg(t, fsys), segmentHead+headerBytes+20)
			flip(t, fsys, seg(t, fsys), segmentHead+headerBytes+1300)
		}},
		{"head of a segment", 0, 0, 1, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, seg(t, fsys), 33) }},
		{"trailer", 0, 0, 1, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, seg(t, fsys), size(t, fsys, seg(t, fsys))-3) }},
		{"index", 0, 0, 1, func(t *testing.T, fsys *memfs.FS) {
			flip(t, fsys, seg(t, fsys), size(t, fsys, seg(t, fsys))-trailerBytes-3)
		}},
		{"sealed segment missing", 8, 1, 0, func(t *testing.T, fsys *memfs.FS) { must(t, fsys.Remove(seg(t, fsys))) }},
		{"sealed segment empty", 8, 1, 0, func(t *testing.T, fsys *memfs.FS) { cut(t, fsys, seg(t, fsys), 0) }},
		{"sealed segment cut", 4, 1, 0, func(t *testing.T, fsys *memfs.FS) { cut(t, fsys, seg(t, fsys), size(t, fsys, seg(t, fsys))/2) }},
		{"body in an open segment", 1, 1, 0, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, active(t, fsys), segmentHead+headerBytes+20) }},
		{"open segment missing", 4, 1, 0, func(t *testing.T, fsys *memfs.FS) { must(t, fsys.Remove(active(t, fsys))) }},
		{"open segment empty", 4, 1, 0, func(t *testing.T, fsys *memfs.FS) { cut(t, fsys, active(t, fsys), 0) }},
		{"open segment cut", 3, 1, 1, func(t *testing.T, fsys *memfs.FS) { cut(t, fsys, active(t, fsys), size(t, fsys, active(t, fsys))/2) }},
		{"both segments missing", 12, 1, 0, func(t *testing.T, fsys *memfs.FS) {
			must(t, fsys.Remove(seg(t, fsys)))
			must(t, fsys.Remove(active(t, fsys)))
		}},
		{"head of a group", 0, 0, 1, func(t *testing.T, fsys *memfs.FS) {
			path, at := group(t, fsys, 1)
			flip(t, fsys, path, at+5)
		}},
		{"body of a frame in the journal", 1, 1, 1, func(t *testing.T, fsys *memfs.FS) {
			path, at := group(t, fsys, 1)
			flip(t, fsys, path, at+block+headerBytes+20)
		}},
		{"group that is zero", 2, 2, 1, func(t *testing.T, fsys *memfs.FS) {
			path, at := group(t, fsys, 1)
			b, err := readFile(fsys, path, 1<<30)
			must(t, err)
			clear(b[at : at+2*block])
			writeAll(t, fsys, path, b)
		}},
		{"last group that is zero, with its mark behind", 2, 2, 1, func(t *testing.T, fsys *memfs.FS) {
			path, at := group(t, fsys, 0)
			b, err := readFile(fsys, path, 1<<30)
			must(t, err)
			clear(b[at : at+2*block])
			writeAll(t, fsys, path, b)
		}},
		{"newest snapshot", 0, 0, 0, func(t *testing.T, fsys *memfs.FS) {
			flip(t, fsys, slices.Max(allFiles(t, fsys, "/data/meta")), 40)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := copyFS(t, orig, "/data")
			tt.harm(t, fsys)
			before := contents(t, fsys)
			told := repair(t, fsys, false)
			sameContents(t, contents(t, fsys), before)
			if len(told.Losses) != tt.ranges || len(told.Files)+len(told.Journal) != tt.files || told.Applied {
				t.Errorf("told: %+v", told)
			}
			did := repair(t, fsys, true)
			if fmt.Sprint(did.Losses, did.Files, did.Journal) != fmt.Sprint(told.Losses, told.Files, told.Journal) {
				t.Errorf("did %+v, told %+v", did, told)
			}
			if n := repaired(t, fsys, want); n != tt.lost {
				t.Errorf("%d records are missing, want %d", n, tt.lost)
			}
			kept(t, fsys, before, did)
		})
	}
}

// kept checks that every original a repair replaced is in lost+found, with the
// report.
func kept(t *testing.T, fsys vfs.FS, before map[string]string, did *Repaired) {
	t.Helper()
	if did.Clean() {
		return
	}
	var found []string
	report := false
	for _, path := range allFiles(t, fsys, "/data/"+foundDir) {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		found = append(found, string(b))
		report = report || strings.HasSuffix(path, "repair.json")
	}
	if !report {
		t.Error("no report in lost+found")
	}
	for _, d := range did.Files {
		if b, ok := before[d.File]; ok && !slices.Contains(found, b) {
			t.Errorf("the original of %s is not in lost+found", d.File)
		}
	}
	for _, d := range did.Losses {
		if b, ok := before[d.File]; ok && strings.HasSuffix(d.File, ".seg") && !slices.Contains(found, b) {
			t.Errorf("the original of %s is not in lost+found", d.File)
		}
	}
}

func seedOfFS(t *testing.T, fsys vfs.FS) uint32 {
	t.Helper()
	b, err := readFile(fsys, "/data/"+formatFile, 4096)
	must(t, err)
	d := dumper{}
	must(t, d.know(formatID(string(b))))
	return d.seed
}

// TestRepairAnyByte alters bytes anywhere, and repairs.
func TestRepairAnyByte(t *testing.T) {
	orig, want := damagedLog(t)
	for _, path := range allFiles(t, orig, "/data") {
		if strings.HasSuffix(path, lockFile) || filepath.Base(path) == formatFile {
			continue
		}
		b, err := readFile(orig, path, 1<<30)
		must(t, err)
		step := 787
		if *exhaustive {
			step = 7
		}
		for i := 3; i < min(len(b), 200<<10); i += step {
			fsys := copyFS(t, orig, "/data")
			flip(t, fsys, path, int64(i))
			told := repair(t, fsys, true)
			missing, may := repaired(t, fsys, want), int64(0)
			for _, d := range told.Losses {
				may += d.Records
			}
			if missing > 6 || int64(missing) > may {
				t.Errorf("byte %d of %s: %d records are missing, told %+v", i, path, missing, told)
			}
			if t.Failed() {
				t.Fatalf("byte %d of %s", i, path)
			}
		}
	}
}

// TestRepairRefused names why nothing is done.
func TestRepairRefused(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	if _, err := Repair(t.Context(), "/data", RepairOptions{Options: small(fsys)}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("with a daemon: %v", err)
	}
	must(t, l.Close())
	must(t, fsys.MkdirAll("/other", 0o700))
	if _, err := Repair(t.Context(), "/other", RepairOptions{Options: small(fsys), Apply: true}); !errors.Is(err, ErrNoLog) {
		t.Errorf("with no log: %v", err)
	}
	if got := allFiles(t, fsys, "/other"); len(got) != 0 {
		t.Errorf("it made %q", got)
	}
}

func syncAll(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	list, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			syncAll(t, fsys, path)
			continue
		}
		f, err := fsys.OpenFile(path, 2, 0) // os.O_RDWR
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	must(t, fsys.SyncDir(dir))
}

// TestRepairCrash cuts the power while a log is repaired, and repairs again:
// what could be read before can be read after, and no more is given up.
func TestRepairCrash(t *testing.T) {
	orig, want := damagedLog(t)
	seeds(t, max(*crashSeeds/2, 1), func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 3))
		fsys := copyFS(t, orig, "/data")
		files := slices.DeleteFunc(allFiles(t, fsys, "/data"), func(path string) bool {
			return strings.HasSuffix(path, lockFile) || filepath.Base(path) == formatFile || strings.Contains(path, "/meta/")
		})
		for range 1 + rng.IntN(3) {
			path := files[rng.IntN(len(files))]
			st, err := fsys.Stat(path)
			must(t, err)
			if size := min(st.Size(), 200<<10); size > 0 && rng.IntN(8) > 0 {
				flip(t, fsys, path, rng.Int64N(size))
			} else if !strings.HasSuffix(path, ".journal") {
				writeAll(t, fsys, path, nil)
			}
		}
		syncAll(t, fsys, "/")
		whole := copyFS(t, fsys, "/data")
		repair(t, whole, true)
		expect := repaired(t, whole, want)
		for n := range 20 {
			var left atomic.Int64
			left.Store(rng.Int64N(40))
			e := errfs.New(fsys, func(op errfs.Op) error {
				if op.Kind.Changes() && left.Add(-1) < 0 || left.Load() < 0 {
					return syscall.EIO
				}
				return nil
			})
			o := small(e)
			o.SegmentBytes, o.TailBytes = 4096, 1<<30
			_, err := Repair(t.Context(), "/data", RepairOptions{Options: o, Apply: true})
			if err == nil {
				break
			}
			if n < 3 {
				fsys = fsys.Crash(rng)
			}
		}
		repair(t, fsys, true)
		if got := repaired(t, fsys, want); got != expect {
			t.Errorf("%d records are missing, %d with a repair in one go", got, expect)
		}
	})
}
