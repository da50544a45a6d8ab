package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/firehosed/firehosed/internal/vfs/overlayfs"
	"github.com/firehosed/firehosed/streams"
)

// rebuilt tells that no snapshot could be read, and what was put in its place.
type rebuilt struct {
	why       string
	snapshots []string // that could not be read
	streams   []string
	extra     []extraSegment
}

// extraSegment is an open segment behind another one of its shard. The journal
// should have its records.
type extraSegment struct {
	stream uint64
	file   segmentFile
	path   string
}

// errRebuilt refuses changes of a log whose snapshots are lost.
var errRebuilt = errors.New("no snapshot could be read, and what is shown was put together from segments and journal; firehosed repair makes the log writable")

// tell adds it to what a repair found.
func (r *rebuilt) tell(out *Repaired) {
	if r != nil {
		out.Rebuilt, out.Streams = r.why, r.streams
	}
}

// keep moves the snapshots that cannot be read to lost+found, before a new one
// takes their place.
func (r *rebuilt) keep(l *Log) error {
	if r == nil {
		return nil
	}
	for _, path := range r.snapshots {
		if err := l.found(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// rebuild puts together what a snapshot would say from the journal and the
// names and frames of segments. But for a repair all of it stays in memory, and
// nothing can be changed: somebody has to look first.
func (r *recovery) rebuild(unreadable []string, highest uint64, cause error) error {
	l := r.l
	if err := l.otherLog(); err != nil {
		return err
	}
	if cause == nil {
		cause = errors.New("there is none")
	}
	l.rebuilt = &rebuilt{snapshots: unreadable, why: fmt.Sprintf(
		"no snapshot could be read (%v); streams were put together from segments and journal, state that is older than the journal is lost", cause)}
	l.opt.Logger.Error("log: no snapshot can be read; it is put together from segments and journal, and read-only until firehosed repair was run", "error", cause)
	if !l.opt.repairing {
		view := overlayfs.New(l.opt.FS)
		l.opt.FS, l.files.fsys, l.journal.fsys = view, view, view
	}
	for _, d := range []string{metaDir, journalDir, shardsDir} {
		if err := l.opt.FS.MkdirAll(filepath.Join(l.dir, d), 0o700); err != nil {
			return err
		}
	}
	r.damaged = true // nothing is removed
	l.snapNumber = highest
	w, err := r.walkJournal()
	if err != nil {
		return err
	}
	files, err := r.listSegments()
	if err != nil {
		return err
	}
	snap, err := r.imagine(w)
	if err != nil {
		return err
	}
	if err := r.fillIn(snap, w, files); err != nil {
		return err
	}
	snap.LSN, snap.Synced, snap.Group = w.start, 0, w.group
	r.snap = snap
	return nil
}

// walked is what the journal tells without a snapshot.
type walked struct {
	start    uint64 // LSN where what hangs together begins
	group    uint64 // highest number
	controls []control
	first    map[[2]uint64]uint64 // stream, shard -> lowest sequence of a record
}

// journalExtent is a journal file with the groups in it.
type journalExtent struct {
	head   fileHead
	end    uint64
	groups []walkedGroup
}

type walkedGroup struct {
	lsn      uint64
	controls []control
	records  []header
	number   uint64
}

// walkJournal reads all journal files, and finds those that hang together with
// the newest.
func (r *recovery) walkJournal() (*walked, error) {
	j := &r.l.journal
	list, err := j.fsys.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var files []*journalExtent
	for _, e := range list {
		if _, ok := journalID(e.Name()); !ok {
			continue
		}
		x, err := r.walkFile(e.Name())
		if err != nil {
			return nil, err
		}
		if x != nil && len(x.groups) > 0 {
			files = append(files, x)
		}
	}
	w := &walked{first: make(map[[2]uint64]uint64)}
	if len(files) == 0 {
		return w, nil
	}
	slices.SortFunc(files, func(a, b *journalExtent) int { return cmp.Compare(b.head.generation, a.head.generation) })
	w.start = slices.MaxFunc(files, func(a, b *journalExtent) int { return cmp.Compare(a.end, b.end) }).head.start
	for moved := true; moved; {
		moved = false
		for _, x := range files {
			if x.head.start < w.start && x.end >= w.start {
				w.start, moved = x.head.start, true
			}
		}
	}
	seen := make(map[uint64]walkedGroup) // of two files that have a group, the newer counts
	for _, x := range files {
		for _, g := range x.groups {
			if _, ok := seen[g.lsn]; !ok && g.lsn >= w.start {
				seen[g.lsn] = g
			}
		}
	}
	for _, lsn := range slices.Sorted(maps.Keys(seen)) {
		g := seen[lsn]
		w.group = max(w.group, g.number)
		w.controls = append(w.controls, g.controls...)
		for _, h := range g.records {
			k := [2]uint64{h.stream, uint64(h.shard)}
			if at, ok := w.first[k]; !ok || h.seq < at {
				w.first[k] = h.seq
			}
		}
	}
	return w, nil
}

func (r *recovery) walkFile(name string) (*journalExtent, error) {
	j := &r.l.journal
	f, err := j.fsys.OpenFile(j.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	x, err := r.walkGroups(name, &scanned{journalFile: journalFile{name: name}, f: f})
	return x, errors.Join(err, f.Close())
}

func (r *recovery) walkGroups(name string, s *scanned) (*journalExtent, error) {
	p := &replayer{r: r, l: r.l}
	st, err := s.f.Stat()
	if err != nil {
		return nil, err
	}
	s.size = st.Size()
	head := make([]byte, block)
	n, err := s.f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	h, ok := parseFileHead(head[:n], r.l.seed)
	if ok && h.generation == 0 {
		return nil, nil //nolint:nilnil // A file that was never used.
	}
	if !ok {
		g, off, err := p.findGroup(s, block, func(groupInfo, int64) bool { return true })
		if err != nil || off < 0 {
			return nil, err
		}
		h = fileHead{logID: r.l.id, generation: g.generation, start: g.lsn - uint64(off-block), key: g.key} //nolint:gosec // At least one block.
	}
	s.head = h
	x := &journalExtent{head: h, end: h.start}
	for lsn := h.start; ; {
		g, frames, _, ok, err := p.read(s, lsn)
		if err != nil {
			return nil, err
		}
		if ok {
			if frames, ok, err = p.decrypt(s, g, frames); err != nil {
				return nil, fmt.Errorf("journal %s: %w. Nothing was changed", name, err)
			}
		}
		if ok {
			w, err := walkedOf(g, frames)
			if err != nil {
				return nil, err
			}
			x.groups = append(x.groups, w)
			lsn += uint64(g.total)
			x.end = lsn
			continue
		}
		// Behind damage it may go on; the replay names what is missing.
		off := int64(lsn-h.start) + 2*block //nolint:gosec // Within a file.
		g, off, err = p.findGroup(s, off, func(g groupInfo, at int64) bool {
			return g.generation == h.generation && g.lsn == s.lsnAt(at) && g.lsn > lsn
		})
		if err != nil || off < 0 {
			return x, err
		}
		lsn = g.lsn
	}
}

func walkedOf(g groupInfo, frames []journalFrame) (walkedGroup, error) {
	w := walkedGroup{lsn: g.lsn, number: g.number}
	for i := range frames {
		switch f := &frames[i]; f.kind {
		case kindRecords:
			w.records = append(w.records, f.header)
		case kindControl:
			c, err := decodeControl(f.body())
			if err != nil {
				return w, fmt.Errorf("%w: %w", ErrFormat, err)
			}
			w.controls = append(w.controls, *c)
		}
	}
	return w, nil
}

// shardFiles are the segment files of each shard of a stream.
type shardFiles map[streams.ShardID][]segmentFile

func (r *recovery) listSegments() (map[uint64]shardFiles, error) {
	root := filepath.Join(r.l.dir, shardsDir)
	list, err := r.readDir(root)
	if err != nil {
		return nil, err
	}
	out := make(map[uint64]shardFiles)
	for _, e := range list {
		id, ok := parseStreamDir(e.Name())
		if !ok {
			continue
		}
		names, err := r.readDir(filepath.Join(root, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			f, ok := parseSegmentName(n.Name())
			if !ok {
				continue
			}
			if out[id] == nil {
				out[id] = make(shardFiles)
			}
			out[id][f.shard] = append(out[id][f.shard], f)
		}
	}
	return out, nil
}

// imagine returns a snapshot of the streams that the journal saw being made.
func (r *recovery) imagine(w *walked) (*snapshot, error) {
	l := r.l
	l.mu.Lock()
	for i := range w.controls {
		l.apply(&w.controls[i])
	}
	snap := l.capture()
	next := l.nextStream
	l.byName, l.byID = make(map[string]*stream), make(map[uint64]*stream)
	l.nextStream, l.deleting = 1, nil
	l.mu.Unlock()
	// The way over the file gives the same as reading one.
	b, err := snap.encode(l.seed, nil)
	if err != nil {
		return nil, err
	}
	if snap, err = decodeSnapshot(b, l.seed, nil); err != nil {
		return nil, err
	}
	snap.NextStream = next
	return snap, nil
}

// fillIn adds the streams of which only segments are left, and what the
// segments hold.
func (r *recovery) fillIn(snap *snapshot, w *walked, files map[uint64]shardFiles) error {
	known := make(map[uint64]bool)
	names := make(map[string]bool)
	for i := range snap.Streams {
		known[snap.Streams[i].ID], names[string(snap.Streams[i].Name)] = true, true
	}
	for _, id := range slices.Sorted(maps.Keys(files)) {
		if known[id] || slices.Contains(snap.Deleting, id) || deleted(w, id) {
			continue
		}
		name := fmt.Sprintf("recovered-%d", id)
		for names[name] {
			name += "-again"
		}
		names[name] = true
		snap.Streams = append(snap.Streams, r.recovered(id, name, w, files[id]))
		snap.NextStream = max(snap.NextStream, id+1)
	}
	// Streams without records may have had higher ids, which must not come back.
	snap.NextStream += 1000
	for i := range snap.Streams {
		e := &snap.Streams[i]
		if err := r.fillStream(e, w, files[e.ID]); err != nil {
			return err
		}
		r.l.rebuilt.streams = append(r.l.rebuilt.streams, fmt.Sprintf("%s (id %d): %d shards", e.Name, e.ID, len(e.Shards)))
	}
	return nil
}

func deleted(w *walked, id uint64) bool {
	return slices.ContainsFunc(w.controls, func(c control) bool { return c.Op == "delete" && c.Stream == id })
}

// recovered describes a stream of which only segments are left. Neither its name
// nor the ranges of its shards are known: they share the hash keys evenly, and
// all are open. Nothing expires for as long as the log allows.
func (r *recovery) recovered(id uint64, name string, w *walked, files shardFiles) snapStream {
	ids := make(map[uint64]bool)
	for shard := range files {
		ids[uint64(shard)] = true
	}
	for i := range w.controls {
		switch c := &w.controls[i]; {
		case c.Stream != id:
		case c.Op == "split":
			ids[uint64(c.Child)], ids[uint64(c.Child)+1] = true, true
		case c.Op == "merge":
			ids[uint64(c.Child)] = true
		}
	}
	for k := range w.first {
		if k[0] == id {
			ids[k[1]] = true
		}
	}
	now := r.l.now().UnixMilli()
	e := snapStream{ID: id, Name: text(name), Created: now, Retention: maxRetention.Milliseconds()}
	ranges := streams.UniformRanges(len(ids))
	for i, shard := range slices.Sorted(maps.Keys(ids)) {
		e.NextShard = uint32(shard) + 1 //nolint:gosec // Eight digits of a name.
		e.Shards = append(e.Shards, snapShard{
			ID: uint32(shard), Start: snapKey(ranges[i].Start), End: snapKey(ranges[i].End), Created: now, //nolint:gosec // As above.
		})
	}
	return e
}

// fillStream notes what the segments of a stream hold. Shards that the journal
// does not know are closed ones.
func (r *recovery) fillStream(e *snapStream, w *walked, files shardFiles) error {
	have := make(map[streams.ShardID]bool)
	for i := range e.Shards {
		have[streams.ShardID(e.Shards[i].ID)] = true
	}
	for id := range files {
		if !have[id] {
			now := r.l.now().UnixMilli()
			e.Shards = append(e.Shards, snapShard{ID: uint32(id), End: snapKey(streams.MaxHashKey), Created: e.Created, Closed: now})
			e.NextShard = max(e.NextShard, uint32(id)+1)
		}
	}
	for i := range e.Shards {
		s := &e.Shards[i]
		list := files[streams.ShardID(s.ID)]
		if len(list) == 0 {
			first := max(1, w.first[[2]uint64{e.ID, uint64(s.ID)}])
			s.Oldest, s.Next = first, first
			continue
		}
		journal, ok := w.first[[2]uint64{e.ID, uint64(s.ID)}]
		if !ok {
			journal = math.MaxUint64
		}
		if err := r.fillShard(e.ID, s, list, journal); err != nil {
			return err
		}
	}
	return nil
}

// fillShard notes what the segments of a shard hold without a gap, as far as the
// journal, which has its records from a sequence on, can go on from there. What
// a start wrote that did not come to its snapshot may have holes.
func (r *recovery) fillShard(stream uint64, s *snapShard, list []segmentFile, journal uint64) error {
	slices.SortFunc(list, func(a, b segmentFile) int { return cmp.Compare(a.base, b.base) })
	s.Oldest, s.Next = uint64(list[0].base), uint64(list[0].base)
	dir := r.l.segmentDir(stream)
	for _, f := range list {
		path := filepath.Join(dir, f.name)
		// Behind an open segment whatever comes is newer than the last checkpoint.
		beyond := s.Bytes > 0 || (uint64(f.base) > s.Next && journal <= s.Next)
		if f.sealed && beyond {
			r.l.rebuilt.extra = append(r.l.rebuilt.extra, extraSegment{stream, f, path})
			continue
		}
		if f.sealed {
			if uint64(f.next) > s.Next {
				s.Next, s.Last = uint64(f.next), f.last
			}
			continue
		}
		end, err := r.walkOpen(stream, &f, path, journal)
		if err != nil {
			return err
		}
		switch {
		case f.next <= f.base || uint64(f.next) <= s.Next:
		case beyond:
			r.l.rebuilt.extra = append(r.l.rebuilt.extra, extraSegment{stream, f, path})
		default:
			s.Base, s.Bytes, s.Next, s.Last = uint64(f.base), end, uint64(f.next), f.last
		}
	}
	return nil
}

// walkOpen finds what an open segment holds, up to the last good frame, and
// where that ends. Damage is the end if the journal has what comes there.
func (r *recovery) walkOpen(stream uint64, sf *segmentFile, path string, journal uint64) (end int64, err error) {
	f, err := r.l.opt.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	s := &shard{st: streamOf(stream), id: sf.shard}
	seg := &segment{dir: filepath.Dir(path), shard: sf.shard, base: sf.base, key: sf.key}
	fr := frameReader{l: r.l, s: s, seg: seg, f: f, path: path, off: segmentHead, end: st.Size(), chunk: maxChunk}
	sf.next = sf.base
	for {
		at := fr.off
		got, err := fr.next()
		var bad *streams.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case journal <= uint64(sf.next) && (err != nil || got.base > sf.next || !bodyOK(got.buf, fr.head, r.l.seed)):
			return end, nil
		case errors.As(err, &bad):
			if fr.off = r.l.nextFrame(fr.f, s, at+8, st.Size(), sf.next); fr.off < 0 {
				return end, nil
			}
			fr.buf = nil
			continue
		case err != nil:
			return 0, err
		case got.base < sf.next || !bodyOK(got.buf, fr.head, r.l.seed):
			continue
		}
		sf.next, sf.last, end = got.next(), got.arrival, fr.off
	}
}

func streamOf(id uint64) *stream { return &stream{id: id} }

// checkExtra names what an open segment had that neither another one nor the
// journal has. The file is in lost+found.
func (r *recovery) checkExtra() {
	l := r.l
	if l.rebuilt == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.rebuilt.extra {
		st := l.byID[x.stream]
		if st == nil {
			continue
		}
		s := st.shards[x.file.shard]
		if s == nil || s.next >= x.file.next {
			continue
		}
		l.hole(s, s.next, x.file.next, &streams.DamageError{File: x.path, Reason: "an unfinished segment that no snapshot names; it is kept in lost+found"})
		s.next, s.assigned = x.file.next, x.file.next
	}
}
