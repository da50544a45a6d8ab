package vfs

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// control is one call of the system with the descriptor of a file, and what it
// needs and gives. The log makes one for every few records, so they are used
// again: a closure and its variables would be allocated for each.
type control struct {
	call   func(fd int, c *control)
	on     bool
	off, n int64
	bufs   [][]byte // what is still to be written, a part of all
	all    [][]byte
	wrote  int
	err    error // of the call

	do func(fd uintptr) // has call called, the same for all its life
}

var controls = sync.Pool{New: func() any {
	c := new(control)
	c.do = func(fd uintptr) { c.call(int(fd), c) }
	return c
}}

// newControl returns one that only its caller knows, until it gives it back
// with put.
func newControl(call func(int, *control)) *control {
	c := controls.Get().(*control) //nolint:forcetypeassert // The only type in the pool.
	c.call = call
	return c
}

func (c *control) put() {
	clear(c.all) // they are large
	*c = control{all: c.all[:0], do: c.do}
	controls.Put(c)
}

// run makes the call. It holds the descriptor, so that a concurrent Close cannot
// hand it to another file, and fails only if the file is closed.
func (f *osFile) run(c *control, name string) error {
	if f.conn.Control(c.do) != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: os.ErrClosed}
	}
	return nil
}

// syncData uses fdatasync: a file that was written in full before needs no
// commit of the file system's own journal then.
func (f *osFile) syncData() error {
	c := newControl(fdatasync)
	defer c.put()
	if err := f.run(c, "fdatasync"); err != nil {
		return err
	}
	if c.err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: c.err}
	}
	return nil
}

func fdatasync(fd int, c *control) {
	for {
		c.err = unix.Fdatasync(fd)
		if !errors.Is(c.err, unix.EINTR) {
			return
		}
	}
}

// startWriteback asks the kernel to begin writing a range. It waits for
// nothing, and takes no error away from a later fdatasync.
func (f *osFile) startWriteback(off, n int64) {
	c := newControl(syncFileRange)
	defer c.put()
	c.off, c.n = off, n
	_ = f.run(c, "sync_file_range") // a hint: whether it is taken shows in nothing but time
}

func syncFileRange(fd int, c *control) {
	_ = unix.SyncFileRange(fd, c.off, c.n, unix.SYNC_FILE_RANGE_WRITE)
}

// dropCache asks the kernel to let go of the clean pages of a range.
func (f *osFile) dropCache(off, n int64) {
	c := newControl(fadviseDontNeed)
	defer c.put()
	c.off, c.n = off, n
	_ = f.run(c, "fadvise") // a hint: whether it is taken shows in nothing but time
}

func fadviseDontNeed(fd int, c *control) {
	_ = unix.Fadvise(fd, c.off, c.n, unix.FADV_DONTNEED)
}

// allocate takes the space of a file, as far as the file system can do that
// without writing.
func (f *osFile) allocate(size int64) error {
	c := newControl(fallocate)
	defer c.put()
	c.n = size
	if err := f.run(c, "fallocate"); err != nil {
		return err
	}
	switch {
	case errors.Is(c.err, unix.EOPNOTSUPP), errors.Is(c.err, unix.ENOSYS):
		return errors.ErrUnsupported
	case c.err != nil:
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: c.err}
	}
	return nil
}

func fallocate(fd int, c *control) {
	for {
		c.err = unix.Fallocate(fd, 0, 0, c.n)
		if !errors.Is(c.err, unix.EINTR) {
			return
		}
	}
}

// setDirect has writes go past the page cache, or through it again, and reports
// whether the file system does so. It fails only if the file is closed, which the
// next write tells.
func (f *osFile) setDirect(on bool) bool {
	c := newControl(flipDirect)
	defer c.put()
	c.on = on
	return f.run(c, "fcntl") == nil && c.err == nil
}

func flipDirect(fd int, c *control) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0) //nolint:gosec // It was one.
	if err == nil && (flags&unix.O_DIRECT != 0) == c.on {
		err = errors.ErrUnsupported // it does already: this is not why a write failed
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags^unix.O_DIRECT) //nolint:gosec // It was one.
	}
	c.err = err
}

// WriteAt implements io.WriterAt.
func (f *osFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	if errors.Is(err, unix.EINVAL) && n == 0 && f.setDirect(false) {
		return f.File.WriteAt(b, off) // a file system that takes the flag, but not the write
	}
	return n, err
}

// vectorMax is how many buffers one call takes (IOV_MAX).
const vectorMax = 1024

// WriteVecAt implements VectorWriter.
func (f *osFile) WriteVecAt(bufs [][]byte, off int64) (n int, err error) {
	c := newControl(pwritev)
	defer c.put()
	c.all = append(c.all, bufs...)
	c.bufs = c.all
	for len(c.bufs) > 0 {
		c.off = off + int64(n)
		if err := f.run(c, "write"); err != nil {
			return n, err
		}
		k, werr := max(c.wrote, 0), c.err
		n += k
		switch {
		case werr == nil && k == 0:
			werr = io.ErrShortWrite
		case errors.Is(werr, unix.EINTR):
			continue
		case errors.Is(werr, unix.EINVAL) && f.setDirect(false):
			continue
		}
		if werr != nil {
			return n, &os.PathError{Op: "write", Path: f.Name(), Err: werr}
		}
		for k > 0 && len(c.bufs) > 0 {
			if k < len(c.bufs[0]) {
				c.bufs[0] = c.bufs[0][k:]
				break
			}
			k -= len(c.bufs[0])
			c.bufs = c.bufs[1:]
		}
	}
	return n, nil
}

func pwritev(fd int, c *control) {
	c.wrote, c.err = unix.Pwritev(fd, c.bufs[:min(len(c.bufs), vectorMax)], c.off)
}
