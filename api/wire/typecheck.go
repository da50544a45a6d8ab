package wire

import (
	"math"
	"strings"
)

// convert makes the node at i a value of shape s: it decodes texts and blobs,
// rounds numbers and changes the kind of the node where the wire has another
// one (base64 text for a blob, a number for a time). An error is a
// SerializationException with the text of the real service. A null fits every
// shape; unknown members are not looked at.
func (d *document) convert(i uint32, s *Shape, format Format) *Error {
	n := &d.nodes[i]
	if n.kind == nodeNull {
		return nil
	}
	switch s.kind {
	case kindStructure:
		if err := container(n, nodeObject, "Expected null"); err != nil {
			return err
		}
		return d.convertMembers(i, s, format)
	case kindMap:
		if err := container(n, nodeObject, "Expected map or null"); err != nil {
			return err
		}
		for k := i + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
			d.plain(k)
			if err := d.convert(k+1, s.item, format); err != nil {
				return err
			}
		}
		return nil
	case kindList:
		if err := container(n, nodeList, "Expected list or null"); err != nil {
			return err
		}
		for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
			if err := d.convert(c, s.item, format); err != nil {
				return err
			}
		}
		return nil
	case kindAny:
		return d.convertAny(i)
	}
	switch n.kind {
	case nodeList:
		return serialization("Start of list found where not expected")
	case nodeObject:
		return serialization("Start of structure or map found where not expected.")
	}
	return d.convertScalar(i, s, format)
}

// convertAny decodes the texts of a value of any kind.
func (d *document) convertAny(i uint32) *Error {
	switch d.nodes[i].kind {
	case nodeString:
		if err := d.firm(i); err != nil {
			return serialization(err.Error())
		}
		d.plain(i)
	case nodeBytes:
		d.plain(i)
	case nodeList:
		for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
			if err := d.convertAny(c); err != nil {
				return err
			}
		}
	case nodeObject:
		for k := i + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
			d.plain(k)
			if err := d.convertAny(k + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// container checks that a list, map or structure has a node of its kind.
func container(n *node, want nodeKind, otherwise string) *Error {
	switch n.kind {
	case want:
		return nil
	case nodeList:
		return serialization("Start of list found where not expected")
	case nodeObject:
		return serialization("Start of structure or map found where not expected.")
	}
	return serialization(otherwise)
}

func (d *document) convertMembers(i uint32, s *Shape, format Format) *Error {
	for k := i + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
		n := &d.nodes[k]
		n.num = 0
		if n.count != 0 { // of the same list, so converted to the same structure before
			n.num = d.nodes[n.count].num
		}
		if n.num == 0 {
			d.plain(k)
			n.num = s.place(d.text(k))
		}
		if n.num < 0 {
			continue
		}
		if err := d.convert(k+1, s.members[n.num-1].Shape, format); err != nil {
			return err
		}
	}
	return nil
}

// place returns the place of a member of a structure, from 1, or -1 if there
// is none of that name.
func (s *Shape) place(name []byte) int64 {
	for m := range s.members {
		if s.members[m].Name == string(name) {
			return int64(m) + 1
		}
	}
	return -1
}

func (d *document) convertScalar(i uint32, s *Shape, format Format) *Error {
	n := &d.nodes[i]
	switch s.kind {
	case kindString:
		if n.kind != nodeString {
			return wrongClass(n, "an String")
		}
		if err := d.firm(i); err != nil {
			return serialization(err.Error())
		}
		d.plain(i)
	case kindBlob:
		if format.binary() {
			if n.kind != nodeBytes {
				return wrongClass(n, "a Blob")
			}
			d.plain(i)
			return nil
		}
		if n.kind != nodeString {
			return wrongClass(n, "a Blob")
		}
		return d.convertBase64(i)
	case kindBoolean:
		if n.kind != nodeBool {
			return wrongClass(n, "an Boolean")
		}
	case kindInteger, kindLong:
		name, low, high := "an Integer", int64(math.MinInt32), int64(math.MaxInt32)
		if s.kind == kindLong {
			name, low, high = "an Long", math.MinInt64, math.MaxInt64
		}
		if n.kind != nodeInt && n.kind != nodeFloat {
			return wrongClass(n, name)
		}
		n.num, n.kind = min(max(wholeNumber(n), low), high), nodeInt
	case kindDouble:
		if n.kind == nodeString && n.flags == 0 { // how JSON writes what it has no number for
			if f, ok := notFinite(d.text(i)); ok {
				n.num, n.kind, n.flags = int64(math.Float64bits(f)), nodeFloat, 0
				return nil
			}
		}
		if n.kind != nodeInt && n.kind != nodeFloat {
			return wrongClass(n, "an Double")
		}
		if n.kind == nodeInt {
			n.num, n.kind = int64(math.Float64bits(float64(n.num))), nodeFloat
		}
	case kindTimestamp:
		if n.kind != nodeInt && n.kind != nodeFloat {
			return wrongClass(n, "milliseconds since epoch")
		}
		n.num, n.kind = milliseconds(n, format), nodeTime
	}
	return nil
}

// notFinite reads the names of the numbers that are none.
func notFinite(text []byte) (float64, bool) {
	switch string(text) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// convertBase64 makes a blob of a text. One that was not looked into yet has
// nothing wrong with it if it is all base64.
func (d *document) convertBase64(i uint32) *Error {
	n := &d.nodes[i]
	if n.flags&flagLoose == 0 {
		d.plain(i)
	}
	length, err := decodeBase64(d.text(i), &d.chunk)
	if err != nil && n.flags&flagLoose != 0 {
		if err := d.firm(i); err != nil {
			return serialization(err.Error())
		}
		d.plain(i)
		length, err = decodeBase64(d.text(i), &d.chunk)
	}
	if err != nil {
		return serialization(err.Error())
	}
	n.end = n.start + uint32(length)
	n.kind = nodeBytes
	if n.flags&flagLoose != 0 {
		n.flags &^= flagLoose
		d.loose--
	}
	return nil
}

// fit converts the whole document to a structure, and checks what that did not
// look at.
func (d *document) fit(s *Shape, format Format) *Error {
	if err := d.convert(0, s, format); err != nil {
		return err
	}
	if err := d.firmAll(); err != nil {
		return serialization(err.Error())
	}
	return nil
}

// wrongClass is the answer to a scalar of the wrong type; want has its article.
func wrongClass(n *node, want string) *Error {
	class := "java.lang.String"
	switch n.kind {
	case nodeInt, nodeFloat:
		class = "com.amazon.coral.value.json.numbers.TruncatingBigNumber"
	case nodeBool:
		class = "java.lang.Boolean"
	case nodeBytes:
		class = "java.nio.HeapByteBuffer"
	}
	return serialization("class " + class + " can not be converted to " + want)
}

// wholeNumber cuts a number to an int64.
func wholeNumber(n *node) int64 {
	if n.kind == nodeInt {
		return n.num
	}
	return clampFloat(math.Trunc(math.Float64frombits(uint64(n.num))))
}

func clampFloat(f float64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// Timestamps are kept within years 1 to 9999, so that arithmetic on them and
// package time stay within their ranges.
const (
	minMillis = -62135596800000
	maxMillis = 253402300799999
)

// milliseconds reads a time. JSON has seconds, with a fraction that is rounded
// and not cut: 1459799926.480 has no exact float. CBOR has whole milliseconds;
// a CBOR float is in seconds, as RFC 8949 says, and in
// smithy-rpc-v2-cbor so is a whole number.
func milliseconds(n *node, format Format) int64 {
	var ms int64
	switch {
	case n.kind == nodeInt && format == CBOR:
		ms = n.num
	case n.kind == nodeInt:
		ms = min(max(n.num, minMillis/1000), maxMillis/1000) * 1000
	default:
		ms = clampFloat(math.Round(math.Float64frombits(uint64(n.num)) * 1000))
	}
	return min(max(ms, minMillis), maxMillis)
}

// maxQuoted is how much of a client's value is repeated to it in a message.
const maxQuoted = 1024

func quote(b []byte) string {
	if len(b) > maxQuoted {
		return strings.ToValidUTF8(string(b[:maxQuoted]), "") + "..."
	}
	return string(b)
}
