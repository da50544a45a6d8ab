package wal

import (
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// pageCache bounds what the log leaves in the page cache. Pages of segments that
// nobody reads soon push out those of others, count as memory of a container,
// and cost more to get than pages that were just given back.
type pageCache struct {
	limit int64

	mu     sync.Mutex
	since  time.Duration // monotonic time from which on recent bytes were written
	recent int64
	rate   int64 // bytes a second before that
	bytes  int64
	ranges []writtenRange // the oldest first
}

// writtenRange is what one flush wrote.
type writtenRange struct {
	seg      *segment
	from, to int64
}

// maxRanges bounds the memory that knowing takes.
const maxRanges = 1 << 16

// wrote notes a write, and returns what was written so long ago that it should
// not stay.
func (c *pageCache) wrote(seg *segment, from, to int64) (old []writtenRange) {
	if c.limit < 0 {
		return nil
	}
	// Whole pages: the last one is written again soon.
	from, to = from&^(block-1), to&^(block-1)
	if from == to {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += to - from
	if n := len(c.ranges); n > 0 && c.ranges[n-1].seg == seg && c.ranges[n-1].to == from && c.ranges[n-1].to-c.ranges[n-1].from < vectorBytes {
		c.ranges[n-1].to = to
	} else {
		c.ranges = append(c.ranges, writtenRange{seg, from, to})
	}
	n := 0
	for n < len(c.ranges)-1 && (c.bytes > c.limit || len(c.ranges)-n > maxRanges) {
		c.bytes -= c.ranges[n].to - c.ranges[n].from
		n++
	}
	if n == 0 {
		return nil
	}
	old = append(old, c.ranges[:n]...)
	c.ranges = append(c.ranges[:0], c.ranges[n:]...)
	return old
}

// leave gives the pages of old writes back. Of a file that is not open any more
// many others were used since, and the system will find its pages itself.
func (l *Log) leave(old []writtenRange) {
	for _, r := range old {
		h := l.files.inUse(r.seg)
		if h == nil {
			continue
		}
		vfs.DropCache(h.File, r.from, r.to-r.from)
		l.files.release(h)
	}
}
