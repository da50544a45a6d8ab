package wal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// badBlocks is a range of a file that the disk does not give any more. As on a
// real one, what is written over a whole block of it is there again, part of a
// block cannot be written, and another file of the same name has other blocks.
type badBlocks struct {
	mu       sync.Mutex
	path     string
	from, to int64 // multiples of a block
	met      bool
}

func (b *badBlocks) inject(op errfs.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.from >= b.to {
		return nil
	}
	end := op.Offset + int64(op.Size)
	switch hit := op.Offset < b.to && end > b.from; {
	case op.Kind == errfs.Rename && (op.Path == b.path || strings.HasPrefix(op.Path, b.path+".")):
		b.to = b.from
	case op.Path != b.path:
	case op.Kind == errfs.Read && op.Offset < 0, op.Kind == errfs.Read && hit:
		b.met = true
		return syscall.EIO
	case op.Kind == errfs.Write && op.Offset >= 0 && hit:
		if op.Offset%block != 0 && op.Offset > b.from || end%block != 0 && end < b.to {
			return syscall.EIO
		}
		b.to = b.from
	case op.Kind == errfs.Truncate && op.Offset > b.from && op.Offset < b.to && op.Offset%block != 0:
		return syscall.EIO
	case op.Kind == errfs.Truncate && op.Offset < b.to, op.Kind == errfs.Remove:
		b.to = max(b.from, min(b.to, op.Offset))
	}
	return nil
}

// eachBad calls f with every block of every file of a log gone, and then with
// every file gone as a whole.
func eachBad(t *testing.T, orig *memfs.FS, f func(t *testing.T, fsys vfs.FS, bad *badBlocks)) {
	t.Helper()
	for _, path := range allFiles(t, orig, "/data") {
		if strings.HasSuffix(path, lockFile) {
			continue
		}
		st, err := orig.Stat(path)
		must(t, err)
		size := (st.Size() + block - 1) &^ (block - 1)
		try := func(from, to int64) {
			bad := &badBlocks{path: path, from: from, to: to}
			f(t, errfs.New(copyFS(t, orig, "/data"), bad.inject), bad)
			if t.Failed() {
				t.Fatalf("bytes %d to %d of %s", from, to, path)
			}
		}
		for from := int64(0); from < min(size, 48<<10); from += block {
			try(from, from+block)
		}
		try(0, size)
	}
}

// TestRepairUnreadable: where the disk gives no bytes of a file, repair names file
// and range, and gives up no more than what was there. All else is kept.
func TestRepairUnreadable(t *testing.T) {
	for _, how := range []struct {
		name   string
		change func(Options) Options
		mark   bool // vouches for the last group
	}{{"plain", asIs, true}, {"encrypted", withKey1, true}, {"nothing behind the last group", asIs, false}} {
		t.Run(how.name, func(t *testing.T) {
			orig, want := damagedLogWith(t, how.change)
			if !how.mark {
				withoutMark(t, orig)
			}
			before := contents(t, orig)
			lossy := 0
			eachBad(t, orig, func(t *testing.T, fsys vfs.FS, bad *badBlocks) {
				path, from, to := bad.path, bad.from, bad.to
				told, err := repairFormat(t, fsys, how.change, false)
				must(t, err)
				if !bad.met {
					return // nothing needs these bytes
				}
				if !slices.ContainsFunc(told.Unreadable, func(d FileDamage) bool { return d.File == path && d.From >= from && d.To <= to && d.From < d.To }) {
					t.Errorf("told: %+v", told)
				}
				bad.path, bad.from, bad.to = "", 0, 0
				sameContents(t, contents(t, fsys), before)
				bad.path, bad.from, bad.to = path, from, to
				did, err := repairFormat(t, fsys, how.change, true)
				must(t, err)
				missing, may := unaltered(t, fsys, how.change, want), int64(0)
				for _, d := range did.Losses {
					may += d.Records
				}
				if int64(missing) > may {
					t.Errorf("%d records are missing, told %+v", missing, did)
				}
				if blocks := int(to-from) / block; missing > 14*blocks {
					t.Errorf("%d blocks cost %d records", blocks, missing)
				}
				if missing > 0 {
					lossy++
				}
			})
			if lossy == 0 {
				t.Error("nothing was ever lost")
			}
		})
	}
}

// isUnreadableDamage reports whether a read met what the disk does not give.
func isUnreadableDamage(err error) bool {
	var bad *streams.DamageError
	return errors.As(err, &bad) && strings.Contains(bad.Reason, unreadableReason)
}

// withoutMark removes the last group of the journal, the mark that vouches for all
// before it.
func withoutMark(t *testing.T, fsys *memfs.FS) {
	t.Helper()
	seed, file, at, last := seedOfFS(t, fsys), "", 0, uint64(0)
	for _, path := range allFiles(t, fsys, "/data/journal") {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		for off := 0; off+groupHead <= len(b); off += block {
			if g, ok := parseGroup(b[off:], seed); ok && g.lsn > last {
				file, at, last = path, off, g.lsn
			}
		}
	}
	b, err := readFile(fsys, file, 1<<30)
	must(t, err)
	clear(b[at : at+block])
	writeAll(t, fsys, file, b)
}

// unaltered is repaired for a log with options.
func unaltered(t *testing.T, fsys vfs.FS, change func(Options) Options, want map[streams.ShardID][]string) (missing int) {
	t.Helper()
	r, err := repairFormat(t, fsys, change, false)
	must(t, err)
	if !r.Clean() {
		t.Errorf("after the repair: %+v", r)
	}
	l := open(t, "/data", change(small(fsys)))
	defer l.Close()
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		for _, r := range recs {
			if int(r.Sequence) > len(data) || string(r.Data) != data[r.Sequence-1] { //nolint:gosec // Small.
				t.Errorf("%s: record %d is altered", id, r.Sequence)
			}
		}
		missing += len(data) - len(recs)
	}
	res, err := l.Append(t.Context(), "s", batch("new"))
	must(t, err)
	if p := res.Placed[0]; int(p.Sequence) <= len(want[p.Shard]) { //nolint:gosec // Small.
		t.Errorf("%s: sequence %d is given again", p.Shard, p.Sequence)
	}
	return missing
}

// TestUnreadableSegment: a start with a segment whose bytes the disk does not give
// serves all else, names file and range to who reads them, and loses nothing in
// silence. The scrubber names them, too.
func TestUnreadableSegment(t *testing.T) {
	orig, want := damagedLog(t)
	segments := allFiles(t, orig, "/data/shards")
	told := 0
	eachBad(t, orig, func(t *testing.T, fsys vfs.FS, bad *badBlocks) {
		if !slices.Contains(segments, bad.path) {
			return
		}
		path := bad.path
		name, _ := parseSegmentName(path[strings.LastIndexByte(path, '/')+1:])
		o := small(fsys)
		o.SegmentBytes, o.TailBytes, o.ScrubBytesPerSecond = 4096, 1<<30, -1
		l := open(t, "/data", o)
		defer func() { _ = l.Close() }() // the end of an open segment may not be writable
		for id, data := range want {
			next, missing := streams.Sequence(1), 0
			for int(next) <= len(data) { //nolint:gosec // Small.
				p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s", Shard: id}, streams.Position{Kind: streams.At, Seq: next}, streams.Limit{Bytes: 900})
				var d *streams.DamageError
				if errors.As(err, &d) {
					if d.File != path || !strings.Contains(d.Reason, "input/output error") {
						t.Errorf("%s: %v", id, err)
					}
					missing++
					next++
					continue
				}
				must(t, err)
				if len(p.Records) == 0 || p.Records[0].Sequence != next {
					t.Fatalf("%s: record %d is passed over", id, next)
				}
				for _, r := range p.Records {
					if string(r.Data) != data[r.Sequence-1] {
						t.Errorf("%s: record %d is altered", id, r.Sequence)
					}
					next = r.Sequence + 1
				}
			}
			if missing > 0 && id != name.shard {
				t.Errorf("%s: %d records are missing", id, missing)
			}
			told += missing
		}
		if bad.met && name.sealed {
			must(t, l.scrub(&pacer{l: l}))
			if l.Stats().ScrubDamage == 0 && l.Stats().DamagedReads > 0 {
				t.Error("the scrubber did not name it")
			}
		}
	})
	if told == 0 {
		t.Error("no read ever met it")
	}
}

// TestDumpUnreadable shows what is around.
func TestDumpUnreadable(t *testing.T) {
	orig, _ := damagedLog(t)
	eachBad(t, orig, func(t *testing.T, fsys vfs.FS, bad *badBlocks) {
		var out bytes.Buffer
		must(t, Dump(t.Context(), &out, "/data", DumpOptions{FS: fsys}))
		if bad.met && !strings.Contains(out.String(), "unreadable path="+bad.path) {
			t.Errorf("%s", out.String())
		}
		if !strings.Contains(out.String(), "checksum=ok") {
			t.Error("nothing is shown")
		}
	})
}

// TestPatchy reads around holes of any place and size, from files of any size.
func TestPatchy(t *testing.T) {
	for _, size := range []int64{0, 1, block - 1, block, 3*block + 17, 64 * block} {
		for _, holes := range [][]hole{nil, {{0, block}}, {{2 * block, 3 * block}}, {{3 * block, 5 * block}, {63 * block, 64 * block}}, {{0, 64 * block}}} {
			for _, at := range []struct{ off, n int64 }{{0, size + 10}, {0, size}, {5, 3 * block}, {block - 1, 2}, {2*block + 1, 7}, {size, 1}, {max(size-1, 0), 1}} {
				raw := bytes.Repeat([]byte{7}, int(size))
				p := &patchy{f: holed{raw, holes}, size: size}
				b := bytes.Repeat([]byte{9}, int(at.n))
				n, err := p.ReadAt(b, at.off)
				want := max(0, min(size-at.off, at.n))
				if int64(n) != want || err == nil && want < at.n || err != nil && err.Error() != "EOF" {
					t.Fatalf("size %d, holes %v, %d at %d: %d, %v", size, holes, at.n, at.off, n, err)
				}
				for i := range b[:n] {
					here := at.off + int64(i)
					bad := slices.ContainsFunc(holes, func(h hole) bool { return h.from <= here && here < h.to })
					if bad != (b[i] == 0) || bad != p.hit(here, here+1) {
						t.Fatalf("size %d, holes %v, %d at %d: byte %d is %d", size, holes, at.n, at.off, here, b[i])
					}
				}
			}
		}
	}
}

type holed struct {
	raw   []byte
	holes []hole
}

func (h holed) ReadAt(b []byte, off int64) (int, error) {
	for _, x := range h.holes {
		if x.from < min(off+int64(len(b)), int64(len(h.raw))) && off < x.to {
			return 0, syscall.EIO
		}
	}
	return bytes.NewReader(h.raw).ReadAt(b, off)
}
