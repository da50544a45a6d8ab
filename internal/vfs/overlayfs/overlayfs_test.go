package overlayfs_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/internal/vfs/overlayfs"
)

var seedFlag = flag.Int64("seed", -1, "run the random test with this seed only")

// TestLikeTheRealThing does the same random things to a view and to a copy of
// what is below it, and compares; what is below must not change.
func TestLikeTheRealThing(t *testing.T) {
	first, n := uint64(time.Now().UnixNano()), uint64(60)
	if *seedFlag >= 0 {
		first, n = uint64(*seedFlag), 1
	}
	for seed := first; seed < first+n; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		base, model := memfs.New(), memfs.New()
		for range 40 { // the same beginning
			op, data := step(rng)
			op(base, data)
			op(model, data)
		}
		before := tree(t, base, "/")
		view := overlayfs.New(base)
		for i := range 200 {
			op, data := step(rng)
			got, want := op(view, data), op(model, data)
			if got != want {
				t.Fatalf("seed %d, step %d: %q, want %q", seed, i, got, want)
			}
		}
		if got, want := tree(t, view, "/"), tree(t, model, "/"); got != want {
			t.Fatalf("seed %d:\n%s\nwant\n%s", seed, got, want)
		}
		if got := tree(t, base, "/"); got != before {
			t.Fatalf("seed %d: the files below changed:\n%s\nwere\n%s", seed, got, before)
		}
	}
}

// step returns one random thing to do, which tells how it went.
func step(rng *rand.Rand) (do func(vfs.FS, []byte) string, data []byte) {
	pick := func() string { return fmt.Sprintf("/d%d/f%d", rng.IntN(3), rng.IntN(4)) }
	a, b := pick(), pick()
	dir := fmt.Sprintf("/d%d", rng.IntN(3))
	off, size := rng.Int64N(40<<10), rng.Int64N(50<<10)
	data = make([]byte, rng.IntN(20<<10))
	for i := range data {
		data[i] = byte(rng.Uint32()) | 1
	}
	said := func(err error) string {
		for _, e := range []error{fs.ErrNotExist, fs.ErrExist} {
			if errors.Is(err, e) {
				return e.Error()
			}
		}
		if err != nil {
			return "other"
		}
		return "ok"
	}
	with := func(f vfs.FS, flag int, use func(vfs.File) error) string {
		h, err := f.OpenFile(a, flag, 0o600)
		if err != nil {
			return said(err)
		}
		return said(errors.Join(use(h), h.Close()))
	}
	switch rng.IntN(9) {
	case 0:
		return func(f vfs.FS, _ []byte) string { return said(f.MkdirAll(dir, 0o700)) }, data
	case 1, 2:
		return func(f vfs.FS, p []byte) string {
			return with(f, os.O_RDWR|os.O_CREATE, func(h vfs.File) error { _, err := h.WriteAt(p, off); return err })
		}, data
	case 3:
		return func(f vfs.FS, p []byte) string {
			return with(f, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, func(h vfs.File) error { _, err := h.Write(p); return err })
		}, data
	case 4:
		return func(f vfs.FS, _ []byte) string {
			return with(f, os.O_RDWR, func(h vfs.File) error { return h.Truncate(size) })
		}, data
	case 5:
		if a == b {
			b += "x"
		}
		return func(f vfs.FS, _ []byte) string {
			if _, err := f.Stat(b[:3]); err != nil {
				return "no directory to move to"
			}
			return said(f.Rename(a, b))
		}, data
	case 6:
		return func(f vfs.FS, _ []byte) string { return said(f.Remove(a)) }, data
	case 7:
		return func(f vfs.FS, _ []byte) string {
			return with(f, os.O_RDWR|os.O_CREATE|os.O_EXCL, func(vfs.File) error { return nil })
		}, data
	}
	return func(f vfs.FS, _ []byte) string {
		h, err := f.OpenFile(a, os.O_RDONLY, 0)
		if err != nil {
			return said(err)
		}
		defer h.Close()
		p := make([]byte, size)
		n, err := h.ReadAt(p, off)
		st, serr := h.Stat()
		return fmt.Sprint(n, errors.Is(err, io.EOF), st.Size(), serr, bytes.Count(p, []byte{0}))
	}, data
}

func tree(t *testing.T, f vfs.FS, dir string) string {
	t.Helper()
	list, err := f.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range list {
		path := dir + e.Name()
		if e.IsDir() {
			out += path + "/\n" + tree(t, f, path+"/")
			continue
		}
		h, err := f.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(h)
		if err = errors.Join(err, h.Close()); err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%s %d %x\n", path, len(b), b[:min(len(b), 4)])
		for i := range b {
			out += string(rune('a' + b[i]%26))
			if i > 200 {
				break
			}
		}
		sum := 0
		for i := range b {
			sum = sum*31 + int(b[i])
		}
		out += fmt.Sprintf(" %x\n", sum)
	}
	return out
}

// TestMovedDirectory has what was in a directory under its new name only.
func TestMovedDirectory(t *testing.T) {
	base := memfs.New()
	for _, err := range []error{base.MkdirAll("/a/b", 0o700), base.MkdirAll("/c", 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := base.OpenFile("/a/b/f", os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		_, err = h.Write([]byte("data"))
	}
	if err = errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
	view := overlayfs.New(base)
	if err := view.Rename("/a", "/c/x"); err != nil {
		t.Fatal(err)
	}
	if err := view.MkdirAll("/a", 0o700); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, view, "/"); got != "/a/\n/c/\n/c/x/\n/c/x/b/\n"+tree(t, view, "/c/x/b/") {
		t.Errorf("view: %s", got)
	}
	if i, err := view.Stat("/c/x/b/f"); err != nil || i.Size() != 4 {
		t.Errorf("moved file: %v, %v", i, err)
	}
	if _, err := base.Stat("/a/b/f"); err != nil {
		t.Errorf("below: %v", err)
	}
}
