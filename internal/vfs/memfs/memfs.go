// Package memfs is a file system in memory that forgets, as a power cut does,
// what was not synced. It serves tests of what survives a crash.
//
// It knows of every file what was synced and what was written since, and of
// every directory which creations, renames and removals were. Crash returns
// the file system as it might be found afterwards: of each 512-byte sector
// written since the last sync the old or the new content, of each change of a
// directory either that it happened or that it did not, a rename as a whole.
//
// It does not model permissions, links, or a crash that alters synced bytes.
package memfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// sector is what a disk writes whole.
const sector = 512

// FS is a vfs.FS. The zero value is not usable; call New.
type FS struct {
	mu       sync.Mutex
	capacity int64 // 0: none
	used     int64
	now      map[string]*node // by clean path
	synced   map[string]*node
	pending  []change
	locks    map[string]bool
}

var _ vfs.FS = (*FS)(nil)

// node is a file or directory.
type node struct {
	dir    bool
	data   []byte
	synced []byte
	dirty  []span // sectors written since the last sync
}

// span is a range of bytes, whole sectors.
type span struct{ from, to int64 }

// change is what one operation did to names: all of it happens, or nothing.
type change struct {
	names []string
	nodes []*node // nil: the name went away
}

// New returns an empty file system with a root directory.
func New() *FS {
	root := &node{dir: true}
	return &FS{
		now: map[string]*node{"/": root, ".": root}, synced: map[string]*node{"/": root, ".": root},
		locks: map[string]bool{},
	}
}

// SetCapacity bounds the bytes of all files together; writes beyond it give
// ENOSPC. 0 means no bound.
func (m *FS) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// Used returns the bytes of all files together.
func (m *FS) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Crash returns what a power cut at this moment might leave, decided by rng.
// The file system itself stays as it is; locks are gone in what is returned.
func (m *FS) Crash(rng *rand.Rand) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]*node, len(m.synced))
	for name, n := range m.synced {
		names[name] = n
	}
	keep := rng.IntN(101) // percent of the changes that survive
	for _, c := range m.pending {
		if rng.IntN(100) < keep {
			c.apply(names)
		}
	}
	out := &FS{capacity: m.capacity, now: map[string]*node{}, synced: map[string]*node{}, locks: map[string]bool{}}
	clones := make(map[*node]*node)
	for _, name := range sorted(names) {
		if name != "/" && name != "." {
			if parent := names[filepath.Dir(name)]; parent == nil || !parent.dir {
				continue // its directory did not survive
			}
		}
		n := names[name]
		c := clones[n]
		if c == nil {
			c = n.crash(rng)
			clones[n] = c
			out.used += int64(len(c.data))
		}
		out.now[name], out.synced[name] = c, c
	}
	return out
}

// Kill returns what a process that is killed at this moment leaves: all that was
// written, taken as synced. The file system itself stays as it is; locks are gone
// in what is returned.
func (m *FS) Kill() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &FS{capacity: m.capacity, used: m.used, now: make(map[string]*node, len(m.now)), synced: make(map[string]*node, len(m.now)), locks: map[string]bool{}}
	for name, n := range m.now {
		c := &node{dir: n.dir, data: slices.Clone(n.data), synced: slices.Clone(n.data)}
		out.now[name], out.synced[name] = c, c
	}
	return out
}

func sorted(names map[string]*node) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (c *change) apply(names map[string]*node) {
	for i, name := range c.names {
		if c.nodes[i] == nil {
			delete(names, name)
		} else {
			names[name] = c.nodes[i]
		}
	}
}

// crash decides sector by sector.
func (n *node) crash(rng *rand.Rand) *node {
	if n.dir {
		return &node{dir: true}
	}
	size := int64(len(n.synced))
	if cur := int64(len(n.data)); cur != size {
		switch rng.IntN(3) {
		case 0:
			size = cur
		case 1:
			if cur > size {
				size += (rng.Int64N(cur-size+1) + sector - 1) / sector * sector
				size = min(size, cur)
			}
		}
	}
	out := make([]byte, size)
	copy(out, n.synced)
	keep := rng.IntN(101)
	if rng.IntN(4) == 0 {
		keep = 100
	}
	for _, d := range n.dirty {
		for at := d.from; at < d.to && at < size; at += sector {
			if rng.IntN(100) >= keep {
				continue
			}
			end := min(at+sector, size)
			clear(out[at:end])
			if at < int64(len(n.data)) {
				copy(out[at:end], n.data[at:])
			}
		}
	}
	return &node{data: out, synced: slices.Clone(out)}
}

func (n *node) mark(from, to int64) {
	from, to = from/sector*sector, (to+sector-1)/sector*sector
	if k := len(n.dirty); k > 0 && from <= n.dirty[k-1].to && to >= n.dirty[k-1].from {
		n.dirty[k-1] = span{min(from, n.dirty[k-1].from), max(to, n.dirty[k-1].to)}
		return
	}
	n.dirty = append(n.dirty, span{from, to})
}

func clean(name string) string { return filepath.Clean(name) }

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// note records a change of names. m.mu is held.
func (m *FS) note(c change) {
	c.apply(m.now)
	m.pending = append(m.pending, c)
}

// OpenFile implements vfs.FS.
func (m *FS) OpenFile(name string, flag int, _ fs.FileMode) (vfs.File, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathErr("open", name, fs.ErrNotExist)
	case n == nil:
		if p := m.now[filepath.Dir(name)]; p == nil || !p.dir {
			return nil, pathErr("open", name, fs.ErrNotExist)
		}
		n = &node{}
		m.note(change{[]string{name}, []*node{n}})
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathErr("open", name, fs.ErrExist)
	case n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, pathErr("open", name, syscall.EISDIR)
	case flag&os.O_TRUNC != 0:
		n.mark(0, int64(len(n.data)))
		m.used -= int64(len(n.data))
		n.data = nil
	}
	return &file{m: m, n: n, name: name, flag: flag}, nil
}

// MkdirAll implements vfs.FS.
func (m *FS) MkdirAll(dir string, _ fs.FileMode) error {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if n := m.now[d]; n != nil {
			if !n.dir {
				return pathErr("mkdir", d, syscall.ENOTDIR)
			}
			break
		}
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		m.note(change{[]string{d}, []*node{{dir: true}}})
	}
	return nil
}

// Rename implements vfs.FS.
func (m *FS) Rename(oldName, newName string) error {
	oldName, newName = clean(oldName), clean(newName)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[oldName]
	if n == nil {
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	if p := m.now[filepath.Dir(newName)]; p == nil || !p.dir {
		return pathErr("rename", newName, fs.ErrNotExist)
	}
	if old := m.now[newName]; old != nil && old != n {
		m.used -= int64(len(old.data))
	}
	c := change{[]string{oldName, newName}, []*node{nil, n}}
	if n.dir {
		for name, sub := range m.now {
			if rest, ok := strings.CutPrefix(name, oldName+"/"); ok {
				c.names = append(c.names, name, filepath.Join(newName, rest))
				c.nodes = append(c.nodes, nil, sub)
			}
		}
	}
	m.note(c)
	return nil
}

// Remove implements vfs.FS.
func (m *FS) Remove(name string) error {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[name]
	if n == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	if n.dir {
		for other := range m.now {
			if strings.HasPrefix(other, name+"/") {
				return pathErr("remove", name, syscall.ENOTEMPTY)
			}
		}
	}
	m.used -= int64(len(n.data))
	m.note(change{[]string{name}, []*node{nil}})
	return nil
}

// Stat implements vfs.FS.
func (m *FS) Stat(name string) (fs.FileInfo, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[name]
	if n == nil {
		return nil, pathErr("stat", name, fs.ErrNotExist)
	}
	return info{filepath.Base(name), int64(len(n.data)), n.dir}, nil
}

// ReadDir implements vfs.FS.
func (m *FS) ReadDir(dir string) ([]fs.DirEntry, error) {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.now[dir]; n == nil || !n.dir {
		return nil, pathErr("readdir", dir, fs.ErrNotExist)
	}
	var out []fs.DirEntry
	for _, name := range sorted(m.now) {
		if name != dir && name != "/" && name != "." && filepath.Dir(name) == dir {
			n := m.now[name]
			out = append(out, fs.FileInfoToDirEntry(info{filepath.Base(name), int64(len(n.data)), n.dir}))
		}
	}
	return out, nil
}

// SyncDir implements vfs.FS.
func (m *FS) SyncDir(dir string) error {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.now[dir]; n == nil || !n.dir {
		return pathErr("syncdir", dir, fs.ErrNotExist)
	}
	m.pending = slices.DeleteFunc(m.pending, func(c change) bool {
		for _, name := range c.names {
			if filepath.Dir(name) == dir {
				c.apply(m.synced)
				return true
			}
		}
		return false
	})
	return nil
}

// Lock implements vfs.FS.
func (m *FS) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, errors.Join(pathErr("lock", name, vfs.ErrLocked), f.(*file).closeLocked())
	}
	m.locks[name] = true
	return &lock{m: m, name: name}, nil
}

type lock struct {
	m    *FS
	name string
}

func (l *lock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

// Space implements vfs.FS. Without a capacity there is a terabyte.
func (m *FS) Space(string) (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total = m.capacity
	if total == 0 {
		total = 1 << 40
	}
	return max(0, total-m.used), total, nil
}

type file struct {
	m      *FS
	n      *node
	name   string
	flag   int
	at     int64
	closed bool
}

func (f *file) Name() string { return f.name }

func (f *file) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.closeLocked()
}

func (f *file) closeLocked() error {
	if f.closed {
		return pathErr("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}

func (f *file) check(op string, write bool) error {
	if f.closed {
		return pathErr(op, f.name, fs.ErrClosed)
	}
	if f.n.dir {
		return pathErr(op, f.name, syscall.EISDIR)
	}
	mode := f.flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	if (write && mode == os.O_RDONLY) || (!write && mode == os.O_WRONLY) {
		return pathErr(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *file) Read(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	n, err := f.readAt(p, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.readAt(p, off)
}

func (f *file) readAt(p []byte, off int64) (int, error) {
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.n.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.flag&os.O_APPEND != 0 {
		f.at = int64(len(f.n.data))
	}
	n, err := f.writeAt(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.writeAt(p, off)
}

func (f *file) writeAt(p []byte, off int64) (int, error) {
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("write", f.name, syscall.EINVAL)
	}
	var full error
	if grow := off + int64(len(p)) - int64(len(f.n.data)); grow > 0 {
		if room := f.m.capacity - f.m.used; f.m.capacity > 0 && grow > room {
			full = pathErr("write", f.name, syscall.ENOSPC)
			p = p[:max(0, int64(len(p))-grow+max(0, room))]
		}
		f.resize(max(int64(len(f.n.data)), off+int64(len(p))))
	}
	if len(p) == 0 {
		return 0, full
	}
	n := copy(f.n.data[off:], p)
	f.n.mark(off, off+int64(n))
	return n, full
}

// resize sets the size; new bytes are zero.
func (f *file) resize(size int64) {
	old := int64(len(f.n.data))
	if size <= old {
		f.n.data = f.n.data[:size:size]
	} else if size <= int64(cap(f.n.data)) {
		f.n.data = f.n.data[:size]
		clear(f.n.data[old:])
	} else {
		f.n.data = append(f.n.data, make([]byte, size-old)...)
	}
	f.m.used += size - old
	f.n.mark(min(old, size), max(old, size))
}

func (f *file) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathErr("truncate", f.name, syscall.EINVAL)
	}
	f.resize(size)
	return nil
}

func (f *file) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return pathErr("sync", f.name, fs.ErrClosed)
	}
	n := f.n
	size := len(n.data)
	if len(n.synced) > size {
		n.synced = n.synced[:size]
	}
	if len(n.synced) < size {
		n.synced = append(n.synced, make([]byte, size-len(n.synced))...)
	}
	for _, d := range n.dirty {
		if d.from < int64(size) {
			copy(n.synced[d.from:], n.data[d.from:min(d.to, int64(size))])
		}
	}
	n.dirty = nil
	return nil
}

func (f *file) Stat() (fs.FileInfo, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return nil, pathErr("stat", f.name, fs.ErrClosed)
	}
	return info{filepath.Base(f.name), int64(len(f.n.data)), f.n.dir}, nil
}

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
