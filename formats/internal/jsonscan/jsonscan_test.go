package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// document reads one document with white space around it.
func document(b []byte) error {
	i, err := Value(b, SkipSpace(b, 0))
	if err != nil {
		return err
	}
	if i = SkipSpace(b, i); i < len(b) {
		return Unexpected(b, i, "the end")
	}
	return nil
}

func TestValueErrors(t *testing.T) {
	for _, tt := range []struct {
		in, want string
	}{
		{``, "text ends where a value is expected at byte 0"},
		{`nul`, "'n' where a value is expected at byte 0"},
		{`hello`, "'h' where a value is expected at byte 0"},
		{`{"a" 1}`, `'1' where ':' is expected at byte 5`},
		{`{a:1}`, `'a' where a key is expected at byte 1`},
		{`{"a":1,}`, `'}' where a key is expected at byte 7`},
		{`[1,]`, `']' where a value is expected at byte 3`},
		{`[1 2]`, `'2' where ',' or ']' is expected at byte 3`},
		{`{"a":1 "b":2}`, `'"' where ',' or '}' is expected at byte 7`},
		{`[1}`, `'}' where ',' or ']' is expected at byte 2`},
		{`01`, `'1' where the end is expected at byte 1`},
		{`-`, "text ends where a digit is expected at byte 1"},
		{`1.`, "text ends where a digit is expected at byte 2"},
		{`1e+`, "text ends where a digit is expected at byte 3"},
		{`"abc`, "text ends inside a string at byte 4"},
		{"\"a\x01\"", "control character 0x01 in a string at byte 2"},
		{"\"12345678\x00\"", "control character 0x00 in a string at byte 9"},
		{`"\x"`, "'x' where an escape is expected at byte 2"},
		{`"\u12g4"`, "'g' where a hexadecimal digit is expected at byte 5"},
		{`"\u12`, "text ends inside a string at byte 5"},
		{"\"ab\xff\"", "string is not UTF-8 at byte 3"},
		{"\"12345678\xc3\x28\"", "string is not UTF-8 at byte 9"},
		{"\xff", "byte 0xff where a value is expected at byte 0"},
		{strings.Repeat("[", MaxDepth+1), "nesting deeper than 1000 at byte 1000"},
		{"[\x00]", `'\x00' where a value is expected at byte 1`},
	} {
		err := document([]byte(tt.in))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.40q: got %v, want %s", tt.in, err, tt.want)
		}
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.40q: error is a %T", tt.in, err)
		}
	}
}

func TestDepthLimitIsReached(t *testing.T) {
	in := strings.Repeat(`{"a":[`, MaxDepth/2) + strings.Repeat(`]}`, MaxDepth/2)
	if err := document([]byte(in)); err != nil {
		t.Fatalf("nesting of %d: %v", MaxDepth, err)
	}
}

var seeds = []string{
	`{"a":1,"b":[true,false,null],"c":{"d":"e\n\u00e9\ud83d\ude00\ud83d"}}`,
	` { "a" : -1.5e+10 , "b" : [ ] , "c" : { } } `,
	`"text with ü and \\ and \" and \/"`, `12345678901234567890`, `[[[[1]]]]`, `{"":0}`, "\"\xff\"", `[1,2`, `"\ud83dx"`, `"\ud83d\u0041"`,
}

func FuzzValue(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		err := document(in)
		// encoding/json takes invalid UTF-8 and deeper nesting.
		want := json.Valid(in) && utf8.Valid(in)
		if want != (err == nil) && !strings.Contains(errText(err), "nesting") {
			t.Fatalf("%q: got %v, encoding/json says %v", in, err, json.Valid(in))
		}
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, in); err != nil {
			t.Fatal(err)
		}
		if got := Compact(nil, in); !bytes.Equal(got, compact.Bytes()) {
			t.Fatalf("compact %q: got %q, want %q", in, got, compact.Bytes())
		}
		var s string
		if text := bytes.TrimSpace(in); text[0] == '"' {
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			got := Unquote(nil, text[1:len(text)-1])
			if string(got) != s {
				t.Fatalf("unquote %q: got %q, want %q", text, got, s)
			}
			var back string
			if err := json.Unmarshal(AppendQuoted(nil, got), &back); err != nil || back != s {
				t.Fatalf("quote %q: got %q, %v", s, back, err)
			}
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func BenchmarkValue(b *testing.B) {
	in := []byte(`{"ts":"2026-08-01T10:00:00.123Z","level":"info","service":"checkout","message":"order accepted after 3 attempts","user":{"id":123456,"country":"DE","premium":true},"http":{"method":"POST","path":"/api/v1/orders","status":200,"bytes":5123},"tags":["a","b","c"],"duration_ms":12.75,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}`)
	b.Run("jsonscan", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := Value(in, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if !json.Valid(in) {
				b.Fatal("not valid")
			}
		}
	})
}
