package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/schema"
)

var (
	isoTime  = regexp.MustCompile(`^\d{4}-\d\d?-\d\d?[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?$`)
	hiveTime = regexp.MustCompile(`^\d{4}-\d\d?-\d\d? \d\d?:\d\d?:\d\d?(\.\d{1,9})?$`)
	epoch    = regexp.MustCompile(`^-?\d{1,19}(\.\d{1,9})?$`)
	dayText  = regexp.MustCompile(`^\d{4}-\d\d?-\d\d?$`)
	errNo    = errors.New("not of the form")
)

// referenceTime reads a timestamp with package time. The result is nil where only
// the form is checked.
func referenceTime(in string) (*int64, error) {
	layout := ""
	switch {
	case hiveTime.MatchString(in):
		layout = "2006-1-2 15:4:5"
	case isoTime.MatchString(in):
		in = strings.ToUpper(in)
		if layout = "2006-1-2T15:04:05"; len(in) > 6 && strings.ContainsAny(in[len(in)-6:], "+-") {
			layout += "-07:00"
			if zone := in[len(in)-5:]; zone[:2] > "23" || zone[3:] > "59" {
				return nil, errNo
			}
		} else if in[len(in)-1] == 'Z' {
			layout += "Z"
		}
	case epoch.MatchString(in):
		if _, ok := epochMicros([]byte(in)); !ok {
			return nil, errNo
		}
		return nil, nil
	default:
		return nil, errNo
	}
	parsed, err := time.Parse(layout, in)
	if err != nil {
		return nil, err
	}
	micros := parsed.UnixMicro()
	return &micros, nil
}

func referenceDay(in string) (time.Time, error) {
	if !dayText.MatchString(in) {
		return time.Time{}, errNo
	}
	return time.Parse("2006-1-2", in)
}

var fuzzSeeds = []string{
	`{"s":"x\u00e9\n","i":9007199254740993,"d":1.5,"b":true,"j":{"a": [1]},"l":[1,null],"st":{"x":-5,"y":["q"]},"m":{"k":0.5,"n":null}}`,
	`{"s":1,"i":"12","d":"1e3","b":"true","l":7,"st":[1,["a"],3],"zz":{}}`,
	`{"i":1,"i":2,"st":{"x":1,"x":2,"y":null},"m":{"a":1,"a":2,"b":3}}{"s":null}`,
	`{"l":[[1]],"st":{}}`, `{"m":{}}`, `{"l":[]} {"l":[1e2,"3"]}`, `{"st":[[1]]}`, "{\"s\":\"\xff\"}", `{"i":1.5}`, `[1]`, `{"\u0073":"k"}`, `{"s":"\ud800","j":"\ud800"}`, `{"d":1e999}`,
}

// FuzzDeclared: whatever comes, the writer does not panic, a refused record
// leaves nothing, and a taken one has the values that encoding/json sees.
func FuzzDeclared(f *testing.F) {
	cols := columns(f, "s", "string", "i", "bigint", "d", "double", "b", "boolean", "j", "json", "l", "array<int>",
		"st", "struct<x:tinyint,y:array<string>>", "m", "map<string,double>")
	plain := mustNew(f, Options{Columns: cols, Compression: formats.CompressionNone})
	extra := mustNew(f, Options{Columns: cols, ExtraColumn: "rest", Compression: formats.CompressionNone})
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) > 4096 {
			return
		}
		file, refused, w := writeFile(t, plain, nil, `{"i":1}`, string(record), `{"i":2}`)
		rows, _ := readRows(t, file)
		want, why := referenceRows(cols, record)
		if (refused[1] == nil) != (why == nil) {
			t.Fatalf("%q: refused with %v, reference: %v", record, refused[1], why)
		}
		if refused[0] != nil || refused[2] != nil || len(rows) != len(want)+2 || w.Rows() != int64(len(rows)) {
			t.Fatalf("%q: %d rows and %v, want %d more than 2", record, len(rows), refused, len(want))
		}
		for i, r := range append(append([]any{map[string]any{"i": int64(1)}}, want...), map[string]any{"i": int64(2)}) {
			if got, want := text(t, rows[i]), text(t, r); got != want {
				t.Fatalf("%q row %d:\n got %s\nwant %s", record, i, got, want)
			}
		}
		if _, refused, _ := writeFile(t, extra, nil, string(record)); len(refused) > 0 != (why != nil) {
			t.Fatalf("%q: with the extra column: %v", record, refused)
		}
	})
}

// referenceRows shreds a record by way of encoding/json.
func referenceRows(cols []schema.Column, record []byte) (rows []any, err error) {
	if !utf8.Valid(record) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(record))
	for {
		var doc map[string]json.RawMessage
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			if len(rows) > 0 && len(bytes.TrimSpace(record[dec.InputOffset():])) == 0 {
				return rows, nil
			}
			return nil, err
		}
		if raw[0] != '{' {
			return nil, errors.New("not an object")
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for _, c := range cols {
			if row[c.Name], err = reference(c.Type, doc[c.Name]); err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		rows = append(rows, row)
	}
}

func reference(typ *schema.Type, raw json.RawMessage) (any, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	scalar := fmt.Sprint(v)
	compact := new(bytes.Buffer)
	if err := json.Compact(compact, raw); err != nil {
		return nil, err
	}
	isText, isNumber := false, false
	switch v.(type) {
	case string:
		isText = true
	case json.Number:
		isNumber = true
	}
	switch typ.Kind {
	case schema.JSON:
		return compact.String(), nil
	case schema.String:
		if isText {
			return scalar, nil
		}
		return compact.String(), nil
	case schema.Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		if isText && (strings.EqualFold(scalar, "true") || strings.EqualFold(scalar, "false")) && len(scalar) == len(strings.ToLower(scalar)) {
			return strings.EqualFold(scalar, "true"), nil
		}
	case schema.Int8, schema.Int32, schema.Int64:
		if (isText || isNumber) && json.Valid([]byte(scalar)) && strings.TrimSpace(scalar) == scalar {
			return exactInt(scalar, map[schema.Kind]int{schema.Int8: 8, schema.Int32: 32, schema.Int64: 64}[typ.Kind])
		}
	case schema.Double:
		if isText && (scalar == "NaN" || scalar == "Infinity" || scalar == "-Infinity") {
			return strconv.ParseFloat(scalar, 64)
		}
		if (isText || isNumber) && json.Valid([]byte(scalar)) && strings.TrimSpace(scalar) == scalar {
			return strconv.ParseFloat(scalar, 64)
		}
	case schema.List:
		list := []json.RawMessage{raw}
		if raw[0] == '[' {
			list = nil
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, err
			}
		}
		return referenceList(typ.Elem, list)
	case schema.Struct:
		members := map[string]json.RawMessage{}
		switch raw[0] {
		case '{':
			if err := json.Unmarshal(raw, &members); err != nil {
				return nil, err
			}
		case '[':
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, err
			}
			for i := range min(len(list), len(typ.Fields)) {
				members[typ.Fields[i].Name] = list[i]
			}
		default:
			return nil, errors.New("not a struct")
		}
		out := map[string]any{}
		for _, f := range typ.Fields {
			var err error
			if out[f.Name], err = reference(f.Type, members[f.Name]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case schema.Map:
		return referenceMap(typ.Elem, raw)
	}
	return nil, fmt.Errorf("%s is not %v", raw, typ.Kind)
}

func referenceList(elem *schema.Type, list []json.RawMessage) (any, error) {
	out := []any{}
	for _, e := range list {
		v, err := reference(elem, e)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// referenceMap keeps the last of equal keys, in the order of those.
func referenceMap(elem *schema.Type, raw json.RawMessage) (any, error) {
	if raw[0] != '{' {
		return nil, errors.New("not a map")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var keys []string
	var values []json.RawMessage
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		keys, values = append(keys, key.(string)), append(values, v)
	}
	out := []any{}
next:
	for i, k := range keys {
		for _, later := range keys[i+1:] {
			if later == k {
				continue next
			}
		}
		v, err := reference(elem, values[i])
		if err != nil {
			return nil, err
		}
		out = append(out, [2]any{k, v})
	}
	return out, nil
}

func exactInt(text string, bits int) (any, error) {
	v, ok := parseDecimal([]byte(text)).scaled(0, false) // has its own fuzz target
	if !ok || bits < 64 && (v < -1<<(bits-1) || v > 1<<(bits-1)-1) {
		return nil, errNo
	}
	return v, nil
}

// FuzzInferred: a record that is JSON objects is taken, and comes back equal
// together with the records before and after it.
func FuzzInferred(f *testing.F) {
	format := mustNew(f, Options{Compression: formats.CompressionNone})
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), []byte(s))
	}
	f.Add([]byte(`{"a":1}`), []byte(`{"a":[{"b":{}}]}{"a":{"b":2}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if len(first)+len(second) > 4096 {
			return
		}
		records := []string{string(first), string(second), string(first)}
		file, refused, w := writeFile(t, format, nil, records...)
		again, _, w2 := writeFile(t, format, w.State(), records...)
		if !bytes.Equal(w.State(), w2.State()) {
			t.Fatalf("%q: the state changes for the same records:\n%s\n%s", records, w.State(), w2.State())
		}
		for _, file := range [][]byte{file, again} {
			rows, opened := readRows(t, file)
			for i, r := range records {
				docs, valid := jsonObjects([]byte(r))
				if valid == (refused[i] != nil) {
					t.Fatalf("%q: refused with %v", r, refused[i])
				}
				for _, d := range docs {
					if overflows(d) {
						return // its path in the extra column is not followed here
					}
					if len(rows) == 0 {
						t.Fatalf("%q: row is missing", d)
					}
					got, want := text(t, unfold(t, opened, rows[0].(map[string]any))), text(t, parse(t, d))
					if got != want {
						t.Fatalf("%q:\n got %s\nwant %s\nstate %s", d, got, want, w.State())
					}
					rows = rows[1:]
				}
			}
		}
	})
}

// jsonObjects are the documents of a record, when all are objects.
func jsonObjects(record []byte) ([]json.RawMessage, bool) {
	if !utf8.Valid(record) {
		return nil, false
	}
	var docs []json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(record))
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			ok := len(docs) > 0 && len(bytes.TrimSpace(record[dec.InputOffset():])) == 0
			if !ok {
				docs = nil
			}
			return docs, ok
		}
		if raw[0] != '{' {
			return nil, false
		}
		docs = append(docs, raw)
	}
}

// overflows reports whether a document may have names that get no column.
func overflows(doc json.RawMessage) bool {
	s := string(doc)
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return true // may differ in case
		}
	}
	return strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ\\\x7f") || strings.Contains(s, `""`) || strings.Contains(s, "_extra") || strings.Contains(s, "_rest")
}
