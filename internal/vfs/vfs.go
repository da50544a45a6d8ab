// Package vfs is the one seam through which the daemon touches files whose
// bytes must survive a crash: the log, and objects written to directories.
//
// OS is the real thing. The other file systems of this package exist for
// tests: one forgets what was not synced, one fails on demand. The package
// does not decide what to sync or when.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Methods may be called concurrently. Errors are those of
// package os (fs.ErrNotExist, syscall.ENOSPC, ... found by errors.Is).
type FS interface {
	// OpenFile opens a file with the flags of package os.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	MkdirAll(dir string, perm fs.FileMode) error
	Rename(oldName, newName string) error
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a directory by name.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// SyncDir makes creations, renames and removals in a directory durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, made if needed, that ends with
	// the process at the latest. ErrLocked if somebody holds it.
	Lock(name string) (io.Closer, error)
	// Space returns the bytes that are free to this process, and all bytes, of
	// the file system that holds dir.
	Space(dir string) (free, total int64, err error)
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	// Sync makes the file's bytes and size durable (fdatasync).
	Sync() error
}

// WritebackStarter is a File that can begin to write bytes to the disk ahead
// of a Sync, so that the Sync has little left to do. It is a hint: it waits
// for nothing and promises nothing.
type WritebackStarter interface {
	StartWriteback(off, n int64)
}
