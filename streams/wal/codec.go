package wal

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// How bodies are compressed stands in docs/formats/segment.md, "Compressed
// frames".
const (
	// kindCompressed, in the kind of a records frame, says that its body is
	// compressed.
	kindCompressed = 0x40
	// plainBytes hold the length of the plain body, before the compressed one.
	plainBytes = 4
	// codecZstd, in the head of a segment, says that its frames were offered to
	// zstd. Those that it does not make smaller stay plain.
	codecZstd = 1
)

// worthIt reports whether n bytes instead of plain ones are worth the work of
// every read.
func worthIt(n, plain int64) bool { return n <= plain-plain/16 }

// compressor compresses frames. It is for one goroutine.
type compressor struct {
	enc *zstd.Encoder
	dec *decompressor
	out []byte // the last frame
}

func newCompressor(d *decompressor) (*compressor, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &compressor{enc: enc, dec: d}, nil
}

// compress returns a plain records frame with its body compressed, or the frame
// itself if that is not worth it. What it returns is good until the next call.
func (c *compressor) compress(frame []byte, seed uint32) ([]byte, error) {
	le := binary.LittleEndian
	n := int(le.Uint32(frame[4:]))
	body := frame[headerBytes : headerBytes+n]
	b := append(c.out[:0], frame[:headerBytes]...)
	b = le.AppendUint32(b, uint32(n)) //nolint:gosec // Bounded by frameLimit.
	b = c.enc.EncodeAll(body, b)
	length := len(b) - headerBytes
	if !worthIt(int64(length), int64(n)) {
		c.out = b
		return frame, nil
	}
	b = append(b, make([]byte, pad8(length)-length)...)
	c.out = b
	b[3] |= kindCompressed
	le.PutUint32(b[4:], uint32(length)) //nolint:gosec // Less than it was.
	rehash(b, seed)
	// Nobody reads the plain bytes again once the file is replaced, so that they
	// come back is seen here and not believed.
	back, ok := c.dec.decompress(b, nil)
	if !ok || !slices.Equal(back[headerBytes:headerBytes+n], body) {
		return nil, errCodec
	}
	return b, nil
}

var errCodec = fmt.Errorf("zstd: the compressed bytes do not give the plain ones")

// decompressor decompresses frames. It may be used by any number of goroutines,
// and takes no memory before its first use.
type decompressor struct {
	once sync.Once
	dec  *zstd.Decoder
}

func (d *decompressor) decoder() *zstd.Decoder {
	d.once.Do(func() {
		// The limit of memory is that of the destination, which is made for what
		// the frame declares. The options are right, so there is no error.
		d.dec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(frameLimit), zstd.WithDecodeAllCapLimit(true))
	})
	return d.dec
}

func (d *decompressor) close() {
	d.once.Do(func() {})
	if d.dec != nil {
		d.dec.Close()
	}
}

// decompress returns the plain frame of a compressed one, in memory from room if
// that is set. The checksums in its header are not those of the plain frame. If
// the body is not what compress wrote, ok is false.
func (d *decompressor) decompress(b []byte, room func(n int) []byte) (frame []byte, ok bool) {
	le := binary.LittleEndian
	n := int(le.Uint32(b[4:]))
	if b[3]&kindCompressed == 0 || n < plainBytes || n > len(b)-headerBytes {
		return nil, false
	}
	body := b[headerBytes : headerBytes+n]
	plain := int(le.Uint32(body))
	if plain > frameLimit {
		return nil, false
	}
	size := headerBytes + pad8(plain)
	if room != nil {
		frame = room(size)[:size:size]
	} else {
		frame = make([]byte, size)
	}
	out, err := d.decoder().DecodeAll(body[plainBytes:], frame[headerBytes:headerBytes:headerBytes+plain])
	if err != nil || len(out) != plain {
		return nil, false
	}
	copy(frame, b[:headerBytes])
	frame[3] &^= kindCompressed
	le.PutUint32(frame[4:], uint32(plain)) //nolint:gosec // Bounded by frameLimit.
	clear(frame[headerBytes+plain:])
	return frame, true
}
