package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/firehosed/firehosed/streams"
)

// isDamage tells whether the journal was durable at lsn, where no whole group
// is: in which file that must have been, and to which LSN it is not readable.
// Else the rest is a torn tail. Groups may be acknowledged before they are
// synced, so a later one proves only what it says was synced when it was
// written. A later file proves that all before it was.
func (p *replayer) isDamage(places []*scanned, lsn uint64) (in *scanned, to uint64, err error) {
	for _, f := range places {
		off := int64(lsn-f.head.start) + block //nolint:gosec // Within a file.
		if until := p.unreadableFrom(f, off); until > off {
			return f, lsn + uint64(until-off), nil //nolint:gosec // Positive.
		}
		synced, first, end := uint64(0), uint64(0), uint64(0)
		_, _, err := p.findGroup(f, off+block, func(g groupInfo, at int64) bool {
			if g.generation != f.head.generation || g.lsn != f.lsnAt(at) || g.lsn <= lsn {
				return false
			}
			if first == 0 {
				first = g.lsn
			}
			synced, end = g.synced, g.lsn+uint64(g.total)
			return synced > lsn
		})
		if err != nil {
			return nil, 0, err
		}
		if synced > lsn {
			// What lies between was perhaps not synced: looked at next.
			return f, min(first, synced), nil
		}
		if end > lsn {
			p.torn = int64(end - lsn) //nolint:gosec // Within a file.
		}
	}
	if len(places) > 0 {
		in = places[len(places)-1]
	}
	for _, f := range p.files {
		if f.head.start > lsn && (in == nil || f.head.generation > in.head.generation) {
			return in, f.head.start, nil
		}
	}
	return in, max(lsn, p.synced), nil
}

// salvage applies what is left of the journal in [from, to), and notes what is
// not.
func (p *replayer) salvage(cur *scanned, from, to uint64) error {
	p.r.damaged = true
	size := int64(min(to-from, 1<<40)) //nolint:gosec // Bounded.
	bad := &streams.DamageError{File: filepath.Join(p.l.journal.dir, "?"), To: size, Reason: "journal: acknowledged bytes are missing"}
	var got salvaged
	if cur != nil {
		cur.damaged = true
		off := int64(from-cur.head.start) + block //nolint:gosec // Within a file.
		n := min(size, cur.size-off)
		bad = &streams.DamageError{
			File: p.l.journal.path(cur.name), From: off, To: off + size,
			Reason: "journal: " + reasonFor(cur.f, off, off+size, "acknowledged bytes do not match their checksum"),
		}
		if n > 0 && n <= 2*groupLimit {
			b := make([]byte, n)
			if _, err := cur.f.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("journal %s: %w", cur.name, err)
			}
			got = salvage(b, p.number+1, p.l.seed)
			var err error
			if got, err = p.decryptSalvaged(cur, got); err != nil {
				return err
			}
		}
	}
	p.l.opt.Logger.Error("journal: damage", "file", bad.File, "from", bad.From, "to", bad.To,
		"frames_saved", len(got.frames), "frames_broken", len(got.broken))
	for _, f := range p.files {
		if f.head.start >= from && f.head.start < to {
			f.damaged = true
		}
	}
	p.suspect(bad)
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	for _, f := range got.frames {
		if err := p.applyFrame(&f, bad); err != nil {
			return err
		}
	}
	for _, h := range got.broken {
		if s := p.shardOf(&h); h.kind == kindRecords && s != nil && uint64(s.next) <= h.seq {
			to := streams.Sequence(h.seq) + streams.Sequence(h.count)
			p.l.hole(s, s.next, to, bad)
			s.next, s.assigned = to, to
		}
	}
	return nil
}

// suspect notes damage of the journal. Whatever frame could not even be identified
// may have been of any shard; a later frame of a shard clears it, or shows the
// hole.
func (p *replayer) suspect(bad *streams.DamageError) {
	p.l.journalDamage = append(p.l.journalDamage, bad)
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	for _, st := range p.l.byID {
		for _, s := range st.shards {
			if !s.closed {
				s.suspect = alsoMissing(s.suspect, bad)
			}
		}
	}
}

// unreadableFrom returns where the group at an offset of a file ends, if it
// cannot be told because the disk does not give its bytes: whether it was
// acknowledged is not known then. Else it returns the offset.
func (p *replayer) unreadableFrom(f *scanned, off int64) int64 {
	patch := patchyOf(f.f)
	if patch == nil {
		return off
	}
	if until := patch.hole(off); until > off {
		return min(until, f.size)
	}
	head := make([]byte, block)
	if _, err := f.f.ReadAt(head, off); err != nil {
		return off
	}
	g, ok := parseGroup(head, p.l.seed)
	if ok && g.lsn == f.lsnAt(off) && g.generation == f.head.generation && patch.hit(off, off+int64(g.total)) {
		return off + int64(g.total)
	}
	return off
}

// blame takes a journal file of which nothing can be told for one that came after
// all others, and returns how many bytes there can have been in it.
func (p *replayer) blame(s *scanned, lsn uint64) uint64 {
	p.r.damaged = true
	bad := &streams.DamageError{File: p.l.journal.path(s.name), From: block, To: max(s.size, 2*block), Reason: "journal: " + unreadableReason}
	p.l.opt.Logger.Error("journal: a file cannot be read, and so not whether it held what no other has", "file", bad.File)
	p.suspect(bad)
	s.head = fileHead{start: lsn}
	p.l.journal.generation += 1 << 10 // it may have been of any of the next ones
	return uint64(bad.To - bad.From)  //nolint:gosec // Positive.
}
