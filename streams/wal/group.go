package wal

import (
	"encoding/binary"
	"errors"
)

const (
	// block is the unit of journal writes. Groups begin and end on it: a write
	// to a page that is under writeback would wait for it.
	block = 4096
	// groupBody and groupHead are the sizes of a group's own body, and of that
	// with the frame header before it.
	groupBody = 48
	groupHead = headerBytes + groupBody
	// groupTarget is where a group stops growing; a single larger append makes
	// a larger group.
	groupTarget = 4 << 20
	// groupLimit is the largest group a decoder believes.
	groupLimit = 96 << 20
)

// groupInfo is what the head of a group says. See docs/formats/journal.md.
type groupInfo struct {
	lsn        uint64
	number     uint64
	total      uint32 // bytes with head and padding, whole blocks
	frames     uint32
	chain      uint32 // checksum over the headers of the frames
	generation uint32 // of the file
	synced     uint64 // LSN below which all was durable when this was written
}

// putGroup writes the head of the group that lies in b, and its padding. b
// has room to the end of the last block; used is the bytes of head and frames.
func putGroup(b []byte, used int, g *groupInfo, now int64, seed uint32) {
	le := binary.LittleEndian
	g.total = uint32((used + block - 1) &^ (block - 1)) //nolint:gosec // Bounded by groupLimit.
	clear(b[used:g.total])
	g.frames, g.chain = 0, seed
	for off := groupHead; off < used; {
		h := b[off : off+headerBytes]
		g.chain = checksum(g.chain, h)
		g.frames++
		off += headerBytes + pad8(int(le.Uint32(h[4:])))
	}
	body := b[headerBytes:groupHead]
	le.PutUint32(body[0:], g.total)
	le.PutUint32(body[4:], g.frames)
	le.PutUint32(body[8:], g.chain)
	le.PutUint32(body[12:], g.generation)
	le.PutUint64(body[16:], g.synced)
	clear(body[24:])
	h := header{
		kind: kindGroup, length: groupBody, bodyCRC: checksum(seed, body),
		seq: g.lsn, time: now, stream: g.number,
	}
	h.put(b, seed)
}

// parseGroup reads the head of a group.
func parseGroup(b []byte, seed uint32) (g groupInfo, ok bool) {
	h, ok := parseHeader(b, seed)
	if !ok || h.kind != kindGroup || h.length != groupBody || len(b) < groupHead {
		return g, false
	}
	body := b[headerBytes:groupHead]
	if checksum(seed, body) != h.bodyCRC {
		return g, false
	}
	le := binary.LittleEndian
	g = groupInfo{
		lsn:        h.seq,
		number:     h.stream,
		total:      le.Uint32(body[0:]),
		frames:     le.Uint32(body[4:]),
		chain:      le.Uint32(body[8:]),
		generation: le.Uint32(body[12:]),
		synced:     le.Uint64(body[16:]),
	}
	return g, g.total >= block && g.total%block == 0 && g.total <= groupLimit
}

// journalFrame is a frame of a group.
type journalFrame struct {
	header
	raw []byte // header, body and padding
}

func (f *journalFrame) body() []byte { return f.raw[headerBytes : headerBytes+f.length] }

var errGroup = errors.New("group does not match its checksums")

// groupFrames returns the frames of a whole group, or errGroup if anything in
// it is not what was written. The frames alias b.
func groupFrames(b []byte, g groupInfo, seed uint32) ([]journalFrame, error) {
	if uint32(len(b)) < g.total { //nolint:gosec // Bounded by groupLimit.
		return nil, errGroup
	}
	b = b[:g.total]
	chain := seed
	var out []journalFrame
	off := groupHead
	for range g.frames {
		h, ok := parseHeader(b[off:], seed)
		if !ok || h.size() > len(b)-off || !bodyOK(b[off:], h, seed) {
			return nil, errGroup
		}
		chain = checksum(chain, b[off:off+headerBytes])
		out = append(out, journalFrame{h, b[off : off+h.size() : off+h.size()]})
		off += h.size()
	}
	if chain != g.chain || len(b)-off >= block {
		return nil, errGroup
	}
	return out, nil
}

func bodyOK(b []byte, h header, seed uint32) bool {
	return checksum(seed, b[headerBytes:headerBytes+h.length]) == h.bodyCRC
}

// salvaged is what could be read of damaged bytes.
type salvaged struct {
	frames []journalFrame // whole ones
	broken []header       // of frames whose body is damaged
}

// salvage looks for frames in damaged journal bytes, at any multiple of eight.
// number is that of the group if known, else 0: state and control frames count
// only as parts of their own group, since stale ones would be applied again;
// stale records are told by their sequence.
func salvage(b []byte, number uint64, seed uint32) (s salvaged) {
	for off := 0; off+headerBytes <= len(b); {
		h, ok := parseHeader(b[off:], seed)
		if !ok {
			off += 8
			continue
		}
		switch {
		case h.kind == kindGroup:
			if g, ok := parseGroup(b[off:], seed); ok {
				number = g.number
			}
			off += groupHead
			continue
		case h.kind != kindRecords && h.seq != number:
			off += 8
			continue
		}
		if h.size() <= len(b)-off && bodyOK(b[off:], h, seed) {
			s.frames = append(s.frames, journalFrame{h, b[off : off+h.size() : off+h.size()]})
			off += h.size()
			continue
		}
		s.broken = append(s.broken, h)
		off += 8 // the length may lead past what is still good
	}
	return s
}
