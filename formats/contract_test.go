package formats_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/formattest"
)

var goodJSON = [][]byte{
	[]byte(`{"a":"x","b":1}`),
	[]byte(` {"b":-2.50,"a":null,"c":{"d":[1, 2]}} `),
	[]byte("{\n\t\"a\" : \"pretty\",\n\t\"c\" : [ ]\n}\n"),
	[]byte(`{"a":"one"}{"a":"two"} {"a":"three"}`),
	[]byte(`{"a":"q\"uote, comma\nline \u00e9","b":true}`),
}

var badJSON = map[string]string{
	"":                      formats.CodeMalformedData,
	"  \n":                  formats.CodeMalformedData,
	"plain text":            formats.CodeParseError,
	`{"a":1`:                formats.CodeParseError,
	`{"a":1} trailing`:      formats.CodeParseError,
	"{\"a\":\"\xff\"}":      formats.CodeParseError,
	`{"a":1}{"a":2}{"a":x}`: formats.CodeParseError,
}

// documents are the JSON texts of a record as encoding/json sees them.
func documents(t *testing.T, record []byte) []json.RawMessage {
	t.Helper()
	var docs []json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(record))
	for {
		var doc json.RawMessage
		if err := dec.Decode(&doc); err == io.EOF {
			return docs
		} else if err != nil {
			t.Fatalf("record %.100q was taken: %v", record, err)
		}
		docs = append(docs, doc)
	}
}

func TestNDJSONContract(t *testing.T) {
	compact := func(t *testing.T, b []byte) string {
		var out bytes.Buffer
		if err := json.Compact(&out, b); err != nil {
			t.Fatalf("line %.100q: %v", b, err)
		}
		return out.String()
	}
	formattest.Run(t, formattest.Subject{
		Format: formats.NDJSON{},
		Good:   append(goodJSON, []byte(`[1,2]`), []byte(`"text"`), []byte("1 2\n3")),
		Bad:    badJSON,
		Decode: func(t *testing.T, object []byte) []string {
			var rows []string
			for line := range bytes.Lines(object) {
				if !bytes.HasSuffix(line, []byte("\n")) {
					t.Errorf("last line %.100q has no end", line)
				}
				rows = append(rows, compact(t, line))
			}
			return rows
		},
		Want: func(t *testing.T, record []byte) []string {
			var rows []string
			for _, d := range documents(t, record) {
				rows = append(rows, compact(t, d))
			}
			return rows
		},
	})
}

func TestRawContract(t *testing.T) {
	const delimiter = "\x1e|" // in none of the records of the suite
	formattest.Run(t, formattest.Subject{
		Format: formats.Raw{Delimiter: delimiter},
		Good:   [][]byte{[]byte("plain text"), {}, {0, 0xff, 1}, []byte(`{"a":1}`)},
		Decode: func(t *testing.T, object []byte) []string {
			rows := strings.SplitAfter(string(object), delimiter)
			if last := rows[len(rows)-1]; last != "" {
				t.Errorf("object ends in %.100q", last)
			}
			return rows[:len(rows)-1]
		},
		Want: func(_ *testing.T, record []byte) []string { return []string{string(record) + delimiter} },
	})
}

func TestRawIsVerbatim(t *testing.T) {
	var out bytes.Buffer
	w, err := formats.Raw{}.NewWriter(&out, formats.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	records := [][]byte{[]byte("a"), {}, []byte("b\n"), {0xff, 0}, bytes.Repeat([]byte("large "), 100_000)}
	if err := w.Write(records, func(int, *formats.RecordError) { t.Error("refused") }); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), bytes.Join(records, nil)) || w.Rows() != 5 {
		t.Errorf("%d bytes, %d rows", out.Len(), w.Rows())
	}
}

func TestCSVContract(t *testing.T) {
	columns := []string{"a", "b", "c", "deep"}
	for _, f := range []*formats.CSV{
		{Columns: columns},
		{Columns: columns, Header: true, Delimiter: '\t', CRLF: true},
		{Columns: columns, Header: true, Delimiter: '¦'},
	} {
		formattest.Run(t, formattest.Subject{
			Format: f,
			Good:   goodJSON,
			Bad: merge(badJSON, map[string]string{
				`[{"a":1}]`:   formats.CodeMalformedData,
				`1`:           formats.CodeMalformedData,
				`{"a":1}"b"`:  formats.CodeMalformedData,
				`{"a":1,"b"}`: formats.CodeParseError,
			}),
			Decode: func(t *testing.T, object []byte) []string {
				r := csv.NewReader(bytes.NewReader(object))
				r.FieldsPerRecord = len(columns)
				if f.Delimiter != 0 {
					r.Comma = f.Delimiter
				}
				lines, err := r.ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				if f.Header {
					if len(lines) == 0 || strings.Join(lines[0], " ") != strings.Join(columns, " ") {
						t.Fatalf("header is missing in %.200q", object)
					}
					lines = lines[1:]
				}
				var rows []string
				for _, l := range lines {
					rows = append(rows, strings.Join(l, "\x1f"))
				}
				return rows
			},
			Want: func(t *testing.T, record []byte) []string {
				var rows []string
				for _, d := range documents(t, record) {
					var object map[string]json.RawMessage
					if err := json.Unmarshal(d, &object); err != nil {
						t.Fatal(err)
					}
					fields := make([]string, len(columns))
					for i, c := range columns {
						fields[i] = csvText(t, object[c])
					}
					rows = append(rows, strings.Join(fields, "\x1f"))
				}
				return rows
			},
		})
	}
}

// csvText is the text of a field. encoding/csv reads \r\n inside quotes as \n.
func csvText(t *testing.T, value json.RawMessage) string {
	if len(value) == 0 || string(value) == "null" {
		return ""
	}
	if value[0] == '"' {
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(s, "\r\n", "\n")
	}
	var out bytes.Buffer
	if err := json.Compact(&out, value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func merge(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestCSVText(t *testing.T) {
	for _, tt := range []struct {
		name    string
		format  formats.CSV
		records []string
		want    string
	}{
		{"empty is not missing", formats.CSV{Columns: []string{"a", "b"}}, []string{`{"a":"","b":null}`, `{"b":""}`}, "\"\",\n,\"\"\n"},
		{"one column", formats.CSV{Columns: []string{"a"}}, []string{`{}`, `{"a":"x"}`}, "\"\"\nx\n"},
		{"header", formats.CSV{Columns: []string{"a b", "c,d"}, Header: true}, nil, "a b,\"c,d\"\n"},
		{"crlf", formats.CSV{Columns: []string{"a"}, CRLF: true}, []string{`{"a":1}`}, "1\r\n"},
		{"quotes", formats.CSV{Columns: []string{"a"}}, []string{`{"a":"say \"hi\""}`, `{"a":" x"}`}, "\"say \"\"hi\"\"\"\n\" x\"\n"},
		{"delimiter", formats.CSV{Columns: []string{"a", "b"}, Delimiter: ';'}, []string{`{"a":"x,y","b":"x;y"}`}, "x,y;\"x;y\"\n"},
		{"nested", formats.CSV{Columns: []string{"a"}}, []string{`{"a":{"b": [1, "x"]}}`}, "\"{\"\"b\"\":[1,\"\"x\"\"]}\"\n"},
		{"numbers as written", formats.CSV{Columns: []string{"a"}}, []string{`{"a":12345678901234567890.10e2}`}, "12345678901234567890.10e2\n"},
		{"last of repeated keys", formats.CSV{Columns: []string{"a"}}, []string{`{"a":1,"\u0061":2}`}, "2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			w, err := tt.format.NewWriter(&out, formats.WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range tt.records {
				if err := w.Write([][]byte{[]byte(r)}, func(_ int, err *formats.RecordError) { t.Errorf("%s: %v", r, err) }); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
		})
	}
}

func TestCSVSettings(t *testing.T) {
	for _, tt := range []struct {
		format formats.CSV
		want   string
	}{
		{formats.CSV{}, "csv columns: 0 names, want 1 to 4096"},
		{formats.CSV{Columns: []string{"a", "a"}}, `csv columns: "a" is there twice`},
		{formats.CSV{Columns: []string{"a\xff"}}, `csv columns: "a\xff" is not UTF-8`},
		{formats.CSV{Columns: []string{"a"}, Delimiter: '\n'}, `csv delimiter: '\n' cannot separate fields`},
		{formats.CSV{Columns: []string{"a"}, Delimiter: '"'}, `csv delimiter: '"' cannot separate fields`},
	} {
		_, err := tt.format.NewWriter(io.Discard, formats.WriterOptions{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestDocumentsErrors(t *testing.T) {
	for _, tt := range []struct{ record, want string }{
		{"", "DataFormatConversion.MalformedData: record is empty or only white space"},
		{"1true", "DataFormatConversion.ParseError: record is not JSON: 't' where the end of the record is expected at byte 1"},
		{`"a""b"`, `DataFormatConversion.ParseError: record is not JSON: '"' where the end of the record is expected at byte 3`},
		{`{}x`, `DataFormatConversion.ParseError: record is not JSON: 'x' where a value is expected at byte 2`},
	} {
		var last *formats.RecordError
		for _, last = range formats.Documents([]byte(tt.record)) {
		}
		if last == nil || last.Error() != tt.want {
			t.Errorf("%q: got %v, want %s", tt.record, last, tt.want)
		}
		if tt.record == "" && !errors.Is(last, formats.ErrEmptyRecord) {
			t.Error("cause is not ErrEmptyRecord")
		}
	}
}
