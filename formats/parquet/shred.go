package parquet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/internal/jsonscan"
	"github.com/firehosed/firehosed/formats/schema"
)

// maxRecordValues is how many values, nulls included, one record may spread over
// the columns. A list of empty structs with many fields is a few bytes of JSON
// and very many nulls.
const maxRecordValues = 2 << 20

// shredder walks documents and collects values for the columns.
//
// It copies a record once, into text, where escapes are then resolved in place;
// the values of text columns point there until the next flush.
type shredder struct {
	*plan
	values  [][]pq.Value // waiting, by leaf
	text    []byte
	marks   []int // length of values of repeated leaves before this record
	unknown int64 // keys without a column, of taken records

	pendingValues int // in values
	pendingBytes  int // of records whose values are waiting

	before int    // pendingValues before this record
	object uint64 // counts objects, for place.seen
	dedupe bool   // this record repeats a key: find the last one first
	// Of this record, for the extra column.
	unknownHere int
	extraText   []byte
	path        []string
	mapKeys     map[string]struct{}
}

func newShredder(p *plan) shredder {
	return shredder{plan: p, values: make([][]pq.Value, len(p.leaves)), marks: make([]int, len(p.leaves))}
}

var (
	// errRepeated asks for another walk that looks for repeated keys first.
	errRepeated = errors.New("key is repeated")
	errTooMany  = fmt.Errorf("record has more than %d values", maxRecordValues)
)

// shred adds the documents of a record, or nothing.
func (s *shredder) shred(record []byte) (int, *formats.RecordError) {
	for i := range s.leaves {
		s.marks[i] = len(s.values[i])
	}
	s.before = s.pendingValues
	s.dedupe = false
	rows, err := s.documents(record)
	if errors.Is(err, errRepeated) {
		s.rollback(len(record))
		s.dedupe = true
		rows, err = s.documents(record)
	}
	if err == nil {
		s.pendingBytes += len(record)
		s.unknown += int64(s.unknownHere)
		return rows, nil
	}
	s.rollback(len(record))
	return 0, refusal(err)
}

// refusal gives an error of the walk its code.
func refusal(err error) *formats.RecordError {
	var refused *formats.RecordError
	if errors.As(err, &refused) {
		return refused
	}
	if errors.Is(err, errTooMany) {
		return &formats.RecordError{Code: formats.CodeMalformedData, Err: err}
	}
	return formats.ParseError(err) // a *jsonscan.SyntaxError
}

// rollback forgets what the record added, of which the text is the last.
func (s *shredder) rollback(text int) {
	for i, n := range s.marks {
		clear(s.values[i][n:])
		s.values[i] = s.values[i][:n]
	}
	s.pendingValues = s.before
	s.text = s.text[:len(s.text)-text]
}

func (s *shredder) documents(record []byte) (rows int, err error) {
	s.unknownHere = 0
	b := s.copyText(record)
	i := jsonscan.SkipSpace(b, 0)
	if i == len(b) {
		return 0, &formats.RecordError{Code: formats.CodeMalformedData, Err: formats.ErrEmptyRecord}
	}
	for i < len(b) {
		if b[i] != '{' {
			if _, err := jsonscan.Value(b, i); err != nil {
				return 0, err
			}
			return 0, formats.MalformedData("record holds %s where a JSON object is wanted", jsonscan.Describe(b[i]))
		}
		s.extraText, s.path = s.extraText[:0], s.path[:0]
		if i, err = s.fields(s.root, b, i, 0); err != nil {
			return 0, err
		}
		if s.extra >= 0 {
			s.addExtra()
		}
		if s.tooMany() {
			return 0, errTooMany
		}
		rows++
		i = jsonscan.SkipSpace(b, i)
	}
	return rows, nil
}

// keepWhole adds one valid document as the extra column alone, which the plan
// must have.
func (s *shredder) keepWhole(doc []byte) {
	for _, f := range s.root.fields {
		s.null(f, 0, f.def-1)
	}
	s.extraText = jsonscan.Compact(s.extraText[:0], doc)
	s.extraText = s.extraText[:len(s.extraText)-1]
	s.addExtra()
	s.pendingBytes += len(doc)
}

// copyText copies a record to where values may point.
func (s *shredder) copyText(record []byte) []byte {
	if cap(s.text)-len(s.text) < len(record) {
		s.text = make([]byte, 0, max(batchBytes*sampleTimes, len(record)))
	}
	n := len(s.text)
	s.text = append(s.text, record...)
	return s.text[n:len(s.text):len(s.text)]
}

// releaseText is called when no value points to text any more.
func (s *shredder) releaseText() {
	s.text = s.text[:0]
	if cap(s.text) > 4*batchBytes*sampleTimes {
		s.text = nil
	}
	if cap(s.extraText) > batchBytes {
		s.extraText = nil
	}
}

// put adds a value to the leaf of pl. The column is not set in the value: it
// goes to the writer of one column.
func (s *shredder) put(pl *place, v pq.Value, rep int) {
	v.SetDefinitionLevel(pl.def)
	v.SetRepetitionLevel(rep)
	s.values[pl.leaf] = append(s.values[pl.leaf], v)
	s.pendingValues++
}

// null adds a null of that definition level to all leaves of pl.
func (s *shredder) null(pl *place, rep, def int) {
	var v pq.Value
	v.SetDefinitionLevel(def)
	v.SetRepetitionLevel(rep)
	for l := pl.leaf; l < pl.leaf+pl.leafCount; l++ {
		s.values[l] = append(s.values[l], v)
	}
	s.pendingValues += pl.leafCount
}

// tooMany reports whether the record has spread over too many values.
func (s *shredder) tooMany() bool { return s.pendingValues-s.before > maxRecordValues }

// value adds the value at b[i] to the place pl and returns the index after it.
func (s *shredder) value(pl *place, b []byte, i, rep int) (int, error) {
	if i < len(b) && b[i] == 'n' {
		end, err := jsonscan.Scalar(b, i)
		if err == nil && pl.required {
			err = formats.MalformedData("column %q is required and null", pl.path)
		}
		s.null(pl, rep, pl.def-1)
		return end, err
	}
	switch pl.kind {
	case schema.Struct:
		return s.structure(pl, b, i, rep)
	case schema.List:
		return s.list(pl, b, i, rep)
	case schema.Map:
		return s.mapping(pl, b, i, rep)
	}
	return s.primitive(pl, b, i, rep)
}

// wrongKind refuses the value at b[i] when it is JSON at all.
func wrongKind(pl *place, b []byte, i int) (int, error) {
	end, err := jsonscan.Value(b, i)
	if err != nil {
		return end, err
	}
	return end, formats.MalformedData("column %q: %s where %v is wanted", pl.path, jsonscan.Describe(b[i]), pl.kind)
}

func (s *shredder) structure(pl *place, b []byte, i, rep int) (int, error) {
	switch {
	case i < len(b) && b[i] == '{':
		return s.fields(pl, b, i, rep)
	case i < len(b) && b[i] == '[':
		return s.positions(pl, b, i, rep)
	}
	return wrongKind(pl, b, i)
}

// fields adds the members of the object that begins at b[i].
func (s *shredder) fields(pl *place, b []byte, i, rep int) (int, error) {
	if s.dedupe {
		return s.lastFields(pl, b, i, rep)
	}
	s.object++
	object := s.object
	missing := len(pl.fields)
	hint := 0
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		i++
	} else {
		for more := true; more; {
			next, key, at, err := s.key(pl, b, i, hint)
			if err != nil {
				return next, err
			}
			if at < 0 {
				i, err = s.unknownKey(b, next, key)
			} else {
				f := pl.fields[at]
				if f.seen == object {
					return i, errRepeated
				}
				f.seen = object
				hint = at + 1
				missing--
				i, err = s.enter(f, b, next, rep)
			}
			if err != nil {
				return i, err
			}
			if i, more, err = s.next(b, i, '}', "',' or '}'"); err != nil {
				return i, err
			}
		}
	}
	if missing == 0 {
		return i, nil
	}
	for _, f := range pl.fields {
		if f.seen != object {
			if f.required {
				return i, formats.MalformedData("column %q is required and missing", f.path)
			}
			s.null(f, rep, f.def-1)
		}
	}
	return i, nil
}

// key reads a key of pl. at is its field, or -1.
func (s *shredder) key(pl *place, b []byte, i, hint int) (next int, key []byte, at int, err error) {
	next, key, escaped, err := jsonscan.Key(b, i)
	if err != nil {
		return next, nil, -1, err
	}
	if escaped {
		key = jsonscan.Unquote(nil, key)
	}
	at, ok := pl.find(key, hint)
	if !ok && s.foldNames {
		at, ok = pl.index[strings.ToLower(string(key))]
	}
	if !ok {
		at = -1
	}
	return next, key, at, nil
}

// next passes over the comma after a value, or over the end of its container.
func (s *shredder) next(b []byte, i int, end byte, want string) (int, bool, error) {
	i = jsonscan.SkipSpace(b, i)
	if i < len(b) && b[i] == ',' {
		return jsonscan.SkipSpace(b, i+1), true, nil
	}
	if i < len(b) && b[i] == end {
		return i + 1, false, nil
	}
	return i, false, jsonscan.Unexpected(b, i, want)
}

// enter is value, with the name of the place on the path of the extra column.
func (s *shredder) enter(f *place, b []byte, i, rep int) (int, error) {
	if s.extra < 0 || f.kind < schema.List {
		return s.value(f, b, i, rep)
	}
	s.path = append(s.path, f.name)
	i, err := s.value(f, b, i, rep)
	s.path = s.path[:len(s.path)-1]
	return i, err
}

// unknownKey passes over a value that has no column.
func (s *shredder) unknownKey(b []byte, i int, key []byte) (int, error) {
	end, err := jsonscan.Value(b, i)
	if err != nil {
		return end, err
	}
	s.unknownHere++
	if s.extra < 0 {
		return end, nil
	}
	name := string(key)
	if len(s.path) > 0 {
		name = strings.Join(s.path, ".") + "." + name
	}
	s.extraText = append(s.extraText, "{,"[min(len(s.extraText), 1)])
	s.extraText = jsonscan.AppendQuoted(s.extraText, []byte(name))
	s.extraText = append(s.extraText, ':')
	s.extraText = jsonscan.Compact(s.extraText, b[i:end])
	return end, nil
}

// addExtra adds the extra column of a document.
func (s *shredder) addExtra() {
	const rep, null, there = 0, 0, 1
	if len(s.extraText) == 0 {
		s.values[s.extra] = append(s.values[s.extra], pq.Value{}.Level(rep, null, s.extra))
	} else {
		text := append(s.extraText, '}')
		v := pq.ByteArrayValue(append(make([]byte, 0, len(text)), text...))
		s.values[s.extra] = append(s.values[s.extra], v.Level(rep, there, s.extra))
	}
	s.pendingValues++
}

// lastFields is fields for an object that may repeat keys: the last one counts,
// as in encoding/json. It looks where the values are before it takes any.
func (s *shredder) lastFields(pl *place, b []byte, i, rep int) (int, error) {
	last := make([]int, len(pl.fields)) // index of the value; 0 is never one
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		i++
	} else {
		for more := true; more; {
			next, key, at, err := s.key(pl, b, i, 0)
			if err != nil {
				return next, err
			}
			if at < 0 {
				i, err = s.unknownKey(b, next, key)
			} else {
				last[at] = next
				i, err = jsonscan.Value(b, next)
			}
			if err != nil {
				return i, err
			}
			if i, more, err = s.next(b, i, '}', "',' or '}'"); err != nil {
				return i, err
			}
		}
	}
	for at, f := range pl.fields {
		if last[at] > 0 {
			if _, err := s.enter(f, b, last[at], rep); err != nil {
				return i, err
			}
			continue
		}
		if f.required {
			return i, formats.MalformedData("column %q is required and missing", f.path)
		}
		s.null(f, rep, f.def-1)
	}
	return i, nil
}

// positions fills a struct from an array, in the order of its fields, as the
// OpenX JSON SerDe does. Elements beyond the fields count as unknown.
func (s *shredder) positions(pl *place, b []byte, i, rep int) (int, error) {
	n := 0
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		i++
	} else {
		for more := true; more; n++ {
			var err error
			if n < len(pl.fields) {
				i, err = s.enter(pl.fields[n], b, i, rep)
			} else {
				i, err = s.unknownKey(b, i, strconv.AppendInt(nil, int64(n), 10))
			}
			if err != nil {
				return i, err
			}
			if i, more, err = s.next(b, i, ']', "',' or ']'"); err != nil {
				return i, err
			}
		}
	}
	for ; n < len(pl.fields); n++ {
		s.null(pl.fields[n], rep, pl.fields[n].def-1)
	}
	return i, nil
}

// refuseText is the refusal of text that is not of the kind wanted.
func refuseText(pl *place, what string, text []byte) error {
	const shown = 60
	dots := ""
	if len(text) > shown {
		text, dots = text[:shown], "..."
	}
	kind := pl.kind.String()
	if pl.kind == schema.Decimal {
		kind = fmt.Sprintf("decimal(%d,%d)", pl.precision, pl.scale)
	}
	return formats.MalformedData("column %q: %s %q%s is not %s", pl.path, what, text, dots, kind)
}
