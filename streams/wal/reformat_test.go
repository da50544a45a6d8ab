package wal

import (
	"bytes"
	"encoding/binary"
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

const formatPath = "/data/" + formatFile

func withKey1(o Options) Options {
	o.Keys.Current = testKey(1)
	return o
}

func asIs(o Options) Options { return o }

// repairFormat is repair with options, and with an error to look at.
func repairFormat(t *testing.T, fsys vfs.FS, change func(Options) Options, apply bool) (*Repaired, error) {
	t.Helper()
	o := change(small(fsys))
	o.SegmentBytes, o.TailBytes = 4096, 1<<30
	return Repair(t.Context(), "/data", RepairOptions{Options: o, Apply: apply})
}

// TestRepairFormat harms the file FORMAT in each way: a start is refused and
// changes nothing, a repair tells and then writes it again, and all records are
// there.
func TestRepairFormat(t *testing.T) {
	foreign := func(t *testing.T, fsys vfs.FS) []byte {
		other, _ := damagedLog(t)
		b, err := readFile(other, formatPath, 4096)
		must(t, err)
		return b
	}
	put := func(what func(b []byte) []byte) func(*testing.T, *memfs.FS) {
		return func(t *testing.T, fsys *memfs.FS) {
			b, err := readFile(fsys, formatPath, 4096)
			must(t, err)
			writeAll(t, fsys, formatPath, what(b))
		}
	}
	remove := func(t *testing.T, fsys *memfs.FS) { must(t, fsys.Remove(formatPath)) }
	each := func(t *testing.T, fsys vfs.FS, dir, suffix string, f func(path string, b []byte)) {
		for _, path := range allFiles(t, fsys, dir) {
			if strings.HasSuffix(path, suffix) {
				b, err := readFile(fsys, path, 1<<30)
				must(t, err)
				f(path, b)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		harm    func(t *testing.T, fsys *memfs.FS)
		start   string // what a start says
		refused string // what a repair says, "" if it repairs
	}{
		{"missing", remove, "is missing, yet there is data", ""},
		{"empty", put(func([]byte) []byte { return nil }), "firehosed repair", ""},
		{"cut in the id", put(func(b []byte) []byte { return b[:len(b)-9] }), "firehosed repair", ""},
		{"cut in the first line", put(func(b []byte) []byte { return b[:7] }), "firehosed repair", ""},
		{"zeros", put(func(b []byte) []byte { return make([]byte, len(b)) }), "firehosed repair", ""},
		{"more than such a file has", put(func([]byte) []byte { return make([]byte, 5000) }), "firehosed repair", ""},
		{"of something else", put(func([]byte) []byte { return []byte("hello") }), "of something else", ""},
		{"one digit of the id", put(func(b []byte) []byte {
			if i := len(b) - 2; b[i] == '7' {
				b[i] = '8'
			} else {
				b[i] = '7'
			}
			return b
		}), "of which no other file is", ""},
		{"of another log", func(t *testing.T, fsys *memfs.FS) { writeAll(t, fsys, formatPath, foreign(t, fsys)) }, "of which no other file is", ""},
		{"missing, as are all snapshots", func(t *testing.T, fsys *memfs.FS) {
			remove(t, fsys)
			breakSnapshots(t, fsys)
		}, "is missing, yet there is data", ""},
		{"missing, and only a snapshot tells", func(t *testing.T, fsys *memfs.FS) {
			remove(t, fsys)
			each(t, fsys, "/data/journal", "", spoilHead(t, fsys))
			each(t, fsys, "/data/shards", "", spoilHead(t, fsys))
		}, "is missing, yet there is data", ""},
		{"newer", put(func(b []byte) []byte { return bytes.Replace(b, []byte("format 1"), []byte("format 2"), 1) }), "newer version", "newer version"},
		{"missing, and a file is newer", func(t *testing.T, fsys *memfs.FS) {
			b, err := readFile(fsys, formatPath, 4096)
			must(t, err)
			remove(t, fsys)
			path := withSuffix(t, fsys, "/data/shards", ".seg")
			seg, err := readFile(fsys, path, 1<<30)
			must(t, err)
			var d dumper
			must(t, d.know(formatID(string(b))))
			seg[8] = formatVersion + 1
			head := segmentHead - 4
			binary.LittleEndian.PutUint32(seg[head:], checksum(d.seed, seg[:head]))
			writeAll(t, fsys, path, seg)
		}, "is missing, yet there is data", "has format 2"},
		{"missing, and files are of two logs", func(t *testing.T, fsys *memfs.FS) {
			remove(t, fsys)
			other, _ := damagedLog(t)
			each(t, other, "/data/meta", ".json", func(path string, b []byte) { writeAll(t, fsys, path, b) })
		}, "is missing, yet there is data", "of several logs"},
		{"missing, and no file tells", func(t *testing.T, fsys *memfs.FS) {
			remove(t, fsys)
			breakSnapshots(t, fsys)
			each(t, fsys, "/data/journal", "", spoilHead(t, fsys))
			each(t, fsys, "/data/shards", "", spoilHead(t, fsys))
		}, "is missing, yet there is data", "No other file tells"},
	} {
		for _, how := range []struct {
			name   string
			change func(Options) Options
		}{{"plain", asIs}, {"encrypted", withKey1}} {
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				fsys, want := damagedLogWith(t, how.change)
				right, err := readFile(fsys, formatPath, 4096)
				must(t, err)
				tt.harm(t, fsys)
				before := contents(t, fsys)
				if l, err := Open("/data", how.change(small(fsys))); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.start) {
					t.Errorf("start: %v", err)
					if err == nil {
						must(t, l.Close())
					}
				}
				sameContents(t, contents(t, fsys), before)
				told, err := repairFormat(t, fsys, how.change, false)
				sameContents(t, contents(t, fsys), before)
				if tt.refused != "" {
					if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("told: %v", err)
					}
					_, err := repairFormat(t, fsys, how.change, true)
					if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("repair: %v", err)
					}
					sameContents(t, contents(t, fsys), before)
					return
				}
				must(t, err)
				if told.Clean() || !strings.Contains(told.Format, formatPath) {
					t.Errorf("told: %+v", told)
				}
				did, err := repairFormat(t, fsys, how.change, true)
				must(t, err)
				if did.Format != told.Format {
					t.Errorf("did %q, told %q", did.Format, told.Format)
				}
				if b, err := readFile(fsys, formatPath, 4096); err != nil || !bytes.Equal(b, right) {
					t.Errorf("FORMAT is %q, %v, want %q", b, err, right)
				}
				if was, ok := before[formatPath]; ok && !slices.ContainsFunc(did.Moved, func(path string) bool {
					b, err := readFile(fsys, path, 1<<20)
					return err == nil && string(b) == was
				}) {
					t.Errorf("what was there is not among %q", did.Moved)
				}
				allThere(t, fsys, how.change, want)
			})
		}
	}
}

// TestRepairFormatEveryByte alters each byte of FORMAT to each other one-bit
// neighbour: either that does not matter, or a start is refused and a repair
// mends it, but for a format that is newer.
func TestRepairFormatEveryByte(t *testing.T) {
	orig, want := damagedLog(t)
	right, err := readFile(orig, formatPath, 4096)
	must(t, err)
	newer := 0
	for i := range right {
		for bit := range 8 {
			b := bytes.Clone(right)
			b[i] ^= 1 << bit
			fsys := copyFS(t, orig, "/data")
			writeAll(t, fsys, formatPath, b)
			l, err := Open("/data", small(fsys))
			if err == nil { // spaces and such
				must(t, l.Close())
				allThere(t, fsys, asIs, want)
			} else if !errors.Is(err, ErrFormat) {
				t.Errorf("start with %q: %v", b, err)
			}
			_, rerr := repairFormat(t, fsys, asIs, true)
			if errors.Is(rerr, errNewer) {
				newer++
				if !strings.Contains(rerr.Error(), "move "+formatPath+" away") {
					t.Errorf("repair with %q: %v", b, rerr)
				}
				must(t, fsys.Remove(formatPath)) // as the sentence says
				_, rerr = repairFormat(t, fsys, asIs, true)
			}
			must(t, rerr)
			if i%16 == bit { // each is the same after
				allThere(t, fsys, asIs, want)
			}
			if now, _ := readFile(fsys, formatPath, 4096); err != nil && !bytes.Equal(now, right) {
				t.Errorf("%q became %q", b, now)
			}
			if t.Failed() {
				t.Fatalf("byte %d, bit %d", i, bit)
			}
		}
	}
	if newer != 3 {
		t.Errorf("%d were taken for a newer format, want 3: 3, 5 and 9", newer)
	}
}

// allThere checks that a log needs no repair, has all records and takes more.
func allThere(t *testing.T, fsys vfs.FS, change func(Options) Options, want map[streams.ShardID][]string) {
	t.Helper()
	r, err := repairFormat(t, fsys, change, false)
	must(t, err)
	if !r.Clean() {
		t.Errorf("to repair: %+v", r)
	}
	l := open(t, "/data", change(small(fsys)))
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		if len(recs) < len(data) || !slices.Equal(texts(recs[:len(data)]), data) {
			t.Errorf("%s: %d of %d records", id, len(recs), len(data))
		}
	}
	appendAll(t, l, "s", "new")
	must(t, l.Close())
	l = open(t, "/data", change(small(fsys)))
	n := 0
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		n += len(recs) - len(data)
	}
	if n < 1 {
		t.Error("the new record is lost")
	}
	must(t, l.Close())
}

// TestRepairFormatUnbegun: where a first start was cut short there is nothing to
// repair, and the next start begins.
func TestRepairFormatUnbegun(t *testing.T) {
	fsys := memfs.New()
	e := errfs.New(fsys, func(op errfs.Op) error {
		if op.Kind == errfs.Rename && filepath.Base(op.Path) == formatFile+".tmp" {
			return syscall.EIO
		}
		return nil
	})
	if _, err := Open("/data", small(e)); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	for _, apply := range []bool{false, true} {
		if _, err := repairFormat(t, fsys, asIs, apply); !errors.Is(err, ErrNoLog) {
			t.Errorf("apply %v: %v", apply, err)
		}
	}
	l := open(t, "/data", small(fsys))
	create(t, l, "s", 1)
	must(t, l.checkpoint())
	must(t, l.Close())
	// A log that was used is not begun anew, even if only snapshots are left.
	for _, path := range slices.Concat(allFiles(t, fsys, "/data/journal"), allFiles(t, fsys, "/data/shards"), []string{formatPath}) {
		must(t, fsys.Remove(path))
	}
	before := contents(t, fsys)
	if _, err := Open("/data", small(fsys)); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	sameContents(t, contents(t, fsys), before)
}

// TestRepairFormatCrash cuts the power at each operation of a repair of FORMAT,
// of which some was damaged too, and repairs again.
func TestRepairFormatCrash(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(Options) Options
		harm   func(t *testing.T, fsys *memfs.FS)
	}{
		{"missing", asIs, func(t *testing.T, fsys *memfs.FS) { must(t, fsys.Remove(formatPath)) }},
		{"damaged, encrypted", withKey1, func(t *testing.T, fsys *memfs.FS) { flip(t, fsys, formatPath, 3) }},
		{"of another log", asIs, func(t *testing.T, fsys *memfs.FS) {
			writeAll(t, fsys, formatPath, formatText([16]byte{1}))
		}},
		{"damaged, as is the newest snapshot", asIs, func(t *testing.T, fsys *memfs.FS) {
			flip(t, fsys, formatPath, 3)
			flip(t, fsys, slices.Max(allFiles(t, fsys, "/data/meta")), 40)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orig, want := damagedLogWith(t, tt.change)
			tt.harm(t, orig)
			seeds(t, 1, func(t *testing.T, seed uint64) {
				rng := rand.New(rand.NewPCG(seed, 7))
				for n, done := int64(0), false; !done; n++ {
					fsys := copyFS(t, orig, "/data")
					syncAll(t, fsys, "/")
					var left atomic.Int64
					left.Store(n)
					e := errfs.New(fsys, func(op errfs.Op) error {
						if op.Kind.Changes() && left.Add(-1) < 0 || left.Load() < 0 {
							return syscall.EROFS
						}
						return nil
					})
					_, err := repairFormat(t, e, tt.change, true)
					done = err == nil
					fsys = fsys.Crash(rng)
					if l, err := Open("/data", tt.change(small(fsys))); err == nil {
						must(t, l.Close())
					} else if !errors.Is(err, ErrFormat) {
						t.Errorf("start after %d operations: %v", n, err)
					}
					_, err = repairFormat(t, fsys, tt.change, true)
					must(t, err)
					allThere(t, fsys, tt.change, want)
					if t.Failed() {
						t.Fatalf("after %d operations", n)
					}
				}
			})
		})
	}
}

// TestRepairFormatKey: without the key of an encrypted log nothing is changed.
func TestRepairFormatKey(t *testing.T) {
	fsys, _ := damagedLogWith(t, withKey1)
	flip(t, fsys, formatPath, 3)
	before := contents(t, fsys)
	if _, err := repairFormat(t, fsys, asIs, true); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	sameContents(t, contents(t, fsys), before)
}

// FuzzFormat feeds what tells which log a directory is.
func FuzzFormat(f *testing.F) {
	f.Add(formatText([16]byte{1, 2, 3}))
	head := make([]byte, block)
	h := fileHead{logID: [16]byte{1}, generation: 1}
	h.put(head, seedOf(h.logID))
	f.Add(head[:64])
	m := segmentMeta{logID: [16]byte{2}, stream: 1, base: 1}
	m.put(head, seedOf(m.logID))
	f.Add(head[:segmentHead])
	snap := snapshot{Format: formatVersion, Log: fmt.Sprintf("%x", [16]byte{3}), Number: 1}
	b, err := snap.encode(seedOf([16]byte{3}), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := parseFormat(b, formatPath); err == nil {
			if again, err := parseFormat(formatText(id), formatPath); err != nil || again != id {
				t.Errorf("%x: %x, %v", id, again, err)
			}
		}
		if id, version, ok := headWitness(b, journalMagic, 60); ok && version == formatVersion {
			if h, ok := parseFileHead(b, seedOf(id)); !ok || h.logID != id {
				t.Errorf("journal: %x, %v", h.logID, ok)
			}
		}
		if id, version, ok := headWitness(b, segmentMagic, segmentHead-4); ok && version == formatVersion {
			if m, ok := parseSegmentHead(b, seedOf(id)); !ok || m.logID != id {
				t.Errorf("segment: %x, %v", m.logID, ok)
			}
		}
		if id, version, ok := snapshotWitness(b); ok && version == formatVersion {
			if _, err := decodeSnapshot(b, seedOf(id), nil); err != nil && strings.Contains(err.Error(), "checksum") {
				t.Error(err)
			}
		}
	})
}

// spoilHead alters the id of the log in the head of a file, unless it has none: a
// spare for the journal may just have been made.
func spoilHead(t *testing.T, fsys *memfs.FS) func(string, []byte) {
	return func(path string, b []byte) {
		t.Helper()
		if len(b) > 20 {
			flip(t, fsys, path, 20)
		}
	}
}
