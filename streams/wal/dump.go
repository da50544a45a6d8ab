package wal

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// DumpOptions say what Dump shows, and how.
type DumpOptions struct {
	// FS holds the files. Default: the operating system's.
	FS vfs.FS
	// JSON prints one JSON object a line instead of text.
	JSON bool
	// Records lists the records of each frame, the updates of state and the
	// text of control records.
	Records bool
	// LogID is the id of the log, 32 hexadecimal digits. It is needed only for
	// a file that lies alone and whose own head is damaged.
	LogID string
	// Keys decrypt what is encrypted with one of them. Of the rest only the
	// headers are shown.
	Keys Keys
}

// ErrNoLogID means that it is not known of which log a file is, and so not
// what its checksums begin with.
var ErrNoLogID = errors.New("id of the log is not known")

// Dump writes what a file of a log holds, or all files of a data directory, in
// the words of docs/formats. It only reads, takes no lock, and so also works on
// a directory that a daemon uses; what is being written may then show as
// damaged. Damaged files are shown as far as they can be told: every frame
// whose header is whole, wherever it lies. Bytes that the disk does not give show
// as zeros, and are listed at the end. An error means that a file could not be
// opened or w not be written; damage is none.
//
// It holds one frame in memory at a time, or a snapshot.
func Dump(ctx context.Context, w io.Writer, path string, opt DumpOptions) error {
	if opt.FS == nil {
		opt.FS = vfs.OS()
	}
	patched := newPatchedFS(opt.FS)
	opt.FS = patched
	d := &dumper{ctx: ctx, w: bufio.NewWriterSize(w, 64<<10), opt: opt}
	defer d.codec.close()
	err := d.path(filepath.Clean(path))
	for _, h := range patched.list() {
		if err == nil {
			err = d.entry("unreadable", h.From, field{"path", h.File}, field{"until", h.To}, field{"reason", h.Reason})
		}
	}
	if ferr := d.w.Flush(); err == nil {
		err = ferr
	}
	if err != nil {
		return fmt.Errorf("dump %s: %w", path, err)
	}
	return nil
}

// dumper prints entries: what stands at an offset, and its fields in order.
type dumper struct {
	ctx  context.Context
	w    *bufio.Writer
	opt  DumpOptions
	seed uint32
	id   string // hexadecimal, "" if not known
	keys *keyring

	codec decompressor

	frames, bad int      // of the file at hand
	key         *dataKey // of the frames at hand, nil if it is not there
}

// field is one named value of an entry.
type field struct {
	key   string
	value any
}

// entry prints what stands at an offset of the file at hand.
func (d *dumper) entry(what string, off int64, fields ...field) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if !d.opt.JSON {
		fmt.Fprintf(d.w, "%10d  %-8s", off, what)
		for _, f := range fields {
			switch v := f.value.(type) {
			case string:
				if v == "" || strings.ContainsAny(v, " \"\n\\") || !printable(v) {
					v = fmt.Sprintf("%q", v)
				}
				fmt.Fprintf(d.w, " %s=%s", f.key, v)
			default:
				fmt.Fprintf(d.w, " %s=%v", f.key, v)
			}
		}
		return d.w.WriteByte('\n') // a bufio.Writer keeps its first error
	}
	fmt.Fprintf(d.w, `{"what":%q,"offset":%d`, what, off)
	for _, f := range fields {
		b, err := json.Marshal(f.value)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.w, ",%q:%s", f.key, b)
	}
	_, err := d.w.WriteString("}\n")
	return err
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return false
		}
	}
	return true
}

// match is the word for a checksum.
func match(ok bool) string {
	if ok {
		return "ok"
	}
	return "bad"
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// path dumps a file, or the files of a data directory.
func (d *dumper) path(path string) error {
	st, err := d.opt.FS.Stat(path)
	if err != nil {
		return err
	}
	if d.opt.LogID != "" {
		if err := d.know(d.opt.LogID); err != nil {
			return err
		}
	}
	if !st.IsDir() {
		if d.id == "" {
			d.idAbove(filepath.Dir(path))
		}
		return d.file(path)
	}
	path = LogDir(d.opt.FS, path)
	if d.id == "" {
		d.idAbove(path)
	}
	return d.dir(path)
}

// LogDir returns the directory of the log for what an operator may name: that
// directory itself, or the data directory of a daemon, which has it under
// "log".
func LogDir(fsys vfs.FS, dir string) string {
	if _, err := fsys.Stat(filepath.Join(dir, formatFile)); err == nil {
		return dir
	}
	for _, sub := range []string{formatFile, journalDir, metaDir} {
		if _, err := fsys.Stat(filepath.Join(dir, "log", sub)); err == nil {
			return filepath.Join(dir, "log")
		}
	}
	return dir
}

func (d *dumper) know(id string) error {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return fmt.Errorf("id of the log %q is not 32 hexadecimal digits", id)
	}
	d.id, d.seed, d.keys = id, seedOf([16]byte(raw)), newKeyring([16]byte(raw), d.opt.Keys)
	return nil
}

// idAbove looks for the file FORMAT in dir and the two directories above it,
// which is where every file of a log has it.
func (d *dumper) idAbove(dir string) {
	for range 3 {
		b, err := readFile(d.opt.FS, filepath.Join(dir, formatFile), 4096)
		if err == nil {
			if id := formatID(string(b)); id != "" && d.know(id) == nil {
				return
			}
		}
		dir = filepath.Dir(dir)
	}
}

// formatID finds the id in the text of FORMAT, even if other lines are damaged.
func formatID(text string) string {
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "id "); ok {
			return id
		}
	}
	return ""
}

// dir dumps the files in a directory and below it, by name.
func (d *dumper) dir(dir string) error {
	list, err := d.opt.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = d.dir(path)
		case e.Name() == lockFile, strings.HasPrefix(e.Name(), ballastFile): // they hold nothing
			continue
		default:
			err = d.file(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed by a running daemon
			return err
		}
	}
	return nil
}

// file dumps one file.
func (d *dumper) file(path string) error {
	f, err := d.opt.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = d.open(path, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (d *dumper) open(path string, f vfs.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	kind := kindOf(filepath.Base(path))
	if kind == "" {
		var magic [8]byte
		n, rerr := f.ReadAt(magic[:], 0)
		if rerr != nil && !errors.Is(rerr, io.EOF) {
			return rerr
		}
		switch string(magic[:n]) {
		case journalMagic:
			kind = "journal"
		case segmentMagic:
			kind = "segment"
		default:
			kind = "other"
		}
	}
	if err := d.entry("file", 0, field{"path", path}, field{"kind", kind}, field{"bytes", st.Size()}); err != nil {
		return err
	}
	win := &window{f: f, size: st.Size()}
	switch kind {
	case "journal", "segment":
		return d.binary(kind, filepath.Base(path), win)
	case "snapshot":
		return d.snapshot(win)
	case "format", "note":
		b, err := win.at(0, 4096)
		if err != nil {
			return err
		}
		return d.entry("text", 0, field{"text", string(b)})
	}
	return nil
}

// kindOf tells what a file is by its name. Names in lost+found and copies keep
// theirs at the end.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".journal"):
		return "journal"
	case strings.HasSuffix(name, ".seg"), strings.HasSuffix(name, ".open"):
		return "segment"
	case strings.Contains(name, "snapshot-") && strings.HasSuffix(name, ".json"):
		return "snapshot"
	case name == formatFile:
		return "format"
	case name == failedFile:
		return "note"
	}
	return ""
}

// window reads a file in pieces.
type window struct {
	f    io.ReaderAt
	size int64
	buf  []byte
	off  int64 // of buf
}

// at returns n bytes at off, or as many as there are. They are overwritten by
// the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if left := w.size - off; int64(n) > left {
		n = int(max(left, 0))
	}
	if i := off - w.off; i >= 0 && i+int64(n) <= int64(len(w.buf)) {
		return w.buf[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, maxChunk)), w.size-off))
	if cap(w.buf) < want || cap(w.buf) > 2*max(want, maxChunk) {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	got, err := w.f.ReadAt(w.buf, off)
	w.buf = w.buf[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return w.buf[:min(n, got)], nil
}
