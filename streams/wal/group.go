package wal

import (
	"encoding/binary"
	"errors"

	"github.com/firehosed/firehosed/internal/vfs"
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
	key        KeyID  // of the master key of its frames, zero if they are not encrypted
	// keyGeneration is the generation that the data key is derived from: that of
	// the file, or, if the group began before the file did, of one before.
	keyGeneration uint32
}

// layout is the bytes of a group: frames that were copied to one buffer, and
// between them others that are written from where they lie.
type layout struct {
	buf   []byte // one block for a file's head, then the group's head and frames
	used  int    // of head and frames in buf
	large []inset
}

// inset is whole blocks of frames that come after at bytes of the buffer.
type inset struct {
	at  int
	buf []byte
}

// room makes place for n bytes in the buffer, and for what is put behind them.
// wait is called before bytes move.
func (y *layout) room(n int, wait func()) {
	// One block for the file's head before, up to two of padding after.
	need := block + blocks(y.used+n+headerBytes)
	if need <= len(y.buf) {
		return
	}
	grown := vfs.Aligned(max(need, min(2*len(y.buf), block+groupTarget), 64<<10))
	wait()
	if y.used > groupHead {
		copy(grown[block:], y.buf[block:block+y.used])
	}
	y.buf = grown
}

// inset adds frames that fill whole blocks, after a pad if there is need.
// The buffer has room for that.
func (y *layout) inset(b []byte, number uint64, now int64, seed uint32) {
	if to := blocks(y.used); to != y.used {
		to = blocks(y.used + headerBytes)
		pad := y.buf[block+y.used : block+to]
		clear(pad)
		putPad(pad, number, now, seed)
		y.used = to
	}
	y.large = append(y.large, inset{y.used, b})
}

// size is what the group takes in a file.
func (y *layout) size() int64 {
	n := int64(blocks(y.used))
	for _, in := range y.large {
		n += int64(len(in.buf))
	}
	return n
}

// pieces appends what is to be written to vec, from the place for a file's head
// on if head is set.
func (y *layout) pieces(vec [][]byte, head bool) [][]byte {
	b, from := y.buf[block:block+blocks(y.used)], 0
	if head {
		b, from = y.buf[:block+blocks(y.used)], -block
	}
	for _, in := range y.large {
		if n := in.at - from; n > 0 {
			vec, b, from = append(vec, b[:n]), b[n:], in.at
		}
		vec = append(vec, in.buf)
	}
	if len(b) > 0 {
		vec = append(vec, b)
	}
	return vec
}

// seal writes the head of the group, and pads it to whole blocks.
func (y *layout) seal(g *groupInfo, now int64, seed uint32) {
	le := binary.LittleEndian
	b := y.buf[block:]
	clear(b[y.used:blocks(y.used)])
	g.total = uint32(y.size()) //nolint:gosec // Bounded by groupLimit.
	g.frames, g.chain = 0, seed
	from := groupHead
	for _, in := range y.large {
		g.link(b[from:in.at])
		g.link(in.buf)
		from = in.at
	}
	g.link(b[from:y.used])
	body := b[headerBytes:groupHead]
	le.PutUint32(body[0:], g.total)
	le.PutUint32(body[4:], g.frames)
	le.PutUint32(body[8:], g.chain)
	le.PutUint32(body[12:], g.generation)
	le.PutUint64(body[16:], g.synced)
	copy(body[24:32], g.key[:])
	le.PutUint32(body[32:], g.keyGeneration)
	clear(body[36:])
	h := header{
		kind: kindGroup, length: groupBody, bodyCRC: checksum(seed, body),
		seq: g.lsn, time: now, stream: g.number,
	}
	h.put(b, seed)
}

// link counts the frames that fill b, and takes their headers into the chain.
func (g *groupInfo) link(b []byte) {
	for len(b) > 0 {
		g.chain = checksum(g.chain, b[:headerBytes])
		g.frames++
		b = b[headerBytes+pad8(int(binary.LittleEndian.Uint32(b[4:]))):]
	}
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
		key:        KeyID(body[24:32]),

		keyGeneration: le.Uint32(body[32:]),
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
