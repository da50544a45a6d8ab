package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/firehosed/firehosed/internal/vfs"
)

// Compression says whether sealed segments are compressed.
type Compression uint8

// The kinds of compression.
const (
	NoCompression Compression = iota
	// Zstd rewrites each segment some time after it was sealed, in the
	// background, with every frame compressed by zstd at its fastest level.
	// Segments that would not become smaller by a sixteenth are left as they are.
	Zstd
)

const (
	// compressRate is how many bytes of segments are rewritten in a second.
	compressRate = 32 << 20
	// compressFile is the file that becomes a segment. What a crash leaves of it
	// is removed at the next start.
	compressFile = "COMPRESS.tmp"
	// compressSample is after how many bytes a segment is given up that does not
	// become smaller.
	compressSample = 1 << 20
)

// compressions counts what was done. Bytes are those of files.
type compressions struct {
	segments, read, before, after atomic.Int64
}

// compressLoop compresses sealed segments: those there are at a start, and new
// ones after the checkpoint that sealed them.
func (l *Log) compressLoop() {
	defer l.running.Done()
	rate := l.opt.compressRate
	if rate == 0 {
		rate = compressRate
	}
	p := &pacer{l: l, rate: max(rate, 0), done: &l.compressed.read}
	for {
		err := l.compressAll(p)
		if errors.Is(err, errStopped) {
			return
		}
		if err != nil {
			l.opt.Logger.Warn("segments are not compressed", "error", err)
		}
		select {
		case <-l.compressNow:
		case <-l.stop:
			return
		}
	}
}

// compressAll looks at all segments that were not looked at since the start.
func (l *Log) compressAll(p *pacer) error {
	if l.rebuilt != nil {
		return nil // its files are left as they are until they are repaired
	}
	var c *compressor
	for _, s := range l.allShards() {
		s.mu.Lock()
		segs := s.segs
		s.mu.Unlock()
		for _, seg := range segs {
			s.mu.Lock()
			due := seg.sealed && !seg.settled && !s.gone
			s.mu.Unlock()
			if !due {
				continue
			}
			if l.space.isFull() {
				return nil // it needs room before it makes some; after the next checkpoint
			}
			if c == nil {
				var err error
				if c, err = newCompressor(&l.codec); err != nil {
					return err
				}
			}
			err := l.compressSegment(s, seg, c, p)
			if errors.Is(err, errStopped) {
				return err
			}
			if isNoSpace(err) {
				return nil
			}
			if err != nil {
				l.opt.Logger.Warn("segment: it could not be compressed and stays as it is", "dir", seg.dir, "shard", seg.shard.String(), "base", uint64(seg.base), "error", err)
			}
			s.mu.Lock()
			seg.settled = true
			s.mu.Unlock()
		}
	}
	return nil
}

func (l *Log) allShards() (all []*shard) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, st := range l.byID {
		for _, s := range st.shards {
			all = append(all, s)
		}
	}
	return all
}

// errNotWorth means that a segment would not become smaller.
var errNotWorth = errors.New("not worth it")

// compressSegment replaces the file of a sealed segment by one with compressed
// frames, under the same name. A crash leaves the one or the other, which hold
// the same records.
func (l *Log) compressSegment(s *shard, seg *segment, c *compressor, p *pacer) error {
	s.mu.Lock()
	v := seg.view()
	s.mu.Unlock()
	from, err := l.opt.FS.OpenFile(v.path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // past its retention, or missing, which reads and the scrubber tell
	}
	if err != nil {
		return err
	}
	defer from.Close()
	var head [segmentHead]byte
	if _, err := from.ReadAt(head[:], 0); err != nil {
		return err
	}
	m, ok := parseSegmentHead(head[:], l.seed)
	if !ok || m.codec != 0 {
		return nil // damaged, or compressed before this start
	}
	st, err := from.Stat()
	if err != nil {
		return err
	}
	tmp := filepath.Join(l.dir, compressFile)
	to, err := l.opt.FS.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := rewriter{l: l, c: c, f: to, seg: segment{base: v.base, first: -1, size: segmentHead, index: &index{end: segmentHead}}}
	if !seg.key.none() {
		w.key, err = l.segmentKey(s, seg)
	}
	if err == nil {
		m.codec = codecZstd
		err = w.copy(paced{from, p}, st.Size(), s, v, &m)
	}
	if err == nil {
		err = to.Sync()
	}
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.replace(s, seg, &w.seg, tmp, v.path)
	}
	if err != nil {
		if rerr := l.opt.FS.Remove(tmp); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		if errors.Is(err, errNotWorth) || errors.Is(err, errMovedFile) {
			return nil
		}
		return err
	}
	l.compressed.segments.Add(1)
	l.compressed.before.Add(st.Size())
	l.compressed.after.Add(w.size)
	return nil
}

// rewriter writes the compressed file of a segment.
type rewriter struct {
	l    *Log
	c    *compressor
	key  *dataKey // nil if the segment is not encrypted
	f    vfs.File
	seg  segment // what is in the file so far
	read int64   // of frames
	buf  []byte
	off  int64 // of buf in the file
	enc  []byte
	size int64 // of the file, at last
}

// rewriteBytes is how much is written at a time.
const rewriteBytes = 1 << 20

// copy writes the whole file. The original must be whole.
func (w *rewriter) copy(from paced, size int64, s *shard, v segmentView, m *segmentMeta) error {
	w.buf = make([]byte, segmentHead, rewriteBytes)
	m.put(w.buf, w.l.seed)
	found, err := w.l.verify(from, size, s, v, w.frame)
	switch {
	case err != nil:
		return err
	case !found.good():
		return fmt.Errorf("%w: it is damaged", errNotWorth)
	}
	if !worthIt(w.seg.size, found.end) {
		return errNotWorth
	}
	return w.write(encodeFooter(&w.seg, w.l.seed), true)
}

func (w *rewriter) frame(stored []byte, fr frame) error {
	out, err := w.c.compress(fr.buf, w.l.seed)
	if err != nil {
		return err
	}
	switch {
	case out[3]&kindCompressed == 0:
		out = stored // encrypted as it is
	case w.key != nil:
		size := encryptedSize(int(binary.LittleEndian.Uint32(out[4:])))
		w.enc = slices.Grow(w.enc[:0], size)[:size]
		w.key.encrypt(w.enc, out, w.l.seed)
		out = w.enc
	}
	g := &w.seg
	if g.first < 0 {
		g.first = fr.arrival
	}
	g.index.add(g, fr.base, len(out), fr.arrival, g.payload)
	payload, ok := payloadOf(fr.body(), fr.count)
	if !ok {
		return errRecords
	}
	g.payload += payload
	g.size += int64(len(out))
	g.next, g.last = fr.next(), fr.arrival
	if w.read += int64(len(stored)); w.read >= compressSample && !worthIt(g.size-segmentHead, w.read) {
		return errNotWorth
	}
	return w.write(out, false)
}

func (w *rewriter) write(b []byte, last bool) error {
	w.buf = append(w.buf, b...)
	if len(w.buf) < rewriteBytes && !last {
		return nil
	}
	if _, err := w.f.WriteAt(w.buf, w.off); err != nil {
		return err
	}
	w.off += int64(len(w.buf))
	w.size = w.off
	w.buf = w.buf[:0]
	return nil
}

// replace gives the new file of a segment the name of the old one. errMovedFile
// if the segment is not in use any more.
func (l *Log) replace(s *shard, seg, next *segment, tmp, path string) error {
	// Until this is over no segment is removed, and no footer is written again to
	// where it was in the old file.
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	l.replacing.Lock()
	defer l.replacing.Unlock()
	if !l.still(s, seg) {
		return errMovedFile
	}
	// As long as this holds the old file open, readers that found their way by
	// its index get no other one.
	h, err := l.files.acquire(seg, path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() {
		l.files.release(h)
		if seg.replaced.Load() {
			l.files.retire(seg)
		} else {
			l.files.forget(seg)
		}
	}()
	if err := l.opt.FS.Rename(tmp, path); err != nil {
		return err
	}
	s.mu.Lock()
	now := &segment{
		dir: seg.dir, shard: seg.shard, base: seg.base, key: seg.key, next: seg.next, last: seg.last,
		size: next.size, first: next.first, payload: next.payload,
		sealed: true, full: seg.full, created: true, cut: true, settled: true,
	}
	seg.replaced.Store(true)
	l.indexes.forget(seg)
	s.segs = slices.Clone(s.segs)
	for i := range s.segs {
		if s.segs[i] == seg {
			s.segs[i] = now
		}
	}
	s.mu.Unlock()
	// If the new name is lost in a crash the old file is still there.
	if err := l.opt.FS.SyncDir(seg.dir); err != nil {
		l.opt.Logger.Warn("segment: its directory could not be synced after it was compressed", "dir", seg.dir, "error", err)
	}
	return nil
}

// dropCompressed removes what a crash left of a file that was to become a
// segment.
func (l *Log) dropCompressed() error {
	err := l.opt.FS.Remove(filepath.Join(l.dir, compressFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
