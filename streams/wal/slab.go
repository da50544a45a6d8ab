package wal

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/firehosed/firehosed/internal/vfs"
)

// slab is the memory of one large append. Its frames are written to the journal
// and to segments from it, and readers are served from it. When the last frame
// is in its segment and no reader has seen any, it serves another append:
// clearing ever new memory would cost as much as copying the records.
type slab struct {
	buf  []byte
	refs atomic.Int32 // frames that wait in tails, and the unit until it is acknowledged
	kept atomic.Bool  // a reader may hold parts of it: it is left to the garbage collector
}

// slabs keeps memory that is free.
type slabs struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	free  map[int][]*slab // by size
}

// slabSize rounds up by at most an eighth, so that appends of about the same
// size share.
func slabSize(n int) int {
	step := max(block, 1<<(max(bits.Len(uint(n-1)), 4)-4)) //nolint:gosec // Positive.
	return (n + step - 1) &^ (step - 1)
}

// get returns whole blocks of memory that hold whatever was in them before.
func (c *slabs) get(n int) *slab {
	size := slabSize(n)
	c.mu.Lock()
	if list := c.free[size]; len(list) > 0 {
		s := list[len(list)-1]
		list[len(list)-1] = nil
		c.free[size] = list[:len(list)-1]
		c.bytes -= int64(size)
		c.mu.Unlock()
		return s
	}
	c.mu.Unlock()
	return &slab{buf: vfs.Aligned(size)}
}

// release lets go of one reference.
func (c *slabs) release(s *slab) {
	if s == nil || s.refs.Add(-1) > 0 || s.kept.Load() {
		return
	}
	size := len(s.buf)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+int64(size) > c.limit {
		return
	}
	if c.free == nil {
		c.free = make(map[int][]*slab)
	}
	c.free[size] = append(c.free[size], s)
	c.bytes += int64(size)
}

// clear lets go of all free memory, when nothing is appended any more.
func (c *slabs) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free, c.bytes = nil, 0
}

// keep marks that a reader gets to see the frames, which wait in a tail.
func keep(frames []frame) {
	for i := range frames {
		if s := frames[i].slab; s != nil {
			s.kept.Store(true)
		}
	}
}
