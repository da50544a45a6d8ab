package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/firehosed/firehosed/streams"
)

// verdict is what a walk over every byte of a segment file found.
type verdict struct {
	lost   []damaged            // records that should be there and cannot be read
	other  *streams.DamageError // damage that hit no record: of header, index or trailer
	frames int                  // good ones
	size   int64                // of the file
	end    int64                // where its frames end
}

func (v *verdict) good() bool { return len(v.lost) == 0 && v.other == nil }

// segmentView is what is known of a segment whose file is verified.
type segmentView struct {
	seg        *segment // only what never changes of it is used
	path       string
	base, next streams.Sequence
	sealed     bool
	size       int64 // of an open one: where its frames end
}

func (s *segment) view() segmentView {
	return segmentView{seg: s, path: s.path(), base: s.base, next: s.next, sealed: s.sealed, size: s.size}
}

// verify reads a segment file from end to end and compares every checksum. Good
// frames are handed to each, if set, as they are stored and decrypted. It changes
// nothing.
func (l *Log) verify(f io.ReaderAt, fileSize int64, s *shard, v segmentView, each func(stored []byte, fr frame) error) (verdict, error) {
	out := verdict{size: fileSize, end: fileSize}
	if patchyOf(f) == nil {
		f = &patchy{f: f, size: fileSize}
	}
	var head [segmentHead]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return out, fmt.Errorf("read %s: %w", v.path, err)
	}
	if m, ok := parseSegmentHead(head[:n], l.seed); !ok || m.stream != s.st.id || m.shard != uint32(s.id) || m.base != uint64(v.base) || m.key != v.seg.key {
		out.other = &streams.DamageError{File: v.path, To: min(segmentHead, fileSize), Reason: reasonFor(f, 0, segmentHead, "its header does not match its checksum or its name")}
	}
	if v.sealed {
		if err := l.verifyFooter(f, v, &out); err != nil {
			return out, err
		}
	} else {
		out.end = min(v.size, fileSize)
	}
	return out, l.verifyFrames(f, s, v, &out, each)
}

// verifyFooter checks index and trailer, and finds where the frames end.
func (l *Log) verifyFooter(f io.ReaderAt, v segmentView, out *verdict) error {
	bad := &streams.DamageError{File: v.path, From: max(0, out.size-trailerBytes), To: out.size, Reason: "its trailer does not match its checksum or its name"}
	if out.size >= segmentHead+trailerBytes {
		var b [trailerBytes]byte
		if _, err := f.ReadAt(b[:], out.size-trailerBytes); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", v.path, err)
		}
		t, crc, ok := parseTrailer(b[:], out.size, l.seed)
		if ok {
			out.end = t.indexAt
			if t.base == uint64(v.base) && t.next == uint64(v.next) {
				entries := make([]byte, int(t.entries)*indexEntrySize)
				if _, err := f.ReadAt(entries, t.indexAt); err != nil && !errors.Is(err, io.EOF) {
					return fmt.Errorf("read %s: %w", v.path, err)
				}
				if checksum(l.seed, entries) == crc {
					return nil
				}
				bad.From, bad.To = t.indexAt, out.size-trailerBytes
				bad.Reason = "its index does not match its checksum"
			}
		}
	}
	if out.other == nil {
		bad.Reason = reasonFor(f, bad.From, bad.To, bad.Reason)
		out.other = bad
	}
	return nil
}

func (l *Log) verifyFrames(f io.ReaderAt, s *shard, v segmentView, out *verdict, each func(stored []byte, fr frame) error) error {
	r := frameReader{l: l, s: s, seg: v.seg, f: f, path: v.path, off: segmentHead, end: out.end, chunk: maxChunk}
	next, goodEnd := v.base, int64(segmentHead)
	why := ""
	lose := func(to streams.Sequence, until int64) {
		if why == "" {
			why = "records are missing"
		}
		out.lost = append(out.lost, damaged{from: next, to: to, err: &streams.DamageError{File: v.path, From: goodEnd, To: until, Reason: why}})
	}
	for {
		at := r.off
		fr, err := r.next()
		if errors.Is(err, io.EOF) {
			if why == "" {
				goodEnd = r.off // behind the pads
			}
			break
		}
		stored, padded := fr.buf, true
		var bad *streams.DamageError
		if err == nil {
			padded = allZero(stored[headerBytes+len(fr.body()):])
			if fr.encrypted() { // in place, otherwise
				fr.buf = slices.Clone(stored)
			}
			if err = r.check(&fr); err == nil {
				if _, ok := payloadOf(fr.body(), fr.count); !ok {
					err = r.damage(&fr, errRecords.Error())
				}
			}
		} else if errors.As(err, &bad) {
			if r.off = l.nextFrame(r.f, s, at+8, out.end, 0); r.off < 0 {
				if why == "" {
					why = bad.Reason
				}
				break
			}
			r.buf = nil
		}
		switch {
		case errors.As(err, &bad):
			if why == "" {
				why = bad.Reason
			}
			continue
		case err != nil:
			return err
		case fr.base < next:
			continue // what an earlier process left behind
		case fr.base > next:
			lose(fr.base, at)
		case why != "" && out.other == nil: // it hit a pad
			out.other = &streams.DamageError{File: v.path, From: goodEnd, To: r.at, Reason: why}
		}
		why, next, goodEnd = "", fr.next(), r.off
		if !padded && out.other == nil {
			out.other = &streams.DamageError{File: v.path, From: at, To: r.off, Reason: "padding is not zero"}
		}
		out.frames++
		if each != nil {
			if err := each(stored, fr); err != nil {
				return err
			}
		}
	}
	if out.other == nil && r.badPad != nil {
		out.other = r.badPad
	}
	if next < v.next {
		lose(v.next, out.end)
	} else if goodEnd < out.end && out.other == nil {
		out.other = &streams.DamageError{File: v.path, From: goodEnd, To: out.end, Reason: "bytes behind the last record are no frame"}
	}
	return nil
}
