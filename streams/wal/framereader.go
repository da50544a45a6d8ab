package wal

import (
	"errors"
	"fmt"
	"io"

	"github.com/firehosed/firehosed/streams"
)

const (
	// minChunk is what is read at a time where nothing tells how much is wanted.
	minChunk = 64 << 10
	// maxChunk is what a walk over a whole file reads at a time.
	maxChunk = 1 << 20
)

// frameReader walks the frames of a segment file in [off, end). Frames alias
// buffers that are not used again, so records may be kept.
type frameReader struct {
	l        *Log
	s        *shard
	seg      *segment // only what never changes of it is used
	f        io.ReaderAt
	path     string
	at       int64 // of the frame handed out last
	off, end int64 // what was not handed out yet
	until    int64 // how far it is wanted at once
	chunk    int   // how much to read at a time after that
	buf      []byte
	head     header // of the frame that next returned last

	plain      []byte               // for frames that were compressed
	plainChunk int                  // how much of that to take at a time
	key        *dataKey             // of the segment, once it was needed
	badPad     *streams.DamageError // of the first pad that is not zero, if one was passed
}

// next returns the next frame with a good header, without its body checked.
// io.EOF at the end; a *streams.DamageError if the header is not good.
func (r *frameReader) next() (frame, error) {
	h, ok, err := r.header()
	for err == nil && ok && h.kind == kindPad && h.length < 2*block {
		if err = r.pass(&h); err == nil {
			h, ok, err = r.header()
		}
	}
	if err != nil {
		return frame{}, err
	}
	if !ok || !h.isRecords() || h.encrypted == r.seg.key.none() || h.stream != r.s.st.id || h.shard != uint32(r.s.id) || h.count == 0 ||
		int64(h.size()) > r.end-r.off {
		return frame{}, &streams.DamageError{
			File: r.path, From: r.off, To: r.end,
			Reason: reasonFor(r.f, r.off, r.off+headerBytes, fmt.Sprintf("no frame of this shard at byte %d", r.off)),
		}
	}
	if err := r.fill(h.size()); err != nil {
		return frame{}, err
	}
	r.head = h
	f := frame{buf: r.buf[:h.size():h.size()], base: streams.Sequence(h.seq), count: h.count, arrival: h.time}
	r.buf = r.buf[h.size():]
	r.at = r.off
	r.off += int64(h.size())
	return f, nil
}

// header returns that of the frame at off. io.EOF at the end.
func (r *frameReader) header() (h header, ok bool, err error) {
	if r.off >= r.end {
		return h, false, io.EOF
	}
	if err := r.fill(headerBytes); err != nil {
		return h, false, err
	}
	h, ok = parseHeader(r.buf, r.l.seed)
	return h, ok, nil
}

// pass goes over a pad. What is wrong in it costs no record.
func (r *frameReader) pass(h *header) error {
	if err := r.fill(h.size()); err != nil {
		return err
	}
	if r.badPad == nil && !allZero(r.buf[headerBytes:h.size()]) {
		r.badPad = &streams.DamageError{File: r.path, From: r.off, To: r.off + int64(h.size()), Reason: "a pad is not zero"}
	}
	r.buf = r.buf[h.size():]
	r.off += int64(h.size())
	return nil
}

// skip goes on at the next good frame after damage at off, and returns the
// sequence it begins with. It completes what bad says.
func (r *frameReader) skip(bad *streams.DamageError) (streams.Sequence, bool) {
	off := r.l.nextFrame(r.f, r.s, r.off+8, r.end, 0)
	if off < 0 {
		return 0, false
	}
	bad.To = off
	r.off, r.buf = off, nil
	if err := r.fill(headerBytes); err != nil {
		return 0, false
	}
	h, ok := parseHeader(r.buf, r.l.seed)
	return streams.Sequence(h.seq), ok
}

// check verifies the body of the frame that next returned last, and makes it
// readable.
func (r *frameReader) check(f *frame) error {
	if !bodyOK(f.buf, r.head, r.l.seed) {
		return r.damage(f, "checksum does not match")
	}
	return r.open(f)
}

// open makes the body of the frame that next returned last readable: it decrypts
// and decompresses it.
func (r *frameReader) open(f *frame) error {
	if err := r.decrypt(f); err != nil || !f.compressed() {
		return err
	}
	buf, ok := r.l.codec.decompress(f.buf, r.room)
	if !ok {
		return r.damage(f, "compressed bytes are not what was written")
	}
	f.buf = buf
	return nil
}

// room returns memory for a plain frame.
func (r *frameReader) room(n int) []byte {
	if n > len(r.plain) {
		r.plain = make([]byte, max(n, r.plainChunk))
	}
	b := r.plain[:n]
	r.plain = r.plain[n:]
	return b
}

// decrypt makes the body of the frame that next returned last readable, if it is
// encrypted, in the buffer where it lies.
func (r *frameReader) decrypt(f *frame) error {
	if !f.encrypted() {
		return nil
	}
	if r.key == nil {
		k, err := r.dataKey()
		if err != nil {
			return err
		}
		r.key = k
	}
	buf, ok := r.key.decrypt(f.buf)
	if !ok {
		return r.damage(f, "encrypted bytes were altered")
	}
	f.buf = buf
	return nil
}

// dataKey returns the key of the segment, which its open file keeps.
func (r *frameReader) dataKey() (*dataKey, error) {
	h, ok := r.f.(*handle)
	if !ok {
		return r.l.segmentKey(r.s, r.seg)
	}
	return r.l.handleKey(r.s, r.seg, h)
}

func (r *frameReader) damage(f *frame, why string) error {
	return &streams.DamageError{
		File: r.path, From: r.at, To: r.off,
		Reason: fmt.Sprintf("%s in records %d to %d", reasonFor(r.f, r.at, r.off, why), f.base, f.next()-1),
	}
}

// fill makes n bytes available in buf.
func (r *frameReader) fill(n int) error {
	if len(r.buf) >= n {
		return nil
	}
	at := r.off + int64(len(r.buf))
	want := max(n, r.chunk)
	if r.until > r.off+int64(len(r.buf)) {
		want = max(n, int(r.until-r.off))
	}
	if left := r.end - r.off; int64(want) > left {
		want = int(left)
	}
	if want < n {
		return &streams.DamageError{File: r.path, From: r.off, To: r.end, Reason: "a frame does not end"}
	}
	grown := make([]byte, want)
	have := copy(grown, r.buf)
	got, err := r.f.ReadAt(grown[have:], at)
	if isUnreadable(err) { // the records around it can still be had
		r.f = &patchy{f: r.f, size: r.end}
		got, err = r.f.ReadAt(grown[have:], at)
	}
	if have+got < n {
		if err == nil || errors.Is(err, io.EOF) {
			return &streams.DamageError{File: r.path, From: at + int64(got), To: r.end, Reason: "the file is too short"}
		}
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	r.buf = grown[:have+got]
	return nil
}
