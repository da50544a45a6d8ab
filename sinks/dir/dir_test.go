package dir_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/dir"
	"github.com/firehosed/firehosed/sinks/sinktest"
)

func open(t *testing.T) sinktest.Objects {
	t.Helper()
	root := filepath.Join(t.TempDir(), "made", "root")
	fsys := errfs.New(vfs.OS(), nil)
	s, err := dir.New(dir.Options{FS: fsys, Path: root})
	if err != nil {
		t.Fatal(err)
	}
	o := sinktest.Objects{
		Sink: s,
		Read: func(key string) ([]byte, bool) {
			b, err := os.ReadFile(filepath.Join(root, key))
			return b, err == nil
		},
		List:      func() []string { return list(t, root, false) },
		Leftovers: func() []string { return list(t, root, true) },
	}
	for _, f := range []struct {
		op    errfs.Kind
		errno syscall.Errno
		class sinks.Class
		code  string
	}{
		{errfs.Write, syscall.ENOSPC, sinks.Fix, "ENOSPC"},
		{errfs.Sync, syscall.ENOSPC, sinks.Fix, "ENOSPC"},
		{errfs.Close, syscall.EDQUOT, sinks.Fix, "EDQUOT"},
		{errfs.Create, syscall.EACCES, sinks.Fix, "EACCES"},
		{errfs.Create, syscall.EROFS, sinks.Fix, "EROFS"},
		{errfs.Create, syscall.EMFILE, sinks.Retry, ""},
		{errfs.Mkdir, syscall.EACCES, sinks.Fix, "EACCES"},
		{errfs.Mkdir, syscall.ENOSPC, sinks.Fix, "ENOSPC"},
		{errfs.Rename, syscall.EACCES, sinks.Fix, "EACCES"},
		{errfs.Rename, syscall.EIO, sinks.Fix, "EIO"},
		{errfs.Sync, syscall.EIO, sinks.Fix, "EIO"},
		{errfs.Create, syscall.ENAMETOOLONG, sinks.Refuse, "ENAMETOOLONG"},
		{errfs.Write, syscall.ESTALE, sinks.Retry, ""},
	} {
		o.Faults = append(o.Faults, sinktest.Fault{
			Name: string(f.op) + " " + f.errno.Error(), Class: f.class, Code: f.code,
			Inject: func(*testing.T) func() {
				fsys.SetInject(func(op errfs.Op) error {
					if op.Kind != f.op {
						return nil
					}
					return &errfs.Fault{Err: f.errno, Bytes: op.Size / 2} // a full disk takes a part
				})
				return func() { fsys.SetInject(nil) }
			},
		})
	}
	o.Faults = append(o.Faults, sinktest.Fault{
		Name: "folder not synced after the rename", Class: sinks.Fix, Code: "EIO", Stored: true,
		Inject: func(*testing.T) func() {
			renamed := false
			fsys.SetInject(func(op errfs.Op) error {
				if op.Kind == errfs.SyncDir && renamed {
					return syscall.EIO
				}
				renamed = renamed || op.Kind == errfs.Rename
				return nil
			})
			return func() { fsys.SetInject(nil) }
		},
	})
	return o
}

func list(t *testing.T, root string, temp bool) []string {
	t.Helper()
	var keys []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		key, _ := filepath.Rel(root, path)
		if strings.HasSuffix(key, ".tmp") == temp {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestContract(t *testing.T) { sinktest.RunObjects(t, open) }

func newSink(t *testing.T, root string, now func() time.Time) *dir.Sink {
	t.Helper()
	s, err := dir.New(dir.Options{Path: root, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func object(key, data string) sinks.Object {
	return sinks.Object{Key: key, ID: "plan-1", Write: func(w io.Writer) error {
		_, err := io.WriteString(w, data)
		return err
	}}
}

// TestLinks: nothing is written outside the root, whatever stands in it.
func TestLinks(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(root, "out")),
		os.Mkdir(filepath.Join(root, "in"), 0o755),
		os.Symlink("..", filepath.Join(root, "in", "up")),
		os.Symlink(outside, filepath.Join(root, "in", "deep")),
		os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o600),
		os.Symlink(filepath.Join(outside, "kept"), filepath.Join(root, "file")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, root, nil)
	for _, key := range []string{"out/x", "out/new/x", "in/up/x", "in/deep/x", "in/deep/new/y/x"} {
		_, err := s.Put(t.Context(), object(key, "x"))
		var e *sinks.Error
		if !errors.As(err, &e) || e.Code != "LeavesRoot" || e.Class != sinks.Fix {
			t.Errorf("key %q: got %v, want LeavesRoot", key, err)
		}
	}
	// A link under the final name is replaced, not followed.
	if _, err := s.Put(t.Context(), object("file", "new")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "kept")); err != nil || string(b) != "kept" {
		t.Errorf("the file outside now holds %q, %v", b, err)
	}
	if got := list(t, outside, false); len(got) != 1 {
		t.Errorf("outside holds %q, want only kept", got)
	}
	// The root itself may be a link.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if _, err := newSink(t, link, nil).Put(t.Context(), object("a/b", "x")); err != nil {
		t.Errorf("root is a link: %v", err)
	}
}

func TestFileInTheWay(t *testing.T) {
	root := t.TempDir()
	s := newSink(t, root, nil)
	if _, err := s.Put(t.Context(), object("a", "file")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), object("d/e", "file")); err != nil {
		t.Fatal(err)
	}
	for key, code := range map[string]string{"a/b": "ENOTDIR", "a/b/c": "ENOTDIR", "d": "EEXIST"} {
		_, err := s.Put(t.Context(), object(key, "x"))
		var e *sinks.Error
		if !errors.As(err, &e) || e.Class != sinks.Fix || e.Code != code {
			t.Errorf("key %q: got %v, want class fix, code %s", key, err, code)
		}
	}
	if left := list(t, root, true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestLeftovers: temporary files of a process that was killed go away; young
// ones, other people's files and files that look a little alike stay.
func TestLeftovers(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id := strings.Repeat("0a", 16)
	old, young := now.Add(-2*time.Hour), now.Add(-time.Minute)
	for name, at := range map[string]time.Time{
		".x.json." + id + ".tmp":           old,
		"sub/.x.json." + id + ".tmp":       old,
		".y.json." + id + ".tmp":           young,
		".x.json." + id[1:] + ".tmp":       old,
		".x.json.NOTHEX" + id[6:] + ".tmp": old,
		"x.json." + id + ".tmp":            old,
		".." + id + ".tmp":                 old,
		".vimrc.tmp":                       old,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, root, func() time.Time { return now })
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root, true); len(got) != 7 {
		t.Errorf("after Check: %q, want all but the old one in the root", got)
	}
	if _, err := s.Put(t.Context(), object("sub/k", "x")); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root, true); len(got) != 6 {
		t.Errorf("after Put: %q, want sub swept", got)
	}
}

// TestSecondTry: what a killed try of the same object left behind is used up.
func TestSecondTry(t *testing.T) {
	root := t.TempDir()
	s := newSink(t, root, nil)
	var temp []string
	o := object("a/k", "whole")
	o.Write = func(io.Writer) error {
		temp = list(t, root, true)
		return errors.New("stop")
	}
	if _, err := s.Put(t.Context(), o); err == nil || len(temp) != 1 {
		t.Fatalf("got %v with temporary files %q", err, temp)
	}
	if err := os.WriteFile(filepath.Join(root, temp[0]), []byte("half an object that is long"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), object("a/k", "whole")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "a/k")); string(b) != "whole" {
		t.Errorf("got %q", b)
	}
	if got := list(t, root, true); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestFolderRemoved: an operator who tidies up does not stop the delivery.
func TestFolderRemoved(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	s := newSink(t, root, nil)
	for range 3 {
		if _, err := s.Put(t.Context(), object("a/b/k", "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckSaysWhat(t *testing.T) {
	if _, err := dir.New(dir.Options{}); err == nil {
		t.Error("New took an empty path")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := newSink(t, filepath.Join(file, "below"), nil).Check(t.Context())
	if err == nil || sinks.ClassOf(err) != sinks.Fix || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want class fix and the path", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newSink(t, t.TempDir(), nil).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
