package wal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

func msDuration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// scanned is a journal file as it was found.
type scanned struct {
	journalFile
	f       vfs.File
	applied uint64 // LSN up to which groups of it were applied
}

// replayer reads the journal from the snapshot's LSN to its end.
type replayer struct {
	r      *recovery
	l      *Log
	files  []*scanned // with a head, by start and generation
	spares []journalFile
	synced uint64   // LSN below which all was durable, as far as is known
	number uint64   // of the last group
	key    *dataKey // of the last encrypted group
	torn   int64
	doubt  bool         // a sync failed before: what is read must come from the disk
	groups []foundGroup // whole ones after the last damage, if in doubt
	blind  []*scanned   // files of which so much cannot be read that it is not known what they hold
	blamed int          // as many of them were taken for damage
}

// replay applies what the journal holds beyond the snapshot, and opens it for
// more.
func (r *recovery) replay() (err error) {
	p := &replayer{r: r, l: r.l, synced: r.snap.Synced, number: r.snap.Group, doubt: r.l.syncFailedBefore()}
	defer func() {
		for _, f := range slices.Concat(p.files, p.blind) {
			if cerr := f.f.Close(); err == nil {
				err = cerr
			}
		}
	}()
	if err := p.scan(); err != nil {
		return err
	}
	last, end, err := p.run(r.snap.LSN)
	if err != nil {
		return err
	}
	return p.reopen(last, end)
}

// scan reads the heads of all journal files.
func (p *replayer) scan() error {
	j := &p.l.journal
	list, err := j.fsys.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if isJournalCopy(e.Name()) {
			if err := j.fsys.Remove(j.path(e.Name())); err != nil {
				return err
			}
			continue
		}
		id, ok := journalID(e.Name())
		if !ok {
			if err := p.l.found(j.path(e.Name())); err != nil {
				return err
			}
			continue
		}
		j.nextID = max(j.nextID, id+1)
		if err := p.scanFile(e.Name()); err != nil {
			return err
		}
	}
	slices.SortFunc(p.files, func(a, b *scanned) int {
		if c := cmpU64(a.head.start, b.head.start); c != 0 {
			return c
		}
		return cmpU64(uint64(a.head.generation), uint64(b.head.generation))
	})
	return nil
}

func (p *replayer) scanFile(name string) error {
	j := &p.l.journal
	f, err := j.fsys.OpenFile(j.path(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if p.doubt {
		vfs.DropCache(f, 0, 0)
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s := &scanned{journalFile: journalFile{name: name, size: st.Size()}, f: f}
	head := make([]byte, block)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, f.Close())
	}
	h, ok := parseFileHead(head[:n], p.l.seed)
	if ok && h.generation == 0 {
		p.spares = append(p.spares, s.journalFile)
		return f.Close()
	}
	if !ok {
		// Either never completed, or its head is damaged: groups tell.
		g, off, err := p.findGroup(s, block, func(g groupInfo, _ int64) bool { return g.lsn >= p.r.snap.LSN })
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if off < 0 && unreadableIn(f, 0, s.size) {
			s.damaged = true
			p.blind = append(p.blind, s)
			return nil
		}
		if off < 0 {
			if err := f.Close(); err != nil {
				return err
			}
			return j.fsys.Remove(j.path(name))
		}
		h = fileHead{logID: p.l.id, generation: g.generation, start: g.lsn - uint64(off-block)} //nolint:gosec // At least one block.
		s.damaged = true
		p.l.opt.Logger.Error("journal: the head of a file is damaged; its groups are used", "file", j.path(name))
	}
	s.head = h
	j.generation = max(j.generation, h.generation)
	p.files = append(p.files, s)
	return nil
}

// lsnAt is the LSN that a group at off must have.
func (s *scanned) lsnAt(off int64) uint64 { return s.head.start + uint64(off-block) } //nolint:gosec // Positive.

// findGroup looks from off on for the head of a group that want accepts. -1 if
// there is none.
func (p *replayer) findGroup(s *scanned, off int64, want func(groupInfo, int64) bool) (groupInfo, int64, error) {
	buf := make([]byte, maxChunk)
	for off < s.size {
		n, err := s.f.ReadAt(buf[:min(int64(len(buf)), s.size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return groupInfo{}, 0, fmt.Errorf("journal %s: %w", s.name, err)
		}
		for i := 0; i+groupHead <= n; i += block {
			if g, ok := parseGroup(buf[i:n], p.l.seed); ok && want(g, off+int64(i)) {
				return g, off + int64(i), nil
			}
		}
		if n < len(buf) {
			break
		}
		off += int64(n)
	}
	return groupInfo{}, -1, nil
}

// read returns the whole group at an LSN of a file, or ok false.
func (p *replayer) read(s *scanned, lsn uint64) (g groupInfo, frames []journalFrame, raw []byte, ok bool, err error) {
	off := int64(lsn-s.head.start) + block //nolint:gosec // Within a file.
	if off < block || off+block > s.size {
		return g, nil, nil, false, nil
	}
	head := make([]byte, block)
	if _, err := s.f.ReadAt(head, off); err != nil && !errors.Is(err, io.EOF) {
		return g, nil, nil, false, fmt.Errorf("journal %s: %w", s.name, err)
	}
	g, ok = parseGroup(head, p.l.seed)
	if !ok || g.lsn != lsn || g.generation != s.head.generation || off+int64(g.total) > s.size {
		return g, nil, nil, false, nil
	}
	raw = make([]byte, g.total)
	if _, err := s.f.ReadAt(raw, off); err != nil {
		return g, nil, nil, false, fmt.Errorf("journal %s: %w", s.name, err)
	}
	frames, gerr := groupFrames(raw, g, p.l.seed)
	return g, frames, raw, gerr == nil, nil
}

// run replays groups from lsn on. It returns the last whole group, which may
// not be on the disk yet, and the LSN where the journal ends.
func (p *replayer) run(lsn uint64) (last []byte, end uint64, err error) {
	for {
		places := p.places(lsn)
		g, frames, raw, in, err := p.nextGroup(places, lsn)
		if err != nil {
			return nil, 0, err
		}
		if raw != nil {
			frames, ok, err := p.decrypt(in, g, frames)
			if err != nil {
				return nil, 0, err
			}
			if !ok { // not torn: its checksums are right
				if err := p.salvage(in, lsn, lsn+uint64(g.total)); err != nil {
					return nil, 0, err
				}
				last, lsn, p.groups = nil, lsn+uint64(g.total), nil
				continue
			}
			if p.doubt {
				p.groups = append(p.groups, foundGroup{in, lsn})
			}
			if err := p.apply(g, frames); err != nil {
				return nil, 0, err
			}
			p.synced = max(p.synced, g.synced)
			lsn += uint64(g.total)
			in.applied = lsn
			last, p.torn = raw, 0
			continue
		}
		in, to, err := p.isDamage(places, lsn)
		if err != nil {
			return nil, 0, err
		}
		if to <= lsn && p.blamed < len(p.blind) {
			lsn += p.blame(p.blind[p.blamed], lsn)
			p.blamed++
			last, p.groups, p.torn = nil, nil, 0
			continue
		}
		if to <= lsn {
			return last, lsn, nil
		}
		if err := p.salvage(in, lsn, to); err != nil {
			return nil, 0, err
		}
		last, lsn, p.groups, p.torn = nil, to, nil, 0
	}
}

// places returns the files that the group at lsn may be in. It is the newest
// that begins at or before lsn: what an older one has there was given up by the
// start that began the newer one, or is of an earlier use. But if the newest
// begins right there, that start may have been cut short while it wrote the last
// group again that it had found, which is in an older one.
func (p *replayer) places(lsn uint64) (out []*scanned) {
	newest := func(before uint32) (top *scanned) {
		for _, f := range p.files {
			if f.head.start <= lsn && f.head.generation < before && (top == nil || f.head.generation > top.head.generation) {
				top = f
			}
		}
		return top
	}
	for f := newest(math.MaxUint32); f != nil; f = newest(f.head.generation) {
		out = append(out, f)
		if f.head.start != lsn {
			break
		}
	}
	return out
}

// nextGroup reads the group at lsn from the first of its places that has it.
func (p *replayer) nextGroup(places []*scanned, lsn uint64) (groupInfo, []journalFrame, []byte, *scanned, error) {
	for _, f := range places {
		g, frames, raw, ok, err := p.read(f, lsn)
		if err != nil || ok {
			return g, frames, raw, f, err
		}
		if g.lsn == lsn && g.generation == f.head.generation {
			p.torn = int64(g.total)
		}
	}
	return groupInfo{}, nil, nil, nil, nil
}

func (p *replayer) shardOf(h *header) *shard {
	st := p.l.byID[h.stream]
	if st == nil {
		return nil
	}
	return st.shards[streams.ShardID(h.shard)]
}

// apply brings the frames of a group to the shards.
func (p *replayer) apply(g groupInfo, frames []journalFrame) error {
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range frames {
		if err := p.applyFrame(&frames[i], nil); err != nil {
			return err
		}
	}
	p.number = g.number
	l.groupNumber = max(l.groupNumber, g.number)
	l.durable = g.lsn + uint64(g.total)
	l.sinceCheckpoint += int64(g.total)
	p.r.replayed++
	if l.tailBytes.Load() > l.opt.TailBytes/2 {
		l.mu.Unlock()
		l.drain(l.opt.TailBytes/4, l.opt.TailBytes/4)
		l.mu.Lock()
	}
	if l.failed != nil {
		return l.failed
	}
	return nil
}

// applyFrame applies one frame. bad tells of damage around it, if there is.
func (p *replayer) applyFrame(f *journalFrame, bad *streams.DamageError) error {
	l := p.l
	switch f.kind {
	case kindPad:
	case kindState:
		updates, ok := decodeState(f.body(), f.count)
		if !ok {
			return fmt.Errorf("journal: %w: state of group %d", errContent, f.seq)
		}
		for _, u := range updates {
			l.state.set(u.Key, u.Value)
		}
		l.changed = true
	case kindControl:
		c, err := decodeControl(f.body())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		l.apply(c)
		l.changed = true
	case kindRecords:
		p.applyRecords(f, bad)
	default:
		return fmt.Errorf("%w: journal: frame of kind %d is unknown; was it written by a newer version?", ErrFormat, f.kind)
	}
	return nil
}

func (p *replayer) applyRecords(f *journalFrame, bad *streams.DamageError) {
	l := p.l
	s := p.shardOf(&f.header)
	if s == nil {
		return // deleted or expired since, or made by a control record that is damaged and named
	}
	fr := frame{buf: f.raw, base: streams.Sequence(f.seq), count: f.count, arrival: f.time}
	payload, ok := payloadOf(f.body(), f.count)
	fr.payload = payload
	if fr.next() <= s.next {
		return
	}
	if !ok || f.count == 0 || fr.base != s.next {
		why := bad
		if s.suspect != nil {
			why = s.suspect
		}
		if why == nil {
			why = &streams.DamageError{File: p.l.journal.dir, Reason: fmt.Sprintf("journal: records of %s from %d on are missing", s.id, s.next)}
		}
		to := fr.base
		if !ok || fr.base < s.next {
			to = fr.next()
		}
		l.hole(s, s.next, to, why)
		if s.next = to; to == fr.next() {
			s.assigned = s.next
			return
		}
	}
	s.suspect = nil
	l.accept(s, fr)
	s.assigned, s.arrived = s.next, s.last
}

// settle syncs what was applied below lsn and is not known to be durable: groups
// that were acknowledged before their sync, by a process that was killed, may be
// in the page cache only.
func (p *replayer) settle(lsn uint64) error {
	if p.synced >= lsn {
		return nil
	}
	for _, s := range p.files {
		if s.applied <= p.synced {
			continue
		}
		f, err := p.l.opt.FS.OpenFile(p.l.journal.path(s.name), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		err = f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("journal: %w", syncFailed(err))
		}
	}
	return nil
}

// reopen opens the journal for writing in a file of its own. The last group
// that was found may be in the page cache only, or its sync may have failed;
// it is written again, so that nothing is shown that could still vanish.
func (p *replayer) reopen(last []byte, end uint64) error {
	l, j := p.l, &p.l.journal
	if p.torn > 0 {
		l.opt.Logger.Info("journal: torn tail dropped; nothing in it was acknowledged as durable", "bytes", p.torn)
	}
	for _, st := range l.byID {
		for _, s := range st.shards {
			if s.suspect != nil {
				s.refuse = s.suspect
				st.changed()
				l.opt.Logger.Error("log: the journal is damaged and may have held records of this shard; it takes no more appends",
					"stream", st.name, "shard", s.id.String(), "file", s.suspect.File)
			}
		}
	}
	for _, s := range p.spares {
		if s.size == j.bytes && len(j.spares) < j.maxSpares && !hasHoles(j.fsys, j.path(s.name)) {
			s.left = true
			j.spares = append(j.spares, s)
		} else if err := j.fsys.Remove(j.path(s.name)); err != nil {
			return err
		}
	}
	for _, f := range slices.Concat(p.blind, p.files) {
		f.damaged = f.damaged || hasHoles(j.fsys, j.path(f.name))
		j.used = append(j.used, f.journalFile)
	}
	j.lsn = end
	switch {
	case len(p.groups) > 0:
		if err := p.copyTail(p.groups, end); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.syncedTo = end
	case last != nil:
		g, _ := parseGroup(last, l.seed)
		j.lsn = end - uint64(g.total)
		if err := p.settle(j.lsn); err != nil {
			return err
		}
		used := len(last)
		if frames, err := groupFrames(last, g, l.seed); err == nil {
			used = groupHead
			for i := range frames {
				used += len(frames[i].raw)
			}
		}
		y := layout{buf: vfs.Aligned(block + len(last)), used: used}
		copy(y.buf[block:], last)
		j.syncedTo = j.lsn
		if err := j.write(&y, &groupInfo{number: g.number, key: g.key, keyGeneration: g.keyGeneration}, l.opt.Clock().UnixMilli(), false, true); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.used[len(j.used)-1].foreign = g.key != j.key
	default:
		if err := p.settle(end); err != nil {
			return err
		}
		j.syncedTo = end
		if err := j.advance(true, block); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	l.durable = j.lsn
	if err := l.renewJournalKey(); err != nil {
		return err
	}
	if p.r.fallback {
		l.released = 0
	}
	return nil
}
