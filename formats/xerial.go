package formats

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/s2"
)

// The stream of snappy-java (SnappyOutputStream.java, SnappyCodec.java): a
// header of eight magic bytes, the version and the lowest version that can read
// it, each a big-endian 32-bit 1; then blocks, each a big-endian 32-bit length
// and that many bytes of snappy's raw format, for up to 32 KiB of input.
const (
	xerialHeader    = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	xerialBlockSize = 32 << 10
)

// xerialWriter writes such a stream. An empty one is the header alone, as the
// library writes it.
type xerialWriter struct {
	w       io.Writer
	in      []byte // up to xerialBlockSize bytes not yet compressed
	out     []byte
	started bool
	closed  bool
}

func newXerialWriter(w io.Writer) *xerialWriter {
	return &xerialWriter{
		w:   w,
		in:  make([]byte, 0, xerialBlockSize),
		out: make([]byte, 4+s2.MaxEncodedLen(xerialBlockSize)),
	}
}

func (x *xerialWriter) Reset(w io.Writer) {
	x.w, x.in, x.started, x.closed = w, x.in[:0], false, false
}

func (x *xerialWriter) Write(b []byte) (int, error) {
	if x.closed {
		return 0, errClosed
	}
	n := 0
	for n < len(b) {
		c := copy(x.in[len(x.in):cap(x.in)], b[n:])
		x.in = x.in[:len(x.in)+c]
		n += c
		if len(x.in) == cap(x.in) {
			if err := x.block(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Close writes what is left. It does not close the underlying writer.
func (x *xerialWriter) Close() error {
	if x.closed {
		return nil
	}
	x.closed = true
	return x.block()
}

func (x *xerialWriter) block() error {
	if !x.started {
		x.started = true
		if _, err := io.WriteString(x.w, xerialHeader); err != nil {
			return err
		}
	}
	if len(x.in) == 0 {
		return nil
	}
	n := len(s2.EncodeSnappy(x.out[4:], x.in))
	binary.BigEndian.PutUint32(x.out, uint32(n))
	x.in = x.in[:0]
	_, err := x.w.Write(x.out[:4+n])
	return err
}
