package wire

import (
	"encoding/base64"
	"iter"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// Value is a part of a checked request. The zero Value, and that of a member
// that is absent or null, is not Present and reads as the zero value of every
// type. Values, and the bytes they hand out, belong to the request: they are
// not to be used after the operation has returned.
type Value struct {
	d *document
	i uint32
}

// Present reports whether there is a value.
func (v Value) Present() bool { return v.d != nil && v.d.nodes[v.i].kind != nodeNull }

// Kind is what a value of shape Any is.
type Kind uint8

// The kinds of values.
const (
	Absent Kind = iota
	Null
	Bool
	Number // read by Int or Float of values whose shape says which
	Text
	Bytes
	Items
	Object
)

// Kind returns what the value is.
func (v Value) Kind() Kind {
	if v.d == nil {
		return Absent
	}
	switch v.d.nodes[v.i].kind {
	case nodeBool:
		return Bool
	case nodeInt, nodeFloat, nodeTime:
		return Number
	case nodeString:
		return Text
	case nodeBytes:
		return Bytes
	case nodeList:
		return Items
	case nodeObject:
		return Object
	}
	return Null
}

// Get returns a member of a structure, or a value of a map.
func (v Value) Get(name string) Value {
	if v.d == nil {
		return Value{}
	}
	if i := v.d.member(v.i, name); i != 0 {
		return Value{v.d, i}
	}
	return Value{}
}

// Members reads all members of a structure at once: into[i] becomes the one that
// stands at place i of its shape.
func (v Value) Members(into []Value) {
	clear(into)
	if v.d == nil || v.d.nodes[v.i].kind != nodeObject {
		return
	}
	for k := v.i + 1; k < v.d.nodes[v.i].next; k = v.d.nodes[k+1].next {
		if m := v.d.nodes[k].num - 1; m >= 0 && m < int64(len(into)) && v.d.nodes[k+1].kind != nodeNull {
			into[m] = Value{v.d, k + 1}
		}
	}
}

// Len returns the number of items of a list or of pairs of a map.
func (v Value) Len() int {
	if v.d == nil {
		return 0
	}
	return int(v.d.nodes[v.i].count)
}

// Items returns the items of a list.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.d == nil || v.d.nodes[v.i].kind != nodeList {
			return
		}
		for i := v.i + 1; i < v.d.nodes[v.i].next; i = v.d.nodes[i].next {
			if !yield(Value{v.d, i}) {
				return
			}
		}
	}
}

// Pairs returns the keys and values of a map or structure.
func (v Value) Pairs() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.d == nil || v.d.nodes[v.i].kind != nodeObject {
			return
		}
		for k := v.i + 1; k < v.d.nodes[v.i].next; k = v.d.nodes[k+1].next {
			if !yield(string(v.d.plainCopy(k)), Value{v.d, k + 1}) {
				return
			}
		}
	}
}

// Text returns a copy of a text.
func (v Value) Text() string { return string(v.Bytes()) }

// View returns a text without a copy. Unlike Text it belongs to the request.
func (v Value) View() string {
	b := v.Bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Bytes returns the bytes of a text or blob.
func (v Value) Bytes() []byte {
	if v.d == nil {
		return nil
	}
	if k := v.d.nodes[v.i].kind; k != nodeString && k != nodeBytes {
		return nil
	}
	return v.d.text(v.i)
}

// Int returns a whole number, or def if it is absent.
func (v Value) Int(def int64) int64 {
	if !v.Present() {
		return def
	}
	return v.d.nodes[v.i].num
}

// Float returns a number, or def if it is absent.
func (v Value) Float(def float64) float64 {
	if !v.Present() {
		return def
	}
	return math.Float64frombits(uint64(v.d.nodes[v.i].num))
}

// Bool returns a boolean, or def if it is absent.
func (v Value) Bool(def bool) bool {
	if !v.Present() {
		return def
	}
	return v.d.nodes[v.i].num != 0
}

// Millis returns a time in milliseconds since 1970, 0 if it is absent.
func (v Value) Millis() int64 {
	if !v.Present() {
		return 0
	}
	return v.d.nodes[v.i].num
}

// Time returns a time in UTC, the zero time if it is absent.
func (v Value) Time() time.Time {
	if !v.Present() {
		return time.Time{}
	}
	return time.UnixMilli(v.Millis()).UTC()
}

// AppendJSON appends the value as JSON: what the client sent, without white
// space, members of newer models included.
func (v Value) AppendJSON(b []byte) []byte {
	if v.d == nil {
		return append(b, "null"...)
	}
	n := &v.d.nodes[v.i]
	switch n.kind {
	case nodeBool:
		return strconv.AppendBool(b, n.num != 0)
	case nodeInt:
		return strconv.AppendInt(b, n.num, 10)
	case nodeFloat:
		f := math.Float64frombits(uint64(n.num))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return append(b, "null"...)
		}
		return strconv.AppendFloat(b, f, 'g', -1, 64)
	case nodeTime:
		return appendSeconds(b, n.num)
	case nodeString:
		return appendJSONString(b, v.d.plainCopy(v.i))
	case nodeBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.d.plainCopy(v.i))
		return append(b, '"')
	case nodeList:
		b = append(b, '[')
		for item := range v.Items() {
			b = item.AppendJSON(b)
			b = append(b, ',')
		}
		return closeJSON(b, ']')
	case nodeObject:
		b = append(b, '{')
		for k := v.i + 1; k < n.next; k = v.d.nodes[k+1].next {
			b = appendJSONString(b, v.d.plainCopy(k))
			b = append(b, ':')
			b = Value{v.d, k + 1}.AppendJSON(b)
			b = append(b, ',')
		}
		return closeJSON(b, '}')
	}
	return append(b, "null"...)
}

// closeJSON replaces a trailing comma by the closing bracket.
func closeJSON(b []byte, bracket byte) []byte {
	if b[len(b)-1] == ',' {
		b[len(b)-1] = bracket
		return b
	}
	return append(b, bracket)
}

// Decode reads and checks a JSON value against a structure outside of any
// request: for definitions that were kept. src is changed and must stay as
// long as the value is used.
func Decode(src []byte, s *Shape) (Value, error) {
	d := new(document)
	if err := d.parseJSON(src); err != nil {
		return Value{}, err
	}
	if err := d.fit(s, JSON); err != nil {
		return Value{}, err
	}
	if waived, err := d.check(s, false); err != nil {
		return Value{}, err
	} else if waived {
		return Value{}, d.checkComplete(s, false)
	}
	return Value{d, 0}, nil
}
