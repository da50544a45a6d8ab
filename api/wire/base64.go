package wire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/asm/base64"
)

const (
	b64Bad      = 1 << 31
	b64Pad      = '='
	b64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// b64Tables has, for each of the four places of a quantum, the bits a
// character stands for, already shifted, or b64Bad.
var b64Tables = func() (t [4][256]uint32) {
	for place := range t {
		for i := range t[place] {
			t[place][i] = b64Bad
		}
		for v, c := range []byte(b64Alphabet) {
			t[place][c] = uint32(v) << (18 - 6*place)
		}
	}
	return t
}()

// decodeBase64 decodes standard base64 with padding in place and returns the
// length of the result. It is strict as the real service is, and its errors
// have the texts of that: a length that is no multiple of 4, a character that
// is not of the alphabet or padding in the middle, and bits left over at the
// end. After an error b holds the original again. chunk is for use on the way.
func decodeBase64(b []byte, chunk *base64Chunk) (int, error) {
	if len(b)%4 != 0 {
		return 0, fmt.Errorf("'%s' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: %d", quote(b), len(b))
	}
	if len(b) == 0 {
		return 0, nil
	}
	last := len(b) - 4
	n, i := decodeBulk(b[:last], chunk)
	for ; i < last; i += 4 {
		q := b[i : i+4 : i+4]
		v := b64Tables[0][q[0]] | b64Tables[1][q[1]] | b64Tables[2][q[2]] | b64Tables[3][q[3]]
		if v&b64Bad != 0 {
			return 0, badBase64(b, n, i)
		}
		o := b[n : n+3 : n+3]
		o[0], o[1], o[2] = byte(v>>16), byte(v>>8), byte(v)
		n += 3
	}
	q := [4]byte(b[last:])
	pads := 0
	for pads < 2 && q[3-pads] == b64Pad {
		pads++
		q[4-pads] = 'A'
	}
	v := b64Tables[0][q[0]] | b64Tables[1][q[1]] | b64Tables[2][q[2]] | b64Tables[3][q[3]]
	if v&b64Bad != 0 {
		return 0, badBase64(b, n, last)
	}
	if (pads == 1 && v&0xff != 0) || (pads == 2 && v&0xffff != 0) {
		restoreBase64(b, n)
		return 0, fmt.Errorf("'%s' can not be converted to a Blob: Invalid last non-pad Base64 character dectected", quote(b))
	}
	for i := range 3 - pads {
		b[n] = byte(v >> (16 - 8*i))
		n++
	}
	return n, nil
}

// bulkChars is how many characters decodeBulk takes at a time.
const bulkChars = 4096

// decodeBulk decodes whole chunks of b in place with the vector instructions
// of this processor, as far as they hold nothing but the alphabet, and returns
// how many bytes it made of how many characters.
func decodeBulk(b []byte, chunk *base64Chunk) (n, i int) {
	for i < len(b) {
		take := min(bulkChars, (len(b)-i)&^3)
		if take < minBulk {
			break
		}
		// By way of a second buffer: a chunk that turns out bad is left as it is.
		got, err := base64.StdEncoding.Decode(chunk[:], b[i:i+take])
		if err != nil || got != take/4*3 {
			break // the caller finds where, or that line breaks were passed over
		}
		n += copy(b[n:], chunk[:got])
		i += take
	}
	return n, i
}

// base64Chunk is a second buffer; the vector code lets none lie on a stack.
type base64Chunk [bulkChars / 4 * 3]byte

// minBulk is the fewest characters worth the way round.
const minBulk = 64

// badBase64 names the first character at or after b[at:] that cannot stand
// there. n bytes were decoded before.
func badBase64(b []byte, n, at int) error {
	restoreBase64(b, n)
	bad := b[at]
	for i := at; i < len(b); i++ {
		c := b[i]
		// Padding is bad when more than padding follows.
		early := c == b64Pad && strings.Trim(string(b[i:min(i+4, len(b))]), "=") != ""
		if c != b64Pad && b64Tables[0][c]&b64Bad != 0 || early {
			bad = c
			break
		}
		if c == b64Pad {
			bad = c
		}
	}
	return fmt.Errorf("'%s' can not be converted to a Blob: Invalid Base64 character: '%s'", quote(b), strings.ToValidUTF8(string([]byte{bad}), "\uFFFD"))
}

// appendBase64 appends standard base64 of src, long ones with the vector
// instructions of this processor.
func appendBase64(b, src []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(src))
	b = slices.Grow(b, n)
	base64.StdEncoding.Encode(b[len(b):len(b)+n], src)
	return b[:len(b)+n]
}

// restoreBase64 puts back the text that n decoded bytes at the start of b
// came from: every full quantum has one text.
func restoreBase64(b []byte, n int) {
	for n -= 3; n >= 0; n -= 3 {
		o := b[n : n+3]
		v := uint32(o[0])<<16 | uint32(o[1])<<8 | uint32(o[2])
		q := n / 3 * 4
		for place := 3; place >= 0; place-- {
			b[q+place] = b64Alphabet[v>>(18-6*place)&63]
		}
	}
}
