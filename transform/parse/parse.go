// Package parse is the transform that turns the text of a record into a JSON
// object: access logs of web servers, JSON, regular expressions with named
// groups, CSV and logfmt.
//
// Output is compact JSON with its keys in the order of the text. Bytes that
// are not UTF-8 become U+FFFD, one each: JSON cannot hold them. One line break
// at the end of the text is not part of it. The package looks at one record at
// a time: it does not join lines and does not split records.
package parse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/firehosed/firehosed/transform"
)

// The formats.
const (
	ApacheCombined = "apache_combined" // and the common log format
	JSON           = "json"
	Regex          = "regex"
	CSV            = "csv"
	Logfmt         = "logfmt"
)

// What becomes of a record that does not parse.
const (
	Fail = "fail" // it fails with NoMatch
	Keep = "keep" // it goes on, see Options.OnError
)

// The codes of failed outcomes.
const (
	NoMatch = "Parse.NoMatch" // the text is not in the format
	NoField = "Parse.NoField" // the record is no object with the text in Options.Field
)

// Options of a parse step. Format is required.
type Options struct {
	Format string
	// Pattern for Regex, in RE2 syntax, with at least one named group. It
	// matches anywhere in the text unless it says ^ or $.
	Pattern string
	// Columns for CSV: their names, at most 4096.
	Columns []string
	// Delimiter for CSV: one character, default ",".
	Delimiter string
	// Field is the key of a JSON record that holds the text. The object keeps
	// its other members, loses this one and gets those of the text at its end;
	// the new ones win over members of the same name. Empty: the record is the
	// text.
	Field string
	// RawField is a key that keeps the text; empty: the text is not kept.
	RawField string
	// OnError is Fail (the default) or Keep: a record that does not parse goes
	// on unchanged, or, if RawField is set and Field is not, as an object of
	// that one key.
	OnError string
}

// Transformer is a parse step.
type Transformer struct {
	opt   Options
	lines members // nil for JSON
}

var _ transform.Transformer = (*Transformer)(nil)

// members is a format: it appends what the text says as members of a JSON
// object, `"key":value` with commas between, at least one.
type members interface {
	members(dst, text []byte) ([]byte, mismatch)
	// names are the keys it can give, nil if it depends on the text.
	names() []string
}

// mismatch says why a text is not in the format; the zero value is none.
type mismatch struct {
	at  int // byte of the text
	why string
}

func (m mismatch) String() string { return fmt.Sprintf("byte %d: %s", m.at, m.why) }

// New checks the options and makes the step.
func New(opt Options) (*Transformer, error) {
	t := &Transformer{opt: opt}
	if t.opt.OnError == "" {
		t.opt.OnError = Fail
	}
	if err := t.init(); err != nil {
		return nil, fmt.Errorf("parse %s: %w", opt.Format, err)
	}
	return t, nil
}

func (t *Transformer) init() error {
	opt := &t.opt
	if opt.Pattern != "" && opt.Format != Regex {
		return errors.New("pattern is only for format regex")
	}
	if (len(opt.Columns) > 0 || opt.Delimiter != "") && opt.Format != CSV {
		return errors.New("columns and delimiter are only for format csv")
	}
	if opt.OnError != Fail && opt.OnError != Keep {
		return fmt.Errorf("on_error %q is not one of fail, keep", opt.OnError)
	}
	if !utf8.ValidString(opt.Field) || !utf8.ValidString(opt.RawField) {
		return errors.New("field and raw_field must be UTF-8")
	}
	var err error
	switch opt.Format {
	case JSON:
		if opt.RawField != "" && opt.Field == "" {
			return errors.New("raw_field needs field: a record that is JSON already is its own text")
		}
	case ApacheCombined:
		t.lines = apache{}
	case Logfmt:
		t.lines = logfmt{skip: opt.RawField}
	case Regex:
		t.lines, err = newRegex(opt.Pattern)
	case CSV:
		t.lines, err = newCSV(opt.Columns, opt.Delimiter)
	default:
		return errors.New("format is not one of apache_combined, json, regex, csv, logfmt")
	}
	if err != nil {
		return err
	}
	if t.lines != nil && opt.RawField != "" {
		for _, n := range t.lines.names() {
			if n == opt.RawField {
				return fmt.Errorf("raw_field %q is also a field of the text", n)
			}
		}
	}
	return nil
}

// Deterministic is true.
func (t *Transformer) Deterministic() bool { return true }

// Close does nothing.
func (t *Transformer) Close() error { return nil }

// Transform parses each record.
func (t *Transformer) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	var a arena
	return transform.Each(ctx, in, func(r *transform.Record) transform.Outcome {
		switch {
		case t.opt.Field != "":
			return t.field(r)
		case t.lines == nil:
			return t.json(r)
		}
		text := line(r.Data)
		dst := append(a.open(2*len(text)+192), '{')
		dst, bad := t.lines.members(dst, text)
		if bad.why != "" {
			return t.refuse(r, text, bad.String())
		}
		if t.opt.RawField != "" {
			dst = append(dst, ',')
			dst = appendRaw(dst, t.opt.RawField, text)
		}
		r.SetData(a.close(append(dst, '}')))
		return transform.Outcome{Record: *r}
	})
}

// line cuts one line break off the end.
func line(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte{'\n'})
	return bytes.TrimSuffix(b, []byte{'\r'})
}

func appendRaw(dst []byte, key string, text []byte) []byte {
	dst = transform.AppendString(dst, key)
	dst = append(dst, ':')
	return transform.AppendString(dst, text)
}

// refuse is the outcome of a whole-record text that does not parse.
func (t *Transformer) refuse(r *transform.Record, text []byte, why string) transform.Outcome {
	if t.opt.OnError == Fail {
		return transform.Fail(NoMatch, "parse "+t.opt.Format+": "+why)
	}
	if t.opt.RawField != "" {
		r.SetData(append(appendRaw([]byte{'{'}, t.opt.RawField, text), '}'))
	}
	return transform.Outcome{Record: *r}
}

func (t *Transformer) json(r *transform.Record) transform.Outcome {
	if _, err := r.Value(); err != nil {
		return t.refuse(r, r.Data, err.Error())
	}
	// Line breaks between the tokens would break the record in two in formats
	// of lines; other bytes stay as they are.
	if b := bytes.TrimSpace(r.Data); bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		var c bytes.Buffer
		c.Grow(len(b))
		if err := json.Compact(&c, b); err != nil {
			return t.refuse(r, r.Data, err.Error())
		}
		r.SetEncoding(c.Bytes())
	} else if len(b) != len(r.Data) {
		r.SetEncoding(b)
	}
	return transform.Outcome{Record: *r}
}

// field parses the text that stands in a member of a JSON record.
func (t *Transformer) field(r *transform.Record) transform.Outcome {
	ms, err := transform.Members(r.Data)
	if err != nil {
		return t.refuseField(r, NoField, err.Error())
	}
	at := -1
	for i, m := range ms {
		if m.Key == t.opt.Field {
			at = i
		}
	}
	if at < 0 {
		return t.refuseField(r, NoField, fmt.Sprintf("the record has no field %q", t.opt.Field))
	}
	value, ok := ms[at].Value.(string)
	if !ok {
		return t.refuseField(r, NoField, fmt.Sprintf("field %q is no string", t.opt.Field))
	}
	text := line([]byte(value))
	object := text
	if t.lines != nil {
		dst, bad := t.lines.members([]byte{'{'}, text)
		if bad.why != "" {
			return t.refuseField(r, NoMatch, fmt.Sprintf("field %q: %v", t.opt.Field, bad))
		}
		object = append(dst, '}')
	}
	added, err := transform.Members(object)
	if err != nil {
		return t.refuseField(r, NoMatch, fmt.Sprintf("field %q: %v", t.opt.Field, err))
	}
	gone := map[string]bool{t.opt.Field: true}
	if t.opt.RawField != "" {
		gone[t.opt.RawField] = true
	}
	for _, m := range added {
		gone[m.Key] = true
	}
	dst := append(make([]byte, 0, len(r.Data)+len(object)), '{')
	for _, m := range ms {
		if !gone[m.Key] {
			dst = appendMember(dst, m.Key, m.Raw)
		}
	}
	if t.opt.RawField != "" {
		dst = appendMember(dst, t.opt.RawField, ms[at].Raw)
	}
	for _, m := range added {
		if m.Key != t.opt.RawField {
			dst = appendMember(dst, m.Key, m.Raw)
		}
	}
	r.SetData(append(dst, '}'))
	return transform.Outcome{Record: *r}
}

func appendMember(dst []byte, key string, raw []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = transform.AppendString(dst, key)
	dst = append(dst, ':')
	return append(dst, raw...)
}

func (t *Transformer) refuseField(r *transform.Record, code, why string) transform.Outcome {
	if t.opt.OnError == Fail {
		return transform.Fail(code, "parse "+t.opt.Format+": "+why)
	}
	return transform.Outcome{Record: *r}
}

// arena hands out pieces of large slices: an allocation for many records
// instead of one for each.
type arena struct{ free []byte }

const arenaBlock = 64 << 10

// open returns an empty slice with room for n bytes; it may grow beyond.
func (a *arena) open(n int) []byte {
	if cap(a.free) < n {
		a.free = make([]byte, 0, max(n, arenaBlock))
	}
	return a.free[:0]
}

// close returns the slice without room to grow and starts the next behind it.
func (a *arena) close(b []byte) []byte {
	if cap(b) == cap(a.free) { // it did not grow
		a.free = b[len(b):]
	}
	return b[:len(b):len(b)]
}
