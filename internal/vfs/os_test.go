package vfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
)

func TestOS(t *testing.T) {
	fsys, dir := vfs.OS(), t.TempDir()
	sub := filepath.Join(dir, "a", "b")
	if err := fsys.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(sub, "x")
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(7); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "\x00\x00\x00hell" {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("sync after close: got %v, want fs.ErrClosed", err)
	}
	if err := fsys.Rename(name, name+"2"); err != nil {
		t.Fatal(err)
	}
	if err := fsys.SyncDir(sub); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("stat of the old name: got %v, want fs.ErrNotExist", err)
	}
	list, err := fsys.ReadDir(sub)
	if err != nil || len(list) != 1 || list[0].Name() != "x2" {
		t.Fatalf("list %v, %v", list, err)
	}
	if err := fsys.Remove(name + "2"); err != nil {
		t.Fatal(err)
	}
	free, total, err := fsys.Space(dir)
	if err != nil || free < 0 || total <= 0 || free > total {
		t.Fatalf("space %d of %d, %v", free, total, err)
	}
	if _, _, err := fsys.Space(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("space of nothing: got %v, want fs.ErrNotExist", err)
	}
}

func TestOpenFileLimit(t *testing.T) {
	if n := vfs.OpenFileLimit(); n < 0 || n > 0 && n < 16 {
		t.Errorf("%d files", n)
	}
}

func TestOSLock(t *testing.T) {
	fsys, name := vfs.OS(), filepath.Join(t.TempDir(), "lock")
	l, err := fsys.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Lock(name); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second lock: got %v, want ErrLocked", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = fsys.Lock(name)
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteVecAt(t *testing.T) {
	for _, direct := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "x")
		open := vfs.OS().OpenFile
		if direct {
			open = func(name string, flag int, perm fs.FileMode) (vfs.File, error) {
				return vfs.OpenDirect(vfs.OS(), name, flag, perm)
			}
		}
		f, err := open(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		// More buffers than one call of the system takes.
		var bufs [][]byte
		var want []byte
		for i := range 1500 {
			b := vfs.Aligned(vfs.BlockBytes)
			for k := range b {
				b[k] = byte(i * (k + 1))
			}
			bufs, want = append(bufs, b), append(want, b...)
		}
		if n, err := vfs.WriteVecAt(f, bufs, vfs.BlockBytes); n != len(want) || err != nil {
			t.Fatalf("direct %t: wrote %d of %d, %v", direct, n, len(want), err)
		}
		// Neither aligned nor whole blocks: goes through the page cache.
		if n, err := vfs.WriteVecAt(f, [][]byte{[]byte("abc"), nil, []byte("defg")}, 5); n != 7 || err != nil {
			t.Fatalf("direct %t: wrote %d of 7, %v", direct, n, err)
		}
		if n, err := f.WriteAt([]byte("xyz"), 13); n != 3 || err != nil {
			t.Fatalf("direct %t: wrote %d of 3, %v", direct, n, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		want = append([]byte("\x00\x00\x00\x00\x00abcdefg\x00xyz"), append(make([]byte, vfs.BlockBytes-16), want...)...)
		got, err := os.ReadFile(name)
		if err != nil || string(got) != string(want) {
			t.Fatalf("direct %t: read %d bytes that differ from the %d written, %v", direct, len(got), len(want), err)
		}
		if _, err := vfs.WriteVecAt(f, bufs[:1], 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("direct %t: write after close: got %v, want fs.ErrClosed", direct, err)
		}
	}
}
