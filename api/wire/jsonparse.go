package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// parseJSON reads src, one JSON value (RFC 8259, UTF-8), into d. Errors are
// *syntaxError or limitError. Of long texts only the end was found: what is in
// them is right when it turns out to be base64, or when firm says so.
func (d *document) parseJSON(src []byte) error {
	d.reset(src)
	if uint64(len(src)) > math.MaxUint32 {
		return errTooLarge
	}
	p := jsonParser{d: d, src: src}
	p.space()
	if err := p.value(1); err != nil {
		return err
	}
	p.space()
	if p.pos != len(p.src) {
		return p.wrong("more after the value")
	}
	return nil
}

type jsonParser struct {
	d   *document
	src []byte
	pos int
}

func (p *jsonParser) wrong(reason string) error {
	return &syntaxError{reason: reason, at: p.pos}
}

func (p *jsonParser) space() {
	if p.pos < len(p.src) && p.src[p.pos] <= ' ' {
		p.spaces()
	}
}

func (p *jsonParser) spaces() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\n', '\t', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *jsonParser) value(depth int) error {
	if p.pos >= len(p.src) {
		return p.wrong("value missing")
	}
	switch c := p.src[p.pos]; c {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"':
		if n := longText(p.src[p.pos+1:]); n > 0 {
			start := p.pos + 1
			p.pos = start + n + 1
			p.d.loose++
			_, err := p.d.addSpan(nodeString, flagLoose, start, start+n)
			return err
		}
		return p.string()
	case 't':
		return p.literal("true", node{kind: nodeBool, num: 1})
	case 'f':
		return p.literal("false", node{kind: nodeBool})
	case 'n':
		return p.literal("null", node{kind: nodeNull})
	default:
		if c == '-' || c-'0' <= 9 {
			return p.number()
		}
		return p.wrong("unexpected character")
	}
}

func (p *jsonParser) literal(word string, n node) error {
	if len(p.src)-p.pos < len(word) || string(p.src[p.pos:p.pos+len(word)]) != word {
		return p.wrong("unexpected character")
	}
	p.pos += len(word)
	_, err := p.d.add(n)
	return err
}

func (p *jsonParser) object(depth int) error {
	if depth > MaxDepth {
		return errTooDeep
	}
	start := p.pos
	i, err := p.d.addSpan(nodeObject, 0, start, start)
	if err != nil {
		return err
	}
	p.pos++
	p.space()
	count := uint32(0)
	if p.pos < len(p.src) && p.src[p.pos] == '}' {
		p.pos++
		return nil
	}
	for {
		if p.pos >= len(p.src) || p.src[p.pos] != '"' {
			return p.wrong("key missing")
		}
		if err := p.string(); err != nil { // whole, since keys are compared
			return err
		}
		p.space()
		if p.pos >= len(p.src) || p.src[p.pos] != ':' {
			return p.wrong("colon missing")
		}
		p.pos++
		p.space()
		if err := p.value(depth + 1); err != nil {
			return err
		}
		count++
		p.space()
		if p.pos >= len(p.src) {
			return p.wrong("object not closed")
		}
		switch p.src[p.pos] {
		case ',':
			p.pos++
			p.space()
		case '}':
			p.pos++
			n := &p.d.nodes[i]
			n.end, n.count, n.next = uint32(p.pos), count, uint32(len(p.d.nodes))
			return p.d.unique(i)
		default:
			return p.wrong("comma missing")
		}
	}
}

func (p *jsonParser) list(depth int) error {
	if depth > MaxDepth {
		return errTooDeep
	}
	i, err := p.d.addSpan(nodeList, 0, 0, 0)
	if err != nil {
		return err
	}
	p.pos++
	p.space()
	count := uint32(0)
	if p.pos < len(p.src) && p.src[p.pos] == ']' {
		p.pos++
		return nil
	}
	like := uint32(0)
	for {
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
		p.space()
		if p.pos >= len(p.src) {
			return p.wrong("list not closed")
		}
		switch p.src[p.pos] {
		case ',':
			p.pos++
			p.space()
		case ']':
			p.pos++
			p.d.nodes[i].count = count
			p.d.nodes[i].next = uint32(len(p.d.nodes))
			return nil
		default:
			return p.wrong("comma missing")
		}
	}
}

// textAt is for strings from behind their opening quote on.
func (p *jsonParser) textAt(pos int) (kind nodeKind, flags uint8, start, end int, ok bool) {
	n := longText(p.src[pos:])
	if n > 0 {
		return nodeString, flagLoose, pos, pos + n, true
	}
	end = pos + plainRun(p.src[pos:])
	return nodeString, 0, pos, end, end < len(p.src) && p.src[end] == '"'
}

// gap ends with the opening quote.
func (p *jsonParser) gap(_, value *node) uint32 { return value.start }

// string reads a string whose opening quote is at pos.
func (p *jsonParser) string() error {
	p.pos++
	start := p.pos
	flags, err := p.text()
	if err != nil {
		return err
	}
	_, err = p.d.addSpan(nodeString, flags, start, p.pos)
	p.pos++
	return err
}

// text passes over what is in a string, up to its closing quote.
func (p *jsonParser) text() (flags uint8, err error) {
	start := p.pos
	plain := true
	for {
		p.pos += plainRun(p.src[p.pos:])
		if p.pos >= len(p.src) {
			return 0, p.wrong("string not closed")
		}
		switch c := p.src[p.pos]; {
		case c == '"':
			if !plain && !utf8.Valid(p.src[start:p.pos]) {
				return 0, p.wrong("string is not UTF-8")
			}
			return flags, nil
		case c == '\\':
			flags |= flagEscaped
			if err := p.escape(); err != nil {
				return 0, err
			}
		case c >= utf8.RuneSelf:
			plain = false
			p.pos++
		default:
			return 0, p.wrong("control character in string")
		}
	}
}

// longText returns the length of the text at the start of b if it is long and
// can be told without a look at each byte, else 0: the first quote ends it if
// no backslash stands before. Most bodies are one long base64 text after the
// other, and that is checked when it is decoded.
func longText(b []byte) int {
	const long = 64
	n := bytes.IndexByte(b, '"')
	if n < long || b[n-1] == '\\' {
		return 0
	}
	return n
}

// firm checks the text of node i if nobody looked into it yet.
func (d *document) firm(i uint32) error {
	n := &d.nodes[i]
	if n.flags&flagLoose == 0 {
		return nil
	}
	p := jsonParser{d: d, src: d.src[:n.end+1], pos: int(n.start)}
	flags, err := p.text()
	if err != nil {
		return err
	}
	n.flags = n.flags&^flagLoose | flags
	d.loose--
	return nil
}

// firmAll checks all texts that nobody looked into yet.
func (d *document) firmAll() error {
	if d.loose == 0 {
		return nil
	}
	for i := range d.nodes {
		if d.nodes[i].flags&flagLoose != 0 {
			if err := d.firm(uint32(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// escape passes over one escape sequence.
func (p *jsonParser) escape() error {
	if p.pos+1 >= len(p.src) {
		return p.wrong("string not closed")
	}
	switch p.src[p.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		p.pos += 2
		return nil
	case 'u':
		if _, ok := hex4(p.src[p.pos+2:]); ok {
			p.pos += 6
			return nil
		}
	}
	return p.wrong("unknown escape")
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, by its high bit, the first byte of w that is a quote, a
// backslash, a control character or not ASCII. Borrows can mark bytes above
// the first one, which do not count.
func special(w uint64) uint64 {
	quote := w ^ ('"' * ones)
	slash := w ^ ('\\' * ones)
	// A byte's high bit ends up set where the byte is zero in quote or slash,
	// below 0x20 in w, or above 0x7f.
	return (((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((w - 0x20*ones) &^ w) | w) & highs
}

// plainRun returns how many bytes at the start of b are ASCII and neither a
// control character, a quote nor a backslash. It looks at eight bytes at once:
// most bodies are one long base64 text after the other.
func plainRun(b []byte) int {
	n := 0
	for len(b)-n >= 32 {
		c := (*[32]byte)(b[n:])
		if special(binary.LittleEndian.Uint64(c[:]))|special(binary.LittleEndian.Uint64(c[8:]))|
			special(binary.LittleEndian.Uint64(c[16:]))|special(binary.LittleEndian.Uint64(c[24:])) != 0 {
			break // the loop below finds where
		}
		n += 32
	}
	for len(b)-n >= 8 {
		if m := special(binary.LittleEndian.Uint64(b[n:])); m != 0 {
			return n + bits.TrailingZeros64(m)/8
		}
		n += 8
	}
	for n < len(b) && b[n] >= 0x20 && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// number reads a number. Whole numbers that fit are kept as int64, all others
// as float64.
func (p *jsonParser) number() error {
	start := p.pos
	b := p.src
	if b[p.pos] == '-' {
		p.pos++
	}
	digits := func() bool {
		from := p.pos
		for p.pos < len(b) && b[p.pos]-'0' <= 9 {
			p.pos++
		}
		return p.pos > from
	}
	first := p.pos
	if !digits() {
		return p.wrong("digit missing")
	}
	if b[first] == '0' && p.pos > first+1 {
		return p.wrong("number with a leading zero")
	}
	whole := true
	if p.pos < len(b) && b[p.pos] == '.' {
		whole = false
		p.pos++
		if !digits() {
			return p.wrong("digit missing")
		}
	}
	if p.pos < len(b) && b[p.pos]|0x20 == 'e' {
		whole = false
		p.pos++
		if p.pos < len(b) && (b[p.pos] == '+' || b[p.pos] == '-') {
			p.pos++
		}
		if !digits() {
			return p.wrong("digit missing")
		}
	}
	token := string(b[start:p.pos])
	if whole {
		if v, err := strconv.ParseInt(token, 10, 64); err == nil {
			_, err := p.d.add(node{kind: nodeInt, num: v, start: uint32(start), end: uint32(p.pos)})
			return err
		}
	}
	// Out of range gives an infinity, which checks clamp or refuse.
	f, _ := strconv.ParseFloat(token, 64)
	_, err := p.d.add(node{kind: nodeFloat, num: int64(math.Float64bits(f)), start: uint32(start), end: uint32(p.pos)})
	return err
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescapeJSON decodes the escapes of a text that was parsed before, in place,
// and returns the new length. A lone surrogate becomes U+FFFD.
func unescapeJSON(b []byte) int {
	n := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' || i+1 >= len(b) {
			b[n] = c
			n++
			i++
			continue
		}
		switch c = b[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(b[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'u' {
					low, ok = hex4(b[i+2:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					i += 6
				}
			}
			n += utf8.EncodeRune(b[n:n+utf8.RuneLen(r)], r)
			continue
		}
		b[n] = c
		n++
		i += 2
	}
	return n
}
