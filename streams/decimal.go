package streams

import "encoding/binary"

const (
	// group is one more than the largest number of 19 decimal digits, the most
	// that any number of 64 bits fills.
	group = 10_000_000_000_000_000_000
	// numberDigits is the length of a sequence number.
	numberDigits = 56
)

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
