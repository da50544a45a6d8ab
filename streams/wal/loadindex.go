package wal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/firehosed/firehosed/streams"
)

// loadIndex makes the index of a segment available: from its trailer, or by
// walking its frames. A sealed segment without a good trailer gets a new one.
func (l *Log) loadIndex(s *shard, seg *segment) error {
	return l.withIndex(s, seg, func() {})
}

// withIndex is loadIndex, and calls use with s.mu held as long as the index is
// there for certain: others may have it dropped right away. It does not if the
// segment became another one meanwhile.
func (l *Log) withIndex(s *shard, seg *segment, use func()) error {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return streams.ErrNotFound
	}
	if seg.index != nil && seg.payload >= 0 {
		use()
		victims := l.indexes.touch(s, seg)
		s.mu.Unlock()
		l.indexes.drop(victims)
		return nil
	}
	path, sealed, size := seg.path(), seg.sealed, seg.size
	created := seg.created
	s.mu.Unlock()
	if !created {
		return fmt.Errorf("segment %s: not written yet", path)
	}
	h, err := l.openToRead(s, seg, path, !sealed)
	if errors.Is(err, errMovedFile) {
		return nil // the caller looks again
	}
	if err != nil {
		return err
	}
	defer l.files.release(h)
	var b built
	ok := false
	if sealed {
		if b, ok, err = l.readFooter(h, seg); err != nil && !isUnreadable(err) {
			return err
		}
	}
	if !ok {
		if sealed {
			st, err := h.Stat()
			if err != nil {
				return err
			}
			size = st.Size()
		}
		if b, err = l.scanSegment(h, path, s, seg, size, sealed); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if !sealed && seg.size != b.index.end {
		s.mu.Unlock()
		return nil // it grew; the caller looks again
	}
	if seg.index == nil || seg.payload < 0 {
		seg.index, seg.payload, seg.first = b.index, b.payload, b.first
		if sealed {
			seg.size = b.index.end
		}
	}
	use()
	victims := l.indexes.touch(s, seg)
	rewrite := sealed && !ok && b.next == seg.next
	var footer []byte
	if rewrite {
		footer = encodeFooter(seg, l.seed)
	}
	s.mu.Unlock()
	l.indexes.drop(victims)
	if rewrite {
		l.rewriteFooter(seg, path, footer, b.index.end)
	}
	return nil
}

// built is what was learned of a segment.
type built struct {
	index   *index
	first   int64
	payload int64
	next    streams.Sequence
}

// readFooter reads index and trailer of a sealed segment, if they are good.
func (l *Log) readFooter(h *handle, seg *segment) (b built, ok bool, err error) {
	st, err := h.Stat()
	if err != nil {
		return b, false, err
	}
	size := st.Size()
	if size < segmentHead+trailerBytes {
		return b, false, nil
	}
	var raw [trailerBytes]byte
	if _, err := h.ReadAt(raw[:], size-trailerBytes); err != nil {
		return b, false, err
	}
	t, crc, ok := parseTrailer(raw[:], size, l.seed)
	if !ok || t.base != uint64(seg.base) || t.next != uint64(seg.next) {
		return b, false, nil
	}
	entries := make([]byte, int(t.entries)*indexEntrySize)
	if _, err := h.ReadAt(entries, t.indexAt); err != nil {
		return b, false, err
	}
	if checksum(l.seed, entries) != crc {
		return b, false, nil
	}
	return built{
		index: &index{entries: decodeIndex(entries), end: t.indexAt},
		first: t.first, payload: t.payload, next: streams.Sequence(t.next),
	}, true, nil
}

// scanSegment walks the frames of a segment file up to size. Where bytes are
// damaged it goes on with the next good frame: reads of the damaged part name
// it, the rest stays readable.
func (l *Log) scanSegment(f io.ReaderAt, path string, s *shard, seg *segment, size int64, sealed bool) (built, error) {
	b := built{index: &index{end: segmentHead}, first: -1, next: seg.base}
	// The arrivals in the index count from the first, which a whole segment
	// knows only after its first frame.
	shape := segment{base: seg.base}
	r := frameReader{l: l, s: s, seg: seg, f: f, path: path, off: segmentHead, end: size, chunk: maxChunk}
	for {
		at := r.off
		fr, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *streams.DamageError
		if errors.As(err, &bad) {
			if r.off = l.nextFrame(r.f, s, at+8, size, b.next); r.off < 0 {
				break
			}
			r.buf = nil
			continue
		}
		if err != nil {
			return b, err
		}
		if fr.base < b.next {
			continue // what an earlier process left behind
		}
		if b.first < 0 {
			b.first, shape.first = fr.arrival, fr.arrival
		}
		b.index.end = r.at
		b.index.add(&shape, fr.base, len(fr.buf), fr.arrival, b.payload)
		err = r.open(&fr)
		if err != nil && !errors.As(err, &bad) {
			return b, err
		}
		if p, ok := payloadOf(fr.body(), fr.count); ok && err == nil {
			b.payload += p
		}
		b.next = fr.next()
	}
	b.index.holed = unreadableIn(r.f, 0, size)
	if !sealed {
		b.index.end = size
	}
	return b, nil
}

// nextFrame looks for a frame of the shard with records from next on. -1 if
// there is none.
func (l *Log) nextFrame(f io.ReaderAt, s *shard, off, end int64, next streams.Sequence) int64 {
	off = (off + 7) &^ 7
	buf := make([]byte, maxChunk)
	for off < end {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if isUnreadable(err) {
			f = &patchy{f: f, size: end}
			n, err = f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		}
		for i := 0; i+headerBytes <= n; i += 8 {
			h, ok := parseHeader(buf[i:n], l.seed)
			if ok && h.isRecords() && h.stream == s.st.id && h.shard == uint32(s.id) && h.seq >= uint64(next) {
				return off + int64(i)
			}
		}
		if err != nil || n < headerBytes {
			return -1
		}
		off += int64(n-headerBytes)&^7 + 8
	}
	return -1
}

// rewriteFooter gives a sealed segment its index back. Failing that, it is
// built again next time.
func (l *Log) rewriteFooter(seg *segment, path string, footer []byte, at int64) {
	l.replacing.Lock()
	defer l.replacing.Unlock()
	if seg.replaced.Load() {
		return // by a file that is whole
	}
	log := l.opt.Logger.With("file", path)
	f, err := l.opt.FS.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		log.Warn("segment: its index was lost and could not be written again", "error", err)
		return
	}
	err = f.Truncate(at)
	if err == nil {
		_, err = f.WriteAt(footer, at)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		log.Warn("segment: its index was lost and could not be written again", "error", err)
		return
	}
	log.Warn("segment: its index was lost and was built again from the records")
}
