package wal

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/firehosed/firehosed/streams"
)

const (
	segmentMagic   = "FHSEGMNT"
	segmentHead    = 128
	footerMagic    = "FHFOOTER"
	trailerBytes   = 128
	indexEntrySize = 16
	// indexEvery is the distance of index entries. A read of this much costs
	// no more than one of a page.
	indexEvery = 16 << 10
)

// segment is a file with consecutive records of one shard. Its fields are
// guarded by the shard's mutex, but for dir, shard, base and key, which never
// change.
type segment struct {
	dir   string
	shard streams.ShardID
	base  streams.Sequence
	key   KeyID // of the master key of its frames, zero if they are not encrypted
	// next is the sequence after the last record in the file.
	next streams.Sequence
	// size is where the frames end and, in an open file, the next one goes.
	// -1 in a sealed segment whose trailer was not read yet.
	size int64
	// disk is the size of the file if size is -1 and it was asked for, else 0.
	disk int64
	// first and last are the arrivals of the first and last record, Unix ms.
	// first is -1 if not known yet.
	first, last int64
	// since is the arrival from which the age of an open file counts: of its
	// first record, or after a start of the last that was there.
	since   int64
	payload int64 // keys and data in bytes; -1 if not known yet
	sealed  bool
	full    bool // open, but no more records go in
	created bool // the file has its header
	cut     bool // the file ends at size
	settled bool // compressed, or not to be
	index   *index

	replaced atomic.Bool // another file has its name, and another segment its place
	retired  bool        // out of use; files.mu guards it

	known       string // what path returned last
	knownSealed bool   // and when
}

// meta is what the header of a segment file says.
type segmentMeta struct {
	logID  [16]byte
	stream uint64
	shard  uint32
	base   uint64
	made   int64 // Unix ms
	key    KeyID // of the master key, zero if the frames are not encrypted
	codec  uint32
}

func (m *segmentMeta) put(b []byte, seed uint32) {
	b = b[:segmentHead]
	clear(b)
	copy(b, segmentMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	copy(b[16:32], m.logID[:])
	le.PutUint64(b[32:], m.stream)
	le.PutUint32(b[40:], m.shard)
	le.PutUint64(b[48:], m.base)
	le.PutUint64(b[56:], uint64(m.made))
	copy(b[64:72], m.key[:])
	le.PutUint32(b[12:], m.codec)
	le.PutUint32(b[124:], checksum(seed, b[:124]))
}

func parseSegmentHead(b []byte, seed uint32) (m segmentMeta, ok bool) {
	if len(b) < segmentHead || string(b[:8]) != segmentMagic {
		return m, false
	}
	le := binary.LittleEndian
	if le.Uint32(b[124:]) != checksum(seed, b[:124]) || le.Uint32(b[8:]) != formatVersion {
		return m, false
	}
	m = segmentMeta{
		stream: le.Uint64(b[32:]), shard: le.Uint32(b[40:]),
		base: le.Uint64(b[48:]), made: int64(le.Uint64(b[56:])), codec: le.Uint32(b[12:]),
	}
	copy(m.logID[:], b[16:32])
	copy(m.key[:], b[64:72])
	return m, true
}

// trailer is the end of a sealed segment file; the index lies before it.
type trailer struct {
	base, next  uint64
	first, last int64
	payload     int64
	indexAt     int64 // where the frames end
	entries     uint32
}

func (t *trailer) put(b []byte, indexCRC, seed uint32) {
	b = b[:trailerBytes]
	clear(b)
	copy(b, footerMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], t.entries)
	le.PutUint64(b[16:], t.base)
	le.PutUint64(b[24:], t.next)
	le.PutUint64(b[32:], uint64(t.first))
	le.PutUint64(b[40:], uint64(t.last))
	le.PutUint64(b[48:], uint64(t.payload))
	le.PutUint64(b[56:], uint64(t.indexAt))
	le.PutUint32(b[64:], indexCRC)
	le.PutUint32(b[124:], checksum(seed, b[:124]))
}

func parseTrailer(b []byte, fileSize int64, seed uint32) (t trailer, indexCRC uint32, ok bool) {
	if len(b) < trailerBytes || string(b[:8]) != footerMagic {
		return t, 0, false
	}
	le := binary.LittleEndian
	if le.Uint32(b[124:]) != checksum(seed, b[:124]) || le.Uint32(b[8:]) != formatVersion {
		return t, 0, false
	}
	t = trailer{
		entries: le.Uint32(b[12:]),
		base:    le.Uint64(b[16:]),
		next:    le.Uint64(b[24:]),
		first:   int64(le.Uint64(b[32:])),
		last:    int64(le.Uint64(b[40:])),
		payload: int64(le.Uint64(b[48:])),
		indexAt: int64(le.Uint64(b[56:])),
	}
	ok = t.indexAt >= segmentHead && t.base <= t.next &&
		t.indexAt+int64(t.entries)*indexEntrySize+trailerBytes == fileSize
	return t, le.Uint32(b[64:]), ok
}

// encodeFooter returns index and trailer of a segment.
func encodeFooter(s *segment, seed uint32) []byte {
	out := make([]byte, 0, len(s.index.entries)*indexEntrySize+trailerBytes)
	for _, e := range s.index.entries {
		out = binary.LittleEndian.AppendUint32(out, e.seq)
		out = binary.LittleEndian.AppendUint32(out, e.off)
		out = binary.LittleEndian.AppendUint32(out, e.arrival)
		out = binary.LittleEndian.AppendUint32(out, e.payload)
	}
	t := trailer{
		base: uint64(s.base), next: uint64(s.next), first: s.first, last: s.last, payload: s.payload,
		indexAt: s.size, entries: uint32(len(s.index.entries)), //nolint:gosec // One per 16 KiB of a file.
	}
	n := len(out)
	out = append(out, make([]byte, trailerBytes)...)
	t.put(out[n:], checksum(seed, out[:n]), seed)
	return out
}

func decodeIndex(b []byte) []indexEntry {
	out := make([]indexEntry, len(b)/indexEntrySize)
	for i := range out {
		e := b[i*indexEntrySize:]
		out[i] = indexEntry{
			seq: binary.LittleEndian.Uint32(e), off: binary.LittleEndian.Uint32(e[4:]),
			arrival: binary.LittleEndian.Uint32(e[8:]), payload: binary.LittleEndian.Uint32(e[12:]),
		}
	}
	return out
}

// pad notes n bytes of a frame without records. The shard's mutex is held.
func (s *segment) pad(n int64) {
	if s.index != nil && s.index.end == s.size {
		s.index.end += n
	}
	s.size += n
}

// stored is how many bytes a frame from memory takes in the file.
func (s *segment) stored(f *frame) int64 {
	if s.key.none() {
		return int64(len(f.buf))
	}
	return int64(encryptedSize(len(f.body())))
}

// path is where the file lies now. A sealed one tells in its name what it
// holds, so that a start need not open it.
func (s *segment) path() string {
	if s.known != "" && s.knownSealed == s.sealed {
		return s.known // each page that is read asks
	}
	name := openName(s.shard, s.base, s.key)
	if s.sealed {
		name = sealedName(s.shard, s.base, s.next, s.last, s.key)
	}
	s.known, s.knownSealed = filepath.Join(s.dir, name), s.sealed
	return s.known
}

func openName(shard streams.ShardID, base streams.Sequence, key KeyID) string {
	return fmt.Sprintf("%08x-%016x%s.open", uint32(shard), uint64(base), keySuffix(key))
}

func sealedName(shard streams.ShardID, base, next streams.Sequence, last int64, key KeyID) string {
	return fmt.Sprintf("%08x-%016x-%016x-%012x%s.seg", uint32(shard), uint64(base), uint64(next), uint64(last), keySuffix(key))
}

// keySuffix is how the name of a file tells the key that it needs, so that a
// start knows whether all keys are there.
func keySuffix(key KeyID) string {
	if key.none() {
		return ""
	}
	return "-k" + key.String()
}

// segmentFile is what the name of a segment file says.
type segmentFile struct {
	name       string
	shard      streams.ShardID
	base, next streams.Sequence
	last       int64
	sealed     bool
	key        KeyID
}

func parseSegmentName(name string) (f segmentFile, ok bool) {
	f.name = name
	s, sealed := strings.CutSuffix(name, ".seg")
	if !sealed {
		if s, ok = strings.CutSuffix(name, ".open"); !ok {
			return f, false
		}
	}
	f.sealed = sealed
	s, key, encrypted := strings.Cut(s, "-k")
	if encrypted {
		var err error
		if f.key, err = parseKeyID(key); err != nil || f.key.String() != key {
			return f, false
		}
	}
	parts := strings.Split(s, "-")
	widths := []int{8, 16, 16, 12}
	if (sealed && len(parts) != 4) || (!sealed && len(parts) != 2) {
		return f, false
	}
	var v [4]uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 64)
		if err != nil || len(p) != widths[i] {
			return f, false
		}
		v[i] = n
	}
	f.shard, f.base = streams.ShardID(v[0]), streams.Sequence(v[1]) //nolint:gosec // Eight digits.
	f.next, f.last = streams.Sequence(v[2]), int64(v[3])            //nolint:gosec // Twelve digits.
	return f, !sealed || f.next > f.base
}

func streamDir(id uint64) string { return fmt.Sprintf("%016x", id) }

func parseStreamDir(name string) (uint64, bool) {
	id, err := strconv.ParseUint(name, 16, 64)
	return id, err == nil && len(name) == 16
}
