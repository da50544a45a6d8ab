package wal

import (
	"testing"
)

func TestPageCache(t *testing.T) {
	a, b := new(segment), new(segment)
	c := pageCache{limit: 10 * block}
	write := func(seg *segment, from, to int64) []writtenRange { return c.wrote(seg, from*block, to*block) }
	for _, w := range []struct {
		seg      *segment
		from, to int64
		old      []writtenRange
	}{
		{a, 0, 4, nil},
		{a, 4, 6, nil}, // goes on where the one before ended
		{b, 0, 3, nil},
		{b, 3, 3, nil},
		{a, 6, 8, []writtenRange{{a, 0, 6 * block}}},
		{b, 3, 40, []writtenRange{{b, 0, 3 * block}, {a, 6 * block, 8 * block}}},
		{b, 40, 41, []writtenRange{}}, // the newest always stays
		{a, 8, 9, []writtenRange{{b, 3 * block, 41 * block}}},
	} {
		old := write(w.seg, w.from, w.to)
		if len(old) != len(w.old) {
			t.Fatalf("write of %d to %d: %v, want %v", w.from, w.to, old, w.old)
		}
		for i := range old {
			if old[i] != w.old[i] {
				t.Errorf("write of %d to %d: %v, want %v", w.from, w.to, old[i], w.old[i])
			}
		}
	}
	// Parts of pages are left alone: they are written again.
	if old := c.wrote(b, 100*block+1, 101*block-1); len(old) != 0 || c.ranges[len(c.ranges)-1].to != 101*block-block && c.ranges[len(c.ranges)-1].seg == b {
		t.Errorf("parts of a page: %v, %v", old, c.ranges)
	}
	for i := range int64(3 * maxRanges) {
		c.wrote([]*segment{a, b}[i%2], i*4*block, i*4*block+block)
	}
	if len(c.ranges) > maxRanges+1 {
		t.Errorf("%d ranges are kept, at most %d should be", len(c.ranges), maxRanges)
	}
	var sum int64
	for _, r := range c.ranges {
		sum += r.to - r.from
	}
	if sum != c.bytes {
		t.Errorf("%d bytes are counted, the ranges have %d", c.bytes, sum)
	}
	c = pageCache{limit: -1}
	if old := c.wrote(a, 0, 1<<40); old != nil || len(c.ranges) > 0 {
		t.Errorf("without a limit: %v", old)
	}
}
