package wal

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/firehosed/firehosed/internal/vfs"
)

// files keeps the segment files that were used last open, up to a number.
type files struct {
	fsys   vfs.FS
	max    int
	failed func(error) // told when a file that was written could not be synced

	mu    sync.Mutex
	open  map[*segment]*handle
	order list.List // of all *handle in open, the one that was asked for last in front
}

// handle is an open segment file. It is used between acquire and release.
type handle struct {
	vfs.File
	seg   *segment
	users int
	dirty bool                    // written since it was last synced
	gone  bool                    // not in files.open any more
	elem  *list.Element           // in files.order, until gone
	key   atomic.Pointer[dataKey] // of an encrypted segment, once it was needed
}

// acquire opens the file of a segment, which lies at path now.
func (c *files) acquire(seg *segment, path string, flag int) (*handle, error) {
	limit := c.max
	for {
		c.mu.Lock()
		if h := c.open[seg]; h != nil {
			c.use(h)
			c.mu.Unlock()
			return h, nil
		}
		victim := c.evict(limit)
		f, err := c.fsys.OpenFile(path, flag, 0o600)
		var h *handle
		if err == nil {
			h = &handle{File: f, seg: seg, users: 1, gone: seg.retired}
			if !h.gone {
				c.open[seg], h.elem = h, c.order.PushFront(h)
			}
		}
		c.mu.Unlock()
		c.end(victim)
		if !isTooMany(err) || (limit == 0 && victim == nil) {
			return h, err
		}
		// Connections, or other programs, took what was left: fewer will do.
		limit = 0
	}
}

// isTooMany reports whether the process or the machine has too many files open.
func isTooMany(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// inUse returns the open file of a segment, or nil if it is not open.
func (c *files) inUse(seg *segment) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.open[seg]
	if h != nil {
		c.use(h)
	}
	return h
}

func (c *files) use(h *handle) {
	h.users++
	c.order.MoveToFront(h.elem)
}

// remove takes a file out, which is closed when nobody uses it any more.
func (c *files) remove(h *handle) {
	delete(c.open, h.seg)
	c.order.Remove(h.elem)
	h.gone = true
}

// evict takes the file out that was not used for the longest time, if there
// are limit or more.
func (c *files) evict(limit int) *handle {
	if len(c.open) < limit {
		return nil
	}
	for e := c.order.Back(); e != nil; e = e.Prev() {
		if h := e.Value.(*handle); h.users == 0 { //nolint:forcetypeassert // The only type in the list.
			c.remove(h)
			return h
		}
	}
	return nil // all are in use: a few more than max, as many as there are readers
}

// end closes a file nobody uses. One that was written is synced first: a new
// descriptor might not be told of an error that came before it.
func (c *files) end(h *handle) {
	if h == nil {
		return
	}
	if h.dirty {
		if err := h.Sync(); err != nil {
			c.failed(syncFailed(err))
		}
	}
	if err := h.Close(); err != nil && h.dirty {
		c.failed(err)
	}
}

func (c *files) release(h *handle) {
	c.mu.Lock()
	h.users--
	last := h.users == 0
	if last && !h.gone && len(c.open) > c.max { // all were in use when one more was needed
		c.remove(h)
	}
	closing := last && h.gone
	c.mu.Unlock()
	if closing {
		c.end(h)
	}
}

// wrote marks a file as not synced.
func (c *files) wrote(h *handle) {
	c.mu.Lock()
	h.dirty = true
	c.mu.Unlock()
}

// sync makes a file durable. Writes during it leave it marked.
func (c *files) sync(h *handle) error {
	c.mu.Lock()
	h.dirty = false
	c.mu.Unlock()
	err := h.Sync()
	if err != nil {
		c.wrote(h)
		return syncFailed(err)
	}
	return nil
}

// errSync is a failed sync. Whatever its cause, even a full disk, the kernel
// may have dropped the data and call the next sync a success, so it is never
// tried again.
var errSync = errors.New("sync")

func syncFailed(err error) error { return fmt.Errorf("%w: %w", errSync, err) }

// forget closes the file of a segment that is to be removed.
func (c *files) forget(seg *segment) {
	c.mu.Lock()
	h := c.open[seg]
	if h == nil {
		c.mu.Unlock()
		return
	}
	c.remove(h)
	h.dirty = false
	closing := h.users == 0
	c.mu.Unlock()
	if closing {
		c.end(h)
	}
}

// retire is forget for a segment that is out of use: who came by it before, and
// opens its file again, closes it after use. Kept open, it would keep its space.
func (c *files) retire(seg *segment) {
	c.mu.Lock()
	seg.retired = true
	c.mu.Unlock()
	c.forget(seg)
}

// closeAll closes every file; nobody uses them any more.
func (c *files) closeAll() {
	c.mu.Lock()
	all := c.open
	c.open = map[*segment]*handle{}
	c.order.Init()
	c.mu.Unlock()
	for _, h := range all {
		h.gone = true
		c.end(h)
	}
}
