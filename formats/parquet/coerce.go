package parquet

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unsafe"

	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
	"github.com/firehosed/firehosed/formats/schema"
)

// What each type takes follows the OpenX JSON SerDe as Amazon Data Firehose runs
// it: text that is a number goes into a number, any value goes into text. Where
// that would change a value (fractions into integers, digits beyond the scale of
// a decimal, numbers beyond the range) the record is refused instead.

// primitive adds the value at b[i], which is not null, to a leaf.
func (s *shredder) primitive(pl *place, b []byte, i, rep int) (int, error) {
	if i >= len(b) {
		return i, jsonscan.Unexpected(b, i, "a value")
	}
	if pl.kind == schema.JSON {
		end, err := jsonscan.Value(b, i)
		if err == nil {
			s.put(pl, pq.ByteArrayValue(compactInPlace(b[i:end])), rep)
		}
		return end, err
	}
	switch c := b[i]; c {
	case '"':
		end, escaped, err := jsonscan.String(b, i)
		if err != nil {
			return end, err
		}
		text := b[i+1 : end-1]
		if escaped {
			text = jsonscan.Unquote(text[:0], text) // never longer than what it reads
		}
		return end, s.fromText(pl, text, rep)
	case '{', '[':
		if pl.kind != schema.String {
			return wrongKind(pl, b, i)
		}
		end, err := jsonscan.Value(b, i)
		if err == nil {
			s.put(pl, pq.ByteArrayValue(compactInPlace(b[i:end])), rep)
		}
		return end, err
	case 't', 'f':
		end, err := jsonscan.Scalar(b, i)
		if err != nil {
			return end, err
		}
		switch pl.kind {
		case schema.Boolean:
			s.put(pl, pq.BooleanValue(c == 't'), rep)
		case schema.String:
			s.put(pl, pq.ByteArrayValue(b[i:end]), rep)
		default:
			return wrongKind(pl, b, i)
		}
		return end, nil
	}
	end, integer, err := jsonscan.Number(b, i)
	if err != nil {
		return end, err
	}
	return end, s.fromNumber(pl, b[i:end], integer, rep)
}

// compactInPlace removes the white space of valid JSON text, if it has any.
func compactInPlace(text []byte) []byte {
	if text[0] != '{' && text[0] != '[' {
		return text
	}
	return jsonscan.Compact(text[:0], text)
}

// view is b as a string for a call that does not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// fromNumber adds a number as written.
func (s *shredder) fromNumber(pl *place, text []byte, integer bool, rep int) error {
	switch pl.kind {
	case schema.String:
		s.put(pl, pq.ByteArrayValue(text), rep)
		return nil
	case schema.Int64, schema.Int32, schema.Int16, schema.Int8:
		v, ok := int64(0), false
		if integer {
			v, ok = parseInt(text)
		} else {
			v, ok = parseDecimal(text).scaled(0, false)
		}
		if !ok || v < pl.smallest || v > pl.largest {
			return refuseText(pl, "number", text)
		}
		if pl.kind == schema.Int64 {
			s.put(pl, pq.Int64Value(v), rep)
		} else {
			s.put(pl, pq.Int32Value(int32(v)), rep)
		}
		return nil
	case schema.Double:
		v, err := strconv.ParseFloat(view(text), 64)
		if err != nil {
			return refuseText(pl, "number", text)
		}
		s.put(pl, pq.DoubleValue(v), rep)
		return nil
	case schema.Float:
		v, err := strconv.ParseFloat(view(text), 32)
		if err != nil {
			return refuseText(pl, "number", text)
		}
		s.put(pl, pq.FloatValue(float32(v)), rep)
		return nil
	case schema.Timestamp:
		v, ok := epochMicros(text)
		if !ok {
			return refuseText(pl, "number", text)
		}
		s.put(pl, pq.Int64Value(v), rep)
		return nil
	case schema.Decimal:
		return s.decimal(pl, "number", text, rep)
	}
	return refuseText(pl, "number", text) // Boolean, Binary, Date
}

// fromText adds the text of a string, or the key of a map.
func (s *shredder) fromText(pl *place, text []byte, rep int) error {
	switch pl.kind {
	case schema.String:
		s.put(pl, pq.ByteArrayValue(text), rep)
		return nil
	case schema.Timestamp:
		v, ok := parseTimestamp(text)
		if !ok {
			return refuseText(pl, "text", text)
		}
		s.put(pl, pq.Int64Value(v), rep)
		return nil
	case schema.Date:
		v, ok := parseDate(text)
		if !ok {
			return refuseText(pl, "text", text)
		}
		s.put(pl, pq.Int32Value(v), rep)
		return nil
	case schema.Boolean:
		yes := bytes.EqualFold(text, []byte("true"))
		if !yes && !bytes.EqualFold(text, []byte("false")) {
			return refuseText(pl, "text", text)
		}
		s.put(pl, pq.BooleanValue(yes), rep)
		return nil
	case schema.Binary:
		encoding := base64.StdEncoding
		if len(text)%4 != 0 {
			encoding = base64.RawStdEncoding
		}
		data, err := encoding.AppendDecode(nil, text)
		if err != nil {
			return refuseText(pl, "text", text)
		}
		s.put(pl, pq.ByteArrayValue(data), rep)
		return nil
	case schema.Float, schema.Double:
		if v, ok := notFinite(text); ok {
			if pl.kind == schema.Float {
				s.put(pl, pq.FloatValue(float32(v)), rep)
			} else {
				s.put(pl, pq.DoubleValue(v), rep)
			}
			return nil
		}
	}
	end, integer, err := jsonscan.Number(text, 0)
	if err != nil || end != len(text) {
		return refuseText(pl, "text", text)
	}
	if pl.kind == schema.Decimal {
		return s.decimal(pl, "text", text, rep)
	}
	return s.fromNumber(pl, text, integer, rep)
}

// notFinite reads the names that Java gives to what JSON has no number for.
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

func (s *shredder) decimal(pl *place, what string, text []byte, rep int) error {
	d := parseDecimal(text)
	if pl.fixed > 0 {
		b, ok := d.fixed(pl.precision, pl.scale, pl.fixed)
		if !ok {
			return refuseText(pl, what, text)
		}
		s.put(pl, pq.FixedLenByteArrayValue(b), rep)
		return nil
	}
	v, ok := d.scaled(pl.scale, false)
	if limit := pow10[pl.precision]; !ok || v >= limit || v <= -limit {
		return refuseText(pl, what, text)
	}
	if pl.precision <= 9 {
		s.put(pl, pq.Int32Value(int32(v)), rep)
	} else {
		s.put(pl, pq.Int64Value(v), rep)
	}
	return nil
}
