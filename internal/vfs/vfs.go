// Package vfs is the one seam through which the daemon touches files whose
// bytes must survive a crash: the log, and objects written to directories.
//
// OS is the real thing. The other file systems of this package exist for
// tests: one forgets what was not synced, one fails on demand. The package
// does not decide what to sync or when.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"unsafe"
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

// CacheDropper is a File of which the system can be told to keep no bytes in
// memory: what it has written of them is forgotten. It is a hint.
type CacheDropper interface {
	// DropCache is for n bytes from off on; 0 means to the end.
	DropCache(off, n int64)
}

// DropCache has the next reads of a range of f come from the disk, if f can.
func DropCache(f File, off, n int64) {
	if d, ok := f.(CacheDropper); ok {
		d.DropCache(off, n)
	}
}

// Allocator is a File that can take space of the disk without writing to it.
type Allocator interface {
	// Allocate makes an empty file size bytes long, of zeros whose space is
	// taken. It gives ENOSPC, or errors.ErrUnsupported where that cannot be had.
	Allocate(size int64) error
}

// Allocate is f's own, if it has one, or errors.ErrUnsupported.
func Allocate(f File, size int64) error {
	if a, ok := f.(Allocator); ok {
		return a.Allocate(size)
	}
	return errors.ErrUnsupported
}

// VectorWriter is a File that writes several buffers with one operation, one
// after the other from off on.
type VectorWriter interface {
	WriteVecAt(bufs [][]byte, off int64) (int, error)
}

// WriteVecAt writes buffers one after the other from off on, with one
// operation if f can. It does not keep bufs.
func WriteVecAt(f File, bufs [][]byte, off int64) (n int, err error) {
	if w, ok := f.(VectorWriter); ok {
		return w.WriteVecAt(bufs, off)
	}
	for _, b := range bufs {
		k, err := f.WriteAt(b, off+int64(n))
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// DirectOpener is an FS that can open files whose writes go past the page cache.
type DirectOpener interface {
	// OpenDirect is OpenFile for a file that is written by whole blocks of
	// BlockBytes, from memory that begins at a multiple of it (Aligned). Where the
	// file system, or a single write, does not allow it, the file is written
	// as any other.
	OpenDirect(name string, flag int, perm fs.FileMode) (File, error)
}

// OpenDirect opens a file past the page cache if fsys can.
func OpenDirect(fsys FS, name string, flag int, perm fs.FileMode) (File, error) {
	if d, ok := fsys.(DirectOpener); ok {
		return d.OpenDirect(name, flag, perm)
	}
	return fsys.OpenFile(name, flag, perm)
}

// BlockBytes is what a disk writes whole, and a page of memory.
const BlockBytes = 4096

// Aligned returns n zero bytes that begin at a multiple of BlockBytes in memory.
func Aligned(n int) []byte {
	b := make([]byte, n)
	if n == 0 || address(b)%BlockBytes == 0 { // as all large pieces of the heap are
		return b
	}
	b = make([]byte, n+BlockBytes)
	off := int(-address(b) % BlockBytes) //nolint:gosec // Below BlockBytes.
	return b[off : off+n : off+n]
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
