// Package errfs wraps a file system so that a test decides which operation
// fails, how, and how long it takes.
package errfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/firehosed/firehosed/internal/vfs"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations.
const (
	Open     Kind = "open"
	Create   Kind = "create" // an open that may make the file
	Mkdir    Kind = "mkdir"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	Stat     Kind = "stat"
	ReadDir  Kind = "readdir"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
	Space    Kind = "space"
	Read     Kind = "read"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
	Close    Kind = "close"
)

// Changes reports whether an operation of the kind alters what is stored.
func (k Kind) Changes() bool {
	switch k {
	case Create, Mkdir, Rename, Remove, SyncDir, Write, Truncate, Sync:
		return true
	}
	return false
}

// Op is one operation that is about to be done.
type Op struct {
	Kind   Kind
	Path   string // of a rename: the old name
	N      int    // of all operations, from 0
	Offset int64  // of a write or read at an offset
	Size   int    // of a write or read
}

// Fault makes an operation fail with Err after a part of it was done. A plain
// error fails it before.
type Fault struct {
	Err error
	// Bytes of a write are done.
	Bytes int
	// Done: all of it is done.
	Done bool
}

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// FS is a vfs.FS that asks a function before every operation.
type FS struct {
	vfs.FS
	mu     sync.Mutex
	n      int
	inject func(Op) error
}

var _ vfs.FS = (*FS)(nil)

// New wraps fsys. inject is called before each operation, one at a time by
// number but not one after the other in time: it may block, to make an
// operation slow, without holding up others. nil lets everything pass.
func New(fsys vfs.FS, inject func(Op) error) *FS { return &FS{FS: fsys, inject: inject} }

// SetInject changes the function that is asked.
func (e *FS) SetInject(inject func(Op) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inject = inject
}

// Ops returns how many operations there were.
func (e *FS) Ops() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

func (e *FS) ask(op Op) error {
	e.mu.Lock()
	op.N = e.n
	e.n++
	inject := e.inject
	e.mu.Unlock()
	if inject == nil {
		return nil
	}
	return inject(op)
}

// do asks, and does the operation unless it is to fail.
func (e *FS) do(op Op, f func() error) error {
	err := e.ask(op)
	if err == nil {
		return f()
	}
	var fault *Fault
	if errors.As(err, &fault) {
		if fault.Done {
			if derr := f(); derr != nil {
				return derr
			}
		}
		err = fault.Err
	}
	return &fs.PathError{Op: string(op.Kind), Path: op.Path, Err: err}
}

// OpenFile implements vfs.FS.
func (e *FS) OpenFile(name string, flag int, perm fs.FileMode) (f vfs.File, err error) {
	kind := Open
	if flag&os.O_CREATE != 0 {
		kind = Create
	}
	err = e.do(Op{Kind: kind, Path: name}, func() error {
		f, err = e.FS.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return nil, err
	}
	return &file{f, e}, nil
}

// MkdirAll implements vfs.FS.
func (e *FS) MkdirAll(dir string, perm fs.FileMode) error {
	return e.do(Op{Kind: Mkdir, Path: dir}, func() error { return e.FS.MkdirAll(dir, perm) })
}

// Rename implements vfs.FS.
func (e *FS) Rename(oldName, newName string) error {
	return e.do(Op{Kind: Rename, Path: oldName}, func() error { return e.FS.Rename(oldName, newName) })
}

// Remove implements vfs.FS.
func (e *FS) Remove(name string) error {
	return e.do(Op{Kind: Remove, Path: name}, func() error { return e.FS.Remove(name) })
}

// Stat implements vfs.FS.
func (e *FS) Stat(name string) (i fs.FileInfo, err error) {
	err = e.do(Op{Kind: Stat, Path: name}, func() error {
		i, err = e.FS.Stat(name)
		return err
	})
	return i, err
}

// ReadDir implements vfs.FS.
func (e *FS) ReadDir(dir string) (list []fs.DirEntry, err error) {
	err = e.do(Op{Kind: ReadDir, Path: dir}, func() error {
		list, err = e.FS.ReadDir(dir)
		return err
	})
	return list, err
}

// SyncDir implements vfs.FS.
func (e *FS) SyncDir(dir string) error {
	return e.do(Op{Kind: SyncDir, Path: dir}, func() error { return e.FS.SyncDir(dir) })
}

// Lock implements vfs.FS.
func (e *FS) Lock(name string) (c io.Closer, err error) {
	err = e.do(Op{Kind: Lock, Path: name}, func() error {
		c, err = e.FS.Lock(name)
		return err
	})
	return c, err
}

// Space implements vfs.FS.
func (e *FS) Space(dir string) (free, total int64, err error) {
	err = e.do(Op{Kind: Space, Path: dir}, func() error {
		free, total, err = e.FS.Space(dir)
		return err
	})
	return free, total, err
}

type file struct {
	vfs.File
	e *FS
}

func (f *file) io(kind Kind, p []byte, off int64, do func(p []byte) (int, error)) (n int, err error) {
	op := Op{Kind: kind, Path: f.Name(), Offset: off, Size: len(p)}
	err = f.e.ask(op)
	if err == nil {
		return do(p)
	}
	var fault *Fault
	if errors.As(err, &fault) {
		part := min(fault.Bytes, len(p))
		if fault.Done {
			part = len(p)
		}
		if part > 0 {
			var derr error
			if n, derr = do(p[:part]); derr != nil {
				return n, derr
			}
		}
		err = fault.Err
	}
	return n, &fs.PathError{Op: string(kind), Path: f.Name(), Err: err}
}

func (f *file) Read(p []byte) (int, error) { return f.io(Read, p, -1, f.File.Read) }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	return f.io(Read, p, off, func(p []byte) (int, error) { return f.File.ReadAt(p, off) })
}

func (f *file) Write(p []byte) (int, error) { return f.io(Write, p, -1, f.File.Write) }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.io(Write, p, off, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *file) Truncate(size int64) error {
	return f.e.do(Op{Kind: Truncate, Path: f.Name(), Offset: size}, func() error { return f.File.Truncate(size) })
}

func (f *file) Sync() error {
	return f.e.do(Op{Kind: Sync, Path: f.Name()}, f.File.Sync)
}

func (f *file) Close() error {
	return f.e.do(Op{Kind: Close, Path: f.Name()}, f.File.Close)
}
