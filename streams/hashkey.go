package streams

import (
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5; nothing here is a secret.
	"encoding/binary"
	"errors"
	"math/big"
	"math/bits"
)

// HashKey is a point of the 128-bit key space over which the shards of a
// stream are laid out, as in Kinesis Data Streams.
type HashKey struct{ Hi, Lo uint64 }

// MaxHashKey is 2^128-1, the last point of the key space.
var MaxHashKey = HashKey{Hi: ^uint64(0), Lo: ^uint64(0)}

// ErrHashKey means that a decimal hash key is malformed or outside 0..2^128-1.
var ErrHashKey = errors.New("hash key is not a decimal number from 0 to 2^128-1")

// HashOf returns the place of a partition key: the MD5 of its UTF-8 bytes read
// as a big-endian number.
func HashOf(partitionKey string) HashKey {
	sum := md5.Sum([]byte(partitionKey)) //nolint:gosec // see above
	return HashKey{Hi: binary.BigEndian.Uint64(sum[:8]), Lo: binary.BigEndian.Uint64(sum[8:])}
}

// ParseHashKey reads a decimal hash key without sign or leading zeros
// (`0|([1-9]\d{0,38})`).
func ParseHashKey(s string) (HashKey, error) {
	if s == "" || len(s) > 39 || (s[0] == '0' && len(s) > 1) {
		return HashKey{}, ErrHashKey
	}
	var h HashKey
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return HashKey{}, ErrHashKey
		}
		// h = h*10 + d, refusing what leaves 128 bits.
		over, hi := bits.Mul64(h.Hi, 10)
		carry, lo := bits.Mul64(h.Lo, 10)
		var c uint64
		lo, c = bits.Add64(lo, uint64(d), 0)
		hi, c2 := bits.Add64(hi, carry, c)
		if over != 0 || c2 != 0 {
			return HashKey{}, ErrHashKey
		}
		h = HashKey{Hi: hi, Lo: lo}
	}
	return h, nil
}

// Compare returns -1, 0 or 1 as h lies before, at or after o.
func (h HashKey) Compare(o HashKey) int {
	switch {
	case h.Hi < o.Hi || (h.Hi == o.Hi && h.Lo < o.Lo):
		return -1
	case h == o:
		return 0
	}
	return 1
}

// Next returns h+1; the key after MaxHashKey is 0.
func (h HashKey) Next() HashKey {
	lo, c := bits.Add64(h.Lo, 1, 0)
	return HashKey{Hi: h.Hi + c, Lo: lo}
}

// Prev returns h-1; the key before 0 is MaxHashKey.
func (h HashKey) Prev() HashKey {
	lo, b := bits.Sub64(h.Lo, 1, 0)
	return HashKey{Hi: h.Hi - b, Lo: lo}
}

// String renders h in decimal without leading zeros.
func (h HashKey) String() string { return string(h.Append(nil)) }

// Append appends the decimal form to b.
func (h HashKey) Append(b []byte) []byte {
	hi, middle := h.Hi/group, h.Hi%group
	middle, low := bits.Div64(middle, h.Lo, group)
	top, middle := bits.Div64(hi, middle, group) // hi is 0 or 1, top below 4
	var d [57]byte
	putGroup((*[19]byte)(d[:]), top)
	putGroup((*[19]byte)(d[19:]), middle)
	putGroup((*[19]byte)(d[38:]), low)
	at := 0
	for at < len(d)-1 && d[at] == '0' {
		at++
	}
	return append(b, d[at:]...)
}

// HashRange is an inclusive range of hash keys.
type HashRange struct{ Start, End HashKey }

// Contains reports whether h lies in the range.
func (r HashRange) Contains(h HashKey) bool {
	return r.Start.Compare(h) <= 0 && h.Compare(r.End) <= 0
}

// UniformRanges lays n ranges of equal width floor(2^128/n) over the key
// space; the last one takes the remainder. n must be at least 1.
func UniformRanges(n int) []HashRange {
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	width := new(big.Int).Div(space, big.NewInt(int64(n)))
	out := make([]HashRange, n)
	for i := range out {
		start := new(big.Int).Mul(width, big.NewInt(int64(i)))
		out[i].Start = hashKeyOf(start)
		if i > 0 {
			out[i-1].End = out[i].Start.Prev()
		}
	}
	out[n-1].End = MaxHashKey
	return out
}

func hashKeyOf(b *big.Int) HashKey {
	var buf [16]byte
	b.FillBytes(buf[:])
	return HashKey{Hi: binary.BigEndian.Uint64(buf[:8]), Lo: binary.BigEndian.Uint64(buf[8:])}
}
