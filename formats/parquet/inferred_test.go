package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/formats"
)

// TestInferredGrows follows one schema over several objects.
func TestInferredGrows(t *testing.T) {
	f := mustNew(t, Options{})
	var state []byte
	for i, step := range []struct {
		records []string
		columns string
		rows    string
	}{
		{[]string{`{"b":1,"n":null}`, `{"a":"x","b":2}`}, "struct<b:bigint,a:string>", `[{"b":1},{"a":"x","b":2}]`},
		{[]string{`{"b":1.5}`}, "struct<b:double,a:string>", `[{"b":1.5}]`},
		{[]string{`{"b":3,"n":[{"k":true}]}`}, "struct<b:double,a:string,n:array<struct<k:boolean>>>", `[{"b":3,"n":[{"k":true}]}]`},
		{[]string{`{"a":5}`, `{"a":"x"}`}, "struct<b:double,a:json,n:array<struct<k:boolean>>>", `[{"a":"5"},{"a":"\"x\""}]`},
		{[]string{`{}`}, "struct<b:double,a:json,n:array<struct<k:boolean>>>", `[null]`},
		{[]string{`{"A":1,"b":0}`}, "struct<b:double,a:json,n:array<struct<k:boolean>>,_extra:json>", `[{"_extra":"{\"A\":1}","b":0}]`},
		{[]string{`{"b":9,"c":2}`}, "struct<b:double,a:json,n:array<struct<k:boolean>>,c:bigint,_extra:json>", `[{"b":9,"c":2}]`},
	} {
		file, refused, w := writeFile(t, f, state, step.records...)
		if len(refused) > 0 {
			t.Fatal(refused)
		}
		rows, opened := readRows(t, file)
		if got, _ := opened.Lookup(SchemaKey); got != step.columns {
			t.Errorf("step %d: got %s, want %s", i, got, step.columns)
		}
		if got := text(t, rows); got != step.rows && !(step.rows == "[null]" && got == "null") {
			t.Errorf("step %d: got %s, want %s", i, got, step.rows)
		}
		state = w.State()
	}
}

func TestInferredWithoutColumns(t *testing.T) {
	f := mustNew(t, Options{})
	for _, records := range [][]string{nil, {`{}`, `{"a":null}`, `{"b":{},"c":[]}`}} {
		file, _, w := writeFile(t, f, nil, records...)
		rows, opened := readRows(t, file)
		if len(rows) != len(records) {
			t.Errorf("%d rows of %d", len(rows), len(records))
		}
		if got := schemaText(opened); got != "message record { optional binary _extra (STRING); }" {
			t.Errorf("schema %s", got)
		}
		if strings.Contains(string(w.State()), "_extra") {
			t.Errorf("the placeholder is in the state: %s", w.State())
		}
	}
}

func TestInferredBadState(t *testing.T) {
	f := mustNew(t, Options{ExtraColumn: "a"})
	for _, tt := range []struct{ state, want string }{
		{`{"version":7}`, "parquet state: inferred schema has version 7, this program reads 1"},
		{`{"version":1,"columns":[{"name":"a","type":"bigint"}]}`, `parquet state: inferred schema has a column "a", which is wanted for what has no column; choose another name`},
	} {
		_, err := f.NewWriter(io.Discard, formats.WriterOptions{State: []byte(tt.state)})
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestInferredRefusalKeepsSchema: a record that is refused must not add columns.
func TestInferredRefusalKeepsSchema(t *testing.T) {
	f := mustNew(t, Options{})
	_, refused, w := writeFile(t, f, nil, `{"a":1}`, `{"b":1}{"c":2}{"d":`, `{"e":1,"f":tru}`, `{"g":1} 5`)
	if len(refused) != 3 || w.Rows() != 1 {
		t.Errorf("%d rows, refused %v", w.Rows(), refused)
	}
	if got := string(w.State()); got != `{"version":1,"columns":[{"name":"a","type":"bigint"}]}` {
		t.Errorf("state %s", got)
	}
}

// TestInferredWideLists has a list that, with the columns that come later, has
// more values than a record may have: it goes into the extra column whole.
func TestInferredWideLists(t *testing.T) {
	list := `{"id":1,"v":[` + strings.Repeat(`{"f0":1},`, 10_000) + `{"f0":2}]}`
	var wide strings.Builder
	for i := range 500 {
		fmt.Fprintf(&wide, `,"f%d":1`, i)
	}
	file, refused, _ := writeFile(t, mustNew(t, Options{}), nil, list, `{"id":2,"v":[{`+wide.String()[1:]+`}]}`)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	rows, _ := readRows(t, file)
	if len(rows) != 2 || rows[0].(map[string]any)["_extra"] != list || rows[1].(map[string]any)["_extra"] != nil {
		t.Errorf("%d rows, %.100v", len(rows), rows[0])
	}
}

func TestSpoolToFile(t *testing.T) {
	f := mustNew(t, Options{SpoolBytes: 64 << 10})
	dir := t.TempDir()
	var out bytes.Buffer
	w, err := f.NewWriter(&out, formats.WriterOptions{TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5000 {
		r := fmt.Sprintf(`{"n":%d,"s":"%s"}`, i, strings.Repeat("x", i%300))
		if i == 2500 {
			r = `{"s":"` + strings.Repeat("large", 100_000) + `"}`
		}
		want = append(want, r)
		if err := w.Write([][]byte{[]byte(r)}, func(_ int, err *formats.RecordError) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "firehosed-parquet-*.spool")); len(names) != 1 {
		t.Errorf("spool files: %v", names)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("left after close: %v", names)
	}
	rows, _ := readRows(t, out.Bytes())
	for i := range want {
		if got := text(t, rows[i]); got != text(t, parse(t, []byte(want[i]))) {
			t.Fatalf("row %d is %.200s", i, got)
		}
	}
	// The same with the spool in memory.
	file, _, _ := writeFile(t, mustNew(t, Options{}), nil, want...)
	if !bytes.Equal(file, out.Bytes()) {
		t.Error("where the spool is changes the file")
	}
}

func TestSpoolErrors(t *testing.T) {
	f := mustNew(t, Options{SpoolBytes: 64 << 10})
	record := [][]byte{[]byte(`{"a":"` + strings.Repeat("x", 100<<10) + `"}`)}
	none := func(_ int, err *formats.RecordError) { t.Error(err) }

	w, err := f.NewWriter(io.Discard, formats.WriterOptions{TempDir: filepath.Join(t.TempDir(), "missing")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(record, none); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "parquet spool: ") {
		t.Errorf("no folder: %v", err)
	}
	if err := w.Close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("close after the error: %v", err)
	}

	// The file is cut short behind the writer's back.
	dir := t.TempDir()
	if w, err = f.NewWriter(io.Discard, formats.WriterOptions{TempDir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(record, none); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	if err := os.Truncate(names[0], 1000); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut spool: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("left after the error: %v", names)
	}
}

// TestRealData needs the folder of real records that the variable names.
func TestRealData(t *testing.T) {
	dir := os.Getenv("FIREHOSED_TEST_DATA")
	if dir == "" {
		t.Skip("FIREHOSED_TEST_DATA does not name a folder with nginxplus_nested.ndjson")
	}
	data, err := os.ReadFile(filepath.Join(dir, "nginxplus_nested.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for line := range bytes.Lines(data) {
		records = append(records, string(line))
	}
	file, refused, _ := writeFile(t, mustNew(t, Options{}), nil, records...)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	rows, opened := readRows(t, file)
	if len(rows) != len(records) {
		t.Fatalf("%d rows of %d", len(rows), len(records))
	}
	for i, r := range rows {
		got, want := text(t, unfold(t, opened, r.(map[string]any))), text(t, parse(t, []byte(records[i])))
		if got != want {
			t.Fatalf("row %d:\n got %.3000s\nwant %.3000s", i, got, want)
		}
	}
	t.Logf("%d documents, %d bytes of JSON, %d bytes of Parquet", len(rows), len(data), len(file))
}
