package lazyfs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Options of a mount. The zero value lets the kernel cache pages and takes
// O_DIRECT.
type Options struct {
	// RefuseDirect answers EINVAL to an open with O_DIRECT, as some file systems
	// do.
	RefuseDirect bool
	// Uncached sends every read and write here instead of to the page cache.
	Uncached bool
}

// Mount makes the disk appear at a directory. It needs CAP_SYS_ADMIN and
// /dev/fuse. Nothing may be open below dir when unmount is called.
func (d *Disk) Mount(dir string, opt Options) (unmount func() error, err error) {
	var options fs.Options
	options.FsName, options.Name = "lazyfs", "lazyfs"
	options.DirectMountStrict = true
	options.MaxWrite = 512 << 10
	options.RootStableAttr = &fs.StableAttr{Ino: d.root.number}
	server, err := fs.Mount(dir, &node{d: d, n: d.root, opt: opt}, &options)
	if err != nil {
		return nil, fmt.Errorf("mount a FUSE file system at %s: %w", dir, err)
	}
	return func() error {
		if err := server.Unmount(); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		return nil
	}, nil
}

// node is how FUSE sees an inode.
type node struct {
	fs.Inode
	d   *Disk
	n   *inode
	opt Options
}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

// handle is an open file; all is known by its node.
type handle struct{}

// lock starts an operation. The caller unlocks d.mu if it gets 0.
func (d *Disk) lock() syscall.Errno {
	d.mu.Lock()
	if d.off {
		d.mu.Unlock()
		return syscall.EIO
	}
	return 0
}

func (n *inode) kind() uint32 {
	if n.now != nil {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

func (n *inode) attributes(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink = n.number, n.kind()|n.mode, 1
	out.Size, out.Blksize = uint64(len(n.data)), 4096
	out.Blocks = (out.Size + 511) / 512
}

// child is the node of an entry. d.mu is held.
func (p *node) child(ctx context.Context, n *inode, out *fuse.EntryOut) *fs.Inode {
	n.attributes(&out.Attr)
	return p.NewInode(ctx, &node{d: p.d, n: n, opt: p.opt}, fs.StableAttr{Mode: n.kind(), Ino: n.number})
}

func (p *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := p.d.lock(); errno != 0 {
		return nil, errno
	}
	defer p.d.mu.Unlock()
	n := p.n.now[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return p.child(ctx, n, out), 0
}

func (p *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	if errno := p.d.lock(); errno != 0 {
		return nil, errno
	}
	defer p.d.mu.Unlock()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(p.n.now)) {
		n := p.n.now[name]
		list = append(list, fuse.DirEntry{Name: name, Mode: n.kind(), Ino: n.number})
	}
	return fs.NewListDirStream(list), 0
}

func (p *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	p.n.attributes(&out.Attr)
	return 0
}

func (p *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		p.n.resize(int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		p.n.mode = mode & 0o7777
	}
	p.n.attributes(&out.Attr)
	return 0
}

func (p *node) Create(ctx context.Context, file string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if p.refuses(flags) {
		return nil, nil, 0, syscall.EINVAL
	}
	if errno := p.d.lock(); errno != 0 {
		return nil, nil, 0, errno
	}
	defer p.d.mu.Unlock()
	n := p.n.now[file]
	if n == nil {
		n = p.d.inode(false, mode)
		p.d.note(change{{p.n, file, n}})
	}
	return p.child(ctx, n, out), handle{}, p.how(), 0
}

func (p *node) Mkdir(ctx context.Context, dir string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := p.d.lock(); errno != 0 {
		return nil, errno
	}
	defer p.d.mu.Unlock()
	if p.n.now[dir] != nil {
		return nil, syscall.EEXIST
	}
	n := p.d.inode(true, mode)
	p.d.note(change{{p.n, dir, n}})
	return p.child(ctx, n, out), 0
}

func (p *node) Unlink(_ context.Context, file string) syscall.Errno { return p.remove(file) }

func (p *node) Rmdir(_ context.Context, dir string) syscall.Errno { return p.remove(dir) }

func (p *node) remove(entry string) syscall.Errno {
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	switch n := p.n.now[entry]; {
	case n == nil:
		return syscall.ENOENT
	case len(n.now) > 0:
		return syscall.ENOTEMPTY
	}
	p.d.note(change{{p.n, entry, nil}})
	return 0
}

func (p *node) Rename(_ context.Context, from string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.EINVAL // exchanges, and refusals to replace: nobody asks for them
	}
	target, ok := parent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	n := p.n.now[from]
	if n == nil {
		return syscall.ENOENT
	}
	if old := target.n.now[to]; old != nil && len(old.now) > 0 {
		return syscall.ENOTEMPTY
	}
	p.d.note(change{{p.n, from, nil}, {target.n, to, n}})
	return 0
}

func (p *node) refuses(flags uint32) bool { return p.opt.RefuseDirect && flags&syscall.O_DIRECT != 0 }

func (p *node) how() uint32 {
	if p.opt.Uncached {
		return fuse.FOPEN_DIRECT_IO
	}
	return 0
}

func (p *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if p.refuses(flags) {
		return nil, 0, syscall.EINVAL
	}
	if errno := p.d.lock(); errno != 0 {
		return nil, 0, errno
	}
	p.d.mu.Unlock()
	return handle{}, p.how(), 0
}

func (p *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := p.d.lock(); errno != 0 {
		return nil, errno
	}
	defer p.d.mu.Unlock()
	if off >= int64(len(p.n.data)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, p.n.data[off:])]), 0
}

func (p *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := p.d.lock(); errno != 0 {
		return 0, errno
	}
	defer p.d.mu.Unlock()
	p.d.write(p.n, data, off)
	return uint32(len(data)), 0
}

// Fsync is asked for directories, too.
func (p *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	if p.n.now != nil {
		p.d.syncDir(p.n)
		return 0
	}
	return p.d.sync(p.n)
}

func (p *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	if errno := p.d.lock(); errno != 0 {
		return errno
	}
	defer p.d.mu.Unlock()
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks = capacity / 4096
	out.Bfree, out.Bavail = out.Blocks/2, out.Blocks/2
	return 0
}
