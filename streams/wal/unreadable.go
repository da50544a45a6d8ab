package wal

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"syscall"

	"github.com/firehosed/firehosed/internal/vfs"
)

// isUnreadable reports whether a read failed because the disk, or the file
// system, does not have the bytes.
func isUnreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG) || errors.Is(err, syscall.ENODATA)
}

// unreadableReason is that of damage where the disk gave no bytes.
const unreadableReason = "the disk gives no bytes there (input/output error)"

// patchy reads a file of which the disk does not give some blocks: zeros, which
// match no checksum, stand for them, and where that was is kept. It may be used
// concurrently if f may.
type patchy struct {
	f    io.ReaderAt
	size int64                // of the file
	told func(from, to int64) // of each hole, if set

	mu    sync.Mutex
	holes []hole
}

// hole is a range of bytes of a file.
type hole struct{ from, to int64 }

// ReadAt implements io.ReaderAt. Around a place that cannot be read it reads
// smaller pieces, down to a block.
func (p *patchy) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.f.ReadAt(b, off)
	if len(b) == 0 || !isUnreadable(err) {
		return n, err
	}
	from, end := off&^(block-1), (off+int64(len(b))+block-1)&^(block-1)
	if end-from > block {
		middle := (from + (end-from)/2) &^ (block - 1)
		if n, err = p.ReadAt(b[:middle-off], off); err != nil || n < int(middle-off) {
			return n, err
		}
		n, err = p.ReadAt(b[middle-off:], middle)
		return int(middle-off) + n, err
	}
	p.mu.Lock()
	to := min(end, p.size)
	if off >= to {
		p.mu.Unlock()
		return 0, io.EOF
	}
	if h := (hole{from, to}); !slices.Contains(p.holes, h) {
		p.holes = append(p.holes, h)
	}
	p.mu.Unlock()
	if p.told != nil {
		p.told(from, to)
	}
	n = min(len(b), int(to-off))
	clear(b[:n])
	if n < len(b) {
		err = io.EOF
	} else {
		err = nil
	}
	return n, err
}

// hole returns the end of what could not be read at an offset, or the offset.
func (p *patchy) hole(at int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for again := true; again; {
		again = false
		for _, h := range p.holes {
			if h.from <= at && at < h.to {
				at, again = h.to, true
			}
		}
	}
	return at
}

// hit reports whether something in a range could not be read.
func (p *patchy) hit(from, to int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.holes, func(h hole) bool { return h.from < to && from < h.to })
}

// patchyOf returns what knows of holes in what was read of f, or nil.
func patchyOf(f io.ReaderAt) *patchy {
	if h, ok := f.(*handle); ok {
		f = h.File
	}
	switch f := f.(type) {
	case *patchy:
		return f
	case *patchedFile:
		return f.patchy
	}
	return nil
}

// unreadableIn reports whether something in a range of f could not be read.
func unreadableIn(f io.ReaderAt, from, to int64) bool {
	p := patchyOf(f)
	return p != nil && p.hit(from, to)
}

// reasonFor is why a range of f is damaged: because it could not be read, or
// what else it would be.
func reasonFor(f io.ReaderAt, from, to int64, or string) string {
	if unreadableIn(f, from, to) {
		return unreadableReason
	}
	return or
}

// patchedFS is a file system on which reads of what the disk does not give
// succeed, see patchy.
type patchedFS struct {
	vfs.FS
	mu    sync.Mutex
	holes map[string][]hole // by path
}

func newPatchedFS(fsys vfs.FS) *patchedFS { return &patchedFS{FS: fsys, holes: map[string][]hole{}} }

// OpenFile implements vfs.FS.
func (p *patchedFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := p.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &patchedFile{File: f, patchy: &patchy{f: f, told: func(from, to int64) { p.note(name, hole{from, to}) }}}, nil
}

func (p *patchedFS) note(name string, h hole) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.holes[name], h) {
		p.holes[name] = append(p.holes[name], h)
	}
}

// hasHoles reports whether something of a file could not be read, if fsys keeps
// that.
func hasHoles(fsys vfs.FS, path string) bool {
	p, ok := fsys.(*patchedFS)
	if !ok {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.holes[path]) > 0
}

// list returns what could not be read, by file and place.
func (p *patchedFS) list() (out []FileDamage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, holes := range p.holes {
		holes = slices.Clone(holes)
		slices.SortFunc(holes, func(a, b hole) int { return int(a.from - b.from) })
		for i, h := range holes {
			if n := len(out); i > 0 && out[n-1].To >= h.from {
				out[n-1].To = max(out[n-1].To, h.to)
				continue
			}
			out = append(out, FileDamage{File: name, From: h.from, To: h.to, Reason: unreadableReason})
		}
	}
	slices.SortFunc(out, func(a, b FileDamage) int { return compareFileDamage(&a, &b) })
	return out
}

// patchedFile is a file of a patchedFS.
type patchedFile struct {
	vfs.File
	*patchy
	at int64 // of Read
}

// ReadAt implements vfs.File.
func (f *patchedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if !isUnreadable(err) {
		return n, err
	}
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	f.size = st.Size()
	f.mu.Unlock()
	return f.patchy.ReadAt(b, off)
}

// Read implements vfs.File.
func (f *patchedFile) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// DropCache implements vfs.CacheDropper.
func (f *patchedFile) DropCache(off, n int64) { vfs.DropCache(f.File, off, n) }
