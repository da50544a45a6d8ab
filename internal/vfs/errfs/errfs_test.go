package errfs_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
)

func TestNthOperationFails(t *testing.T) {
	run := func(fsys vfs.FS) error {
		f, err := fsys.OpenFile("/a", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.Write([]byte("x")); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := fsys.Rename("/a", "/b"); err != nil {
			return err
		}
		return fsys.SyncDir("/")
	}
	kinds := []errfs.Kind{errfs.Create, errfs.Write, errfs.Sync, errfs.Close, errfs.Rename, errfs.SyncDir}
	for n := range len(kinds) + 1 {
		var failed errfs.Kind
		e := errfs.New(memfs.New(), func(op errfs.Op) error {
			if op.N == n {
				failed = op.Kind
				return syscall.EIO
			}
			return nil
		})
		err := run(e)
		if n == len(kinds) {
			if err != nil || e.Ops() != n {
				t.Fatalf("without a fault: %v after %d operations", err, e.Ops())
			}
			continue
		}
		if !errors.Is(err, syscall.EIO) || failed != kinds[n] || !strings.Contains(err.Error(), string(kinds[n])) {
			t.Errorf("operation %d: got %v in %q, want EIO in %q", n, err, failed, kinds[n])
		}
	}
}

func TestFaults(t *testing.T) {
	m := memfs.New()
	var fault error
	e := errfs.New(m, func(op errfs.Op) error {
		if op.Kind == errfs.Write || op.Kind == errfs.Rename {
			return fault
		}
		return nil
	})
	f, err := e.OpenFile("/a", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fault = &errfs.Fault{Err: syscall.ENOSPC, Bytes: 2}
	if n, err := f.WriteAt([]byte("hello"), 0); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("short write: %d, %v", n, err)
	}
	if m.Used() != 2 {
		t.Fatalf("%d bytes were written", m.Used())
	}
	fault = &errfs.Fault{Err: syscall.EIO, Done: true}
	if err := e.Rename("/a", "/b"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("rename: %v", err)
	}
	if _, err := m.Stat("/b"); err != nil {
		t.Fatalf("the rename was to be done: %v", err)
	}
	e.SetInject(nil)
	if err := e.Rename("/b", "/c"); err != nil {
		t.Fatal(err)
	}
}

func TestSlowOperationHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	e := errfs.New(memfs.New(), func(op errfs.Op) error {
		if op.Kind == errfs.Sync {
			close(entered)
			<-release
		}
		return nil
	})
	f, err := e.OpenFile("/a", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- f.Sync() }()
	<-entered
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
