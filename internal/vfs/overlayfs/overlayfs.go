// Package overlayfs is a view of a file system whose changes stay in memory: it
// shows what some work on the files would do, and leaves them as they are.
//
// The view is that of one process: files that others change below it show
// through where they were not changed above. Nothing is durable, so Sync only
// succeeds. Locks are real.
package overlayfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// page is the unit in which written bytes are kept. What is written over a whole
// one needs nothing of what is below: that may be a block that cannot be read.
const page = vfs.BlockBytes

// FS is a vfs.FS over another one.
type FS struct {
	base vfs.FS

	mu    sync.Mutex
	nodes map[string]*node // what differs from base, by path
}

var _ vfs.FS = (*FS)(nil)

// New returns a view of base.
func New(base vfs.FS) *FS { return &FS{base: base, nodes: map[string]*node{}} }

// node is a path that differs from base, or a file that was opened.
type node struct {
	gone bool
	dir  bool
	// base is the file of the base file system that shows through, "" for none,
	// up to limit.
	base string

	mu    sync.RWMutex
	limit int64
	size  int64
	pages map[int64][]byte
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// look returns the node of a path, one that shows the base through if it is
// there, or nil. The caller holds o.mu.
func (o *FS) look(name string) (*node, error) {
	if n := o.nodes[name]; n != nil {
		if n.gone {
			return nil, nil //nolint:nilnil // Not there is no error here.
		}
		return n, nil
	}
	if o.hidden(filepath.Dir(name)) {
		return nil, nil //nolint:nilnil // As above.
	}
	i, err := o.base.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // As above.
	}
	if err != nil {
		return nil, err
	}
	return &node{dir: i.IsDir(), base: name, limit: i.Size(), size: i.Size()}, nil
}

// hidden reports whether a directory above was removed or moved away, and
// perhaps made again: what base has in it does not show then.
func (o *FS) hidden(dir string) bool {
	for {
		if n := o.nodes[dir]; n != nil && (n.gone || n.base == "") {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

// OpenFile implements vfs.FS.
func (o *FS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.look(name)
	switch {
	case err != nil:
		return nil, err
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathErr("open", name, fs.ErrNotExist)
	case n == nil:
		up, err := o.look(filepath.Dir(name))
		if err != nil {
			return nil, err
		}
		if up == nil || !up.dir {
			return nil, pathErr("open", name, fs.ErrNotExist)
		}
		n = &node{}
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathErr("open", name, fs.ErrExist)
	case n.dir:
		return nil, pathErr("open", name, errors.New("is a directory"))
	}
	f := &file{name: name, n: n, write: flag&(os.O_WRONLY|os.O_RDWR) != 0}
	if n.base != "" {
		if f.base, err = o.base.OpenFile(n.base, os.O_RDONLY, perm); err != nil {
			return nil, err
		}
	}
	if f.write || n.base == "" {
		o.nodes[name] = n
	}
	if flag&os.O_TRUNC != 0 {
		n.truncate(0)
	}
	return f, nil
}

// MkdirAll implements vfs.FS.
func (o *FS) MkdirAll(dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	o.mu.Lock()
	n, err := o.look(dir)
	if err == nil && n != nil && !n.dir {
		err = pathErr("mkdir", dir, errors.New("not a directory"))
	}
	if err != nil || n != nil {
		o.mu.Unlock()
		return err
	}
	o.nodes[dir] = &node{dir: true}
	o.mu.Unlock()
	if up := filepath.Dir(dir); up != dir {
		return o.MkdirAll(up, perm)
	}
	return nil
}

// Rename implements vfs.FS.
func (o *FS) Rename(oldName, newName string) error {
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.look(oldName)
	if err != nil {
		return err
	}
	if n == nil {
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	return o.move(n, oldName, newName)
}

func (o *FS) move(n *node, from, to string) error {
	if !n.dir {
		o.nodes[to], o.nodes[from] = n, &node{gone: true}
		return nil
	}
	list, err := o.list(from)
	if err != nil {
		return err
	}
	o.nodes[to] = &node{dir: true}
	for _, e := range list {
		c, err := o.look(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if c != nil {
			if err := o.move(c, filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	o.nodes[from] = &node{gone: true}
	return nil
}

// Remove implements vfs.FS.
func (o *FS) Remove(name string) error {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.look(name)
	if err != nil {
		return err
	}
	if n == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	if n.dir {
		list, err := o.list(name)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			return pathErr("remove", name, errors.New("directory not empty"))
		}
	}
	o.nodes[name] = &node{gone: true}
	return nil
}

// Stat implements vfs.FS.
func (o *FS) Stat(name string) (fs.FileInfo, error) {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.look(name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, pathErr("stat", name, fs.ErrNotExist)
	}
	return n.info(name), nil
}

// ReadDir implements vfs.FS.
func (o *FS) ReadDir(dir string) ([]fs.DirEntry, error) {
	dir = filepath.Clean(dir)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.look(dir)
	if err != nil {
		return nil, err
	}
	if n == nil || !n.dir {
		return nil, pathErr("readdir", dir, fs.ErrNotExist)
	}
	return o.list(dir)
}

// list merges what base has in a directory with the nodes. The caller holds
// o.mu.
func (o *FS) list(dir string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	if !o.hidden(dir) {
		list, err := o.base.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			if o.nodes[filepath.Join(dir, e.Name())] == nil {
				out = append(out, e)
			}
		}
	}
	for name, n := range o.nodes {
		if !n.gone && filepath.Dir(name) == dir && name != dir {
			out = append(out, fs.FileInfoToDirEntry(n.info(name)))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// SyncDir implements vfs.FS.
func (o *FS) SyncDir(dir string) error {
	_, err := o.Stat(dir)
	return err
}

// Lock implements vfs.FS: the lock of the base.
func (o *FS) Lock(name string) (io.Closer, error) { return o.base.Lock(name) }

// Space implements vfs.FS.
func (o *FS) Space(dir string) (free, total int64, err error) { return o.base.Space(dir) }

func (n *node) truncate(size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limit = min(n.limit, size)
	for at, p := range n.pages {
		if at >= size {
			delete(n.pages, at)
		} else if at+page > size {
			clear(p[size-at:])
		}
	}
	n.size = size
}

func (n *node) readAt(base vfs.File, p []byte, off int64) (int, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	got := 0
	for got < len(p) && off < n.size {
		at := off &^ (page - 1)
		k := int(min(at+page, n.size) - off)
		part := p[got:min(len(p), got+k)]
		if err := n.fill(base, part, off, at); err != nil {
			return got, err
		}
		got += len(part)
		off += int64(len(part))
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

// fill reads bytes of one page.
func (n *node) fill(base vfs.File, part []byte, off, at int64) error {
	if p := n.pages[at]; p != nil {
		copy(part, p[off-at:])
		return nil
	}
	clear(part)
	if base == nil || off >= n.limit {
		return nil
	}
	_, err := base.ReadAt(part[:min(int64(len(part)), n.limit-off)], off)
	if errors.Is(err, io.EOF) {
		err = nil // it became shorter below
	}
	return err
}

func (n *node) writeAt(base vfs.File, p []byte, off int64) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if n.pages == nil {
		n.pages = map[int64][]byte{}
	}
	done := 0
	for done < len(p) {
		at := off &^ (page - 1)
		b := n.pages[at]
		if b == nil {
			b = make([]byte, page)
			if off > at || len(p)-done < page {
				if err := n.fill(base, b, at, at); err != nil {
					return done, err
				}
			}
			n.pages[at] = b
		}
		k := copy(b[off-at:], p[done:])
		done += k
		off += int64(k)
	}
	n.size = max(n.size, off)
	return done, nil
}

func (n *node) info(name string) info {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return info{filepath.Base(name), n.size, n.dir}
}

// file is an open file of the view.
type file struct {
	name  string
	n     *node
	base  vfs.File // nil if nothing shows through
	write bool

	mu     sync.Mutex
	pos    int64
	closed bool
}

func (f *file) check(op string, write bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return pathErr(op, f.name, fs.ErrClosed)
	case write && !f.write:
		return pathErr(op, f.name, fs.ErrPermission)
	}
	return nil
}

func (f *file) Name() string { return f.name }

func (f *file) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.n.readAt(f.base, p, f.pos)
	f.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	return f.n.readAt(f.base, p, off)
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.n.writeAt(f.base, p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	return f.n.writeAt(f.base, p, off)
}

func (f *file) Truncate(size int64) error {
	if err := f.check("truncate", true); err != nil {
		return err
	}
	f.n.truncate(size)
	return nil
}

func (f *file) Sync() error { return f.check("sync", false) }

func (f *file) Stat() (fs.FileInfo, error) {
	if err := f.check("stat", false); err != nil {
		return nil, err
	}
	return f.n.info(f.name), nil
}

func (f *file) Close() error {
	if err := f.check("close", false); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.base != nil {
		return f.base.Close()
	}
	return nil
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
