package wal

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/firehosed/firehosed/streams"
)

// The frame, the unit of checksum in journal and segments, is laid out in
// docs/formats/journal.md, "Frame".
const (
	headerBytes   = 48
	frameMagic    = 0x4c46 // "FL"
	formatVersion = 1

	kindGroup   = 1
	kindRecords = 2
	kindState   = 3
	kindControl = 4
	// kindPad is a frame of zeros. What follows it begins on a block.
	kindPad = 5

	// frameTarget is where a frame of many records ends; a single record may
	// make a larger one. It bounds what a read must fetch to check a checksum.
	frameTarget = 256 << 10
	// frameLimit is the largest body a decoder believes.
	frameLimit = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seedOf derives the value every checksum of a log starts from. It keeps
// bytes that a client sent, or that another log wrote, from passing for a
// frame of this log.
func seedOf(id [16]byte) uint32 { return crc32.Update(0, castagnoli, id[:]) }

func checksum(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// header is the fixed part of a frame.
type header struct {
	kind      uint8  // with kindCompressed
	encrypted bool   // the body is encrypted
	length    uint32 // of the body as it is stored, without padding
	bodyCRC   uint32
	seq       uint64 // records: sequence of the first; group: LSN; else the group's number
	time      int64  // Unix ms: arrival of the first record, or when it was written
	stream    uint64
	shard     uint32
	count     uint32 // of records or entries
}

// isRecords reports whether the frame has records, compressed or not.
func (h *header) isRecords() bool { return h.kind&^kindCompressed == kindRecords }

// put writes h and its checksum to b[:headerBytes].
func (h *header) put(b []byte, seed uint32) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], frameMagic)
	b[2] = formatVersion
	b[3] = h.kind
	if h.encrypted {
		b[3] |= kindEncrypted
	}
	le.PutUint32(b[4:], h.length)
	le.PutUint32(b[8:], h.bodyCRC)
	le.PutUint64(b[16:], h.seq)
	le.PutUint64(b[24:], uint64(h.time))
	le.PutUint64(b[32:], h.stream)
	le.PutUint32(b[40:], h.shard)
	le.PutUint32(b[44:], h.count)
	le.PutUint32(b[12:], headerCRC(b, seed))
}

func headerCRC(b []byte, seed uint32) uint32 {
	return checksum(checksum(seed, b[:12]), b[16:headerBytes])
}

// parseHeader reads a header, and reports whether it is whole and of this log.
func parseHeader(b []byte, seed uint32) (h header, ok bool) {
	if len(b) < headerBytes {
		return h, false
	}
	le := binary.LittleEndian
	if le.Uint16(b) != frameMagic || b[2] != formatVersion || le.Uint32(b[12:]) != headerCRC(b, seed) {
		return h, false
	}
	h = header{
		kind:      b[3] &^ kindEncrypted,
		encrypted: b[3]&kindEncrypted != 0,
		length:    le.Uint32(b[4:]),
		bodyCRC:   le.Uint32(b[8:]),
		seq:       le.Uint64(b[16:]),
		time:      int64(le.Uint64(b[24:])),
		stream:    le.Uint64(b[32:]),
		shard:     le.Uint32(b[40:]),
		count:     le.Uint32(b[44:]),
	}
	return h, h.length <= frameLimit
}

// size is how many bytes the frame takes in a file.
func (h *header) size() int { return headerBytes + pad8(int(h.length)) }

func pad8(n int) int { return (n + 7) &^ 7 }

// blocks rounds up to whole blocks.
func blocks(n int) int { return (n + block - 1) &^ (block - 1) }

// putPad fills b, all of which is zero, with one frame.
func putPad(b []byte, number uint64, now int64, seed uint32) {
	h := header{kind: kindPad, seq: number, time: now}
	h.putPad(b, seed)
}

func (h *header) putPad(b []byte, seed uint32) {
	h.length = uint32(len(b) - headerBytes) //nolint:gosec // Below two blocks.
	h.bodyCRC = checksum(seed, b[headerBytes:])
	h.put(b, seed)
}

// recordSize is how many bytes appendRecord writes.
func recordSize(r *streams.NewRecord) int {
	n := 1 + uvarintSize(uint64(len(r.PartitionKey))<<1) + uvarintSize(uint64(len(r.Data))) +
		len(r.PartitionKey) + len(r.Data)
	if r.Explicit {
		n += 16
	}
	return n
}

func uvarintSize(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// appendRecord encodes a record that arrives at the time of its frame.
func appendRecord(b []byte, r *streams.NewRecord) []byte {
	b = append(b, 0) // ms after the frame's time
	k := uint64(len(r.PartitionKey)) << 1
	if r.Explicit {
		k |= 1
	}
	b = binary.AppendUvarint(b, k)
	b = binary.AppendUvarint(b, uint64(len(r.Data)))
	b = append(b, r.PartitionKey...)
	if r.Explicit {
		b = binary.BigEndian.AppendUint64(b, r.HashKey.Hi)
		b = binary.BigEndian.AppendUint64(b, r.HashKey.Lo)
	}
	return append(b, r.Data...)
}

// rawRecord is a record whose key and data lie in the body it was read from.
type rawRecord struct {
	delta    uint64 // ms after the frame's time
	key      []byte
	explicit bool
	hash     streams.HashKey
	data     []byte
}

// nextRecord splits the first record from a body.
func nextRecord(body []byte) (r rawRecord, rest []byte, ok bool) {
	delta, n := binary.Uvarint(body)
	if n <= 0 || delta > math.MaxUint32 {
		return r, nil, false
	}
	body = body[n:]
	k, n := binary.Uvarint(body)
	if n <= 0 {
		return r, nil, false
	}
	body = body[n:]
	d, n := binary.Uvarint(body)
	if n <= 0 {
		return r, nil, false
	}
	body = body[n:]
	r.delta, r.explicit = delta, k&1 == 1
	k >>= 1
	if k > uint64(len(body)) {
		return r, nil, false
	}
	r.key, body = body[:k:k], body[k:]
	if r.explicit {
		if len(body) < 16 {
			return r, nil, false
		}
		r.hash = streams.HashKey{Hi: binary.BigEndian.Uint64(body), Lo: binary.BigEndian.Uint64(body[8:])}
		body = body[16:]
	}
	if d > uint64(len(body)) {
		return r, nil, false
	}
	r.data = body[:d:d]
	return r, body[d:], true
}

// payloadOf sums the keys and data of a body, and reports whether it holds
// exactly count records.
func payloadOf(body []byte, count uint32) (payload int64, ok bool) {
	for range count {
		r, rest, ok := nextRecord(body)
		if !ok {
			return 0, false
		}
		payload += int64(len(r.key) + len(r.data))
		body = rest
	}
	return payload, len(body) == 0
}

// frame is a records frame in memory.
type frame struct {
	buf     []byte // header, body and padding; immutable
	aligned bool   // the capacity of buf, a pad at its end, is whole blocks
	base    streams.Sequence
	count   uint32
	arrival int64
	payload int64
	slab    *slab // buf is a part of, if any
}

func (f *frame) next() streams.Sequence { return f.base + streams.Sequence(f.count) }

// encrypted reports whether the body is encrypted still.
func (f *frame) encrypted() bool { return f.buf[3]&kindEncrypted != 0 }

// compressed reports whether the body is compressed still.
func (f *frame) compressed() bool { return f.buf[3]&kindCompressed != 0 }

func (f *frame) body() []byte {
	return f.buf[headerBytes : headerBytes+int(binary.LittleEndian.Uint32(f.buf[4:]))]
}
