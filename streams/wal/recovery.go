package wal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/firehosed/firehosed/streams"
)

// maxSnapshot is the largest snapshot that is read: all state in base64, and
// a million shards.
const maxSnapshot = 1 << 30

// recovery is the work of one start, by the rules of docs/durability.md,
// "Recovery".
type recovery struct {
	l        *Log
	snap     *snapshot
	fallback bool     // the newest snapshot was not readable
	stale    []string // segment files newer than the snapshot
	damaged  bool     // some journal bytes were not what they should be
	replayed int
	lists    map[string][]fs.DirEntry // directories that were read already
}

func (l *Log) recover() error {
	// What a killed process renamed is there, but perhaps not on the disk.
	for _, d := range []string{l.dir, filepath.Join(l.dir, metaDir), l.journal.dir} {
		if err := l.opt.FS.SyncDir(d); err != nil && !errors.Is(err, os.ErrNotExist) { // then it is rebuilt
			return err
		}
	}
	if err := l.dropCompressed(); err != nil {
		return err
	}
	r := &recovery{l: l, lists: make(map[string][]fs.DirEntry)}
	if err := r.loadSnapshot(); err != nil {
		return err
	}
	r.restore()
	if err := r.checkKeys(); err != nil {
		return err
	}
	if err := r.attach(); err != nil {
		return err
	}
	if err := r.replay(); err != nil {
		return err
	}
	r.checkExtra()
	if err := r.removeStale(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, st := range l.byID {
		for _, s := range st.shards {
			s.mu.Lock()
			if s.unreadable() || s.suspect != nil || s.refuse != nil {
				l.damagedShards++
			}
			s.mu.Unlock()
		}
	}
	failed := filepath.Join(l.dir, failedFile)
	if _, err := l.opt.FS.Stat(failed); err == nil {
		l.opt.Logger.Warn("log: the last process ended because a write or sync failed; all it acknowledged is here", "note", failed)
		if err := l.opt.FS.Remove(failed); err != nil {
			return err
		}
	}
	return nil
}

// loadSnapshot reads the newest snapshot, or the one before it.
func (r *recovery) loadSnapshot() error {
	l := r.l
	dir := filepath.Join(l.dir, metaDir)
	list, err := l.opt.FS.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var numbers []uint64
	var paths []string
	highest := uint64(0)
	for _, e := range list {
		if n, ok := snapshotNumber(e.Name()); ok {
			numbers = append(numbers, n)
			highest = max(highest, n)
		}
	}
	slices.Sort(numbers)
	slices.Reverse(numbers)
	var errs []error
	for i, n := range numbers {
		path := filepath.Join(dir, snapshotName(n))
		snap, err := r.readSnapshot(path, n)
		if err == nil {
			r.snap, r.fallback = snap, i > 0
			l.snapNumber = max(numbers[0], n)
			return nil
		}
		if errors.Is(err, ErrKey) {
			return fmt.Errorf("snapshot %s: %w. Nothing was changed", path, err)
		}
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
		paths = append(paths, path)
		l.opt.Logger.Error("snapshot: not readable; the one before it is tried", "file", path, "error", err)
	}
	return r.rebuild(paths, highest, errors.Join(errs...))
}

func (r *recovery) readSnapshot(path string, number uint64) (*snapshot, error) {
	b, err := readFile(r.l.opt.FS, path, maxSnapshot)
	if err != nil {
		return nil, err
	}
	snap, err := decodeSnapshot(b, r.l.seed, r.l.keys)
	if err != nil {
		return nil, err
	}
	if snap.Number != number || snap.Log != hex.EncodeToString(r.l.id[:]) {
		return nil, fmt.Errorf("%w: it is snapshot %d of log %s", errContent, snap.Number, snap.Log)
	}
	return snap, nil
}

// restore rebuilds streams, shards and state from the snapshot.
func (r *recovery) restore() {
	l, n := r.l, r.snap
	l.nextStream, l.deleting, l.groupNumber = n.NextStream, slices.Clone(n.Deleting), n.Group
	l.durable, l.released = n.LSN, n.LSN
	if n.Number > 1 { // the first was written when the log was made, perhaps right now
		l.clock.known = n.Clock.Now
	}
	l.clock.resume(n.Clock)
	l.changed = len(l.deleting) > 0
	for _, e := range n.State {
		if e.Value == nil {
			e.Value = []byte{}
		}
		l.state.set(string(e.Key), e.Value)
	}
	for i := range n.Streams {
		e := &n.Streams[i]
		st := &stream{
			name: string(e.Name), id: e.ID, created: msTime(e.Created), retention: msDuration(e.Retention), bound: e.Bound,
			durability: e.durability(),
			nextShard:  streams.ShardID(e.NextShard), shards: make(map[streams.ShardID]*shard, len(e.Shards)),
		}
		for k := range e.Shards {
			s := restoreShard(st, &e.Shards[k])
			st.shards[s.id] = s
		}
		st.reroute()
		l.byName[st.name], l.byID[st.id] = st, st
	}
}

func restoreShard(st *stream, e *snapShard) *shard {
	rng := streams.HashRange{Start: streams.HashKey(e.Start), End: streams.HashKey(e.End)}
	s := newShard(st, streams.ShardID(e.ID), rng, msTime(e.Created))
	if e.Parent != nil {
		s.parent = streams.ShardID(*e.Parent)
	}
	if e.Adjacent != nil {
		s.adjacent = streams.ShardID(*e.Adjacent)
	}
	if e.Closed != 0 {
		s.closed, s.ended, s.closedAt = true, true, msTime(e.Closed)
	}
	for i := range e.Damage {
		d := &e.Damage[i]
		s.damage = append(s.damage, damaged{streams.Sequence(d.From), streams.Sequence(d.To), d.err(), d.GivenUp})
	}
	s.refuse, s.suspect = e.Refuse.err(), e.Suspect.err()
	s.position = position{
		oldest: streams.Sequence(e.Oldest), next: streams.Sequence(e.Next), last: e.Last,
		base: streams.Sequence(e.Base), bytes: e.Bytes,
	}
	s.next, s.last, s.first = s.position.next, e.Last, s.position.oldest
	if n := len(s.damage); n > 0 {
		s.next = max(s.next, s.damage[n-1].to) // no sequence is given twice
	}
	s.assigned, s.arrived = s.next, s.last
	return s
}

// attach finds the segment files of every shard.
func (r *recovery) attach() error {
	l := r.l
	root := filepath.Join(l.dir, shardsDir)
	list, err := l.opt.FS.ReadDir(root)
	if err != nil {
		return err
	}
	have := make(map[uint64][]segmentFile)
	for _, e := range list {
		path := filepath.Join(root, e.Name())
		id, ok := parseStreamDir(e.Name())
		if !ok {
			if err := l.found(path); err != nil {
				return err
			}
			continue
		}
		if slices.Contains(l.deleting, id) {
			continue // removed after the first checkpoint
		}
		st := l.byID[id]
		if st == nil && id < l.nextStream {
			if err := l.found(path); err != nil {
				return err
			}
			continue
		}
		// The names in it may be in memory only, left by a killed process: the
		// next checkpoint makes sure of them.
		l.dirs[path] = struct{}{}
		l.dirtyDirs[root], l.dirtyDirs[path] = struct{}{}, struct{}{}
		if have[id], err = r.listStream(path, st); err != nil {
			return err
		}
	}
	for id, st := range l.byID {
		byShard := make(map[streams.ShardID][]segmentFile)
		for _, f := range have[id] {
			byShard[f.shard] = append(byShard[f.shard], f)
		}
		for _, s := range st.shards {
			if err := r.attachShard(s, byShard[s.id]); err != nil {
				return err
			}
		}
	}
	return nil
}

// listStream lists the segments in a stream's directory. Files of shards that
// the snapshot does not know are either newer than it, or of expired shards.
func (r *recovery) listStream(dir string, st *stream) (out []segmentFile, err error) {
	list, err := r.readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		f, ok := parseSegmentName(e.Name())
		switch {
		case !ok:
			if err := r.l.found(path); err != nil {
				return nil, err
			}
		case st == nil || f.shard >= st.nextShard:
			r.stale = append(r.stale, path)
		case st.shards[f.shard] == nil:
			r.l.unlink = append(r.l.unlink, path)
			r.l.changed = true
		default:
			out = append(out, f)
		}
	}
	return out, nil
}

// attachShard builds the list of a shard's segments, and compares it with what
// the snapshot says.
func (r *recovery) attachShard(s *shard, list []segmentFile) error {
	l, p := r.l, s.position
	dir := l.segmentDir(s.st.id)
	slices.SortFunc(list, func(a, b segmentFile) int {
		if c := cmpU64(uint64(a.base), uint64(b.base)); c != 0 || a.sealed == b.sealed {
			return c
		}
		if a.sealed {
			return -1
		}
		return 1
	})
	expected := p.oldest
	for _, f := range list {
		path := filepath.Join(dir, f.name)
		known := f.base < p.next // the snapshot vouches for it
		switch {
		case f.sealed && f.next <= p.oldest, !f.sealed && f.base < p.oldest:
			l.unlink = append(l.unlink, path) // trimmed, or sealed under another name since
			l.changed = true
			continue
		case f.base < expected:
			// Its records are in the segment before it already.
			r.stale = append(r.stale, path)
			continue
		case !f.sealed && (f.base != p.base || p.bytes == 0),
			f.sealed && !known && f.base != expected:
			r.stale = append(r.stale, path) // newer than the snapshot: the journal has its records
			continue
		}
		if f.base > expected {
			if r.fallback && len(s.segs) == 0 {
				s.first = f.base // removed after a newer snapshot
			} else {
				l.hole(s, expected, f.base, missing(dir, s.id, expected))
			}
		}
		seg := &segment{
			dir: dir, shard: s.id, base: f.base, next: f.next, last: f.last, sealed: f.sealed,
			size: -1, first: -1, payload: -1, created: true, cut: f.sealed, key: f.key,
		}
		if !f.sealed {
			seg.next, seg.last, seg.size, seg.since = p.next, p.last, p.bytes, p.last
			if err := r.checkOpen(s, seg); err != nil {
				return err
			}
		}
		if n := len(s.segs); n > 0 {
			s.segs[n-1].full = true // if open, it lost its new name in the crash
		}
		s.segs = append(s.segs, seg)
		expected = max(seg.next, expected)
	}
	if expected < p.next {
		l.hole(s, expected, p.next, missing(dir, s.id, expected))
	}
	if expected > s.next { // sealed after the snapshot
		s.next, s.last = expected, s.segs[len(s.segs)-1].last
		l.touch(s)
	}
	s.assigned, s.arrived = s.next, s.last
	return nil
}

func missing(dir string, id streams.ShardID, base streams.Sequence) *streams.DamageError {
	return &streams.DamageError{
		File:   filepath.Join(dir, openName(id, base, KeyID{})),
		Reason: fmt.Sprintf("the file with the records of %s from %d on is missing", id, base),
	}
}

// checkOpen compares an open segment with the length the snapshot knows. What
// is longer is cut when it is written next; what is shorter has lost records.
func (r *recovery) checkOpen(s *shard, seg *segment) error {
	st, err := r.l.opt.FS.Stat(seg.path())
	if err != nil {
		return err
	}
	if r.l.opt.repairing && st.Size() >= seg.size {
		if st, err = r.cutUnreadable(seg); err != nil {
			return err
		}
	}
	if st.Size() >= seg.size {
		return nil
	}
	f, err := r.l.opt.FS.OpenFile(seg.path(), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	b, err := r.l.scanSegment(f, seg.path(), s, seg, st.Size(), seg.sealed)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	r.l.hole(s, b.next, seg.next, &streams.DamageError{
		File: seg.path(), From: st.Size(), To: seg.size,
		Reason: fmt.Sprintf("the file has %d bytes, but %d were durable; records of %s from %d on are missing", st.Size(), seg.size, s.id, b.next),
	})
	// Nothing is written to it again; what comes goes to a new one.
	seg.full, seg.cut, seg.size, seg.next = true, true, st.Size(), b.next
	if seg.next == seg.base {
		seg.next = seg.base + 1
		if s.next < seg.next {
			seg.next = s.next
		}
	}
	return nil
}

// cutUnreadable cuts an open segment before the block where it ends if the disk
// does not give that block: it could not be written either, and is in the way of
// what comes next.
func (r *recovery) cutUnreadable(seg *segment) (st fs.FileInfo, err error) {
	f, err := r.l.opt.FS.OpenFile(seg.path(), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	from := seg.size &^ (block - 1)
	if from < seg.size {
		var b [1]byte
		if _, err := f.ReadAt(b[:], from); err != nil {
			return nil, err
		}
		if unreadableIn(f, from, from+1) {
			if err := f.Truncate(from); err != nil {
				return nil, err
			}
		}
	}
	return f.Stat()
}

// hole notes records that are lost, and stops appends to their shard: whoever
// runs the daemon has to know first.
func (l *Log) hole(s *shard, from, to streams.Sequence, err *streams.DamageError) {
	for _, d := range s.damage {
		if d.from <= from && to <= d.to {
			return
		}
	}
	s.damage = append(s.damage, damaged{from: from, to: to, err: err})
	slices.SortFunc(s.damage, func(a, b damaged) int { return cmpU64(uint64(a.from), uint64(b.from)) })
	s.refuse = err
	s.st.changed()
	l.changed = true
	l.opt.Logger.Error("log: acknowledged records are damaged; their shard takes no more appends",
		"stream", s.st.name, "shard", s.id.String(), "from", uint64(from), "to", uint64(to), "file", err.File, "reason", err.Reason)
}

// removeStale removes segment files that were written after the snapshot: the
// replay has brought their records again. If the journal is damaged they may
// be the only copy, and are kept.
func (r *recovery) removeStale() error {
	l := r.l
	used := make(map[string]bool)
	for _, st := range l.byID {
		for _, s := range st.shards {
			for _, seg := range s.segs {
				used[seg.path()] = true
			}
		}
	}
	for _, path := range r.stale {
		switch {
		case used[path]:
		case r.damaged:
			if err := l.found(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		default:
			if err := l.opt.FS.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
