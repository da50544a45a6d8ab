package streams

import "encoding/binary"

const (
	// group is one more than the largest number of 19 decimal digits, the most
	// that any number of 64 bits fills.
	group = 10_000_000_000_000_000_000
	// numberDigits is the length of a sequence number.
	numberDigits = 56
)

// SequenceCounter is a sequence number in decimal that can be counted up, from
// record to record of a shard that arrived together: for lists of them. It is
// on the path of every record that is put or read, hence the arithmetic by hand.
type SequenceCounter struct {
	high, middle, low uint64 // 18, 19 and 19 digits
}

// Append appends the 56 digits to b.
func (c *SequenceCounter) Append(b []byte) []byte {
	b = append(b, make([]byte, numberDigits)...)
	d := (*[numberDigits]byte)(b[len(b)-numberDigits:])
	c.putHigh(d)
	putGroup((*[19]byte)(d[18:]), c.middle)
	putGroup((*[19]byte)(d[37:]), c.low)
	return b
}

func (c *SequenceCounter) putHigh(d *[numberDigits]byte) {
	put2(d[0:], c.high/1e16)
	put8(d[2:], c.high/1e8%1e8)
	put8(d[10:], c.high%1e8)
}

// A number is 2^80 less than the one of the next Sequence.
const (
	stepMiddle = 1 << 80 / group
	stepLow    = 1 << 80 % group
)

// Next goes on to the number of the next Sequence, all else being the same, and
// makes of the text of the number before, the first 56 bytes of text, that of
// the new one. The number before must not be that of MaxSequence.
func (c *SequenceCounter) Next(text []byte) {
	d := (*[numberDigits]byte)(text)
	before := c.middle
	c.low += stepLow // below 2^64 still
	c.middle += stepMiddle
	if c.low >= group {
		c.low -= group
		c.middle++
	}
	putGroup((*[19]byte)(d[37:]), c.low)
	if c.middle/1e8 == before/1e8 {
		put8(d[29:], c.middle%1e8)
		return
	}
	if c.middle >= group {
		c.middle -= group
		c.high++
		c.putHigh(d)
	}
	putGroup((*[19]byte)(d[18:]), c.middle)
}

// putGroup writes v, below group, in 19 digits.
func putGroup(d *[19]byte, v uint64) {
	high, rest := v/1e16, v%1e16
	d[0] = '0' + byte(high/100)
	put2(d[1:], high%100)
	put8(d[3:], rest/1e8)
	put8(d[11:], rest%1e8)
}

// put2 writes v, below 100, in two digits.
func put2(d []byte, v uint64) {
	_ = d[1]
	d[0], d[1] = '0'+byte(v/10), '0'+byte(v%10)
}

// put8 writes v, below 10^8, in eight digits. It splits all of them at once,
// in the lanes of one word: two of four digits, four of two, eight of one.
func put8(d []byte, v uint64) {
	v = v/1e4 | v%1e4<<32
	hundreds := v * 10486 >> 20 & 0x7f_0000007f // v/100 in each lane, exact below 10^4
	v = hundreds | (v-hundreds*100)<<16
	tens := v * 103 >> 10 & 0xf_000f_000f_000f // v/10 in each lane, exact below 100
	v = tens | (v-tens*10)<<8
	binary.LittleEndian.PutUint64(d, v|0x3030303030303030)
}
