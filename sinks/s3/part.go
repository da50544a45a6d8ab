package s3

import (
	"crypto/md5" //nolint:gosec // The protocol's checksum, not a secret.
	"encoding/base64"
	"errors"
	"io"
	"sync"
)

const chunkBytes = 256 << 10

type chunk [chunkBytes]byte

// part holds the bytes of a part, or of a small object, in chunks of a pool. It
// is filled first and read then, as often as needed. Not for concurrent use;
// the SDK lets go of it before its call returns.
type part struct {
	pool   *sync.Pool
	chunks []*chunk
	size   int64 // bytes held
	limit  int64 // most bytes it may hold
	off    int64 // of the reader
}

// fill takes as much of p as there is room for.
func (b *part) fill(p []byte) (n int) {
	p = p[:min(int64(len(p)), b.limit-b.size)]
	for len(p) > 0 {
		in := b.size % chunkBytes
		if in == 0 {
			b.chunks = append(b.chunks, b.pool.Get().(*chunk))
		}
		m := copy(b.chunks[len(b.chunks)-1][in:], p)
		b.size += int64(m)
		n, p = n+m, p[m:]
	}
	return n
}

func (b *part) full() bool { return b.size == b.limit }

// Read reads from the current offset.
func (b *part) Read(p []byte) (int, error) {
	if b.off >= b.size {
		return 0, io.EOF
	}
	in := b.off % chunkBytes
	end := min(chunkBytes, in+b.size-b.off)
	n := copy(p, b.chunks[b.off/chunkBytes][in:end])
	b.off += int64(n)
	return n, nil
}

// Seek moves the offset of the reader.
func (b *part) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of a part")
	}
	b.off = offset
	return offset, nil
}

// release gives the chunks back. The part is empty then.
func (b *part) release() {
	for _, c := range b.chunks {
		b.pool.Put(c)
	}
	b.chunks, b.size, b.off = nil, 0, 0
}

// md5 returns the value of the header Content-MD5.
func (b *part) md5() string {
	h := md5.New() //nolint:gosec // See the import.
	rest := b.size
	for _, c := range b.chunks {
		n := min(rest, chunkBytes)
		_, _ = h.Write(c[:n]) // a hash takes everything
		rest -= n
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
