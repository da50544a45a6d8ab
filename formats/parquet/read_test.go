package parquet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/firehosed/firehosed/formats"
)

// readRows reads a file with the library's reader and puts the rows together
// from the levels, following nothing but the schema in the file. Values are
// bool, int64, float64, string, []byte, [2]string{"decimal", text}, time.Time,
// []any, map[string]any or nil; a map is []any of [2]any.
func readRows(t testing.TB, data []byte) (rows []any, f *pq.File) {
	t.Helper()
	f, err := pq.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	for _, group := range f.RowGroups() {
		reader := group.Rows()
		buf := make([]pq.Row, 50)
		for {
			n, err := reader.ReadRows(buf)
			for _, row := range buf[:n] {
				rows = append(rows, assembleRow(f, row))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("read: %v", err)
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if int64(len(rows)) != f.NumRows() {
		t.Fatalf("footer says %d rows, there are %d", f.NumRows(), len(rows))
	}
	return rows, f
}

func assembleRow(f *pq.File, row pq.Row) any {
	var columns [][]pq.Value
	row.Range(func(_ int, values []pq.Value) bool {
		columns = append(columns, values)
		return true
	})
	v, _ := assembleGroup(f.Root(), columns, 0, 0)
	return v
}

// assemble takes the value of node from its columns, the first of those given,
// and returns the other columns.
func assemble(node *pq.Column, columns [][]pq.Value, def, rep int) (any, [][]pq.Value) {
	n := countLeaves(node)
	mine, rest := columns[:n], columns[n:]
	switch {
	case node.Optional():
		if mine[0][0].DefinitionLevel() <= def {
			return nil, rest
		}
		def++
	case node.Repeated():
		if mine[0][0].DefinitionLevel() <= def {
			return []any{}, rest
		}
		var out []any
		starts := make([]int, n)
		for starts[0] < len(mine[0]) {
			elem := make([][]pq.Value, n)
			for c := range mine {
				end := starts[c] + 1
				for end < len(mine[c]) && mine[c][end].RepetitionLevel() > rep+1 {
					end++
				}
				elem[c] = mine[c][starts[c]:end]
				starts[c] = end
			}
			v, _ := assembleGroup(node, elem, def+1, rep+1)
			out = append(out, v)
		}
		return out, rest
	}
	if node.Leaf() {
		return leafValue(node, mine[0][0]), rest
	}
	v, _ := assembleGroup(node, mine, def, rep)
	switch lt := node.Type().LogicalType(); {
	case lt == nil:
	case fmt.Sprint(lt) == "LIST":
		list := v.(map[string]any)["list"].([]any)
		for i := range list {
			list[i] = list[i].(map[string]any)["element"]
		}
		return list, rest
	case fmt.Sprint(lt) == "MAP":
		list := v.(map[string]any)["key_value"].([]any)
		for i := range list {
			kv := list[i].(map[string]any)
			list[i] = [2]any{kv["key"], kv["value"]}
		}
		return list, rest
	}
	return v, rest
}

func assembleGroup(node *pq.Column, columns [][]pq.Value, def, rep int) (any, [][]pq.Value) {
	out := map[string]any{}
	for _, c := range node.Columns() {
		out[c.Name()], columns = assemble(c, columns, def, rep)
	}
	return out, columns
}

func countLeaves(node *pq.Column) int {
	if node.Leaf() {
		return 1
	}
	n := 0
	for _, c := range node.Columns() {
		n += countLeaves(c)
	}
	return n
}

func leafValue(node *pq.Column, v pq.Value) any {
	lt := node.Type().LogicalType()
	if lt != nil {
		switch lt := lt.Value.(type) {
		case *format.DecimalType:
			unscaled := big.NewInt(v.Int64())
			switch v.Kind() {
			case pq.Int32:
				unscaled = big.NewInt(int64(v.Int32()))
			case pq.FixedLenByteArray:
				b := v.ByteArray()
				unscaled = new(big.Int).SetBytes(b)
				if b[0]&0x80 != 0 {
					unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
				}
			}
			scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(lt.Scale)), nil)
			return [2]string{"decimal", new(big.Rat).SetFrac(unscaled, scale).FloatString(int(lt.Scale))}
		case *format.TimestampType:
			return time.UnixMicro(v.Int64()).UTC()
		case *format.DateType:
			return time.Unix(int64(v.Int32())*86400, 0).UTC().Format("2006-01-02")
		case *format.StringType:
			return string(v.ByteArray())
		}
	}
	switch v.Kind() {
	case pq.Boolean:
		return v.Boolean()
	case pq.Int32:
		return int64(v.Int32())
	case pq.Int64:
		return v.Int64()
	case pq.Float:
		return float64(v.Float())
	case pq.Double:
		return v.Double()
	}
	return bytes.Clone(v.ByteArray())
}

// canonical makes values comparable: objects and arrays that hold nothing are
// nothing, numbers are exact text.
func canonical(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if e = canonical(e); e != nil {
				out[k] = e
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := make([]any, len(v))
		empty := true
		for i, e := range v {
			out[i] = canonical(e)
			empty = empty && out[i] == nil
		}
		if empty {
			return nil
		}
		return out
	case [2]any:
		return [2]any{canonical(v[0]), canonical(v[1])}
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return number(strconv.FormatFloat(v, 'g', -1, 64))
	case json.Number:
		return number(string(v))
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return v
}

// number writes a number as an integer if it is one, else as the double nearest.
func number(text string) json.Number {
	if i, ok := new(big.Int).SetString(text, 10); ok {
		return json.Number(i.String())
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return json.Number(text)
	}
	if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
		return json.Number(strconv.FormatInt(int64(v), 10))
	}
	return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
}

// text is a canonical value for messages and comparison.
func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(canonical(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parse reads JSON with its numbers as written.
func parse(t testing.TB, b []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%.200q: %v", b, err)
	}
	return v
}

// documents are the JSON texts of a record as encoding/json sees them.
func documents(t testing.TB, record []byte) []json.RawMessage {
	t.Helper()
	var docs []json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(record))
	for {
		var doc json.RawMessage
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatalf("record %.100q was taken: %v", record, err)
		}
		docs = append(docs, doc)
	}
}

// refusals collects refusals by index.
type refusals map[int]*formats.RecordError

func (r refusals) add(i int, err *formats.RecordError) { r[i] = err }

// writeFile makes a file of records.
func writeFile(t testing.TB, f *Format, state []byte, records ...string) (file []byte, refused refusals, w formats.Writer) {
	t.Helper()
	var out bytes.Buffer
	w, err := f.NewWriter(&out, formats.WriterOptions{State: state, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	refused = refusals{}
	all := make([][]byte, len(records))
	for i, r := range records {
		all[i] = []byte(r)
	}
	if err := w.Write(all, refused.add); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), refused, w
}

func mustNew(t testing.TB, opt Options) *Format {
	t.Helper()
	f, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// schemaText is the schema in the file, on one line.
func schemaText(f *pq.File) string {
	return strings.Join(strings.Fields(f.Schema().String()), " ")
}
