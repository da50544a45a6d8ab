package wire

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxNameBytes is how long the name of one parameter may be. The longest of the
// services here has about 80 bytes.
const maxNameBytes = 1 << 10

const errLongName = limitError("The body has a parameter whose name is longer than 1024 bytes.")

// form is a decoded set of parameters: a form body, a query string, or both.
type form struct {
	buf    []byte // names and values, decoded, one after the other
	fields []field
}

// field is one parameter: its name is buf[name:value], its value buf[value:end].
type field struct{ name, value, end uint32 }

func (f *form) reset() { f.buf, f.fields = f.buf[:0], f.fields[:0] }

func (f *form) name(p field) []byte { return f.buf[p.name:p.value] }

// read adds the parameters of src, which is application/x-www-form-urlencoded.
// It takes at most len(src) more bytes of the buffer and leaves src as it is.
func (f *form) read(src []byte) error {
	for at := 0; at < len(src); {
		part := src[at:]
		if i := bytes.IndexByte(part, '&'); i >= 0 {
			part = part[:i]
		}
		begin := at
		at += len(part) + 1
		if len(part) == 0 {
			continue
		}
		if len(f.fields) >= MaxValues {
			return errTooMany
		}
		name, value, _ := bytes.Cut(part, []byte("="))
		p := field{name: uint32(len(f.buf))}
		var ok bool
		if f.buf, ok = appendUnescaped(f.buf, name); !ok {
			return &syntaxError{"name of a parameter malformed", begin}
		}
		p.value = uint32(len(f.buf))
		if p.value-p.name > maxNameBytes {
			return errLongName
		}
		if f.buf, ok = appendUnescaped(f.buf, value); !ok {
			return &syntaxError{"value of a parameter malformed", begin}
		}
		p.end = uint32(len(f.buf))
		f.fields = append(f.fields, p)
	}
	return nil
}

// appendUnescaped decodes percent signs and pluses; false means that src is
// malformed or not UTF-8.
func appendUnescaped(b, src []byte) ([]byte, bool) {
	from := len(b)
	for i := 0; i < len(src); i++ {
		switch c := src[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(src) {
				return b, false
			}
			high, low := unhex(src[i+1]), unhex(src[i+2])
			if high > 15 || low > 15 {
				return b, false
			}
			b = append(b, high<<4|low)
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b, utf8.Valid(b[from:])
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// get returns the value of the first parameter of a name, nil if there is none.
func (f *form) get(name string) []byte {
	for _, p := range f.fields {
		if string(f.name(p)) == name {
			return f.buf[p.value:p.end]
		}
	}
	return nil
}

// build makes the parameters a document of a shape, as the awsQuery protocol
// flattens it: lists are "Name.member.1", maps "Name.entry.1.key" and ".value".
// The document is of the right types then and needs no fit. Unknown members are
// left out. The document refers to the buffer of the form.
func (f *form) build(d *document, s *Shape) *Error {
	slices.SortFunc(f.fields, func(a, b field) int { return compareNames(f.name(a), f.name(b)) })
	d.reset(f.buf)
	return f.structure(d, f.fields, 0, s)
}

// compareNames orders names part by part, so that what belongs together lies
// together, and items of lists by their number.
func compareNames(a, b []byte) int {
	for {
		pa, restA, moreA := bytes.Cut(a, []byte("."))
		pb, restB, moreB := bytes.Cut(b, []byte("."))
		na, nb := position(pa), position(pb)
		switch {
		case na != nb && (na == 0 || nb == 0):
			return nb - na // numbers come first
		case na != nb:
			return na - nb
		}
		if c := bytes.Compare(pa, pb); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}

// position reads the number of an item, from 1; 0 means that part is none.
func position(part []byte) int {
	if len(part) == 0 || len(part) > 9 || part[0] == '0' {
		return 0
	}
	n := 0
	for _, c := range part {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// leaf reports whether the name of p ends before its part at offset at.
func leaf(p field, at uint32) bool { return p.name+at > p.value }

// part returns the part of the name of p that begins at offset at.
func (f *form) part(p field, at uint32) []byte {
	part, _, _ := bytes.Cut(f.name(p)[at:], []byte("."))
	return part
}

// group returns how many of the sorted fields share the part of the first one.
func (f *form) group(fields []field, at uint32, part []byte) int {
	n := 1
	for n < len(fields) && !leaf(fields[n], at) && bytes.Equal(f.part(fields[n], at), part) {
		n++
	}
	return n
}

// value adds the value that fields, which share their names up to at, make.
func (f *form) value(d *document, fields []field, at uint32, s *Shape) *Error {
	switch s.kind {
	case kindStructure, kindList, kindMap:
		if !leaf(fields[0], at) {
			break
		}
		// "Name=" is how an empty list or structure is written.
		if len(fields) > 1 || fields[0].end != fields[0].value {
			return f.malformed(fields[0], "is a structure, list or map and has a value")
		}
		fields = nil
	default:
		if len(fields) > 1 && leaf(fields[1], at) {
			return f.malformed(fields[0], "is there twice")
		}
		if last := fields[len(fields)-1]; !leaf(last, at) {
			return f.malformed(last, "is inside of a value")
		}
		return f.scalar(d, fields[0], s)
	}
	switch s.kind {
	case kindList:
		return f.list(d, fields, at, s)
	case kindMap:
		return f.mapping(d, fields, at, s)
	}
	return f.structure(d, fields, at, s)
}

// open adds a list or object; what it returns closes it.
func (d *document) open(kind nodeKind) (end func(count int), err error) {
	i, err := d.add(node{kind: kind})
	return func(count int) {
		d.nodes[i].count = uint32(count)
		d.nodes[i].next = uint32(len(d.nodes))
	}, err
}

func (f *form) structure(d *document, fields []field, at uint32, s *Shape) *Error {
	end, err := d.open(nodeObject)
	if err != nil {
		return serialization(err.Error())
	}
	count := 0
	for len(fields) > 0 {
		name := f.part(fields[0], at)
		n := f.group(fields, at, name)
		for m := range s.members {
			if s.members[m].Name != string(name) {
				continue
			}
			from := fields[0].name + at
			if _, err := d.add(node{kind: nodeString, num: int64(m) + 1, start: from, end: from + uint32(len(name))}); err != nil {
				return serialization(err.Error())
			}
			if err := f.value(d, fields[:n], at+uint32(len(name))+1, s.members[m].Shape); err != nil {
				return err
			}
			count++
			break
		}
		fields = fields[n:]
	}
	end(count)
	return nil
}

// numbered calls item for each number below word: "member.1", "member.2". Holes
// are closed.
func (f *form) numbered(fields []field, at uint32, word string, item func(fields []field, at uint32) *Error) *Error {
	for len(fields) > 0 {
		if string(f.part(fields[0], at)) != word || leaf(fields[0], at+uint32(len(word))+1) {
			return f.malformed(fields[0], "is not the "+word+" of a list or map")
		}
		in := at + uint32(len(word)) + 1
		number := f.part(fields[0], in)
		if position(number) == 0 {
			return f.malformed(fields[0], "has no number from 1 in its place")
		}
		n := 1
		for n < len(fields) && string(f.part(fields[n], at)) == word &&
			!leaf(fields[n], in) && bytes.Equal(f.part(fields[n], in), number) {
			n++
		}
		if err := item(fields[:n], in+uint32(len(number))+1); err != nil {
			return err
		}
		fields = fields[n:]
	}
	return nil
}

func (f *form) list(d *document, fields []field, at uint32, s *Shape) *Error {
	end, err := d.open(nodeList)
	if err != nil {
		return serialization(err.Error())
	}
	count := 0
	refusal := f.numbered(fields, at, "member", func(fields []field, at uint32) *Error {
		count++
		return f.value(d, fields, at, s.item)
	})
	end(count)
	return refusal
}

func (f *form) mapping(d *document, fields []field, at uint32, s *Shape) *Error {
	end, err := d.open(nodeObject)
	if err != nil {
		return serialization(err.Error())
	}
	i, count := len(d.nodes)-1, 0
	refusal := f.numbered(fields, at, "entry", func(fields []field, at uint32) *Error {
		// "key" comes before "value".
		if leaf(fields[0], at) || len(fields) < 2 || string(f.part(fields[0], at)) != "key" ||
			!leaf(fields[0], at+uint32(len("key"))+1) || leaf(fields[1], at) || string(f.part(fields[1], at)) != "value" {
			return f.malformed(fields[0], "is an entry of a map without one key and one value")
		}
		if n := f.group(fields[1:], at, []byte("value")); n != len(fields)-1 {
			return f.malformed(fields[0], "is an entry of a map without one key and one value")
		}
		if err := f.scalar(d, fields[0], s.key); err != nil {
			return err
		}
		count++
		return f.value(d, fields[1:], at+uint32(len("value"))+1, s.item)
	})
	end(count)
	if refusal != nil {
		return refusal
	}
	if err := d.unique(i); err != nil {
		return serialization(err.Error())
	}
	return nil
}

// scalar adds the value of one parameter.
func (f *form) scalar(d *document, p field, s *Shape) *Error {
	n := node{kind: nodeString, start: p.value, end: p.end}
	text := f.buf[p.value:p.end]
	bad := ""
	switch s.kind {
	case kindInteger, kindLong:
		size := 64
		if s.kind == kindInteger {
			size = 32
		}
		v, err := strconv.ParseInt(string(text), 10, size)
		if err != nil {
			bad = "must be a whole number"
		}
		n.kind, n.num = nodeInt, v
	case kindDouble:
		v, err := parseDouble(string(text))
		if err != nil {
			bad = "must be a number"
		}
		n.kind, n.num = nodeFloat, int64(math.Float64bits(v))
	case kindBoolean:
		n.kind = nodeBool
		switch string(text) {
		case "true":
			n.num = 1
		case "false":
		default:
			bad = "must be true or false"
		}
	case kindTimestamp:
		ms, ok := parseTime(string(text))
		if !ok {
			return serialization("timestamp must follow ISO8601")
		}
		n.kind, n.num = nodeTime, ms
	}
	if bad != "" {
		return f.malformed(p, bad)
	}
	i, err := d.add(n)
	if err != nil {
		return serialization(err.Error())
	}
	if s.kind == kindBlob {
		return d.convertBase64(uint32(i))
	}
	return nil
}

// parseDouble reads a decimal number, NaN, Infinity or -Infinity, as the
// protocol writes them, and no other form that Go knows.
func parseDouble(text string) (float64, error) {
	if f, ok := notFinite([]byte(text)); ok {
		return f, nil
	}
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return 0, strconv.ErrSyntax
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(v, 0) { // too large is for the operation to refuse
		return 0, err
	}
	return v, nil
}

// timeLayouts are the forms of ISO 8601 that clients send. Without a zone a
// time is in UTC.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"20060102T150405Z07:00", "2006-01-02T15:04:05.999999999Z0700", time.DateOnly,
}

// parseTime reads a time into milliseconds: ISO 8601, or seconds since 1970.
func parseTime(text string) (int64, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return min(max(t.UnixMilli(), minMillis), maxMillis), true
		}
	}
	seconds, err := parseDouble(text)
	if err != nil || math.IsNaN(seconds) {
		return 0, false
	}
	return min(max(clampFloat(math.Round(seconds*1000)), minMillis), maxMillis), true
}

func (f *form) malformed(p field, what string) *Error {
	return serialization("The parameter " + quote(f.name(p)) + " " + what + ".")
}
