package wal

import (
	"container/list"
	"sort"
	"sync"

	"github.com/firehosed/firehosed/streams"
)

// indexEntry tells where a frame begins. All but off are differences: of the
// sequence to the segment's base, of the arrival to its first record's (ms),
// and the payload of everything before the frame.
type indexEntry struct {
	seq, off, arrival, payload uint32
}

// index is the sparse index of a segment, complete up to end.
type index struct {
	entries []indexEntry
	end     int64         // where the next frame goes
	holed   bool          // it was built by a walk that could not read some bytes
	lru     *list.Element // guarded by indexes.mu
}

// add notes a frame that begins at end.
func (x *index) add(s *segment, base streams.Sequence, size int, arrival int64, payloadBefore int64) {
	n := len(x.entries)
	if n == 0 || x.end-int64(x.entries[n-1].off) >= indexEvery {
		x.entries = append(x.entries, indexEntry{
			seq: uint32(base - s.base), off: uint32(x.end), //nolint:gosec // A segment ends long before 4 GiB.
			arrival: uint32(max(0, arrival-s.first)), //nolint:gosec // A segment ends before 49 days.
			payload: uint32(payloadBefore),           //nolint:gosec // Less than the file.
		})
	}
	x.end += int64(size)
}

// bySeq returns the last entry at or before seq, or the first.
func (x *index) bySeq(s *segment, seq streams.Sequence) indexEntry {
	i := sort.Search(len(x.entries), func(i int) bool { return s.base+streams.Sequence(x.entries[i].seq) > seq })
	return x.at(i - 1)
}

// byArrival returns the last entry before which all records arrived before t.
func (x *index) byArrival(s *segment, t int64) indexEntry {
	i := sort.Search(len(x.entries), func(i int) bool { return s.first+int64(x.entries[i].arrival) >= t })
	return x.at(i - 1)
}

// extent is a part of a segment file that begins and ends with a frame.
type extent struct {
	off, until int64
	records    int // about as many of those asked for lie in it
}

// extent tells where the records from seq on lie, as many as limit admits:
// what one read should fetch. It may be off where records differ in size.
func (x *index) extent(s *segment, seq streams.Sequence, limit streams.Limit) extent {
	n := len(x.entries)
	point := func(i int) (at streams.Sequence, off, payload int64) {
		if i < n {
			e := &x.entries[i]
			return s.base + streams.Sequence(e.seq), int64(e.off), int64(e.payload)
		}
		return s.next, s.size, max(s.payload, 0)
	}
	i := max(sort.Search(n, func(i int) bool { return s.base+streams.Sequence(x.entries[i].seq) > seq })-1, 0)
	at, off, payload := point(i)
	if i == 0 {
		off = segmentHead
	}
	// What lies between two entries counts as if it were of one size.
	if next, _, then := point(i + 1); seq > at && next > at {
		payload += int64(float64(then-payload) * float64(seq-at) / float64(next-at))
	}
	j := i + 1 + sort.Search(max(n-i-1, 0), func(k int) bool {
		at, o, p := point(i + 1 + k)
		return at-seq >= streams.Sequence(limit.Records) || p-payload >= limit.Bytes || o-off >= maxExtent //nolint:gosec // Positive.
	})
	next, until, then := point(j)
	e := extent{off: off, until: until, records: int(min(uint64(next-min(seq, next)), uint64(limit.Records)))} //nolint:gosec // Positive.
	if then-payload > limit.Bytes {
		part := float64(e.records) * float64(limit.Bytes) / float64(then-payload)
		e.records = min(e.records, int(part)+int(part)/16+1)
	}
	return e
}

// around returns the part of the file between the entries around seq, and
// whether all that lies in it arrived at the same time.
func (x *index) around(s *segment, seq streams.Sequence) (e extent, sure bool) {
	n := len(x.entries)
	i := sort.Search(n, func(i int) bool { return s.base+streams.Sequence(x.entries[i].seq) > seq })
	at, e, last := x.at(i-1), extent{until: x.end}, s.last
	if i < n {
		e.until, last = int64(x.entries[i].off), s.first+int64(x.entries[i].arrival)
	}
	e.off = int64(at.off)
	return e, s.first+int64(at.arrival) == last
}

// maxExtent bounds how much one read fetches, but for a frame that is larger.
const maxExtent = 4 << 20

func (x *index) at(i int) indexEntry {
	if i < 0 {
		return indexEntry{off: segmentHead}
	}
	return x.entries[i]
}

// indexes bounds the memory of all segment indexes. An index that was dropped
// is read or built again when it is needed.
type indexes struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	order list.List // of *indexOwner, the newest in front
}

type indexOwner struct {
	shard   *shard
	seg     *segment
	x       *index
	charged int64
}

// touch marks the index of seg as used. The caller holds the shard's mutex,
// and hands what is returned to drop after releasing it.
func (c *indexes) touch(sh *shard, seg *segment) (victims []*indexOwner) {
	x := seg.index
	size := int64(cap(x.entries))*indexEntrySize + 128
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.lru == nil {
		x.lru = c.order.PushFront(&indexOwner{shard: sh, seg: seg, x: x})
	} else {
		c.order.MoveToFront(x.lru)
	}
	o := x.lru.Value.(*indexOwner) //nolint:forcetypeassert // The only type in the list.
	c.bytes += size - o.charged
	o.charged = size
	for c.bytes > c.limit && c.order.Len() > 1 {
		victims = append(victims, c.remove(c.order.Back()))
	}
	return victims
}

func (c *indexes) remove(e *list.Element) *indexOwner {
	o := e.Value.(*indexOwner) //nolint:forcetypeassert // The only type in the list.
	c.order.Remove(e)
	c.bytes -= o.charged
	o.x.lru = nil
	return o
}

// drop forgets indexes that touch chose, unless they were used since.
func (c *indexes) drop(victims []*indexOwner) {
	for _, o := range victims {
		o.shard.mu.Lock()
		c.mu.Lock()
		if o.x.lru == nil && o.seg.index == o.x {
			o.seg.index = nil
		}
		c.mu.Unlock()
		o.shard.mu.Unlock()
	}
}

// forget drops the index of a segment that is gone. The caller holds the
// shard's mutex.
func (c *indexes) forget(seg *segment) {
	if seg.index == nil {
		return
	}
	c.mu.Lock()
	if seg.index.lru != nil {
		c.remove(seg.index.lru)
	}
	c.mu.Unlock()
	seg.index = nil
}
