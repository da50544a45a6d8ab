package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFile uses fdatasync: a file that was written in full before needs no
// commit of the file system's own journal then.
func syncFile(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	// Control holds the descriptor, so that a concurrent Close cannot hand it
	// to another file. It fails only if the file is closed.
	err = c.Control(func(fd uintptr) {
		for {
			serr = unix.Fdatasync(int(fd))
			if serr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: os.ErrClosed}
	}
	if serr != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: serr}
	}
	return nil
}

// startWriteback asks the kernel to begin writing a range. It waits for
// nothing, and takes no error away from a later fdatasync.
func startWriteback(f *os.File, off, n int64) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	}) // a hint: whether it is taken shows in nothing but time
}
