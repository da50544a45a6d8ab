package parquet

import (
	"math/big"
	"time"
)

// parseInt reads an integer of JSON's grammar.
func parseInt(text []byte) (int64, bool) {
	negative := text[0] == '-'
	digits := text
	if negative {
		digits = text[1:]
	}
	if len(digits) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		u = u*10 + uint64(c-'0') // 19 digits fit
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

var pow10 = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// decimal is the exact value digits * 10^exponent, of which digits neither
// begins nor ends with a zero. Zero has no digits.
type decimal struct {
	negative bool
	digits   []byte
	exponent int
}

// maxExponent bounds exponents before anything is added to them; numbers with
// larger ones are in no range that is asked for.
const maxExponent = 1 << 20

// parseDecimal reads a number of JSON's grammar.
func parseDecimal(text []byte) decimal {
	var d decimal
	if text[0] == '-' {
		d.negative = true
		text = text[1:]
	}
	d.digits = make([]byte, 0, len(text))
	i := 0
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		d.digits = append(d.digits, text[i])
	}
	if i < len(text) && text[i] == '.' {
		for i++; i < len(text) && text[i]-'0' <= 9; i++ {
			d.digits = append(d.digits, text[i])
			d.exponent--
		}
	}
	if i < len(text) {
		i++ // e or E
		sign := 1
		switch text[i] {
		case '-':
			sign = -1
			i++
		case '+':
			i++
		}
		e := 0
		for ; i < len(text); i++ {
			if e < maxExponent {
				e = e*10 + int(text[i]-'0')
			}
		}
		d.exponent += sign * e
	}
	for len(d.digits) > 0 && d.digits[0] == '0' {
		d.digits = d.digits[1:]
	}
	for n := len(d.digits); n > 0 && d.digits[n-1] == '0'; n-- {
		d.digits = d.digits[:n-1]
		d.exponent++
	}
	return d
}

// scaled returns the value times 10^scale when that is an integer in range.
// With truncate, digits after the point are dropped.
func (d decimal) scaled(scale int, truncate bool) (int64, bool) {
	digits, shift := d.digits, d.exponent+scale
	if len(digits) == 0 {
		return 0, true
	}
	if shift < 0 {
		if !truncate {
			return 0, false // the last digit is not a zero
		}
		if -shift >= len(digits) {
			return 0, true
		}
		digits, shift = digits[:len(digits)+shift], 0
	}
	if len(digits)+shift > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		u = u*10 + uint64(c-'0')
	}
	for range shift {
		u *= 10
	}
	if d.negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// fixed returns the value times 10^scale as a big-endian two's complement number
// of size bytes, when it is an integer of at most precision digits.
func (d decimal) fixed(precision, scale, size int) ([]byte, bool) {
	out := make([]byte, size)
	shift := d.exponent + scale
	if len(d.digits) == 0 {
		return out, true
	}
	if shift < 0 || len(d.digits)+shift > precision {
		return nil, false
	}
	v, ok := new(big.Int).SetString(string(d.digits), 10)
	if !ok {
		return nil, false
	}
	v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), nil))
	if d.negative { // two's complement: 2^(8*size) - v
		v.Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*size)), v)
	}
	return v.FillBytes(out), true
}

// epochMicros reads a number as an instant: below 10^12 in seconds, from there
// on in milliseconds, as the OpenX SerDe does. What is below a microsecond is
// dropped.
func epochMicros(text []byte) (int64, bool) {
	d := parseDecimal(text)
	scale := 6
	if len(d.digits)+d.exponent > 12 {
		scale = 3
	}
	return d.scaled(scale, true)
}

// parseTimestamp reads an instant from text:
//
//	2026-08-01T10:00:00Z  2026-08-01T10:00:00.123456789+02:00   RFC 3339; without a zone, UTC
//	2026-8-1 9:05:07.5                                          as Hive writes it, in UTC
//	1785578400  1785578400.25  1785578400123                    seconds or milliseconds
//
// What is below a microsecond is dropped.
func parseTimestamp(b []byte) (micros int64, ok bool) {
	c := cursor{b: b}
	year, month, day := c.number(4, 4), 0, 0
	if c.bad || !c.skip('-') {
		return numericTimestamp(b)
	}
	month = c.number(1, 2)
	c.must('-')
	day = c.number(1, 2)
	iso := c.skip('T') || c.skip('t')
	low := 1
	if iso {
		low = 2
	} else {
		c.must(' ')
	}
	hour := c.number(low, 2)
	c.must(':')
	minute := c.number(low, 2)
	c.must(':')
	second := c.number(low, 2)
	fraction := 0
	if c.skip('.') {
		fraction = c.fraction()
	}
	offset := 0
	if iso && !c.skip('Z') && !c.skip('z') && c.i < len(b) {
		sign := 60
		if !c.skip('+') {
			c.must('-')
			sign = -60
		}
		h := c.number(2, 2)
		c.must(':')
		m := c.number(2, 2)
		if h > 23 || m > 59 {
			return 0, false
		}
		offset = sign * (h*60 + m)
	}
	if c.bad || c.i != len(b) || hour > 23 || minute > 59 || second > 59 || !validDay(year, month, day) {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return (t.Unix()-int64(offset))*1e6 + int64(fraction), true
}

// numericTimestamp is epochMicros for text that may not be a number.
func numericTimestamp(b []byte) (int64, bool) {
	c := cursor{b: b}
	c.skip('-')
	if c.number(1, 19); c.skip('.') {
		c.fraction()
	}
	if c.bad || c.i != len(b) {
		return 0, false
	}
	return epochMicros(b)
}

// parseDate reads yyyy-M-d as days since 1970.
func parseDate(b []byte) (int32, bool) {
	c := cursor{b: b}
	year := c.number(4, 4)
	c.must('-')
	month := c.number(1, 2)
	c.must('-')
	day := c.number(1, 2)
	if c.bad || c.i != len(b) || !validDay(year, month, day) {
		return 0, false
	}
	return int32(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix() / 86400), true
}

func validDay(year, month, day int) bool {
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	days := 31
	switch month {
	case 4, 6, 9, 11:
		days = 30
	case 2:
		days = 28
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			days = 29
		}
	}
	return day <= days
}

// cursor reads parts of a time. After something unexpected it is bad.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

func (c *cursor) skip(want byte) bool {
	if c.i < len(c.b) && c.b[c.i] == want {
		c.i++
		return true
	}
	return false
}

func (c *cursor) must(want byte) {
	if !c.skip(want) {
		c.bad = true
	}
}

// number reads low to high digits.
func (c *cursor) number(low, high int) int {
	n, start := 0, c.i
	for c.i < len(c.b) && c.i-start < high && c.b[c.i]-'0' <= 9 {
		n = n*10 + int(c.b[c.i]-'0')
		c.i++
	}
	if c.i-start < low {
		c.bad = true
	}
	return n
}

// fraction reads up to nine digits after the point, as microseconds.
func (c *cursor) fraction() int {
	start := c.i
	n := c.number(1, 9)
	for digits := c.i - start; digits < 6; digits++ {
		n *= 10
	}
	for digits := c.i - start; digits > 6; digits-- {
		n /= 10
	}
	return n
}
