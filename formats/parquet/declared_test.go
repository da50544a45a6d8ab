package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/schema"
)

// TestCoercion gives each type what it takes and what it refuses. want is the
// column as JSON, or begins with "!" and is the refusal.
func TestCoercion(t *testing.T) {
	for _, tt := range []struct{ typ, in, want string }{
		{"boolean", `true`, `true`},
		{"boolean", `"FALSE"`, `false`},
		{"boolean", `null`, `null`},
		{"boolean", `1`, `!column "v": number "1" is not boolean`},
		{"boolean", `"yes"`, `!column "v": text "yes" is not boolean`},
		{"tinyint", `-128`, `-128`},
		{"tinyint", `128`, `!column "v": number "128" is not tinyint`},
		{"smallint", `"32767"`, `32767`},
		{"smallint", `32768`, `!column "v": number "32768" is not smallint`},
		{"int", `-2147483648`, `-2147483648`},
		{"int", `2147483648`, `!column "v": number "2147483648" is not int`},
		{"bigint", `9223372036854775807`, `9223372036854775807`},
		{"bigint", `-9223372036854775808`, `-9223372036854775808`},
		{"bigint", `9223372036854775808`, `!column "v": number "9223372036854775808" is not bigint`},
		{"bigint", `99999999999999999999999`, `!column "v": number "99999999999999999999999" is not bigint`},
		{"bigint", `9007199254740993`, `9007199254740993`},
		{"bigint", `9007199254740993.0`, `9007199254740993`},
		{"bigint", `12e3`, `12000`},
		{"bigint", `1200E-2`, `12`},
		{"bigint", `-0`, `0`},
		{"bigint", `1.5`, `!column "v": number "1.5" is not bigint`},
		{"bigint", `1e19`, `!column "v": number "1e19" is not bigint`},
		{"bigint", `0e999999999999`, `0`},
		{"bigint", `1e-999999999999`, `!column "v": number "1e-999999999999" is not bigint`},
		{"bigint", `"12"`, `12`},
		{"bigint", `" 12"`, `!column "v": text " 12" is not bigint`},
		{"bigint", `"0x10"`, `!column "v": text "0x10" is not bigint`},
		{"bigint", `""`, `!column "v": text "" is not bigint`},
		{"bigint", `true`, `!column "v": a boolean where bigint is wanted`},
		{"bigint", `{"a":1}`, `!column "v": an object where bigint is wanted`},
		{"double", `0.1`, `0.1`},
		{"double", `7`, `7`},
		{"double", `"2.5e-3"`, `0.0025`},
		{"double", `"NaN"`, `"NaN"`},
		{"double", `"-Infinity"`, `"-Inf"`},
		{"double", `1e999`, `!column "v": number "1e999" is not double`},
		{"double", `"1_000"`, `!column "v": text "1_000" is not double`},
		{"float", `1.5`, `1.5`},
		{"float", `1e39`, `!column "v": number "1e39" is not float`},
		{"string", `"h\u00e9\ud83d\ude00\n"`, `"hé😀\n"`},
		{"string", `"\ud800x"`, `"` + "\ufffd" + `x"`},
		{"string", `1.50`, `"1.50"`},
		{"string", `true`, `"true"`},
		{"string", `{"a": [1, 2]}`, `"{\"a\":[1,2]}"`},
		{"json", `{"a": [1, "x y"]}`, `"{\"a\":[1,\"x y\"]}"`},
		{"json", `"x"`, `"\"x\""`},
		{"json", `1.50`, `"1.50"`},
		{"binary", `"AAEC/w=="`, `"AAEC/w=="`},
		{"binary", `"AAEC/w"`, `"AAEC/w=="`},
		{"binary", `"A"`, `!column "v": text "A" is not binary`},
		{"binary", `1`, `!column "v": number "1" is not binary`},
		{"timestamp", `"2026-08-01T10:00:00Z"`, `"2026-08-01T10:00:00Z"`},
		{"timestamp", `"2026-08-01T10:00:00.1234567+02:30"`, `"2026-08-01T07:30:00.123456Z"`},
		{"timestamp", `"2026-08-01t10:00:00z"`, `"2026-08-01T10:00:00Z"`},
		{"timestamp", `"2026-08-01T10:00:00"`, `"2026-08-01T10:00:00Z"`},
		{"timestamp", `"2026-8-1 9:05:07.5"`, `"2026-08-01T09:05:07.5Z"`},
		{"timestamp", `"1969-12-31T23:59:59.999999-00:00"`, `"1969-12-31T23:59:59.999999Z"`},
		{"timestamp", `1785578400`, `"2026-08-01T10:00:00Z"`},
		{"timestamp", `1785578400123`, `"2026-08-01T10:00:00.123Z"`},
		{"timestamp", `999999999999`, `"33658-09-27T01:46:39Z"`},
		{"timestamp", `1000000000000`, `"2001-09-09T01:46:40Z"`},
		{"timestamp", `1785578400.123456789`, `"2026-08-01T10:00:00.123456Z"`},
		{"timestamp", `-1.5`, `"1969-12-31T23:59:58.5Z"`},
		{"timestamp", `"1785578400.25"`, `"2026-08-01T10:00:00.25Z"`},
		{"timestamp", `1e30`, `!column "v": number "1e30" is not timestamp`},
		{"timestamp", `"2026-02-29T00:00:00Z"`, `!column "v": text "2026-02-29T00:00:00Z" is not timestamp`},
		{"timestamp", `"2026-08-01T24:00:00Z"`, `!column "v": text "2026-08-01T24:00:00Z" is not timestamp`},
		{"timestamp", `"2026-08-01T1:00:00Z"`, `!column "v": text "2026-08-01T1:00:00Z" is not timestamp`},
		{"timestamp", `"2026-08-01"`, `!column "v": text "2026-08-01" is not timestamp`},
		{"timestamp", `"yesterday"`, `!column "v": text "yesterday" is not timestamp`},
		{"date", `"2024-2-29"`, `"2024-02-29"`},
		{"date", `"1900-02-28"`, `"1900-02-28"`},
		{"date", `"0001-01-01"`, `"0001-01-01"`},
		{"date", `"2026-13-01"`, `!column "v": text "2026-13-01" is not date`},
		{"date", `20260801`, `!column "v": number "20260801" is not date`},
		{"decimal(9,2)", `-1234567.89`, `["decimal","-1234567.89"]`},
		{"decimal(9,2)", `1.5`, `["decimal","1.50"]`},
		{"decimal(9,2)", `1.500`, `["decimal","1.50"]`},
		{"decimal(9,2)", `1.505`, `!column "v": number "1.505" is not decimal(9,2)`},
		{"decimal(9,2)", `10000000`, `!column "v": number "10000000" is not decimal(9,2)`},
		{"decimal(18,4)", `"12345678901234.5678"`, `["decimal","12345678901234.5678"]`},
		{"decimal(38,10)", `-1234567890123456789012345678.0123456789`, `["decimal","-1234567890123456789012345678.0123456789"]`},
		{"decimal(38,0)", `99999999999999999999999999999999999999`, `["decimal","99999999999999999999999999999999999999"]`},
		{"decimal(38,0)", `-99999999999999999999999999999999999999`, `["decimal","-99999999999999999999999999999999999999"]`},
		{"decimal(38,0)", `100000000000000000000000000000000000000`, `!column "v": number "100000000000000000000000000000000000000" is not decimal(38,0)`},
		{"decimal(20,5)", `0`, `["decimal","0.00000"]`},
		{"decimal(9,2)", `"x"`, `!column "v": text "x" is not decimal(9,2)`},
		{"array<int>", `[1,null,3]`, `[1,null,3]`},
		{"array<int>", `7`, `[7]`},
		{"array<int>", `[1,"x"]`, `!column "v[]": text "x" is not int`},
		{"array<struct<a:int>>", `{"a":1}`, `[{"a":1}]`},
		{"array<array<string>>", `[["a"],[],null,["b","c"]]`, `[["a"],null,null,["b","c"]]`},
		{"map<string,int>", `{"a":1,"b":null}`, `[["a",1],["b",null]]`},
		{"map<string,int>", `{"a":1,"b":2,"a":3}`, `[["b",2],["a",3]]`},
		{"map<int,string>", `{"-7":"x"}`, `[[-7,"x"]]`},
		{"map<int,string>", `{"k":"x"}`, `!column "v{key}": text "k" is not int`},
		{"map<string,int>", `[1]`, `!column "v": an array where map is wanted`},
		{"map<date,array<map<string,boolean>>>", `{"2026-01-02":[{"a":true},{"b":null}]}`, `[["2026-01-02",[[["a",true]],[["b",null]]]]]`},
		{"struct<a:int,b:struct<c:string>>", `{"b":{"c":"x"}}`, `{"b":{"c":"x"}}`},
		{"struct<a:int,b:struct<c:string>>", `[1,["x"]]`, `{"a":1,"b":{"c":"x"}}`},
		{"struct<a:int,b:struct<c:string>>", `{"a":1,"a":2,"b":{"c":"x","c":"y"}}`, `{"a":2,"b":{"c":"y"}}`},
		{"struct<a:int>", `"x"`, `!column "v": a string where struct is wanted`},
		{"struct<a:array<struct<b:tinyint>>>", `{"a":[{"b":1},{"b":300}]}`, `!column "v.a[].b": number "300" is not tinyint`},
		{"string", `"` + strings.Repeat("x", 100) + `\u0001"`, `"` + strings.Repeat("x", 100) + `\u0001"`},
		{"int", `"` + strings.Repeat("x", 100) + `"`, `!column "v": text "` + strings.Repeat("x", 60) + `"... is not int`},
	} {
		t.Run(tt.typ+" "+tt.in[:min(len(tt.in), 40)], func(t *testing.T) {
			f := mustNew(t, Options{Columns: columns(t, "v", tt.typ)})
			// A row before and after shows that a refusal leaves nothing.
			file, refused, _ := writeFile(t, f, nil, `{}`, `{"v":`+tt.in+`}`, `{}`)
			rows, _ := readRows(t, file)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if refused[1] == nil || refused[1].Code != formats.CodeMalformedData || refused[1].Err.Error() != want {
					t.Errorf("got %v, want %s", refused[1], want)
				}
				if len(rows) != 2 {
					t.Errorf("%d rows", len(rows))
				}
				return
			}
			if len(refused) > 0 || len(rows) != 3 {
				t.Fatalf("%d rows, refused: %v", len(rows), refused)
			}
			if got := text(t, rows[1].(map[string]any)["v"]); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if text(t, rows[0]) != "null" || text(t, rows[2]) != "null" {
				t.Errorf("other rows are %s and %s", text(t, rows[0]), text(t, rows[2]))
			}
		})
	}
}

// TestEmptyIsNotNull looks at what the canonical form of other tests hides.
func TestEmptyIsNotNull(t *testing.T) {
	f := mustNew(t, Options{Columns: columns(t, "l", "array<int>", "m", "map<string,int>", "s", "struct<a:int>")})
	file, _, _ := writeFile(t, f, nil, `{"l":[],"m":{},"s":{}}`, `{"l":[null],"m":null}`, `{"l":null}`)
	rows, _ := readRows(t, file)
	got := fmt.Sprint(rows)
	const want = "[map[l:[] m:[] s:map[a:<nil>]] map[l:[<nil>] m:<nil> s:<nil>] map[l:<nil> m:<nil> s:<nil>]]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSchemaOfFile(t *testing.T) {
	f := mustNew(t, Options{ExtraColumn: "rest", Columns: columns(t,
		"z", "bigint", "a", "array<struct<y:int,x:string>>", "m", "map<string,decimal(20,3)>", "t", "timestamp", "d", "date", "p", "decimal(9,2)", "i", "tinyint")})
	file, _, _ := writeFile(t, f, nil)
	_, opened := readRows(t, file)
	const want = `message record { optional int64 z (INT(64,true)); ` +
		`optional group a (LIST) { repeated group list { optional group element { optional int32 y (INT(32,true)); optional binary x (STRING); } } } ` +
		`optional group m (MAP) { repeated group key_value { required binary key (STRING); optional fixed_len_byte_array(9) value (DECIMAL(20,3)); } } ` +
		`optional int64 t (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)); optional int32 d (DATE); optional int32 p (DECIMAL(9,2)); ` +
		`optional int32 i (INT(8,true)); optional binary rest (STRING); }`
	if got := schemaText(opened); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, _ := opened.Lookup(SchemaKey); got != "struct<z:bigint,a:array<struct<y:int,x:string>>,m:map<string,decimal(20,3)>,t:timestamp,d:date,p:decimal(9,2),i:tinyint,rest:json>" {
		t.Errorf("schema in the metadata: %s", got)
	}
	if got := opened.Metadata().CreatedBy; got != "firehosed version 1(build parquet-go)" {
		t.Errorf("created by %q", got)
	}
}

func TestKeys(t *testing.T) {
	cols := columns(t, "a", "int", "b", "int")
	cols[0].Key, cols[1].Key = "B", "A.x"
	for _, tt := range []struct {
		name string
		opt  Options
		in   string
		want string
	}{
		{"mapped keys", Options{Columns: cols}, `{"B":1,"A.x":2,"a":3,"b":4}`, `{"a":1,"b":2}`},
		{"case matters", Options{Columns: columns(t, "Status", "int")}, `{"status":1,"STATUS":2,"Status":3}`, `{"Status":3}`},
		{"case does not matter", Options{Columns: columns(t, "Status", "int", "s", "struct<X:int>"), CaseInsensitive: true}, `{"STATUS":1,"S":{"x":2}}`, `{"Status":1,"s":{"X":2}}`},
		{"last of any case", Options{Columns: columns(t, "Status", "int"), CaseInsensitive: true}, `{"STATUS":1,"status":2}`, `{"Status":2}`},
		{"escaped key", Options{Columns: columns(t, "a", "int")}, `{"\u0061":1}`, `{"a":1}`},
		{"another order", Options{Columns: columns(t, "a", "int", "b", "int", "c", "int")}, `{"c":3,"a":1,"b":2}`, `{"a":1,"b":2,"c":3}`},
		{
			"extra",
			Options{Columns: columns(t, "a", "int", "s", "struct<x:int>", "l", "array<struct<x:int>>", "m", "map<string,struct<x:int>>"), ExtraColumn: "more"},
			`{"q":{"r": [1]},"a":1,"s":{"y":2,"x":1},"l":[{"x":1},{"z":null}],"m":{"k":{"x":1,"w":"\u00e9"}}}`,
			`{"a":1,"l":[{"x":1},null],"m":[["k",{"x":1}]],"more":"{\"q\":{\"r\":[1]},\"s.y\":2,\"l.1.z\":null,\"m.k.w\":\"\\u00e9\"}","s":{"x":1}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, refused, _ := writeFile(t, mustNew(t, tt.opt), nil, tt.in)
			if len(refused) > 0 {
				t.Fatal(refused)
			}
			rows, _ := readRows(t, file)
			if got := text(t, rows[0]); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestUnknownKeysAreCounted(t *testing.T) {
	for name, opt := range map[string]Options{
		"dropped": {Columns: columns(t, "a", "int", "s", "struct<x:int>")},
		"kept":    {Columns: columns(t, "a", "int", "s", "struct<x:int>"), ExtraColumn: "more"},
	} {
		_, refused, w := writeFile(t, mustNew(t, opt), nil, `{"a":1,"b":2,"s":{"y":1}}`, `{"b":1,"a":"refused"}`, `{"c":1,"a":1,"a":2}{"d":4}`)
		if len(refused) != 1 {
			t.Error(refused)
		}
		if n := w.(interface{ UnknownKeys() int64 }).UnknownKeys(); n != 4 {
			t.Errorf("%s: %d unknown keys, want 4", name, n)
		}
	}
}

func TestRequired(t *testing.T) {
	cols := columns(t, "a", "int", "b", "int")
	cols[0].Required = true
	_, refused, w := writeFile(t, mustNew(t, Options{Columns: cols}), nil, `{"a":1}`, `{"b":1}`, `{"a":null}`, `{"b":1,"b":2}`)
	for i, want := range []string{"", `column "a" is required and missing`, `column "a" is required and null`, `column "a" is required and missing`} {
		if got := refused[i]; want == "" && got != nil || want != "" && (got == nil || got.Err.Error() != want) {
			t.Errorf("record %d: got %v, want %q", i, got, want)
		}
	}
	if w.Rows() != 1 {
		t.Errorf("%d rows", w.Rows())
	}
}

// TestAmplification sends few bytes that stand for very many nulls.
func TestAmplification(t *testing.T) {
	var typ strings.Builder
	typ.WriteString("array<struct<f0:int")
	for i := range 499 {
		fmt.Fprintf(&typ, ",f%d:int", i+1)
	}
	typ.WriteString(">>")
	record := `{"v":[` + strings.Repeat("{},", 10_000) + `{}]}`
	file, refused, _ := writeFile(t, mustNew(t, Options{Columns: columns(t, "v", typ.String())}), nil, `{}`, record, strings.Repeat(`{}`, 10_000), `{}`)
	const want = "DataFormatConversion.MalformedData: record has more than 2097152 values"
	if len(refused) != 2 || refused[1].Error() != want || refused[2].Error() != want {
		t.Errorf("got %v", refused)
	}
	if rows, _ := readRows(t, file); len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestRowGroups writes enough for several row groups and pages, and looks at how
// they are encoded.
func TestRowGroups(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var records []string
	for i := range 20_000 {
		records = append(records, fmt.Sprintf(`{"level":"%s","n":%d,"id":"%016x","tags":["%d","x"]}`, []string{"info", "warn"}[rng.IntN(2)], i, rng.Uint64(), i%3))
	}
	f := mustNew(t, Options{Columns: columns(t, "level", "string", "n", "bigint", "id", "string", "tags", "array<string>"), RowGroupBytes: 512 << 10, PageBytes: 16 << 10})
	file, refused, w := writeFile(t, f, nil, records...)
	if len(refused) > 0 || w.Rows() != 20_000 {
		t.Fatalf("%d rows, refused %v", w.Rows(), refused)
	}
	rows, opened := readRows(t, file)
	for i, r := range rows {
		if got, want := text(t, r), text(t, parse(t, []byte(records[i]))); got != want {
			t.Fatalf("row %d: got %s, want %s", i, got, want)
		}
	}
	groups := opened.RowGroups()
	if len(groups) < 3 || len(groups) > 6 {
		t.Errorf("%d row groups of 512 KiB for 1.4 MB", len(groups))
	}
	for g, group := range groups[:len(groups)-1] {
		for c, want := range []bool{true, false, false, true} { // level, n, id, tags
			chunk := group.ColumnChunks()[c].(*pq.FileColumnChunk)
			meta := opened.Metadata().RowGroups[g].Columns[c].MetaData
			if got := meta.DictionaryPageOffset != 0; got != want {
				t.Errorf("row group %d, column %d: dictionary %t", g, c, got)
			}
			index, err := chunk.OffsetIndex()
			if err != nil || index.NumPages() < 2 && c == 2 {
				t.Errorf("row group %d, column %d: %v, pages: %v", g, c, index, err)
			}
		}
	}
}

func TestWideDecimalHasNoWrongBounds(t *testing.T) {
	f := mustNew(t, Options{Columns: columns(t, "d", "decimal(38,0)", "n", "bigint")})
	file, _, _ := writeFile(t, f, nil, `{"d":-5,"n":-5}`, `{"d":7,"n":7}`, `{}`)
	_, opened := readRows(t, file)
	chunk := opened.Metadata().RowGroups[0].Columns
	if s := chunk[0].MetaData.Statistics; s.MinValue != nil || s.MaxValue != nil || s.NullCount != 1 {
		t.Errorf("statistics of the decimal: %+v", s)
	}
	if s := chunk[1].MetaData.Statistics; len(s.MinValue) != 8 || s.MinValue[7] != 0xff || s.MaxValue[0] != 7 {
		t.Errorf("statistics of the bigint: %+v", s)
	}
	index := opened.ColumnIndexes()[0]
	if index.MinValues[0][0] != 0x80 || index.MaxValues[0][0] != 0x7f || len(index.MinValues[0]) != 16 {
		t.Errorf("column index of the decimal: %x to %x", index.MinValues[0], index.MaxValues[0])
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{Compression: "lzo"}, `parquet: compression "lzo" is not one of none, snappy, gzip, zstd`},
		{Options{RowGroupBytes: 1}, "parquet: row group: 1 bytes is outside 65536 to 4294967296"},
		{Options{PageBytes: 1 << 30}, "parquet: page: 1073741824 bytes is outside 4096 to 67108864"},
		{Options{SpoolBytes: -1}, "parquet: spool: -1 bytes is outside 65536 to 1073741824"},
		{Options{Columns: []schema.Column{{Name: "a"}}}, `parquet: column "a": type is missing`},
		{Options{Columns: columns(t, "a", "int"), ExtraColumn: "a"}, `parquet: extra column "a" is also a declared column`},
		{Options{Columns: columns(t, "a", "int", "A", "int"), CaseInsensitive: true}, `parquet: columns "a" and "A" differ only in case`},
		{Options{CaseInsensitive: true}, "parquet: case-insensitive keys need declared columns"},
	} {
		if _, err := New(tt.opt); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestConcurrentWriters shares one format, as the objects of a delivery do.
func TestConcurrentWriters(t *testing.T) {
	for _, c := range []formats.Compression{"zstd", "gzip", "snappy", "none"} {
		f := mustNew(t, Options{Columns: columns(t, "a", "string"), Compression: c})
		files := make(chan []byte)
		for range 4 {
			go func() {
				var out bytes.Buffer
				w, err := f.NewWriter(&out, formats.WriterOptions{})
				if err != nil {
					t.Error(err)
				} else if err := errors.Join(w.Write([][]byte{[]byte(`{"a":"x"}`)}, func(int, *formats.RecordError) {}), w.Close()); err != nil {
					t.Error(err)
				}
				files <- out.Bytes()
			}()
		}
		first := <-files
		for range 3 {
			if !bytes.Equal(<-files, first) {
				t.Errorf("%s: files differ", c)
			}
		}
	}
}
