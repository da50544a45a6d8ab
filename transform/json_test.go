package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeJSON(t *testing.T) {
	large, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, tt := range []struct {
		in   string
		want any
	}{
		{`null`, nil},
		{" true\n", true},
		{`false`, false},
		{`0`, 0},
		{`-7`, -7},
		{`9223372036854775807`, math.MaxInt64},
		{`-9223372036854775808`, math.MinInt64},
		{`9223372036854775808`, new(big.Int).SetUint64(1 << 63)},
		{`123456789012345678901234567890`, large},
		{`-0`, math.Copysign(0, -1)},
		{`1.0`, 1.0},
		{`1e3`, 1000.0},
		{`-2.5E-3`, -0.0025},
		{`""`, ""},
		{`"a\"\\\/\b\f\n\r\té"`, "a\"\\/\b\f\n\r\té"},
		{`"\ud83d\ude00"`, "\U0001f600"},
		{`"\ud83d"`, "\ufffd"},
		{`"\ud83d\u0041"`, "\ufffdA"},
		{`"\ude00x"`, "\ufffdx"},
		{"\"a\xffb\"", "a\ufffdb"},
		{"\"\xffa\\n\"", "\ufffda\n"},
		{`[]`, []any{}},
		{`{}`, map[string]any{}},
		{`[1,[2.5,"x"],{"a":null}]`, []any{1, []any{2.5, "x"}, map[string]any{"a": nil}}},
		{`{"a":1,"b":{"c":[true]},"a":2}`, map[string]any{"a": 2, "b": map[string]any{"c": []any{true}}}},
		{strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), nest(MaxDepth)},
	} {
		got, err := DecodeJSON([]byte(tt.in))
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		} else if !reflect.DeepEqual(got, tt.want) || math.Signbit(float(got)) != math.Signbit(float(tt.want)) {
			t.Errorf("%s: got %#v, want %#v", tt.in, got, tt.want)
		}
	}
}

func float(v any) float64 {
	f, _ := v.(float64)
	return f
}

func nest(depth int) any {
	v := []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func TestDecodeJSONRefuses(t *testing.T) {
	for _, tt := range []struct {
		in   string
		at   int
		want string
	}{
		{``, 0, "a value is missing at the end"},
		{` `, 1, "a value is missing at the end"},
		{`nul`, 0, "did you mean null?"},
		{`hello`, 0, `'h' where a value should start`},
		{"\xff", 0, "byte 0xff where a value should start"},
		{`{"a":1} {"b":2}`, 8, `'{' after the value`},
		{`[1,]`, 3, `']' where a value should start`},
		{`[1 2]`, 3, `'2' where ',' or ']' should follow`},
		{`[1`, 2, `the end where ',' or ']' should follow`},
		{`{"a":1,}`, 7, `'}' where a key should start`},
		{`{a:1}`, 1, `'a' where a key should start`},
		{`{"a" 1}`, 5, `'1' where a colon should follow the key`},
		{`01`, 0, "number starts with 0"},
		{`-`, 1, "the end where a digit should follow '-'"},
		{`1.`, 2, "the end where a digit should follow '.'"},
		{`1e+`, 3, "the end where the exponent should have a digit"},
		{`1e999`, 0, "outside the range of a float64"},
		{strings.Repeat("9", 4097), 0, "integer has 4097 digits, the limit is 4096"},
		{`"abc`, 0, "string has no end"},
		{`"a\`, 2, "string has no end"},
		{`"a\q"`, 2, "unknown escape in a string"},
		{`"\u12g4"`, 1, `\u without four hexadecimal digits`},
		{"\"a\nb\"", 2, "control character 0x0a in a string"},
		{"\"\\n\x01\"", 3, "control character 0x01 in a string"},
		{strings.Repeat("[", MaxDepth+1), MaxDepth, "nested deeper than 64"},
		{strings.Repeat("[", 1<<20), MaxDepth, "nested deeper than 64"},
	} {
		v, err := DecodeJSON([]byte(tt.in))
		var se *SyntaxError
		if !errors.As(err, &se) || se.Offset != tt.at || !strings.Contains(se.Reason, tt.want) {
			t.Errorf("%.40q: got %v, %v; want byte %d: %s", tt.in, v, err, tt.at, tt.want)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for _, tt := range []struct {
		in   any
		want string
	}{
		{map[string]any{"b": 1, "a": []any{nil, true, "x<>&"}}, `{"a":[null,true,"x<>&"],"b":1}`},
		{"\x00\b\t\n\f\r\"\\\x7f\u2028\xffé", `"\u0000\b\t\n\f\r\"\\` + "\x7f\u2028\ufffdé" + `"`},
		{1.0, `1`},
		{1e21, `1e+21`},
		{1e-7, `1e-7`},
		{0.1, `0.1`},
		{math.NaN(), `null`},
		{math.Inf(-1), `-1.7976931348623157e+308`},
		{math.Copysign(0, -1), `-0`},
		{int64(-5), `-5`},
		{json.Number("1.50"), `1.50`},
		{new(big.Int).SetUint64(math.MaxUint64), `18446744073709551615`},
	} {
		got, err := AppendJSON([]byte("x"), tt.in)
		if err != nil || string(got) != "x"+tt.want {
			t.Errorf("%#v: got %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   any
		want string
	}{
		{[]any{struct{}{}}, "json: a struct {} has no JSON form here"},
		{json.Number("1 2"), "json: text of a json.Number is no number"},
		{nest(MaxDepth + 1), "json: nested deeper than 64"},
		{map[string]any{"a": nest(MaxDepth)}, "json: nested deeper than 64"},
	} {
		got, err := AppendJSON([]byte("x"), tt.in)
		if err == nil || err.Error() != tt.want || string(got) != "x" {
			t.Errorf("%T: got %q, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestMembers(t *testing.T) {
	ms, err := Members([]byte(` {"b": 1.50,"a":[1, 2], "b":"x\u0041" } `))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range ms {
		got = append(got, fmt.Sprintf("%s=%s=%v", m.Key, m.Raw, m.Value))
	}
	if s := strings.Join(got, " "); s != `b="x\u0041"=xA a=[1, 2]=[1 2]` {
		t.Errorf("got %s", s)
	}
	if ms, err := Members([]byte(`{}`)); err != nil || len(ms) != 0 {
		t.Errorf("{}: got %v, %v", ms, err)
	}
	for _, in := range []string{``, `[]`, `1`, `{`, `{"a"`, `{"a":}`, `{} x`, `{"a":1`} {
		if ms, err := Members([]byte(in)); err == nil {
			t.Errorf("%s: got %v, want an error", in, ms)
		}
	}
}

func TestRecordViews(t *testing.T) {
	r := Record{Data: []byte(`{"a":1}`)}
	v1, err := r.Value()
	if err != nil {
		t.Fatal(err)
	}
	v1.(map[string]any)["mark"] = true // to see that it is the same map
	copied := r
	v2, _ := copied.Value()
	if _, same := v2.(map[string]any)["mark"]; !same {
		t.Error("a copy of the record decoded again")
	}
	copied.SetEncoding([]byte(` {"a":1}`))
	if v, _ := copied.Value(); v.(map[string]any)["mark"] != true {
		t.Error("SetEncoding lost the value")
	}
	r.SetData([]byte(`[2]`))
	if v, _ := r.Value(); !reflect.DeepEqual(v, []any{2}) {
		t.Errorf("after SetData: %v", v)
	}
	r.Data = []byte(`[3]`)
	if v, _ := r.Value(); !reflect.DeepEqual(v, []any{3}) {
		t.Errorf("after an assignment: %v", v)
	}
	r.Data = []byte(`12`)
	_, _ = r.Value()
	r.Data = r.Data[:1]
	if v, _ := r.Value(); !reflect.DeepEqual(v, 1) {
		t.Errorf("after cutting the bytes: %v", v)
	}
	if r.HasBig() {
		t.Error("HasBig without a big integer")
	}
	if err := r.SetValue(map[string]any{"z": new(big.Int).Lsh(big.NewInt(1), 70), "a": "x"}); err != nil {
		t.Fatal(err)
	}
	if string(r.Data) != `{"a":"x","z":1180591620717411303424}` || !r.HasBig() {
		t.Errorf("after SetValue: %s, HasBig %v", r.Data, r.HasBig())
	}
	if err := r.SetValue(make(chan int)); err == nil || string(r.Data) != `{"a":"x","z":1180591620717411303424}` {
		t.Errorf("SetValue of a channel: %v, %s", err, r.Data)
	}
	r.Forget()
	if _, err := r.Value(); err != nil || !r.HasBig() {
		t.Errorf("after Forget: %v", err)
	}
	r.SetData(nil)
	if v, err := r.Value(); err == nil {
		t.Errorf("empty record: %v", v)
	}
}

// FuzzDecodeJSON compares with encoding/json and checks that what was decoded
// can be written and read again.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e-3,"x\u00e9\ud83d\ude00",null,true],"b":{"c":-0,"d":12345678901234567890}}`,
		`[[[]]]`, `"\ud83d"`, "\"\xff\"", `1e999`, `{"a":1,"a":2}`, `01`, ` {} `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeJSON(b)
		if err != nil {
			if deep := bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{")); json.Valid(b) && deep <= MaxDepth &&
				!strings.Contains(err.Error(), "float64") && !strings.Contains(err.Error(), "digits") {
				t.Fatalf("%q is JSON, but: %v", b, err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("%q is no JSON, but decodes to %v", b, v)
		}
		one, err := AppendJSON(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(one) || !utf8.Valid(one) {
			t.Fatalf("%q became %q", b, one)
		}
		again, err := DecodeJSON(one)
		if err != nil {
			t.Fatalf("%q: %v", one, err)
		}
		two, _ := AppendJSON(nil, again)
		if !bytes.Equal(one, two) {
			t.Fatalf("%q, then %q", one, two)
		}
		var std any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&std); err != nil {
			t.Fatal(err)
		}
		if !sameJSON(v, std) {
			t.Fatalf("%q: got %#v, encoding/json has %#v", b, v, std)
		}
		if _, isObject := v.(map[string]any); isObject {
			ms, err := Members(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range ms {
				if x, err := DecodeJSON(m.Raw); err != nil || !reflect.DeepEqual(x, m.Value) {
					t.Fatalf("member %q: raw %q, value %v, %v", m.Key, m.Raw, m.Value, err)
				}
			}
			if len(ms) != len(v.(map[string]any)) {
				t.Fatalf("%d members of %v", len(ms), v)
			}
		}
	})
}

func sameJSON(a, b any) bool {
	switch b := b.(type) {
	case json.Number:
		switch a := a.(type) {
		case int:
			return fmt.Sprint(a) == b.String()
		case *big.Int:
			return a.String() == b.String()
		case float64:
			f, err := b.Float64()
			return err == nil && f == a
		}
		return false
	case []any:
		x, ok := a.([]any)
		if !ok || len(x) != len(b) {
			return false
		}
		for i := range b {
			if !sameJSON(x[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		x, ok := a.(map[string]any)
		if !ok || len(x) != len(b) {
			return false
		}
		for k := range b {
			if v, ok := x[k]; !ok || !sameJSON(v, b[k]) {
				return false
			}
		}
		return true
	}
	return a == b
}

var line406 = []byte(`{"timestamp":"2026-08-01T10:00:00.123Z","host":"web-17.example.com","status":200,"bytes":203023,"method":"GET","path":"/presentations/logstash-monitorama-2013/images/kibana-search.png","referer":"http://semicomplete.com/presentations/logstash-monitorama-2013/","agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36","duration":0.0123,"cache":{"hit":true,"key":"abc"},"tags":["a","b"]}`)

func BenchmarkDecodeJSON(b *testing.B) {
	b.SetBytes(int64(len(line406)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeJSON(line406); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEncodingJSON(b *testing.B) {
	b.SetBytes(int64(len(line406)))
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := json.Unmarshal(line406, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	v, err := DecodeJSON(line406)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		if dst, err = AppendJSON(dst[:0], v); err != nil {
			b.Fatal(err)
		}
	}
}
