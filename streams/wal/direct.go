package wal

import (
	"os"
	"slices"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// stagingBytes is what one write past the page cache has.
const stagingBytes = 1 << 20

// staging is aligned memory in which frames of any length become whole blocks.
// While one half of it is written the other is filled.
type staging struct {
	buf, other []byte
	writing    bool
	wrote      chan error

	// While writing is set these are of the goroutine that writes.
	file  vfs.File
	out   []byte
	off   int64
	write func() // writes out to file at off, the same for all its life
}

func newStaging() any {
	g := &staging{buf: vfs.Aligned(stagingBytes)[:0], other: vfs.Aligned(stagingBytes)[:0], wrote: make(chan error, 1)}
	g.write = func() {
		_, err := g.file.WriteAt(g.out, g.off)
		g.wrote <- err
	}
	return g
}

// grow makes room for n more bytes, and returns it.
func (g *staging) grow(n int) []byte {
	have := len(g.buf)
	if have+n > cap(g.buf) {
		g.buf = append(vfs.Aligned(blocks(have + n + block))[:0], g.buf...)
	}
	g.buf = g.buf[:have+n]
	return g.buf[have:]
}

// flush begins to write the whole blocks in memory to f at off, and keeps the
// rest. It returns where that goes, and the error of the write before.
func (g *staging) flush(f vfs.File, off int64) (int64, error) {
	if err := g.wait(); err != nil {
		return off, err
	}
	out := g.buf[:len(g.buf)&^(block-1)]
	g.buf, g.other = append(g.other[:0], g.buf[len(out):]...), g.buf
	g.writing, g.file, g.out, g.off = true, f, out, off
	go g.write()
	return off + int64(len(out)), nil
}

// wait returns how the last write ended.
func (g *staging) wait() error {
	if !g.writing {
		return nil
	}
	err := <-g.wrote
	g.writing, g.file, g.out = false, nil, nil
	return err
}

// putStaging gives the memory back, unless a very large record made it grow.
func (l *Log) putStaging(g *staging) {
	if cap(g.buf)+cap(g.other) <= 4*stagingBytes {
		l.stagings.Put(g)
	}
}

// padded is what lies around the frames of one write, in bytes, and whether each
// is followed by the pad that it has in memory.
type padded struct {
	before, after int64
	each          bool
}

// padTo returns how many bytes a pad at off takes that ends on a block, 0 if
// there is no need for one.
func padTo(off int64) int64 {
	if off%block == 0 {
		return 0
	}
	return (off+headerBytes+block-1)&^(block-1) - off
}

// writeDirect writes frames to the end of a segment's file, past the page cache,
// which takes whole blocks: pads fill the block before, and the last one. h is
// the open file, which readers share.
func (l *Log) writeDirect(s *shard, seg *segment, h *handle, path string, off int64, frames []frame) (pads padded, err error) {
	var k *dataKey
	if !seg.key.none() {
		if k, err = l.handleKey(s, seg, h); err != nil {
			return pads, err
		}
	}
	g := l.stagings.Get().(*staging) //nolint:forcetypeassert // The only type in the pool.
	defer l.putStaging(g)
	g.buf = g.buf[:0]
	pad := func(n int64) []byte {
		b := g.grow(int(n))
		clear(b)
		if n > 0 {
			hd := header{kind: kindPad, stream: s.st.id, shard: uint32(s.id), time: frames[0].arrival}
			hd.putPad(b, l.seed)
		}
		return b
	}
	l.files.wrote(h)
	if pads.before = padTo(off); pads.before > 0 {
		if _, err := h.WriteAt(pad(pads.before), off); err != nil {
			return pads, err
		}
		off, g.buf = off+pads.before, g.buf[:0]
	}
	f, err := vfs.OpenDirect(l.opt.FS, path, os.O_RDWR, 0)
	if err != nil {
		return pads, err
	}
	defer func() {
		if werr := g.wait(); err == nil {
			err = werr
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if k == nil && !slices.ContainsFunc(frames, func(f frame) bool { return !f.aligned }) {
		pads.each = true
		return pads, writeAligned(f, off, frames)
	}
	for i := range frames {
		n := int(seg.stored(&frames[i]))
		if len(g.buf)+n > stagingBytes {
			if off, err = g.flush(f, off); err != nil {
				return pads, err
			}
		}
		if b := g.grow(n); k != nil {
			k.encrypt(b, frames[i].buf, l.seed)
		} else {
			copy(b, frames[i].buf)
		}
	}
	pads.after = padTo(off + int64(len(g.buf)))
	pad(pads.after)
	_, err = g.flush(f, off)
	return pads, err
}

// writeAligned writes frames that are whole blocks from where they lie.
func writeAligned(f vfs.File, off int64, frames []frame) error {
	v := vectors.Get().(*vector) //nolint:forcetypeassert // The only type in the pool.
	defer v.put()
	for len(frames) > 0 {
		n := int64(0)
		v.bufs = v.bufs[:0]
		for len(frames) > 0 && n < vectorBytes {
			b := frames[0].buf
			v.bufs = append(v.bufs, b[:cap(b)])
			n += int64(cap(b))
			frames = frames[1:]
		}
		if _, err := vfs.WriteVecAt(f, v.bufs, off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// busy reports whether so much is written that what stays in the page cache is
// gone again within a quarter of a minute: then few readers gain by it, and the
// way through it, which costs more than all else that is done for a record, is a
// waste. n bytes are written now.
func (c *pageCache) busy(n int64, now time.Duration) bool {
	if c.limit < 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if past := now - c.since; past >= time.Second {
		c.rate = int64(float64(c.recent) / past.Seconds())
		c.since, c.recent = now, 0
	}
	c.recent += n
	return max(c.rate, c.recent) >= c.limit/16
}
