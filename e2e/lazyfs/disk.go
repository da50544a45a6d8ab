// Package lazyfs is a file system for the power cuts of tests: it is mounted
// through FUSE, so that a real program can live on it, and forgets what that
// program did not sync.
//
// A Disk keeps of every file what was synced and what was written since, and of
// every directory which creations, renames and removals were. PowerOff stops it
// at once, in the middle of whatever is going on; PowerOn decides what survived.
// It can also fail a sync as kernels do: once, and with the data thrown away.
//
// It does not alter what was synced, and it has no links, owners or times.
package lazyfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

const (
	// sector is what a disk writes whole.
	sector = 512
	// capacity is what the disk says it holds; it is never full.
	capacity = 64 << 30
)

// Disk holds the files. Its methods may be called concurrently.
type Disk struct {
	mu      sync.Mutex
	root    *inode
	inodes  uint64
	off     bool
	pending []change
	last    write // the newest write of all
	syncs   int   // of files, since the last call of FailSync
	failAt  int   // the sync to fail; 0: none
	failed  bool
}

// inode is a file or directory.
type inode struct {
	number uint64
	mode   uint32 // permission bits

	// Of a directory; nil for a file.
	now, synced map[string]*inode

	// Of a file.
	data, durable []byte
	dirty         []span // written since the last sync, in whole sectors
}

// span is a range of bytes.
type span struct{ from, to int64 }

// write is a range of bytes that one call wrote.
type write struct {
	file *inode
	at   span
}

// name is an entry of a directory, or its absence if is is nil.
type name struct {
	dir  *inode
	name string
	is   *inode
}

// change is what one operation did to directories: all of it survives, or
// nothing.
type change []name

// New returns an empty disk.
func New() *Disk {
	d := &Disk{}
	d.root = d.inode(true, 0o700)
	return d
}

func (d *Disk) inode(dir bool, mode uint32) *inode {
	d.inodes++
	n := &inode{number: d.inodes, mode: mode & 0o7777}
	if dir {
		n.now, n.synced = map[string]*inode{}, map[string]*inode{}
	}
	return n
}

// PowerOff makes every operation from now on fail with EIO, also those that
// are waiting. What a caller was told before stays true.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// PowerOn makes the disk usable again with what was synced, and with as much of
// the rest as rng decides. It says in a few words what it did with the rest.
func (d *Disk) PowerOn(rng *rand.Rand) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names, sectors int // percent that survives
	torn := write{}
	how := ""
	switch rng.IntN(4) {
	case 0:
		how = "all that was not synced is lost"
	case 1:
		names, sectors, torn = 100, 100, d.last
		how = "the last write is torn"
	case 2:
		names = 100
		how = "all data that was not synced is lost, no name"
	default:
		names, sectors = rng.IntN(101), rng.IntN(101)
		how = fmt.Sprintf("%d %% of names and %d %% of sectors survive", names, sectors)
	}
	for _, c := range d.pending {
		if rng.IntN(100) < names {
			c.apply(func(n *inode) map[string]*inode { return n.synced })
		}
	}
	d.root.crash(rng, sectors, torn, map[*inode]bool{})
	d.pending, d.last, d.off, d.failAt = nil, write{}, false, 0
	return how
}

// crash makes what survived of a tree the truth.
func (n *inode) crash(rng *rand.Rand, percent int, torn write, seen map[*inode]bool) {
	if seen[n] {
		return // both names of a rename survived
	}
	seen[n] = true
	if n.synced != nil {
		n.now = maps.Clone(n.synced)
		for _, c := range slices.Sorted(maps.Keys(n.now)) {
			n.now[c].crash(rng, percent, torn, seen)
		}
		return
	}
	size := int64(len(n.durable))
	if now := int64(len(n.data)); now != size && (percent == 100 || rng.IntN(100) < percent) {
		size = now
	}
	out := make([]byte, size)
	copy(out, n.durable)
	for _, d := range n.dirty {
		for at := d.from; at < min(d.to, size); at += sector {
			keep := rng.IntN(100) < percent
			if n == torn.file && at < torn.at.to && at+sector > torn.at.from {
				keep = rng.IntN(2) == 0
			}
			if keep {
				end := min(at+sector, size)
				clear(out[at:end])
				if at < int64(len(n.data)) {
					copy(out[at:end], n.data[at:])
				}
			}
		}
	}
	n.data, n.dirty = out, nil
	n.durable = append([]byte(nil), out...)
}

// FailSync makes the n-th sync of a file from now on, from 1, fail with EIO.
// What it should have made durable never will be, though reads still show it
// and later syncs succeed: so Linux does it.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs, d.failAt, d.failed = 0, n, false
}

// SyncFailed tells whether the sync that FailSync named has come.
func (d *Disk) SyncFailed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

func (c change) apply(side func(*inode) map[string]*inode) {
	for _, n := range c {
		if n.is == nil {
			delete(side(n.dir), n.name)
		} else {
			side(n.dir)[n.name] = n.is
		}
	}
}

// note does a change; it is not durable yet. d.mu is held.
func (d *Disk) note(c change) {
	c.apply(func(n *inode) map[string]*inode { return n.now })
	d.pending = append(d.pending, c)
}

// syncDir makes the changes of a directory durable. d.mu is held.
func (d *Disk) syncDir(dir *inode) {
	kept := d.pending[:0]
	for _, c := range d.pending {
		of := false
		for _, n := range c {
			of = of || n.dir == dir
		}
		if of {
			c.apply(func(n *inode) map[string]*inode { return n.synced })
		} else {
			kept = append(kept, c)
		}
	}
	clear(d.pending[len(kept):])
	d.pending = kept
}

// sync makes a file durable, or fails as FailSync said. d.mu is held.
func (d *Disk) sync(n *inode) syscall.Errno {
	d.syncs++
	if d.syncs == d.failAt {
		n.dirty, d.failed = nil, true
		return syscall.EIO
	}
	size := int64(len(n.data))
	for int64(len(n.durable)) < size {
		n.durable = append(n.durable, make([]byte, size-int64(len(n.durable)))...)
	}
	n.durable = n.durable[:size]
	for _, s := range n.dirty {
		if s.from < size {
			copy(n.durable[s.from:], n.data[s.from:min(s.to, size)])
		}
	}
	n.dirty = nil
	return 0
}

// write puts bytes into a file. d.mu is held.
func (d *Disk) write(n *inode, b []byte, off int64) {
	if end := off + int64(len(b)); end > int64(len(n.data)) {
		n.resize(end)
	}
	copy(n.data[off:], b)
	n.mark(off, off+int64(len(b)))
	d.last = write{n, span{off, off + int64(len(b))}}
}

// resize sets the size; new bytes are zero.
func (n *inode) resize(size int64) {
	old := int64(len(n.data))
	switch {
	case size <= old:
		n.data = n.data[:size]
	case size <= int64(cap(n.data)):
		n.data = n.data[:size]
		clear(n.data[old:])
	default:
		grown := make([]byte, size, max(size, 2*old))
		copy(grown, n.data)
		n.data = grown
	}
	n.mark(min(old, size), max(old, size))
}

func (n *inode) mark(from, to int64) {
	from, to = from/sector*sector, (to+sector-1)/sector*sector
	if k := len(n.dirty); k > 0 && from <= n.dirty[k-1].to && to >= n.dirty[k-1].from {
		n.dirty[k-1] = span{min(from, n.dirty[k-1].from), max(to, n.dirty[k-1].to)}
		return
	}
	n.dirty = append(n.dirty, span{from, to})
}
