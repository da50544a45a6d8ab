package leases

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// itemFormat is the first byte of a stored item; docs/formats/leases.md has
// the table.
const itemFormat = 1

// MaxDepth is how deep the attributes of an item may nest; an item of scalars
// has depth 1.
const MaxDepth = 33

// encodeItem appends the stored form of an item. It is the same for equal items.
func encodeItem(b []byte, item Item) []byte {
	return appendItem(append(b, itemFormat), item)
}

func appendItem(b []byte, item Item) []byte {
	b = binary.AppendUvarint(b, uint64(len(item)))
	for _, name := range slices.Sorted(maps.Keys(item)) {
		b = appendText(b, name)
		v := item[name]
		b = append(b, byte(v.Kind))
		b = appendValue(b, v)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendValue writes a value without its kind.
func appendValue(b []byte, v Value) []byte {
	switch v.Kind {
	case KindBool:
		if v.Bool {
			return append(b, 1)
		}
		return append(b, 0)
	case KindNull:
		return b
	case KindNumber:
		return appendDecimal(b, v.Number)
	case KindMap:
		return appendItem(b, v.Map)
	case KindList:
		b = binary.AppendUvarint(b, uint64(len(v.List)))
		for i := range v.List {
			b = append(b, byte(v.List[i].Kind))
			b = appendValue(b, v.List[i])
		}
		return b
	case KindStringSet, KindNumberSet, KindBinarySet:
		b = binary.AppendUvarint(b, uint64(len(v.List)))
		for i := range v.List {
			b = appendValue(b, v.List[i])
		}
		return b
	}
	return appendText(b, v.Text)
}

// appendDecimal writes a byte that tells the sign (0 zero, 1 positive, 2
// negative) and, unless zero, the exponent and the digits.
func appendDecimal(b []byte, d Decimal) []byte {
	switch d.sign() {
	case 0:
		return append(b, 0)
	case 1:
		b = append(b, 1)
	default:
		b = append(b, 2)
	}
	b = binary.AppendVarint(b, int64(d.exponent))
	return appendText(b, d.digits)
}

// decodeItem reads the stored form of an item. It takes only what encodeItem
// writes.
func decodeItem(b []byte) (Item, error) {
	r := itemReader{b: b}
	if f := r.byte(); r.err == nil && f != itemFormat {
		return nil, fmt.Errorf("item: format %d, expected %d", f, itemFormat)
	}
	item := r.item(1)
	if r.err == nil && r.at != len(b) {
		r.wrong("more after the item")
	}
	if r.err != nil {
		return nil, r.err
	}
	return item, nil
}

// itemReader reads a stored item. After the first error it reads zeros.
type itemReader struct {
	b   []byte
	at  int
	err error
}

func (r *itemReader) wrong(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("item: %s at byte %d", what, r.at)
	}
	r.at = len(r.b)
}

func (r *itemReader) byte() byte {
	if r.at >= len(r.b) {
		r.wrong("ends early")
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// count reads a number of things that take at least least bytes each.
func (r *itemReader) count(least int) int {
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 || size > 1 && r.b[r.at+size-1] == 0 {
		r.wrong("bad count")
		return 0
	}
	r.at += size
	if n > uint64((len(r.b)-r.at)/max(least, 1)) {
		r.wrong("count larger than what follows")
		return 0
	}
	return int(n)
}

func (r *itemReader) text() string {
	n := r.count(1)
	if r.err != nil {
		return ""
	}
	r.at += n
	return string(r.b[r.at-n : r.at])
}

func (r *itemReader) utf8() string {
	s := r.text()
	if !utf8.ValidString(s) {
		r.wrong("text that is not UTF-8")
	}
	return s
}

func (r *itemReader) item(depth int) Item {
	if depth > MaxDepth {
		r.wrong("nested too deep")
		return nil
	}
	n := r.count(2)
	item := make(Item, n)
	last := ""
	for i := range n {
		name := r.utf8()
		if i > 0 && name <= last {
			r.wrong("names out of order")
		}
		last = name
		item[name] = r.value(Kind(r.byte()), depth)
		if r.err != nil {
			return nil
		}
	}
	return item
}

// value reads a value of a kind inside of something of a depth.
func (r *itemReader) value(kind Kind, depth int) Value {
	if r.err != nil {
		return Value{}
	}
	v := Value{Kind: kind}
	switch kind {
	case KindString:
		v.Text = r.utf8()
	case KindBinary:
		v.Text = r.text()
	case KindNumber:
		v.Number = r.decimal()
	case KindBool:
		b := r.byte()
		if b > 1 {
			r.wrong("boolean that is neither")
		}
		v.Bool = b == 1
	case KindNull:
	case KindMap:
		v.Map = r.item(depth + 1)
	case KindList:
		v.List = r.list(depth + 1)
	case KindStringSet, KindNumberSet, KindBinarySet:
		v.List = r.set(kind.Element())
	default:
		r.wrong("unknown kind")
	}
	return v
}

func (r *itemReader) list(depth int) []Value {
	if depth > MaxDepth {
		r.wrong("nested too deep")
		return nil
	}
	n := r.count(1)
	list := make([]Value, 0, min(n, 64))
	for range n {
		list = append(list, r.value(Kind(r.byte()), depth))
		if r.err != nil {
			return nil
		}
	}
	return list
}

func (r *itemReader) set(kind Kind) []Value {
	n := r.count(1)
	if n == 0 {
		r.wrong("empty set")
	}
	list := make([]Value, 0, min(n, 64))
	for i := range n {
		list = append(list, r.value(kind, 0))
		if i > 0 && r.err == nil && list[i-1].Compare(list[i]) >= 0 {
			r.wrong("set out of order")
		}
		if r.err != nil {
			return nil
		}
	}
	return list
}

func (r *itemReader) decimal() Decimal {
	sign := r.byte()
	if sign == 0 || sign > 2 {
		if sign > 2 {
			r.wrong("bad sign")
		}
		return Decimal{}
	}
	exp, size := binary.Varint(r.b[r.at:])
	if size <= 0 || size > 1 && r.b[r.at+size-1] == 0 || exp > maxExponent || exp < minExponent {
		r.wrong("bad exponent")
		return Decimal{}
	}
	r.at += size
	digits := r.text()
	if digits == "" || !isDigits(digits) || strings.Trim(digits, "0") != digits || len(digits) > MaxDigits {
		r.wrong("bad digits")
		return Decimal{}
	}
	return Decimal{negative: sign == 2, exponent: int16(exp), digits: digits}
}
