package wal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// without calls f with the log without a file, with an empty one, and with half
// of it.
func without(t *testing.T, orig vfs.FS, path string, f func(t *testing.T, fsys *memfs.FS)) {
	t.Helper()
	b, err := readFile(orig, path, 1<<30)
	must(t, err)
	for _, how := range []string{"removed", "emptied", "cut"} {
		t.Run(strings.TrimPrefix(path, "/data/")+" "+how, func(t *testing.T) {
			fsys := copyFS(t, orig, "/data")
			switch how {
			case "removed":
				must(t, fsys.Remove(path))
			case "emptied":
				writeAll(t, fsys, path, nil)
			case "cut":
				writeAll(t, fsys, path, b[:len(b)/2])
			}
			f(t, fsys)
		})
	}
}

// TestMissingParts removes, empties and cuts each file but those of the journal:
// the log says so, or can do without.
func TestMissingParts(t *testing.T) {
	orig, want := damagedLog(t)
	complete := func(t *testing.T, fsys *memfs.FS) {
		l := open(t, "/data", small(fsys))
		for id, data := range want {
			recs, err := readShard(t, l, "s", id)
			must(t, err)
			wantTexts(t, recs, data...)
		}
		must(t, l.Close())
	}
	for _, path := range allFiles(t, orig, "/data/shards") {
		without(t, orig, path, func(t *testing.T, fsys *memfs.FS) { tells(t, fsys, want, path) })
	}
	for _, path := range allFiles(t, orig, "/data/meta") {
		without(t, orig, path, complete) // the other snapshot is there
	}
	without(t, orig, "/data/"+lockFile, complete)
	without(t, orig, formatPath, func(t *testing.T, fsys *memfs.FS) {
		if _, err := Open("/data", small(fsys)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), formatPath) {
			t.Errorf("start: %v", err)
		}
	})
}

// TestMissingJournal removes, empties and cuts each file of a journal that has
// filled several since the last checkpoint. The files behind it tell what is
// lost, and all that they hold is read; behind the newest there is none, so that
// what it held looks as if it had never been written.
func TestMissingJournal(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.CheckpointBytes, o.TailBytes = 1<<40, 1<<40
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	must(t, l.checkpoint())
	var want []string
	for i := range 40 {
		text := fmt.Sprintf("%d %5000d", i, 0)
		appendAll(t, l, "s", text)
		want = append(want, text)
		if l.journal.wantsSpare() { // else the file grows, if nobody makes one in time
			must(t, l.journal.prepare(nil))
		}
	}
	orig := copyFS(t, fsys, "/data")
	must(t, l.Close())

	generation := map[string]uint32{}
	newest, spares := "", 0
	for _, path := range allFiles(t, orig, "/data/journal") {
		b, err := readFile(orig, path, 1<<30)
		must(t, err)
		h, _ := parseFileHead(b, l.seed)
		if generation[path] = h.generation; h.generation == 0 {
			spares++
		}
		if newest == "" || h.generation > generation[newest] {
			newest = path
		}
	}
	if used := len(generation) - spares; used < 4 {
		t.Fatalf("only %d files are in use", used)
	}
	told := 0
	for path, g := range generation {
		without(t, orig, path, func(t *testing.T, fsys *memfs.FS) {
			l := open(t, "/data", small(fsys))
			defer func() { must(t, l.Close()) }()
			n, lost := 0, 0
			for next := streams.Sequence(1); int(next) <= len(want); { //nolint:gosec // Small.
				p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Kind: streams.At, Seq: next}, streams.Limit{Records: 1})
				var bad *streams.DamageError
				if errors.As(err, &bad) {
					lost++
					next++
					continue
				}
				must(t, err)
				if len(p.Records) == 0 {
					break
				}
				if r := p.Records[0]; r.Sequence != next || string(r.Data) != want[next-1] {
					t.Fatalf("record %d is %d, %.20q", next, r.Sequence, r.Data)
				}
				n++
				next++
			}
			t.Logf("generation %d: %d records, %d are called lost", g, n, lost)
			switch {
			case g == 0 && n == len(want):
			case path == newest && n > len(want)/2 && lost == 0 && l.Stats().Damaged == 0: // as docs/durability.md says
				res := appendAll(t, l, "s", "next")
				if got := int(res.Placed[0].Sequence); got != n+1 { //nolint:gosec // Small.
					t.Errorf("sequence %d after %d records", got, n)
				}
			case g > 0 && path != newest && n+lost == len(want) && lost < 16:
				if lost > 0 {
					told++
				}
				if _, err := l.Append(t.Context(), "s", batch("next")); (err != nil) != (lost > 0) {
					t.Errorf("%d records are lost, append: %v", lost, err)
				}
			default:
				t.Errorf("generation %d: %d of %d records, %d are called lost", g, n, len(want), lost)
			}
		})
	}
	if told < 3 {
		t.Errorf("only %d times something was lost", told)
	}
}
