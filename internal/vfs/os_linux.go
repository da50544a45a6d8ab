package vfs

import (
	"errors"
	"io"
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

// dropCache asks the kernel to let go of the clean pages of a range.
func dropCache(f *os.File, off, n int64) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) {
		_ = unix.Fadvise(int(fd), off, n, unix.FADV_DONTNEED)
	}) // a hint: whether it is taken shows in nothing but time
}

// allocate takes the space of a file, as far as the file system can do that
// without writing.
func allocate(f *os.File, size int64) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = c.Control(func(fd uintptr) {
		for {
			serr = unix.Fallocate(int(fd), 0, 0, size)
			if !errors.Is(serr, unix.EINTR) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: os.ErrClosed}
	case errors.Is(serr, unix.EOPNOTSUPP), errors.Is(serr, unix.ENOSYS):
		return errors.ErrUnsupported
	case serr != nil:
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: serr}
	}
	return nil
}

// setDirect has writes go past the page cache, or through it again, and reports
// whether the file system does so.
func setDirect(f *os.File, on bool) bool {
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	_ = c.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil || (flags&unix.O_DIRECT != 0) == on {
			return
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags^unix.O_DIRECT)
		ok = err == nil
	}) // fails only if the file is closed, which the next write tells
	return ok
}

// WriteAt implements io.WriterAt.
func (f osFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	if errors.Is(err, unix.EINVAL) && n == 0 && setDirect(f.File, false) {
		return f.File.WriteAt(b, off) // a file system that takes the flag, but not the write
	}
	return n, err
}

// vectorMax is how many buffers one call takes (IOV_MAX).
const vectorMax = 1024

// WriteVecAt implements VectorWriter.
func (f osFile) WriteVecAt(bufs [][]byte, off int64) (n int, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	bufs = append(make([][]byte, 0, len(bufs)), bufs...)
	for len(bufs) > 0 {
		var k int
		var werr error
		err := c.Control(func(fd uintptr) {
			k, werr = unix.Pwritev(int(fd), bufs[:min(len(bufs), vectorMax)], off+int64(n))
		})
		if err != nil {
			return n, &os.PathError{Op: "write", Path: f.Name(), Err: os.ErrClosed}
		}
		n += max(k, 0)
		switch {
		case werr == nil && k == 0:
			werr = io.ErrShortWrite
		case errors.Is(werr, unix.EINTR):
			continue
		case errors.Is(werr, unix.EINVAL) && setDirect(f.File, false):
			continue
		}
		if werr != nil {
			return n, &os.PathError{Op: "write", Path: f.Name(), Err: werr}
		}
		for k > 0 && len(bufs) > 0 {
			if k < len(bufs[0]) {
				bufs[0] = bufs[0][k:]
				break
			}
			k -= len(bufs[0])
			bufs = bufs[1:]
		}
	}
	return n, nil
}
