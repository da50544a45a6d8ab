package wire

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encoder writes the output of an operation in the format of its request:
// compact JSON, or CBOR with maps and lists of indefinite length, as the real
// service does. The caller keeps the order right: Key before every value of an
// object, Begin and End in pairs. An encoder that was not used is an empty
// body.
type Encoder struct {
	buf    []byte
	format Format
	comma  bool   // JSON: the next key or item follows another one
	times  Format // how times are written, if not as the format does
}

// NewEncoder returns an encoder that appends to buf.
func NewEncoder(format Format, buf []byte) *Encoder {
	switch format {
	case rpc:
		return &Encoder{buf: buf, format: CBOR, times: rpc}
	case query:
		return &Encoder{buf: buf, format: JSON, times: query} // see appendXML
	}
	return &Encoder{buf: buf, format: format}
}

// Output returns what was written.
func (e *Encoder) Output() []byte { return e.buf }

// Grow makes room for n more bytes.
func (e *Encoder) Grow(n int) {
	if cap(e.buf)-len(e.buf) < n {
		e.buf = append(make([]byte, 0, len(e.buf)+n), e.buf...)
	}
}

// BlobLen returns how many bytes a blob of n bytes takes in the output.
func (e *Encoder) BlobLen(n int) int {
	if e.format == CBOR {
		return n + 9
	}
	return base64.StdEncoding.EncodedLen(n) + 2
}

func (e *Encoder) item() {
	if e.comma {
		e.buf = append(e.buf, ',')
	}
	e.comma = true
}

func (e *Encoder) open(json, cbor byte) {
	if e.format == CBOR {
		e.buf = append(e.buf, cbor)
		return
	}
	e.item()
	e.buf = append(e.buf, json)
	e.comma = false
}

func (e *Encoder) close(json byte) {
	if e.format == CBOR {
		e.buf = append(e.buf, cborBreak)
		return
	}
	e.buf = append(e.buf, json)
	e.comma = true
}

// BeginObject starts an object.
func (e *Encoder) BeginObject() { e.open('{', cborMap<<5|31) }

// EndObject ends an object.
func (e *Encoder) EndObject() { e.close('}') }

// BeginList starts a list.
func (e *Encoder) BeginList() { e.open('[', cborArray<<5|31) }

// EndList ends a list.
func (e *Encoder) EndList() { e.close(']') }

// Key writes the name of a member; name has nothing to escape.
func (e *Encoder) Key(name string) {
	if e.format == CBOR {
		e.buf = appendCBORHead(e.buf, cborText, uint64(len(name)))
		e.buf = append(e.buf, name...)
		return
	}
	e.item()
	e.comma = false
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

// TextKey writes the key of a map, which may need escaping.
func (e *Encoder) TextKey(key string) {
	if e.format == CBOR {
		e.String(key)
		return
	}
	e.item()
	e.comma = false
	e.buf = append(appendJSONString(e.buf, key), ':')
}

// String writes a text. Bytes that are not UTF-8 become U+FFFD.
func (e *Encoder) String(s string) {
	if e.format == CBOR {
		if !utf8.ValidString(s) {
			s = string([]rune(s))
		}
		e.buf = appendCBORHead(e.buf, cborText, uint64(len(s)))
		e.buf = append(e.buf, s...)
		return
	}
	e.item()
	e.buf = appendJSONString(e.buf, s)
}

// Text writes a text rendered by append, which adds nothing that needs
// escaping and at most 255 bytes: sequence numbers, shard ids.
func (e *Encoder) Text(render func(b []byte) []byte) {
	if e.format == CBOR {
		e.buf = append(e.buf, cborText<<5|24, 0)
		at := len(e.buf)
		e.buf = render(e.buf)
		e.buf[at-1] = byte(len(e.buf) - at)
		return
	}
	e.item()
	e.buf = append(e.buf, '"')
	e.buf = render(e.buf)
	e.buf = append(e.buf, '"')
}

// Again writes the item at output[from:to] once more, as the next item of its
// list, and returns the copy, for the caller to change texts in it into others
// of the same length. It is for long lists of items that are alike: from is
// where the item began, without the comma before it.
func (e *Encoder) Again(from, to int) []byte {
	if e.format != CBOR {
		e.item()
	}
	at := len(e.buf)
	e.buf = append(e.buf, e.buf[from:to]...)
	return e.buf[at:]
}

// Blob writes raw bytes.
func (e *Encoder) Blob(b []byte) {
	if e.format == CBOR {
		e.buf = appendCBORHead(e.buf, cborBytes, uint64(len(b)))
		e.buf = append(e.buf, b...)
		return
	}
	e.item()
	e.buf = appendBase64(append(e.buf, '"'), b)
	e.buf = append(e.buf, '"')
}

// Int writes a whole number.
func (e *Encoder) Int(v int64) {
	if e.format == CBOR {
		if v < 0 {
			e.buf = appendCBORHead(e.buf, cborNegative, uint64(-1-v))
		} else {
			e.buf = appendCBORHead(e.buf, cborUint, uint64(v))
		}
		return
	}
	e.item()
	e.buf = strconv.AppendInt(e.buf, v, 10)
}

// Bool writes a boolean.
func (e *Encoder) Bool(v bool) {
	if e.format == CBOR {
		b := cborSimple<<5 | 20
		if v {
			b++
		}
		e.buf = append(e.buf, b)
		return
	}
	e.item()
	e.buf = strconv.AppendBool(e.buf, v)
}

// Time writes a time with milliseconds: seconds with a fraction in JSON, tag 1
// and whole milliseconds in CBOR. The latter is not what tag 1 means elsewhere,
// but what AWS clients read. smithy-rpc-v2-cbor has tag 1 and seconds, awsQuery
// the form of ISO 8601.
func (e *Encoder) Time(t time.Time) {
	ms := t.UnixMilli()
	switch e.times {
	case rpc:
		e.buf = append(e.buf, cborTag<<5|1, cborSimple<<5|27)
		e.buf = binary.BigEndian.AppendUint64(e.buf, math.Float64bits(float64(ms)/1000))
		return
	case query:
		e.String(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
		return
	}
	if e.format == CBOR {
		e.buf = append(e.buf, cborTag<<5|1)
		e.Int(ms)
		return
	}
	e.item()
	e.buf = appendSeconds(e.buf, ms)
}

// Raw writes a JSON value that was rendered before. It is for services that
// speak JSON only.
func (e *Encoder) Raw(json []byte) {
	e.item()
	e.buf = append(e.buf, json...)
}

// StringMember writes a member that is a text.
func (e *Encoder) StringMember(name, v string) {
	e.Key(name)
	e.String(v)
}

// IntMember writes a member that is a whole number.
func (e *Encoder) IntMember(name string, v int64) {
	e.Key(name)
	e.Int(v)
}

// BoolMember writes a member that is a boolean.
func (e *Encoder) BoolMember(name string, v bool) {
	e.Key(name)
	e.Bool(v)
}

// TimeMember writes a member that is a time.
func (e *Encoder) TimeMember(name string, v time.Time) {
	e.Key(name)
	e.Time(v)
}

// appendSeconds renders milliseconds as seconds with up to three decimals.
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

func appendCBORHead(b []byte, major uint8, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(b, major<<5|byte(arg))
	case arg < 1<<8:
		return append(b, major<<5|24, byte(arg))
	case arg < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major<<5|25), uint16(arg))
	case arg < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major<<5|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(b, major<<5|27), arg)
}

const hexDigits = "0123456789abcdef"

// appendJSONString renders a text with quotes. Bytes that are not UTF-8 become
// U+FFFD.
func appendJSONString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		plain := i
		for i < len(s) && s[i] >= 0x20 && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[plain:i]...)
		if i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		b = utf8.AppendRune(b, r)
		i += size
	}
	return append(b, '"')
}
