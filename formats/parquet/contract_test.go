package parquet

import (
	"bytes"
	"encoding/json"
	"testing"

	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/formattest"
	"github.com/firehosed/firehosed/formats/schema"
)

func columns(t testing.TB, pairs ...string) []schema.Column {
	t.Helper()
	var out []schema.Column
	for i := 0; i < len(pairs); i += 2 {
		typ, err := schema.ParseType(pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, schema.Column{Name: pairs[i], Type: typ})
	}
	return out
}

var good = [][]byte{
	[]byte(`{"a":"x","b":1}`),
	[]byte(` {"b":-2.50,"a":null,"c":{"d":[1, 2]}} `),
	[]byte("{\n\t\"a\" : \"pretty\",\n\t\"c\" : {}\n}\n"),
	[]byte(`{"a":"one"}{"a":"two"} {"a":"three"}`),
	[]byte(`{"a":"q\"uote\nline \u00e9","b":12,"deep":[[1],[null,2]]}`),
}

var bad = map[string]string{
	"":                      formats.CodeMalformedData,
	"  \n":                  formats.CodeMalformedData,
	"plain text":            formats.CodeParseError,
	`{"a":1`:                formats.CodeParseError,
	`{"a":1,"a":2`:          formats.CodeParseError,
	`{"a":1} trailing`:      formats.CodeParseError,
	"{\"a\":\"\xff\"}":      formats.CodeParseError,
	"{\"zz\":\"\xff\"}":     formats.CodeParseError,
	`{"a":1}{"a":2}{"a":x}`: formats.CodeParseError,
	`[{"a":1}]`:             formats.CodeMalformedData,
	`1`:                     formats.CodeMalformedData,
	`{"a":"lost"}"b"`:       formats.CodeMalformedData,
}

// TestDeclaredContract uses columns that take anything, as the suite gives them
// anything.
func TestDeclaredContract(t *testing.T) {
	names := []string{"a", "b", "c", "deep"}
	for _, opt := range []Options{
		{},
		{Compression: formats.CompressionSnappy, ExtraColumn: "rest", RowGroupBytes: 64 << 10, PageBytes: 4 << 10},
		{Compression: formats.CompressionGzip},
		{Compression: formats.CompressionNone},
	} {
		opt.Columns = columns(t, "a", "string", "b", "json", "c", "string", "deep", "json")
		formattest.Run(t, formattest.Subject{
			Format: mustNew(t, opt),
			Good:   good,
			Bad:    bad,
			Decode: func(t *testing.T, object []byte) []string {
				var out []string
				rows, _ := readRows(t, object)
				for _, r := range rows {
					out = append(out, text(t, r))
				}
				return out
			},
			Want: func(t *testing.T, record []byte) []string {
				var out []string
				for _, d := range documents(t, record) {
					var doc map[string]json.RawMessage
					if err := json.Unmarshal(d, &doc); err != nil {
						t.Fatal(err)
					}
					row := map[string]any{}
					for _, n := range names {
						if v := asText(t, doc[n], n == "a" || n == "c"); v != nil {
							row[n] = v
						}
						delete(doc, n)
					}
					if opt.ExtraColumn != "" && len(doc) > 0 {
						row["rest"] = extraText(t, d, names)
					}
					out = append(out, text(t, row))
				}
				return out
			},
		})
	}
}

// asText is what a string or json column makes of a value.
func asText(t *testing.T, raw json.RawMessage, isString bool) any {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if isString && raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	return compactText(t, raw)
}

func compactText(t testing.TB, raw []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// extraText is the members of an object without those named, in their order.
func extraText(t *testing.T, object []byte, without []string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
members:
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		for _, w := range without {
			if key == w {
				continue members
			}
		}
		out.WriteString("{,"[min(out.Len(), 1):][:1])
		if err := enc.Encode(key); err != nil {
			t.Fatal(err)
		}
		out.Truncate(out.Len() - 1)
		out.WriteByte(':')
		out.WriteString(compactText(t, v))
	}
	return out.String() + "}"
}

func TestInferredContract(t *testing.T) {
	for _, opt := range []Options{
		{},
		{Compression: formats.CompressionSnappy, ExtraColumn: "_rest", RowGroupBytes: 64 << 10, PageBytes: 4 << 10, SpoolBytes: 64 << 10},
	} {
		formattest.Run(t, formattest.Subject{
			Format: mustNew(t, opt),
			Good:   good,
			Bad:    bad,
			Decode: func(t *testing.T, object []byte) []string {
				var out []string
				rows, f := readRows(t, object)
				for _, r := range rows {
					out = append(out, text(t, unfold(t, f, r.(map[string]any))))
				}
				return out
			},
			Want: func(t *testing.T, record []byte) []string {
				var out []string
				for _, d := range documents(t, record) {
					out = append(out, text(t, parse(t, d)))
				}
				return out
			},
		})
	}
}

// unfold turns json columns back into values, and the members of the extra
// column, which is the last one when it is there, into those of the row.
func unfold(t testing.TB, f *pq.File, row map[string]any) any {
	t.Helper()
	typeText, ok := f.Lookup(SchemaKey)
	if !ok {
		t.Fatal("the file does not tell its schema")
	}
	typ, err := schema.ParseType(typeText)
	if err != nil {
		t.Fatal(err)
	}
	last := typ.Fields[len(typ.Fields)-1]
	extra := row[last.Name]
	out := unfoldValue(t, typ, row).(map[string]any)
	if last.Name == "_extra" || last.Name == "_rest" {
		delete(out, last.Name)
		if extra != nil {
			for k, v := range parse(t, []byte(extra.(string))).(map[string]any) {
				out[k] = v
			}
		}
	}
	return out
}

func unfoldValue(t testing.TB, typ *schema.Type, v any) any {
	if v == nil {
		return nil
	}
	switch typ.Kind {
	case schema.JSON:
		return parse(t, []byte(v.(string)))
	case schema.List:
		list := v.([]any)
		for i := range list {
			list[i] = unfoldValue(t, typ.Elem, list[i])
		}
	case schema.Struct:
		fields := v.(map[string]any)
		if len(fields) != len(typ.Fields) {
			t.Fatalf("%d fields in the file, %d in its metadata", len(fields), len(typ.Fields))
		}
		for _, f := range typ.Fields {
			fields[f.Name] = unfoldValue(t, f.Type, fields[f.Name])
		}
	}
	return v
}
