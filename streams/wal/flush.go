package wal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

const (
	// scratchBytes is how much of small frames one write to a segment gathers,
	// and gatherBytes from where on a frame is written from where it lies.
	scratchBytes = 256 << 10
	gatherBytes  = 16 << 10
	// vectorBytes is where one write ends. Readers of the file wait for it.
	vectorBytes = 4 << 20
)

// vector is the scratch of one write: frames, or copies of small ones in buf.
type vector struct {
	buf  []byte
	bufs [][]byte
}

var vectors = sync.Pool{New: func() any { return &vector{buf: make([]byte, 0, scratchBytes)} }}

// fill takes frames until a write is large enough, and returns the others and
// how many bytes the write has.
func (v *vector) fill(frames []frame) (rest []frame, bytes int64) {
	v.buf, v.bufs = v.buf[:0], v.bufs[:0]
	from := 0 // of what is in buf, but not in bufs yet
	gathered := func() {
		if from < len(v.buf) {
			v.bufs = append(v.bufs, v.buf[from:])
			from = len(v.buf)
		}
	}
	for len(frames) > 0 && bytes < vectorBytes {
		f := frames[0].buf
		if len(f) >= gatherBytes {
			gathered()
			v.bufs = append(v.bufs, f)
		} else {
			if len(v.buf)+len(f) > cap(v.buf) {
				break
			}
			v.buf = append(v.buf, f...)
		}
		bytes += int64(len(f))
		frames = frames[1:]
	}
	gathered()
	return frames, bytes
}

// put gives the vector back.
func (v *vector) put() {
	clear(v.bufs)
	vectors.Put(v)
}

// rollAge is how much time one segment covers, so that retention can remove
// whole files without keeping records much longer than asked.
func rollAge(retention time.Duration) int64 {
	return max(min(24*time.Hour, retention/24), time.Minute).Milliseconds()
}

// flushLoop writes waiting records to their segments, those of the shard that
// waits longest first, when memory for them runs short.
func (l *Log) flushLoop() {
	defer l.running.Done()
	for {
		select {
		case <-l.flush:
		case <-l.stop:
			return
		}
		l.drain(l.opt.TailBytes/4, l.opt.TailBytes/2)
	}
}

// drain flushes shards until no more than keep bytes wait. Those with large frames
// are written in steps, the last of which leaves as much as after: such segments
// are then written beside the journal all the time, and not in bursts that take
// the disk from it and leave that idle afterwards. Many small frames are better
// written at once.
func (l *Log) drain(keep, after int64) {
	for l.tailBytes.Load() > keep {
		l.mu.Lock()
		if len(l.flushQueue) == 0 || l.failed != nil {
			l.mu.Unlock()
			break
		}
		s := l.flushQueue[0]
		l.flushQueue = l.flushQueue[1:]
		s.queued = false
		l.mu.Unlock()
		step, err := l.flushShard(s, l.opt.stepBytes)
		l.mu.Lock()
		s.mu.Lock()
		if len(s.tail) > 0 && !s.gone && !s.queued {
			s.queued = true
			l.flushQueue = append(l.flushQueue, s)
		}
		s.mu.Unlock()
		l.mu.Unlock()
		if err != nil {
			l.segmentError(err)
			break
		}
		l.makeRoom(l.opt.TailBytes)
		if step && l.tailBytes.Load() <= after {
			break
		}
	}
	l.makeRoom(l.opt.TailBytes)
}

// makeRoom wakes appends that wait for memory, if there is some.
func (l *Log) makeRoom(limit int64) {
	if l.tailBytes.Load() > limit && !l.space.isFull() {
		return
	}
	l.mu.Lock()
	l.wakeForRoom()
	l.mu.Unlock()
}

// segmentError judges a failed write of a segment. A full disk is waited for:
// the records are still in the journal and in memory. Anything else ends the
// log; a start rewrites the segments from the journal.
func (l *Log) segmentError(err error) {
	if !isNoSpace(err) {
		l.fail(fmt.Errorf("segment: %w", err))
		return
	}
	l.mu.Lock()
	l.space.full(l)
	l.mu.Unlock()
	if l.dropBallast() {
		l.dirty(true) // with its room
		return
	}
	l.opt.Logger.Error("segment: the disk is full; appends are refused until there is space", "error", err)
}

// stepLeaves is how many frames a step may leave. They are copied to a new list,
// so a step of small frames takes all.
const stepLeaves = 256

// stepEnd returns where a step ends that takes at least so many bytes of frames.
func stepEnd(frames []frame, bytes int64) streams.Sequence {
	for i := range frames {
		bytes -= int64(len(frames[i].buf))
		if bytes <= 0 && len(frames)-i <= stepLeaves {
			return frames[i].next()
		}
	}
	return math.MaxUint64
}

// flushShard moves to its segments what waits of a shard at the time of the
// call, or a step of it with about so many bytes, and tells which. It does not
// chase what comes meanwhile, which would keep a checkpoint of a busy shard from
// ever ending. It does not sync.
func (l *Log) flushShard(s *shard, bytes int64) (step bool, err error) {
	l.removing.RLock()
	defer l.removing.RUnlock()
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	l.mu.RLock()
	age := rollAge(s.st.retention)
	l.mu.RUnlock()
	s.mu.Lock()
	until := s.next
	if l.keys.newFiles().none() { // else it is encrypted while what was before is written
		if end := stepEnd(s.tail, bytes); end < until {
			until, step = end, true
		}
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		if s.gone || len(s.tail) == 0 || s.tail[0].base >= until {
			s.mu.Unlock()
			return step, nil
		}
		frames := s.tail
		seg := s.active()
		if seg != nil && (seg.key != l.keys.newFiles() || l.rolls(seg, seg.size, &frames[0], age)) {
			seg.full = true
			seg = nil
		}
		if seg == nil {
			seg = &segment{
				dir: l.segmentDir(s.st.id), shard: s.id, base: frames[0].base, next: frames[0].base,
				size: segmentHead, first: -1, index: &index{end: segmentHead}, key: l.keys.newFiles(),
			}
			s.segs = append(s.segs[:len(s.segs):len(s.segs)], seg)
		}
		size, path := seg.size, seg.path()
		n := 1
		if seg.next == seg.base { // else it has a first record, known or not
			seg.first, seg.since = frames[0].arrival, frames[0].arrival
		}
		end := size + seg.stored(&frames[0])
		next := frames[0].next()
		for n < len(frames) && frames[n].base == next && next < until && !l.rolls(seg, end, &frames[n], age) {
			end += seg.stored(&frames[n])
			next = frames[n].next()
			n++
		}
		s.mu.Unlock()
		pads, err := l.writeFrames(s, seg, path, size, frames[:n])
		if err != nil {
			return step, err
		}
		l.moved(s, seg, frames[:n], pads)
	}
}

// rolls reports whether f must go to a new segment when seg has size bytes.
func (l *Log) rolls(seg *segment, size int64, f *frame, age int64) bool {
	return (size > segmentHead && size+seg.stored(f) > l.opt.SegmentBytes) ||
		(size > segmentHead && f.arrival-seg.since >= age) ||
		(size == seg.size && f.base != seg.next)
}

// writeFrames writes frames to the end of a segment's file, in the way that costs
// least.
func (l *Log) writeFrames(s *shard, seg *segment, path string, off int64, frames []frame) (padded, error) {
	h, err := l.openToWrite(s, seg, path)
	if err != nil {
		return padded{}, err
	}
	defer l.files.release(h)
	total := int64(0)
	for i := range frames {
		total += seg.stored(&frames[i])
	}
	busy := l.pages.busy(total, l.monotonic())
	switch {
	case busy && total >= l.opt.directBytes:
		return l.writeDirect(s, seg, h, path, off, frames)
	case !seg.key.none():
		err = l.writeEncrypted(s, seg, h, off, frames)
	default:
		err = l.writePlain(h, off, frames)
	}
	if err != nil {
		return padded{}, err
	}
	startWriteback(h.File, off, off+total)
	l.leave(l.pages.wrote(seg, off, off+total))
	return padded{}, nil
}

func (l *Log) writePlain(h *handle, off int64, frames []frame) error {
	v := vectors.Get().(*vector) //nolint:forcetypeassert // The only type in the pool.
	defer v.put()
	l.files.wrote(h)
	for len(frames) > 0 {
		var n int64
		frames, n = v.fill(frames)
		if _, err := vfs.WriteVecAt(h.File, v.bufs, off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// writebackBytes is how much a write must have to be worth a hint.
const writebackBytes = 256 << 10

// startWriteback has the kernel begin with the whole pages of [from, to). A
// checkpoint's sync then finds little left, and neither holds up the journal's
// syncs in one burst nor the next write, which begins in the last page.
func startWriteback(f vfs.File, from, to int64) {
	from, to = from&^(block-1), to&^(block-1)
	if w, ok := f.(vfs.WritebackStarter); ok && to-from >= writebackBytes {
		w.StartWriteback(from, to-from)
	}
}

// openToWrite opens the file of an open segment, and makes it if it is new.
// What an earlier process wrote beyond the part that is known to be durable is
// cut off first.
func (l *Log) openToWrite(s *shard, seg *segment, path string) (*handle, error) {
	if !seg.created {
		if err := l.makeStreamDir(s.st.id); err != nil {
			return nil, err
		}
	}
	flag := os.O_RDWR
	if !seg.created {
		flag |= os.O_CREATE
	}
	h, err := l.files.acquire(seg, path, flag)
	if err != nil {
		return nil, err
	}
	if seg.created && !seg.cut {
		l.files.wrote(h)
		if err := h.Truncate(seg.size); err != nil {
			l.files.release(h)
			return nil, err
		}
		seg.cut = true
	}
	if !seg.created {
		b := make([]byte, segmentHead)
		m := segmentMeta{logID: l.id, stream: s.st.id, shard: uint32(s.id), base: uint64(seg.base), made: l.opt.Clock().UnixMilli(), key: seg.key}
		m.put(b, l.seed)
		l.files.wrote(h)
		err := h.Truncate(0) // a crashed process may have left one
		if err == nil {
			_, err = h.WriteAt(b, 0)
		}
		if err != nil {
			l.files.release(h)
			return nil, err
		}
		l.dirChanged(seg.dir)
		s.mu.Lock()
		seg.created, seg.cut = true, true
		s.mu.Unlock()
	}
	return h, nil
}

func (l *Log) makeStreamDir(id uint64) error {
	dir := l.segmentDir(id)
	l.dirMu.Lock()
	defer l.dirMu.Unlock()
	if _, ok := l.dirs[dir]; ok {
		return nil
	}
	if err := l.opt.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	l.dirs[dir] = struct{}{}
	l.dirtyDirs[filepath.Dir(dir)] = struct{}{}
	return nil
}

func (l *Log) dirChanged(dir string) {
	l.dirMu.Lock()
	l.dirtyDirs[dir] = struct{}{}
	l.dirMu.Unlock()
}

// syncDirs makes names durable: parents first.
func (l *Log) syncDirs() error {
	l.dirMu.Lock()
	dirty := l.dirtyDirs
	l.dirtyDirs = make(map[string]struct{})
	l.dirMu.Unlock()
	var errs []error
	for dir := range dirty {
		err := l.opt.FS.SyncDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // of a stream deleted since
			errs = append(errs, syncFailed(err))
		}
	}
	return errors.Join(errs...)
}

// moved takes frames that are in a segment now out of the tail.
func (l *Log) moved(s *shard, seg *segment, frames []frame, pads padded) {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return
	}
	seg.pad(pads.before)
	var bytes int64
	for i := range frames {
		f := &frames[i]
		if seg.index != nil && seg.index.end == seg.size {
			seg.index.add(seg, f.base, int(seg.stored(f)), f.arrival, max(seg.payload, 0))
		}
		seg.size += seg.stored(f)
		if pads.each {
			seg.pad(int64(cap(f.buf) - len(f.buf)))
		}
		if seg.payload >= 0 {
			seg.payload += f.payload
		}
		seg.next, seg.last = f.next(), f.arrival
		bytes += int64(len(f.buf))
	}
	seg.pad(pads.after)
	if len(s.tail) == len(frames) {
		s.tail, s.waited = nil, len(frames) // readers may still go through it
	} else {
		s.tail = append([]frame(nil), s.tail[len(frames):]...)
	}
	var victims []*indexOwner
	if seg.index != nil {
		victims = l.indexes.touch(s, seg)
	}
	s.mu.Unlock()
	for i := range frames {
		l.slabs.release(frames[i].slab)
	}
	// Whoever flushed, appends that waited for memory can go on.
	if left := l.tailBytes.Add(-bytes); left <= l.opt.TailBytes && left+bytes > l.opt.TailBytes {
		l.makeRoom(l.opt.TailBytes)
	}
	l.indexes.drop(victims)
}

func (l *Log) segmentDir(id uint64) string { return filepath.Join(l.dir, shardsDir, streamDir(id)) }

// sealSegment completes a full segment: index, trailer, sync, new name.
func (l *Log) sealSegment(s *shard, seg *segment) error {
	var footer []byte
	var at int64
	var old string
	err := l.withIndex(s, seg, func() {
		if !s.gone && !seg.sealed {
			footer, at, old = encodeFooter(seg, l.seed), seg.size, seg.path()
		}
	})
	if errors.Is(err, streams.ErrNotFound) || err == nil && footer == nil {
		return nil // deleted meanwhile: there is nothing to complete
	}
	if err != nil {
		return err
	}
	h, err := l.openToWrite(s, seg, old)
	if err != nil {
		return err
	}
	defer l.files.release(h)
	l.files.wrote(h)
	if _, err := h.WriteAt(footer, at); err != nil {
		return err
	}
	if err := l.files.sync(h); err != nil {
		return err
	}
	to := filepath.Join(seg.dir, sealedName(seg.shard, seg.base, seg.next, seg.last, seg.key))
	// Not under the shard's mutex, which appends need. Readers meanwhile share
	// the open file; one that comes too late with the old name looks again.
	if err := l.opt.FS.Rename(old, to); err != nil {
		return err
	}
	l.dirChanged(seg.dir)
	s.mu.Lock()
	seg.sealed = true
	s.mu.Unlock()
	l.sealedNew.Store(true)
	return nil
}

func (s *shard) tailNext() streams.Sequence {
	if len(s.tail) > 0 {
		return s.tail[0].base
	}
	return s.next
}
