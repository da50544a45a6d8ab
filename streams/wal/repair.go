package wal

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/firehosed/firehosed/internal/vfs/overlayfs"
	"github.com/firehosed/firehosed/streams"
)

// RepairOptions say how Repair works.
type RepairOptions struct {
	Options
	// Apply makes what is lost explicit. Without it Repair only tells, and
	// nothing is changed.
	Apply bool
}

// Loss is a range of records of a shard that cannot be read any more.
type Loss struct {
	Stream   string `json:"stream"`
	StreamID uint64 `json:"stream_id"`
	Shard    string `json:"shard"`
	From     uint64 `json:"from"` // sequence of the first
	To       uint64 `json:"to"`   // sequence after the last
	Records  int64  `json:"records"`
	// AtMost: it is not known which records there were; there cannot have been
	// more than Records.
	AtMost bool   `json:"at_most,omitempty"`
	Bytes  int64  `json:"bytes"` // of File that are damaged or missing
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// FileDamage is damage of a file that hit no record for itself.
type FileDamage struct {
	File   string `json:"file"`
	From   int64  `json:"from"` // bytes
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}

// Repaired is what Repair found, and did or would do.
type Repaired struct {
	Applied bool `json:"applied"`
	// Format tells why the file FORMAT is written again.
	Format string `json:"format,omitempty"`
	// Losses are given up: reads pass over them and count that, and their
	// shards take records again.
	Losses []Loss `json:"losses,omitempty"`
	// Journal names damage of the journal. Beside the records among the losses
	// it may have held changes of state and of streams.
	Journal []FileDamage `json:"journal,omitempty"`
	// Files are segments whose records are whole, but header or index is not:
	// they are written again.
	Files []FileDamage `json:"files,omitempty"`
	// Unreadable are bytes that the disk does not give. Those that matter are
	// also part of what is told above.
	Unreadable []FileDamage `json:"unreadable,omitempty"`
	// Streams were found by their segments only, as no snapshot could be read.
	Streams []string `json:"streams,omitempty"`
	// Rebuilt tells that, and what could not be brought back.
	Rebuilt string `json:"rebuilt,omitempty"`
	// Moved are the originals of what was changed, in lost+found.
	Moved []string `json:"moved,omitempty"`
}

// Clean reports whether there is nothing to repair.
func (r *Repaired) Clean() bool {
	return len(r.Losses) == 0 && len(r.Journal) == 0 && len(r.Files) == 0 && r.Rebuilt == "" && r.Format == "" && len(r.Unreadable) == 0
}

// ErrNoLog means that there is no log in a directory.
var ErrNoLog = errors.New("no log here")

// Repair reads everything in the directory of a log and tells what is lost.
// With Apply it then makes that explicit: lost ranges are given up, so that
// reads pass over them and their shards take records again; damaged files are
// replaced by what is left of them, and the originals kept in lost+found. It can
// be ended at any moment and run again. Nothing that can be read is given up.
// Where the disk gives no bytes (EIO) it reads on behind the block: that is damage
// like any other, and zeros in what is kept of the file.
//
// A missing or wrong FORMAT is written again if all other files are of one log.
//
// An error wraps vfs.ErrLocked while a process uses the directory, ErrNoLog if
// there is no log, ErrFormat if a newer version wrote it or it cannot be told
// which log it is.
func Repair(ctx context.Context, dir string, opt RepairOptions) (*Repaired, error) {
	o := opt.Options.withDefaults()
	o.repairing = true
	found := false
	for _, name := range []string{formatFile, metaDir, journalDir} {
		if _, err := o.FS.Stat(filepath.Join(dir, name)); err == nil {
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("repair %s: %w", dir, ErrNoLog)
	}
	if !opt.Apply {
		o.FS = overlayfs.New(o.FS)
	}
	patched := newPatchedFS(o.FS)
	o.FS = patched
	l, err := openIdle(dir, o)
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	r := &repairer{ctx: ctx, l: l, patched: patched, out: &Repaired{Applied: opt.Apply}}
	err = r.run(opt.Apply)
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("repair %s: %w", dir, err)
	}
	return r.out, nil
}

type repairer struct {
	ctx     context.Context
	l       *Log
	patched *patchedFS
	out     *Repaired

	files []damagedFile
	lost  map[*shard][]damaged
}

// damagedFile is a segment that does not verify.
type damagedFile struct {
	s   *shard
	seg *segment
	v   verdict
}

func (r *repairer) run(apply bool) error {
	for _, d := range r.l.journalDamage {
		r.out.Journal = append(r.out.Journal, FileDamage{File: d.File, From: d.From, To: d.To, Reason: d.Reason})
	}
	if err := r.reformat(); err != nil {
		return err
	}
	r.l.rebuilt.tell(r.out)
	if err := r.l.rebuilt.keep(r.l); err != nil {
		return err
	}
	// What is in the journal only goes to the segments first, so that all
	// records are in one place.
	if err := r.l.checkpoint(); err != nil {
		return err
	}
	shards := r.shards()
	sealed := false
	for _, s := range shards {
		done, err := r.sealDamaged(s)
		if err != nil {
			return err
		}
		sealed = sealed || done
	}
	if sealed {
		if err := r.l.checkpoint(); err != nil {
			return err
		}
	}
	r.lost = make(map[*shard][]damaged)
	for _, s := range shards {
		if err := r.look(s); err != nil {
			return err
		}
	}
	r.out.Unreadable = r.patched.list()
	if !apply || r.out.Clean() {
		return nil
	}
	return r.apply(shards)
}

// shards returns all shards, by stream and id.
func (r *repairer) shards() (out []*shard) {
	r.l.mu.RLock()
	defer r.l.mu.RUnlock()
	for _, st := range r.l.byID {
		for _, s := range st.shards {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *shard) int {
		return cmp.Or(cmp.Compare(a.st.id, b.st.id), cmp.Compare(a.id, b.id))
	})
	return out
}

// verify walks over the file of a segment.
func (r *repairer) verify(s *shard, seg *segment, each func(stored []byte, fr frame) error) (verdict, error) {
	if err := r.ctx.Err(); err != nil {
		return verdict{}, err
	}
	v := seg.view()
	f, err := r.l.opt.FS.OpenFile(v.path, os.O_RDONLY, 0)
	if err != nil {
		return verdict{}, err
	}
	out, err := func() (verdict, error) {
		st, err := f.Stat()
		if err != nil {
			return verdict{}, err
		}
		return r.l.verify(f, st.Size(), s, v, each)
	}()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return out, err
}

// sealDamaged has a damaged open segment sealed with the next checkpoint, so
// that only sealed ones are left to repair.
func (r *repairer) sealDamaged(s *shard) (bool, error) {
	done := false
	for _, seg := range s.segs {
		if seg.sealed || !seg.created {
			continue
		}
		v, err := r.verify(s, seg, nil)
		if err != nil {
			return false, err
		}
		if !v.good() {
			seg.full, done = true, true
			r.l.mu.Lock()
			r.l.touch(s)
			r.l.mu.Unlock()
		}
	}
	return done, nil
}

// look notes what a shard has lost.
func (r *repairer) look(s *shard) error {
	var lost []damaged
	for _, d := range s.damage {
		if !d.givenUp {
			lost = append(lost, d)
		}
	}
	for _, seg := range s.segs {
		if !seg.created {
			continue
		}
		v, err := r.verify(s, seg, nil)
		if err != nil {
			return err
		}
		fresh, d := false, v.other
		for i := range v.lost {
			if !r.l.givenUp(s, &v.lost[i]) {
				lost = append(lost, v.lost[i])
				fresh = true
			}
			// A file that was repaired has nothing where records were lost.
			if bad := v.lost[i].err; bad.To > bad.From && d == nil {
				d = bad
			}
		}
		if d == nil {
			continue
		}
		r.files = append(r.files, damagedFile{s, seg, v})
		if !fresh {
			// Its records are all there, or were given up by a repair that did
			// not come to the file.
			r.out.Files = append(r.out.Files, FileDamage{File: d.File, From: d.From, To: d.To, Reason: d.Reason})
		}
	}
	lost = apart(lost)
	for _, d := range lost {
		r.out.Losses = append(r.out.Losses, lossOf(s, &d, false))
	}
	if s.suspect != nil {
		// It is not known which records are missing. So that none of their
		// sequences is given twice, the shard goes on behind all there can have
		// been.
		d := damaged{from: s.next, to: s.next + mostRecords(s.suspect), err: s.suspect}
		lost = append(lost, d)
		r.out.Losses = append(r.out.Losses, lossOf(s, &d, true))
	}
	if len(lost) > 0 || s.refuse != nil {
		r.lost[s] = lost
	}
	return nil
}

// minRecordBytes is what a record takes at least.
const minRecordBytes = 3

func compareFileDamage(a, b *FileDamage) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.From, b.From))
}

func mostRecords(e *streams.DamageError) streams.Sequence {
	return streams.Sequence(max(e.To-e.From, block)/minRecordBytes + 1) //nolint:gosec // Positive.
}

// apart orders ranges and cuts them so that none overlaps another.
func apart(list []damaged) (out []damaged) {
	slices.SortFunc(list, func(a, b damaged) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	var end streams.Sequence
	for _, d := range list {
		d.from = max(d.from, end)
		if d.from < d.to {
			out, end = append(out, d), d.to
		}
	}
	return out
}

func lossOf(s *shard, d *damaged, atMost bool) Loss {
	return Loss{
		Stream: s.st.name, StreamID: s.st.id, Shard: s.id.String(), From: uint64(d.from), To: uint64(d.to),
		Records: int64(d.to - d.from), AtMost: atMost, //nolint:gosec // Fewer than ever were.
		Bytes: d.err.To - d.err.From, File: d.err.File, Reason: d.err.Reason,
	}
}

// apply gives up what is lost, first in the snapshot, so that a repair that
// ends early leaves a log that can be used; then the files are replaced. The
// second checkpoint makes the snapshot before say the same, and lets go of
// damaged journal files.
func (r *repairer) apply(shards []*shard) error {
	if err := r.note(); err != nil {
		return err
	}
	for _, s := range shards {
		if lost, ok := r.lost[s]; ok {
			r.giveUp(s, lost)
		}
	}
	if err := r.l.checkpoint(); err != nil {
		return err
	}
	for i := range r.files {
		if err := r.replace(&r.files[i]); err != nil {
			return err
		}
	}
	return r.l.checkpoint()
}

// note leaves what was found in lost+found, beside the originals.
func (r *repairer) note() error {
	b, err := json.MarshalIndent(r.out, "", " ")
	if err != nil {
		return err
	}
	dir := filepath.Join(r.l.dir, foundDir)
	if err := r.l.opt.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path, err := r.free("repair.json")
	if err != nil {
		return err
	}
	return writeFile(r.l.opt.FS, path, append(b, '\n'))
}

// free returns an unused name in lost+found.
func (r *repairer) free(name string) (string, error) {
	for n := 0; ; n++ {
		path := filepath.Join(r.l.dir, foundDir, fmt.Sprintf("%d-%d-%s", r.l.now().UnixMilli(), n, name))
		_, err := r.l.opt.FS.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// giveUp has reads pass over lost ranges, and lets the shard take records.
func (r *repairer) giveUp(s *shard, lost []damaged) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(s.damage, lost)
	for i := range all {
		all[i].givenUp = true
	}
	s.damage = s.damage[:0:0]
	for _, d := range apart(all) {
		// Neighbours become one, so that a file that is gone lies in one range.
		if n := len(s.damage); n > 0 && s.damage[n-1].to == d.from {
			s.damage[n-1].to = d.to
			continue
		}
		s.damage = append(s.damage, d)
	}
	for _, d := range lost {
		l.opt.Logger.Warn("repair: lost records are given up; reads pass over them", "stream", s.st.name, "shard", s.id.String(),
			"from", uint64(d.from), "to", uint64(d.to), "file", d.err.File, "reason", d.err.Reason)
		if d.to > s.next {
			s.next, s.assigned = d.to, d.to
		}
	}
	s.suspect, s.refuse = nil, nil
	s.st.changed()
	l.changed = true
	l.touch(s)
}

// replace puts what is left of a damaged segment in its place. A copy of the
// original is in lost+found before.
func (r *repairer) replace(d *damagedFile) error {
	l := r.l
	path := d.seg.path()
	if d.v.frames == 0 {
		if err := l.found(path); err != nil {
			return err
		}
		if err := l.opt.FS.SyncDir(d.seg.dir); err != nil {
			return err
		}
		r.out.Moved = append(r.out.Moved, path)
		r.forget(d, func() {
			d.s.segs = slices.DeleteFunc(slices.Clone(d.s.segs), func(seg *segment) bool { return seg == d.seg })
		})
		return nil
	}
	if err := r.keep(path); err != nil {
		return err
	}
	if err := r.rewrite(d, path); err != nil {
		return err
	}
	r.forget(d, func() { d.seg.size, d.seg.payload, d.seg.first = -1, -1, -1 })
	l.opt.Logger.Warn("repair: a damaged segment was replaced by what is left of it", "file", path, "frames", d.v.frames)
	return nil
}

// forget drops what is held of a segment whose file changed.
func (r *repairer) forget(d *damagedFile, then func()) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	r.l.indexes.forget(d.seg)
	r.l.files.forget(d.seg)
	then()
	r.l.changed = true
	r.l.touch(d.s)
}

// keep copies a file to lost+found.
func (r *repairer) keep(path string) error {
	fsys := r.l.opt.FS
	rel, err := filepath.Rel(r.l.dir, path)
	if err != nil {
		return err
	}
	to, err := r.free(flat(rel))
	if err != nil {
		return err
	}
	in, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = r.copyTo(to, &window{f: in})
	if cerr := in.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(to))
	}
	if err == nil {
		r.out.Moved = append(r.out.Moved, to)
	}
	return err
}

func (r *repairer) copyTo(path string, in *window) error {
	f, err := r.l.opt.FS.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	in.size = 1 << 62
	for off := int64(0); err == nil; {
		var b []byte
		if b, err = in.at(off, maxChunk); err != nil || len(b) == 0 {
			break
		}
		_, err = f.WriteAt(b, off)
		off += int64(len(b))
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// rewrite writes the good frames of a segment to a new file of the same name.
func (r *repairer) rewrite(d *damagedFile, path string) error {
	l := r.l
	tmp := path + ".repair" // left behind by a crash, the next start moves it aside
	f, err := l.opt.FS.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	head := make([]byte, segmentHead)
	m := segmentMeta{logID: l.id, stream: d.s.st.id, shard: uint32(d.s.id), base: uint64(d.seg.base), made: l.opt.Clock().UnixMilli(), key: d.seg.key}
	m.put(head, l.seed)
	_, err = f.WriteAt(head, 0)
	if err == nil {
		err = r.rewriteFrames(d, f)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.opt.FS.Rename(tmp, path)
	}
	if err == nil {
		err = l.opt.FS.SyncDir(d.seg.dir)
	}
	return err
}

func (r *repairer) rewriteFrames(d *damagedFile, f writerAt) error {
	shape := segment{base: d.seg.base, next: d.seg.next, last: d.seg.last, first: -1, index: &index{end: segmentHead}}
	_, err := r.verify(d.s, d.seg, func(stored []byte, fr frame) error {
		if shape.first < 0 {
			shape.first = fr.arrival
		}
		clear(stored[headerBytes+binary.LittleEndian.Uint32(stored[4:]):]) // padding, which no checksum covers
		if _, err := f.WriteAt(stored, shape.index.end); err != nil {
			return err
		}
		shape.index.add(&shape, fr.base, len(stored), fr.arrival, shape.payload)
		if p, ok := payloadOf(fr.body(), fr.count); ok {
			shape.payload += p
		}
		return nil
	})
	if err != nil {
		return err
	}
	shape.size = shape.index.end
	_, err = f.WriteAt(encodeFooter(&shape, r.l.seed), shape.size)
	return err
}

type writerAt interface {
	WriteAt(p []byte, off int64) (int, error)
}
