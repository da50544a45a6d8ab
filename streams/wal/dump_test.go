package wal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

var update = flag.Bool("update", false, "write the golden files of TestDump again")

// dumpedLog is a log whose every byte but its id is always the same.
func dumpedLog(t *testing.T) (*memfs.FS, string) {
	t.Helper()
	fsys := memfs.New()
	o := small(fsys)
	o.SegmentBytes, o.CheckpointBytes, o.TailBytes = 4096, 1<<30, 1<<30
	at := time.Date(2026, 5, 17, 10, 5, 3, 0, time.UTC)
	o.Clock = func() time.Time { return at }
	l := open(t, "/data", o)
	create(t, l, "clicks", 1)
	put := func(data string) {
		b := batch(data, "second")
		b.State = []streams.StateUpdate{{Key: "n", Value: []byte{0xff, 1}}, {Key: "gone"}}
		_, err := l.Append(t.Context(), "clicks", b)
		must(t, err)
	}
	put(strings.Repeat("x", 3000))
	put(strings.Repeat("y", 3000)) // rolls
	must(t, l.checkpoint())
	put("only in the journal")
	out := copyFS(t, fsys, "/data")
	must(t, l.Close())
	return out, hex.EncodeToString(l.id[:])
}

func dump(t *testing.T, fsys vfs.FS, path string, opt DumpOptions) string {
	t.Helper()
	var b strings.Builder
	opt.FS = fsys
	must(t, Dump(t.Context(), &b, path, opt))
	return b.String()
}

// TestDump compares what is shown of whole and of damaged files with golden
// files; -update writes them.
func TestDump(t *testing.T) {
	orig, id := dumpedLog(t)
	for _, tt := range []struct {
		name string
		opt  DumpOptions
		harm func(t *testing.T, fsys *memfs.FS)
	}{
		{"plain", DumpOptions{}, nil},
		{"records", DumpOptions{Records: true}, nil},
		{"records-json", DumpOptions{Records: true, JSON: true}, nil},
		{"damaged", DumpOptions{}, func(t *testing.T, fsys *memfs.FS) {
			for _, path := range allFiles(t, fsys, "/data") {
				b, err := readFile(fsys, path, 1<<30)
				must(t, err)
				switch filepath.Ext(path) {
				case ".journal":
					b[4*block+groupHead+4] ^= 1 // header of a pad
					b[5*block+4] ^= 1           // header of a frame of records
				case ".seg":
					b[segmentHead+headerBytes+100] ^= 1 // body of the first frame
				case ".open":
					b[9] ^= 1
				case ".json":
					b[len(b)-3] ^= 1
				}
				writeAll(t, fsys, path, b)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := copyFS(t, orig, "/data")
			if tt.harm != nil {
				tt.harm(t, fsys)
			}
			got := strings.ReplaceAll(dump(t, fsys, "/data", tt.opt), id, "<id>")
			golden := filepath.Join("testdata", "dump", tt.name+".golden")
			if *update {
				must(t, os.MkdirAll(filepath.Dir(golden), 0o755)) //nolint:gosec // Of the repository.
				must(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if got != string(want) {
				t.Errorf("%s differs:\n%s", golden, got)
			}
			if tt.opt.JSON {
				dec := json.NewDecoder(strings.NewReader(got))
				for {
					var v map[string]any
					if err := dec.Decode(&v); errors.Is(err, io.EOF) {
						break
					} else if err != nil || v["what"] == nil {
						t.Fatalf("no object a line: %v %v", v, err)
					}
				}
			}
		})
	}
}

// TestDumpAlone shows files that lie apart from their log: the head names it.
func TestDumpAlone(t *testing.T) {
	orig, id := dumpedLog(t)
	for _, path := range allFiles(t, orig, "/data") {
		name := filepath.Base(path)
		if kindOf(name) == "" || name == formatFile {
			continue
		}
		b, err := readFile(orig, path, 1<<30)
		must(t, err)
		alone := memfs.New()
		must(t, alone.MkdirAll("/x", 0o700))
		writeAll(t, alone, "/x/"+name, b)
		got := dump(t, alone, "/x/"+name, DumpOptions{})
		if want := dump(t, orig, path, DumpOptions{}); strings.ReplaceAll(got, "/x/"+name, path) != want {
			t.Errorf("%s alone:\n%s\nin its place:\n%s", name, got, want)
		}
		if kindOf(name) == "snapshot" {
			continue
		}
		b[0] ^= 1
		writeAll(t, alone, "/x/"+name, b)
		err = Dump(t.Context(), io.Discard, "/x/"+name, DumpOptions{FS: alone})
		if !errors.Is(err, ErrNoLogID) {
			t.Errorf("%s without a head: %v", name, err)
		}
		if got := dump(t, alone, "/x/"+name, DumpOptions{LogID: id}); !strings.Contains(got, "checksum=ok") {
			t.Errorf("%s with its id:\n%s", name, got)
		}
	}
}

// FuzzDump shows any bytes as any kind of file.
func FuzzDump(f *testing.F) {
	for _, b := range segmentBytes() {
		f.Add(b, "00000000-0000000000000001.open")
		f.Add(b, "snapshot-0000000000000001.json")
	}
	head := make([]byte, 3*block)
	y := layout{buf: head, used: groupHead}
	y.seal(&groupInfo{number: 1, generation: 1}, 5, 0)
	(&fileHead{generation: 1}).put(head, 0)
	f.Add(head, "0000000000000000.journal")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		name = filepath.Base(name)
		fsys := memfs.New()
		must(t, fsys.MkdirAll("/d", 0o700))
		writeAll(t, fsys, "/d/f-"+name, b)
		for _, js := range []bool{false, true} {
			var out bytes.Buffer
			err := Dump(t.Context(), &out, "/d/f-"+name, DumpOptions{FS: fsys, JSON: js, Records: true, LogID: strings.Repeat("0", 32)})
			if err != nil {
				t.Errorf("%v", err)
			}
			if js {
				for line := range bytes.Lines(out.Bytes()) {
					if !json.Valid(line) {
						t.Errorf("no JSON: %q", line)
					}
				}
			}
		}
	})
}
