package wire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// parseCBOR reads src, one CBOR value (RFC 8949), into d. Map keys must be
// text. Errors are *syntaxError or limitError.
//
// It checks well-formedness (RFC 8949, section 5.3) on the way, in one pass: a
// library's check before it was a tenth of the time of a PutRecords. The fuzz
// target holds it against that library.
func (d *document) parseCBOR(src []byte) error {
	d.reset(src)
	if uint64(len(src)) > math.MaxUint32 {
		return errTooLarge
	}
	p := cborParser{d: d, src: src}
	if err := p.value(1); err != nil {
		return err
	}
	if p.pos != len(src) {
		return p.wrong("bytes after the value")
	}
	return nil
}

type cborParser struct {
	d   *document
	src []byte
	pos int
}

func (p *cborParser) wrong(reason string) error {
	return &syntaxError{reason: reason, at: p.pos}
}

// CBOR major types.
const (
	cborUint uint8 = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

const cborBreak = 0xff

// cborHead reads a head; size is 0 if b is too short or the head is none.
func cborHead(b []byte) (major uint8, arg uint64, indefinite bool, size int) {
	if len(b) == 0 {
		return 0, 0, false, 0
	}
	major = b[0] >> 5
	switch info := b[0] & 31; {
	case info < 24:
		return major, uint64(info), false, 1
	case info == 24 && len(b) >= 2:
		return major, uint64(b[1]), false, 2
	case info == 25 && len(b) >= 3:
		return major, uint64(binary.BigEndian.Uint16(b[1:])), false, 3
	case info == 26 && len(b) >= 5:
		return major, uint64(binary.BigEndian.Uint32(b[1:])), false, 5
	case info == 27 && len(b) >= 9:
		return major, binary.BigEndian.Uint64(b[1:]), false, 9
	case info == 31 && (major >= cborBytes && major <= cborMap || major == cborSimple):
		return major, 0, true, 1
	}
	return 0, 0, false, 0
}

func (p *cborParser) value(depth int) error {
	major, arg, indefinite, size := cborHead(p.src[p.pos:])
	if size == 0 {
		return p.wrong("head cut off or malformed")
	}
	if depth > MaxDepth {
		return errTooDeep
	}
	head := p.pos
	p.pos += size
	switch major {
	case cborUint, cborNegative:
		return p.integer(major, arg)
	case cborBytes, cborText:
		return p.string(major, arg, indefinite)
	case cborArray:
		return p.list(arg, indefinite, depth)
	case cborMap:
		return p.object(head, arg, indefinite, depth)
	case cborTag:
		// Only tag 1 (time) means something here; a tag around it changes
		// nothing for the value inside.
		i := len(p.d.nodes)
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if arg == 1 {
			p.d.nodes[i].flags |= flagTime
		}
		return nil
	default:
		return p.simple(head, arg)
	}
}

func (p *cborParser) integer(major uint8, arg uint64) error {
	n := node{kind: nodeInt, num: int64(arg)}
	if arg > math.MaxInt64 { // too large for int64 either way; checks clamp a float
		f := float64(arg)
		if major == cborNegative {
			f = -f
		}
		n = node{kind: nodeFloat, num: int64(math.Float64bits(f))}
	} else if major == cborNegative {
		n.num = -1 - n.num
	}
	_, err := p.d.add(n)
	return err
}

func (p *cborParser) simple(head int, arg uint64) error {
	n := node{kind: nodeNull}
	switch info := p.src[head] & 31; info {
	case 20, 21:
		n = node{kind: nodeBool, num: int64(info - 20)}
	case 22, 23: // null, undefined
	case 25:
		n = node{kind: nodeFloat, num: int64(math.Float64bits(halfFloat(uint16(arg))))}
	case 26:
		n = node{kind: nodeFloat, num: int64(math.Float64bits(float64(math.Float32frombits(uint32(arg)))))}
	case 27:
		n = node{kind: nodeFloat, num: int64(arg)}
	case 31:
		p.pos = head
		return p.wrong("break outside of a list or map")
	default:
		p.pos = head
		return p.wrong("unknown simple value")
	}
	_, err := p.d.add(n)
	return err
}

func halfFloat(h uint16) float64 {
	exp, mant := int(h>>10&31), float64(h&1023)
	var f float64
	switch exp {
	case 0:
		f = math.Ldexp(mant, -24)
	case 31:
		f = math.Inf(1)
		if mant != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(mant+1024, exp-25)
	}
	if h>>15 != 0 {
		f = -f
	}
	return f
}

func (p *cborParser) string(major uint8, arg uint64, indefinite bool) error {
	kind, start := nodeBytes, p.pos
	if major == cborText {
		kind = nodeString
	}
	if !indefinite {
		if arg > uint64(len(p.src)-p.pos) {
			return p.wrong("string cut off")
		}
		p.pos += int(arg)
		if major == cborText && !utf8.Valid(p.src[start:p.pos]) {
			return p.wrong("text is not UTF-8")
		}
		_, err := p.d.addSpan(kind, 0, start, p.pos)
		return err
	}
	for p.pos < len(p.src) && p.src[p.pos] != cborBreak {
		m, length, indef, size := cborHead(p.src[p.pos:])
		if size == 0 || m != major || indef || length > uint64(len(p.src)-p.pos-size) {
			return p.wrong("chunk of a string malformed")
		}
		from := p.pos + size
		p.pos = from + int(length)
		if major == cborText && !utf8.Valid(p.src[from:p.pos]) {
			return p.wrong("text is not UTF-8")
		}
	}
	if p.pos >= len(p.src) {
		return p.wrong("string not closed")
	}
	_, err := p.d.addSpan(kind, flagChunked, start, p.pos)
	p.pos++
	return err
}

// more reports whether a list or map goes on, and passes its end.
func (p *cborParser) more(done, arg uint64, indefinite bool) (bool, error) {
	if !indefinite {
		return done < arg, nil
	}
	if p.pos >= len(p.src) {
		return false, p.wrong("not closed")
	}
	if p.src[p.pos] == cborBreak {
		p.pos++
		return false, nil
	}
	return true, nil
}

func (p *cborParser) list(arg uint64, indefinite bool, depth int) error {
	if arg > MaxValues {
		return errTooMany
	}
	i, err := p.d.addSpan(nodeList, 0, 0, 0)
	if err != nil {
		return err
	}
	count, like := uint64(0), uint32(0)
	for {
		more, err := p.more(count, arg, indefinite)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if end, ok := p.d.repeat(like, p.pos, p); ok {
			p.pos = end
		} else {
			item := len(p.d.nodes)
			if err := p.value(depth + 1); err != nil {
				return err
			}
			if p.d.nodes[item].kind == nodeObject {
				like = uint32(item)
			}
		}
		count++
	}
	p.d.nodes[i].count = uint32(count)
	p.d.nodes[i].next = uint32(len(p.d.nodes))
	return nil
}

// textAt is for definite texts and blobs.
func (p *cborParser) textAt(pos int) (kind nodeKind, flags uint8, start, end int, ok bool) {
	major, arg, indefinite, size := cborHead(p.src[pos:])
	if size == 0 || major != cborBytes && major != cborText || indefinite {
		return 0, 0, 0, 0, false
	}
	start = pos + size
	if arg > uint64(len(p.src)-start) {
		return 0, 0, 0, 0, false
	}
	end = start + int(arg)
	if major == cborBytes {
		return nodeBytes, 0, start, end, true
	}
	return nodeString, 0, start, end, utf8.Valid(p.src[start:end])
}

// gap ends with the key: the head of a text depends on its length.
func (p *cborParser) gap(key, _ *node) uint32 { return key.end }

// object reads a map, from behind its head at start on.
func (p *cborParser) object(start int, arg uint64, indefinite bool, depth int) error {
	if arg > MaxValues {
		return errTooMany
	}
	i, err := p.d.addSpan(nodeObject, 0, start, start)
	if err != nil {
		return err
	}
	count := uint64(0)
	for {
		more, err := p.more(count, arg, indefinite)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		k := len(p.d.nodes)
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if p.d.nodes[k].kind != nodeString {
			return p.wrong("map key is not text")
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		count++
	}
	n := &p.d.nodes[i]
	n.end, n.count, n.next = uint32(p.pos), uint32(count), uint32(len(p.d.nodes))
	return p.d.unique(i)
}

// joinChunks moves the contents of a run of definite strings together, in
// place, and returns the length of the whole.
func joinChunks(b []byte) int {
	n := 0
	for pos := 0; pos < len(b); {
		_, length, _, size := cborHead(b[pos:])
		if size == 0 || length > uint64(len(b)-pos-size) {
			return n
		}
		pos += size
		n += copy(b[n:], b[pos:pos+int(length)])
		pos += int(length)
	}
	return n
}
