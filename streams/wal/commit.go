package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// markAfter is how long the journal usually rests before a group without frames
// vouches for the last one with: damage in that is then told from a torn tail.
const markAfter = time.Second

// unit is what one caller wants durable: all of it, or after a crash none.
type unit struct {
	buf     []byte // the frames, one after the other; headers are put when sequences are known
	large   bool   // buf is whole blocks, and written from where it lies
	slab    *slab  // that buf is a part of, if large
	padAt   int    // offset in buf of the last pad of a large unit; the end, if there is none
	left    bool   // its caller waits no more, while it is on its way to the disk
	frames  []unitFrame
	state   []streams.StateUpdate // copies
	stateAt int                   // offset in buf of the state frame, if any
	control *control
	ctlAt   int

	// done gets how the unit ended, once, after it had its place in a group. Until
	// then it belongs to the group; from then on nothing of it is touched but by
	// its caller, which may use it for something else at once. A unit that is left
	// stays the group's.
	done chan error

	arrival int64
	// durability of records alone; of all else it is empty, which means that
	// everybody in the group waits for the disk.
	durability streams.Durability
}

// stored is how many bytes the unit takes in the journal if it is encrypted with
// a key, or not with nil.
func (u *unit) stored(k *dataKey) int {
	if k == nil {
		return len(u.buf)
	}
	n := 0
	for i := range u.frames {
		n += encryptedSize(int(u.frames[i].body))
	}
	if len(u.state) > 0 {
		n += encryptedSize(int(binary.LittleEndian.Uint32(u.buf[u.stateAt+4:])))
	}
	if u.control != nil {
		n += encryptedSize(int(binary.LittleEndian.Uint32(u.buf[u.ctlAt+4:])))
	}
	return n
}

// unitFrame is a records frame of a unit.
type unitFrame struct {
	shard   *shard
	off     int // in unit.buf
	pad     int // bytes of the pad behind it
	aligned bool
	body    uint32
	bodyCRC uint32
	base    streams.Sequence
	count   uint32
	payload int64
}

// size is what the frame takes without a pad.
func (f *unitFrame) size() int { return headerBytes + pad8(int(f.body)) }

// group is what becomes durable by one write and one sync, or is acknowledged
// without the sync if all in it may be. Those who append touch it with l.mu held,
// and between take and the end of their copying; the goroutine that writes the
// journal has it for itself when it took it from l.cur and waited for the copies.
// Who waits for its end waits for that of a unit, so it is used again as soon as
// all of them were told.
type group struct {
	layout
	strict bool // somebody waits for the disk
	timed  bool // somebody wants a sync within the interval
	bytes  int  // of all units
	number uint64
	units  []*unit
	key    *dataKey       // that encrypts the units, nil if they are not
	copies sync.WaitGroup // units that still copy their bytes to buf
}

// newGroup returns an empty group. l.mu is held.
func (l *Log) newGroup() *group {
	l.groupNumber++
	g := l.groups.Get().(*group) //nolint:forcetypeassert // The only type in the pool.
	g.number, g.key, g.used = l.groupNumber, l.journalKey, groupHead
	if n := len(l.freeBufs); n > 0 {
		g.buf, l.freeBufs = l.freeBufs[n-1], l.freeBufs[:n-1]
	}
	return g
}

// finish tells those who wait for the group how it ended. Nothing may use its
// units after that.
func (g *group) finish(err error) {
	for i, u := range g.units {
		g.units[i] = nil
		u.done <- err // has room for the one result it ever gets
	}
	g.units = g.units[:0]
}

// putGroup gives a group back that is finished and has no buffer. Only who
// writes the journal does, when nobody copies to it any more.
func (l *Log) putGroup(g *group) {
	g.strict, g.timed, g.bytes, g.key = false, false, 0, nil
	l.groups.Put(g)
}

// fits reports whether a unit of n bytes may join. An empty group takes any.
func (g *group) fits(n int) bool { return g.bytes+n <= groupTarget || len(g.units) == 0 }

// take gives a unit its place, for a small one the offset in the buffer. Units
// lie in the file in the order of their sequences. l.mu is held.
func (g *group) take(u *unit, seed uint32) (off int) {
	g.units = append(g.units, u)
	g.bytes += u.stored(g.key)
	switch u.durability {
	case streams.None:
	case streams.Interval:
		g.timed = true
	default:
		g.strict = true
	}
	wait := g.copies.Wait // they take no locks and are short
	if u.large {
		g.room(0, wait)
		g.inset(u.buf, g.number, u.arrival, seed)
	} else {
		n := u.stored(g.key)
		g.room(n, wait)
		off = block + g.used
		g.used += n
	}
	g.copies.Add(1)
	return off
}

// maxBehind bounds the journal that a start has to replay, in CheckpointBytes:
// when segments are written more slowly than the journal, appends wait.
const maxBehind = 3

// submit queues a unit and waits until it is durable. decide is called with
// l.mu held when the unit has its place, and assigns sequences; an error of it
// refuses the unit.
func (l *Log) submit(ctx context.Context, u *unit, decide func() error) error {
	var g *group
	for g == nil {
		l.mu.Lock()
		if err := l.refused(u); err != nil {
			l.mu.Unlock()
			return err
		}
		var off int
		var first bool
		var wait chan struct{}
		switch {
		case l.tailBytes.Load() > l.opt.TailBytes:
			signal(l.flush) // it makes room when it has written enough
		case len(u.frames) > 0 && l.sinceCheckpoint > maxBehind*l.opt.CheckpointBytes:
			signal(l.checkpointNow) // so does this: a start has to replay all of it
		case l.cur.fits(u.stored(l.cur.key)):
			if err := decide(); err != nil {
				l.mu.Unlock()
				return err
			}
			g, first = l.cur, len(l.cur.units) == 0
			off = g.take(u, l.seed)
		}
		if g == nil {
			wait = l.waitForRoom()
		}
		l.mu.Unlock()
		if g == nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if first {
			signal(l.work)
		}
		u.seal(l.seed, g.number)
		if !u.large {
			u.store(g.buf[off:], g.key, l.seed)
		}
		g.copies.Done()
	}
	select {
	case err := <-u.done:
		return err
	case <-ctx.Done():
		u.left = true
		return ctx.Err()
	}
}

// waitForRoom returns what is closed when a group or memory has room again. l.mu
// is held.
func (l *Log) waitForRoom() chan struct{} {
	if l.room == nil {
		l.room = make(chan struct{})
	}
	return l.room
}

// wakeForRoom lets all look again who wait for room. l.mu is held.
func (l *Log) wakeForRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// seal writes the headers of the unit's frames, which need the sequences.
func (u *unit) seal(seed uint32, number uint64) {
	for i := range u.frames {
		f := &u.frames[i]
		h := header{
			kind: kindRecords, length: f.body, bodyCRC: f.bodyCRC, seq: uint64(f.base), time: u.arrival,
			stream: f.shard.st.id, shard: uint32(f.shard.id), count: f.count,
		}
		h.put(u.buf[f.off:], seed)
		if end := f.off + f.size(); f.pad > 0 {
			h := header{kind: kindPad, seq: number, time: u.arrival, stream: h.stream, shard: h.shard}
			h.putPad(u.buf[end:end+f.pad], seed)
		}
	}
	put := func(off int, kind uint8, count int) {
		h := header{
			kind: kind, length: binary.LittleEndian.Uint32(u.buf[off+4:]), // left there by who wrote the body
			seq: number, time: u.arrival, count: uint32(count), //nolint:gosec // At most 10,000.
		}
		h.bodyCRC = checksum(seed, u.buf[off+headerBytes:off+headerBytes+int(h.length)])
		h.put(u.buf[off:], seed)
	}
	if len(u.state) > 0 {
		put(u.stateAt, kindState, len(u.state))
	}
	if u.control != nil {
		put(u.ctlAt, kindControl, 1)
	}
	if u.large && u.padAt < len(u.buf) {
		putPad(u.buf[u.padAt:], number, u.arrival, seed)
	}
}

// store puts the frames of a sealed unit into a group's buffer.
func (u *unit) store(b []byte, k *dataKey, seed uint32) {
	if k == nil {
		copy(b, u.buf)
		return
	}
	// One writer alone waits for this: frames after the first of a large unit are
	// encrypted at the same time.
	var others sync.WaitGroup
	for frames := u.buf; len(frames) > 0; {
		n := int(binary.LittleEndian.Uint32(frames[4:]))
		dst, frame := b, frames
		b, frames = b[encryptedSize(n):], frames[headerBytes+pad8(n):]
		if n >= parallelBytes && len(frames) >= parallelBytes {
			others.Go(func() { k.encrypt(dst, frame, seed) })
		} else {
			k.encrypt(dst, frame, seed)
		}
	}
	others.Wait()
}

// parallelBytes is how large a frame must be to be encrypted beside the next.
const parallelBytes = 64 << 10

// signal wakes the goroutine that listens on c, once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// refused tells why a unit is not taken now. Units without records pass a disk
// that is too full for records: deliveries and deletions make room by them.
// l.mu is held.
func (l *Log) refused(u *unit) error {
	switch {
	case l.failed != nil:
		return fmt.Errorf("%w: %w", streams.ErrReadOnly, l.failed)
	case l.closed:
		return streams.ErrClosed
	case l.rebuilt != nil:
		return fmt.Errorf("%w: %w", streams.ErrReadOnly, errRebuilt)
	case len(u.frames) == 0:
		return nil
	}
	return l.space.check(l)
}

// commitLoop is the one goroutine that writes the journal.
func (l *Log) commitLoop() {
	defer l.running.Done()
	mark := time.NewTimer(markAfter)
	mark.Stop()
	defer mark.Stop()
	defer close(l.late.ended)
	defer l.late.timer.Stop()
	for {
		select {
		case <-l.work:
			for l.commit(false) {
				l.syncIfDue()
			}
			mark.Reset(l.opt.markAfter)
		case <-mark.C:
			l.commit(true)
			l.slabs.clear()
		case <-l.late.timer.C:
			_ = l.syncLate() // it made the log read-only
		case done := <-l.late.asked:
			done <- l.syncLate()
		case <-l.stopCommit:
			for l.commit(false) {
			}
			_ = l.syncLate()
			return
		}
	}
}

// commit writes the group that has filled, and reports whether there was one.
// mark asks for a group without frames if there is none.
func (l *Log) commit(mark bool) bool {
	l.mu.Lock()
	g := l.cur
	if l.failed != nil || (len(g.units) == 0 && !mark) {
		l.mu.Unlock()
		return false
	}
	l.cur = l.newGroup()
	l.wakeForRoom()
	l.mu.Unlock()

	g.copies.Wait()
	g.room(0, func() {})
	start := l.monotonic()
	info := groupInfo{number: g.number}
	if g.key != nil {
		info.key, info.keyGeneration = g.key.id, g.key.generation
	}
	records := slices.ContainsFunc(g.units, func(u *unit) bool { return len(u.frames) > 0 })
	before := l.journal.unsynced.Load()
	sync := g.strict || len(g.units) == 0
	err := l.journal.write(&g.layout, &info, l.opt.Clock().UnixMilli(), records, sync)
	if errors.Is(err, errNoSpace) && !records && l.dropBallast() {
		err = l.journal.write(&g.layout, &info, l.opt.Clock().UnixMilli(), records, sync)
	}
	took := l.monotonic() - start
	switch {
	case errors.Is(err, errNoSpace):
		l.noRoom(g, err)
		return true
	case err != nil:
		l.fail(fmt.Errorf("journal: %w", err))
		g.finish(fmt.Errorf("%w: %w", streams.ErrReadOnly, err))
		return false
	}
	if l.journal.unsynced.Load() == 0 {
		l.synced(took, before+int64(info.total))
	} else if g.timed {
		l.late.arm(l.opt.SyncInterval)
	}
	l.space.wrote(int64(info.total))
	if err := l.renewJournalKey(); err != nil {
		l.fail(err)
		g.finish(fmt.Errorf("%w: %w", streams.ErrReadOnly, err))
		return false
	}
	l.publish(g, info)
	if l.journal.wantsSpare() {
		l.prepareSpare()
	}
	return true
}

// publish makes a group visible that is durable, or written if all in it may be
// acknowledged then, and acknowledges it. It is the one place that does
// (promises P1 and P4; TestCrash guards them).
func (l *Log) publish(g *group, info groupInfo) {
	l.mu.Lock()
	l.durable = info.lsn + uint64(info.total)
	l.sinceCheckpoint += int64(info.total)
	for _, u := range g.units {
		for i := range u.frames {
			f := &u.frames[i]
			end, room := f.off+f.size(), f.off+f.size()
			if f.aligned {
				room += f.pad
			}
			l.accept(f.shard, frame{
				buf: u.buf[f.off:end:room], aligned: f.aligned,
				base: f.base, count: f.count, arrival: u.arrival, payload: f.payload,
				slab: u.slab,
			})
		}
		l.slabs.release(u.slab)
		for _, s := range u.state {
			l.state.set(s.Key, s.Value)
		}
		if u.control != nil {
			l.apply(u.control)
		}
		if len(u.frames) == 0 {
			l.changed = true
		}
	}
	l.recycle(g)
	full := l.sinceCheckpoint >= l.opt.CheckpointBytes
	dirty := len(g.units) > 0
	l.mu.Unlock()
	g.finish(nil)
	l.putGroup(g)
	if l.tailBytes.Load() > l.opt.TailBytes/2 {
		signal(l.flush)
	}
	if dirty {
		l.dirty(full)
	}
}

// accept adds a durable frame to its shard. l.mu is held.
func (l *Log) accept(s *shard, f frame) {
	s.mu.Lock()
	s.next, s.last = f.next(), f.arrival
	if !s.gone {
		if s.tail == nil {
			s.tail = make([]frame, 0, min(s.waited, maxWaited))
		}
		s.tail = append(s.tail, f)
		l.tailBytes.Add(int64(len(f.buf)))
	} else {
		l.slabs.release(f.slab)
	}
	s.wake()
	s.mu.Unlock()
	l.touch(s)
}

// maxWaited bounds for how many frames there is room before they come.
const maxWaited = 64

// touch notes that a shard has data the last checkpoint has not. l.mu is held.
func (l *Log) touch(s *shard) {
	if !s.touched {
		s.touched = true
		l.touched = append(l.touched, s)
	}
	if !s.queued {
		s.queued = true
		l.flushQueue = append(l.flushQueue, s)
	}
}

// recycle keeps the buffer of a written group for another. l.mu is held.
func (l *Log) recycle(g *group) {
	if len(g.buf) <= block+groupTarget && len(l.freeBufs) < 2 {
		l.freeBufs = append(l.freeBufs, g.buf)
	}
	clear(g.large)
	g.layout = layout{large: g.large[:0]}
}

// noRoom refuses a group that found the disk full and the one behind it, whose
// sequences follow on, and takes the sequences back.
func (l *Log) noRoom(g *group, cause error) {
	l.mu.Lock()
	l.space.full(l)
	next := l.cur
	// Before anything else gets its place: it would follow sequences that are
	// never written.
	for _, g := range []*group{g, next} {
		for _, u := range g.units {
			for i := range u.frames {
				s := u.frames[i].shard
				s.mu.Lock()
				s.assigned, s.arrived = s.next, s.last
				s.mu.Unlock()
			}
		}
	}
	l.cur = l.newGroup()
	l.wakeForRoom()
	l.mu.Unlock()
	next.copies.Wait()
	l.mu.Lock()
	err := fmt.Errorf("%w: %w", streams.ErrFull, cause)
	l.recycle(g)
	l.recycle(next)
	l.mu.Unlock()
	l.opt.Logger.Error("journal: the disk is full; appends are refused until there is space", "error", cause)
	g.finish(err)
	next.finish(err)
}
