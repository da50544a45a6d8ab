package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked means that another process, or another part of this one, holds the
// lock.
var ErrLocked = errors.New("locked by another process")

// OS returns the file system of the operating system.
//
// Sync is fdatasync on Linux, where it makes the bytes and the size durable
// without the times; elsewhere it is what package os offers.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct {
	*os.File
	conn syscall.RawConn // of File, made once: some calls need it each time
}

func (f *osFile) Sync() error { return f.syncData() }

// StartWriteback implements WritebackStarter.
func (f *osFile) StartWriteback(off, n int64) { f.startWriteback(off, n) }

// Allocate implements Allocator.
func (f *osFile) Allocate(size int64) error { return f.allocate(size) }

// DropCache implements CacheDropper.
func (f *osFile) DropCache(off, n int64) { f.dropCache(off, n) }

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return openFile(name, flag, perm, false)
}

// OpenDirect implements DirectOpener.
func (osFS) OpenDirect(name string, flag int, perm fs.FileMode) (File, error) {
	return openFile(name, flag, perm, true)
}

func openFile(name string, flag int, perm fs.FileMode, direct bool) (File, error) {
	f, err := os.OpenFile(name, flag, perm) //nolint:gosec // The caller's business.
	if err != nil {
		return nil, err
	}
	c, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	of := &osFile{f, c}
	if direct {
		of.setDirect(true) // without it the file is written as any other
	}
	return of, nil
}

func (osFS) MkdirAll(dir string, perm fs.FileMode) error { return os.MkdirAll(dir, perm) }
func (osFS) Rename(oldName, newName string) error        { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error                    { return os.Remove(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)       { return os.Stat(name) }
func (osFS) ReadDir(dir string) ([]fs.DirEntry, error)   { return os.ReadDir(dir) }
func (osFS) SyncDir(dir string) error                    { return syncDir(dir) }

func (osFS) Space(dir string) (free, total int64, err error) {
	free, total, err = space(dir)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return free, total, nil
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}
