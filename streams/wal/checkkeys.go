package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firehosed/firehosed/internal/vfs"
)

// needs is which files need which keys that are not there.
type needs map[KeyID]*need

type need struct {
	file  string // one of them
	files int
}

func (n needs) add(key KeyID, file string) {
	if n[key] == nil {
		n[key] = &need{file: file}
	}
	n[key].files++
}

// checkKeys makes sure that whatever the start or a reader will want to read
// can be decrypted. It changes nothing.
func (r *recovery) checkKeys() error {
	missing := needs{}
	if err := r.segmentKeys(missing); err != nil {
		return err
	}
	if err := r.journalKeys(missing); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	var all []string
	for id, n := range missing {
		some := n.file
		if n.files > 1 {
			some = fmt.Sprintf("%d files, one of them %s", n.files, n.file)
		}
		all = append(all, fmt.Sprintf("key %s (for %s)", id, some))
	}
	slices.Sort(all)
	return fmt.Errorf("%w: the log needs %s; %s. Nothing was changed", ErrKey, strings.Join(all, ", "), r.l.keys.have())
}

// segmentKeys looks at the names of the segment files that attach will take.
func (r *recovery) segmentKeys(missing needs) error {
	for id, st := range r.l.byID {
		dir := r.l.segmentDir(id)
		list, err := r.readDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range list {
			f, ok := parseSegmentName(e.Name())
			if !ok || r.l.keys.has(f.key) {
				continue
			}
			s := st.shards[f.shard]
			if s == nil {
				continue
			}
			if p := s.position; f.sealed && f.next > p.oldest || !f.sealed && f.base == p.base && p.bytes > 0 {
				missing.add(f.key, filepath.Join(dir, f.name))
			}
		}
	}
	return nil
}

// journalKeys looks at the groups that the replay will take.
func (r *recovery) journalKeys(missing needs) error {
	p := &replayer{r: r, l: r.l}
	dir := r.l.journal.dir
	list, err := r.l.opt.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	var heads []fileHead
	lacking := map[string]KeyID{}
	for _, e := range list {
		if _, ok := journalID(e.Name()); !ok {
			continue
		}
		h, key, err := r.journalFileKey(e.Name())
		if err != nil {
			return err
		}
		heads = append(heads, h)
		if !r.l.keys.has(key) {
			lacking[e.Name()] = key
		}
	}
	for name := range lacking {
		f, err := r.l.opt.FS.OpenFile(filepath.Join(dir, name), os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		err = p.groupKeys(f, name, heads, missing)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// journalFileKey returns the head of a journal file, as far as it is good, and
// the key that it needs. The first group may have come from a file before and
// need another key; the one that is missing counts.
func (r *recovery) journalFileKey(name string) (h fileHead, key KeyID, err error) {
	f, err := r.l.opt.FS.OpenFile(filepath.Join(r.l.journal.dir, name), os.O_RDONLY, 0)
	if err != nil {
		return h, key, err
	}
	b := make([]byte, 2*block)
	n, err := f.ReadAt(b, 0)
	if cerr := f.Close(); err == nil || errors.Is(err, io.EOF) {
		err = cerr
	}
	if err != nil {
		return h, key, fmt.Errorf("journal %s: %w", name, err)
	}
	h, ok := parseFileHead(b[:min(n, block)], r.l.seed)
	if ok && h.generation == 0 {
		return h, key, nil
	}
	key = h.key
	if g, ok := parseGroup(b[min(n, block):n], r.l.seed); ok && !r.l.keys.has(g.key) {
		key = g.key
	}
	return h, key, nil
}

// groupKeys looks for groups that a replay from the snapshot on takes and whose
// key is missing.
func (p *replayer) groupKeys(f vfs.File, name string, heads []fileHead, missing needs) error {
	size, err := p.l.opt.FS.Stat(p.l.journal.path(name))
	if err != nil {
		return err
	}
	s := &scanned{journalFile: journalFile{name: name, size: size.Size()}, f: f}
	_, _, err = p.findGroup(s, block, func(g groupInfo, _ int64) bool {
		if g.frames == 0 || g.lsn < p.r.snap.LSN || p.l.keys.has(g.key) {
			return false
		}
		later := func(h fileHead) bool { return h.generation > g.generation && h.start <= g.lsn }
		if slices.ContainsFunc(heads, later) {
			return false // a later start began the journal anew before it
		}
		missing.add(g.key, p.l.journal.path(name))
		return true
	})
	return err
}

// readDir reads a directory of segments, once for the check of the keys and the
// use of the files.
func (r *recovery) readDir(dir string) ([]fs.DirEntry, error) {
	if list, ok := r.lists[dir]; ok {
		return list, nil
	}
	list, err := r.l.opt.FS.ReadDir(dir)
	if err == nil {
		r.lists[dir] = list
	}
	return list, err
}

// decrypt returns the frames of a whole group as they were before encryption.
// ok is false if one of them was altered.
func (p *replayer) decrypt(s *scanned, g groupInfo, frames []journalFrame) (out []journalFrame, ok bool, err error) {
	size := 0
	for i := range frames {
		if frames[i].encrypted == g.key.none() {
			return nil, false, nil // such a group was never written
		}
		size += len(frames[i].raw)
	}
	if g.key.none() || len(frames) == 0 {
		return frames, true, nil
	}
	k, err := p.dataKey(s, g.keyGeneration, g.key)
	if err != nil {
		return nil, false, err
	}
	buf := make([]byte, 0, size)
	out = make([]journalFrame, 0, len(frames))
	for i := range frames {
		from := len(buf)
		buf = append(buf, frames[i].raw...)
		f, ok := p.open(k, frames[i].header, buf[from:len(buf):len(buf)])
		if !ok {
			return nil, false, nil
		}
		out = append(out, f)
	}
	return out, true, nil
}

// open decrypts a frame in place.
func (p *replayer) open(k *dataKey, h header, raw []byte) (f journalFrame, ok bool) {
	plain, ok := k.decrypt(raw)
	if !ok {
		return f, false
	}
	if p.l.keys.newFiles().none() {
		rehash(plain, p.l.seed) // it goes to a segment as it is
	}
	h.encrypted, h.length = false, h.length-encryptionBytes
	return journalFrame{h, plain}, true
}

// dataKey derives the key of a group, or returns that of the group before.
func (p *replayer) dataKey(s *scanned, generation uint32, id KeyID) (*dataKey, error) {
	if p.key != nil && p.key.id == id && p.key.generation == generation {
		return p.key, nil
	}
	k, err := p.l.keys.journalAt(generation, id, p.l.journal.path(s.name))
	if err == nil {
		p.key = k
	}
	return k, err
}

// decryptSalvaged decrypts frames that were found in damaged bytes of a file.
// Nothing there tells the key: those that the file may have been written with
// are tried.
func (p *replayer) decryptSalvaged(s *scanned, got salvaged) (salvaged, error) {
	if !slices.ContainsFunc(got.frames, func(f journalFrame) bool { return f.encrypted }) {
		return got, nil
	}
	var keys []*dataKey
	if p.key != nil {
		keys = append(keys, p.key)
	}
	var ids []KeyID
	if p.l.keys != nil {
		for id := range p.l.keys.byID {
			ids = append(ids, id)
		}
	}
	if !p.l.keys.has(s.head.key) || len(ids) == 0 {
		return got, p.l.keys.missing(p.l.journal.path(s.name), s.head.key)
	}
	for _, id := range ids {
		for _, gen := range []uint32{s.head.generation, s.head.generation - 1} {
			k, err := p.l.keys.journalAt(gen, id, s.name)
			if err != nil {
				return got, err
			}
			keys = append(keys, k)
		}
	}
	out := salvaged{broken: got.broken}
	for _, f := range got.frames {
		opened := !f.encrypted
		for i := 0; i < len(keys) && !opened; i++ {
			var plain journalFrame
			if plain, opened = p.open(keys[i], f.header, slices.Clone(f.raw)); opened {
				f = plain
			}
		}
		if opened {
			out.frames = append(out.frames, f)
		} else {
			out.broken = append(out.broken, f.header)
		}
	}
	return out, nil
}
