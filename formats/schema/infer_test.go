package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// show makes the schema s, after seeing docs, readable.
func show(t *testing.T, s *Inferred, docs ...string) string {
	t.Helper()
	for _, d := range docs {
		_, fits, err := s.Fits([]byte(d), 0)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		if fits {
			continue
		}
		s.Grow([]byte(d), 0)
		if end, fits, err := s.Fits([]byte(d), 0); !fits || err != nil || end != len(d) {
			t.Fatalf("%.200s does not fit into what it made: %d of %d, %v, %s", d, end, len(d), err, s.State())
		}
	}
	var parts []string
	for _, c := range s.Columns() {
		parts = append(parts, c.Name+" "+c.Type.String())
	}
	if s.Overflow() {
		parts = append(parts, "+")
	}
	return strings.Join(parts, ", ")
}

func TestInferred(t *testing.T) {
	for _, tt := range []struct {
		name string
		docs string // separated by |
		want string
	}{
		{"nothing", `{}`, ""},
		{"scalars", `{"a":1,"b":1.5,"c":"x","d":true}`, "a bigint, b double, c string, d boolean"},
		{"order of appearance", `{"b":1}|{"a":1,"b":2,"c":3}`, "b bigint, a bigint, c bigint"},
		{"null tells nothing", `{"a":null,"b":1}|{"a":"x"}`, "b bigint, a string"},
		{"empty object and array", `{"a":{},"b":[],"c":[[]],"d":1}`, "d bigint"},
		{"typed later goes last", `{"a":{},"b":1}|{"a":{"x":1}}`, "b bigint, a struct<x:bigint>"},
		{"later inside a struct", `{"s":{"a":[],"b":1}}|{"s":{"a":["x"]}}`, "s struct<b:bigint,a:array<string>>"},
		{"integer to double", `{"a":1}|{"a":1.5}|{"a":2}`, "a double"},
		{"exponent is double", `{"a":1e3}`, "a double"},
		{"exact in double", `{"a":9007199254740992}|{"a":0.5}`, "a double"},
		{"not exact in double", `{"a":9007199254740993}|{"a":0.5}`, "a json"},
		{"double then not exact", `{"a":0.5}|{"a":-9007199254740993}`, "a json"},
		{"int64 limits", `{"a":9223372036854775807}|{"a":-9223372036854775808}`, "a bigint"},
		{"beyond int64", `{"a":9223372036854775808}`, "a json"},
		{"beyond double", `{"a":1e999}`, "a json"},
		{"number and string", `{"a":1}|{"a":"x"}`, "a json"},
		{"boolean and null", `{"a":true}|{"a":null}`, "a boolean"},
		{"struct and array", `{"a":{"b":1}}|{"a":[1]}`, "a json"},
		{"empty struct and number", `{"a":{}}|{"a":1}`, "a json"},
		{"array of mixed", `{"a":[1,"x"]}`, "a array<json>"},
		{"array of widened", `{"a":[1]}|{"a":[null,2.5]}`, "a array<double>"},
		{"array of objects", `{"a":[{"b":1},{"c":[true]}]}`, "a array<struct<b:bigint,c:array<boolean>>>"},
		{"json stays", `{"a":1}|{"a":"x"}|{"a":1}|{"a":{"b":[1]}}`, "a json"},
		{"escaped key", `{"\u0061":1}|{"a":2}`, "a bigint"},
		{"times stay strings", `{"a":"2026-08-01T00:00:00Z"}`, "a string"},
		{"empty name", `{"":1,"a":2}`, "a bigint, +"},
		{"control character", `{"a\n":1,"a":2}`, "a bigint, +"},
		{"differs in case", `{"Status":1}|{"status":2}`, "Status bigint, +"},
		{"reserved", `{"_extra":1,"a":{"_extra":2}}`, "a struct<_extra:bigint>, +"},
		{"repeated key", `{"a":1,"a":"x"}`, "a json"},
		{"depth 16", strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), "a " + strings.Repeat("struct<a:", 16) + "bigint" + strings.Repeat(">", 16)},
		{"depth 17", strings.Repeat(`{"a":`, 18) + "1" + strings.Repeat("}", 18), "a " + strings.Repeat("struct<a:", 16) + "json" + strings.Repeat(">", 16)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewInferred("_extra")
			if got := show(t, s, strings.Split(tt.docs, "|")...); got != tt.want {
				t.Fatalf("got  %s\nwant %s", got, tt.want)
			}
			again, err := DecodeInferred(s.State(), "_extra")
			if err != nil {
				t.Fatalf("%s: %v", s.State(), err)
			}
			if got := show(t, again, strings.Split(tt.docs, "|")...); got != tt.want || !bytes.Equal(again.State(), s.State()) {
				t.Errorf("after decoding the state: %s\n%s\n%s", got, s.State(), again.State())
			}
		})
	}
}

func TestInferredLimits(t *testing.T) {
	var doc strings.Builder
	for i := range MaxInferredColumns + 5 {
		fmt.Fprintf(&doc, `,"k%d":%d`, i, i)
	}
	s := NewInferred("_extra")
	show(t, s, "{"+doc.String()[1:]+"}")
	if n := len(s.Columns()); n != MaxInferredColumns || !s.Overflow() {
		t.Errorf("%d columns, overflow %t", n, s.Overflow())
	}
	// At the limit, known columns go on and unknown ones are extra without growth.
	before := s.State()
	show(t, s, `{"new":{"a":1},"k1":null,"k2":3}`, `{"other":[1]}`)
	if !bytes.Equal(s.State(), before) {
		t.Error("the schema grew beyond its limit")
	}

	// Names without a type are bounded too.
	s = NewInferred("_extra")
	doc.Reset()
	for i := range maxInferredNodes + 5 {
		fmt.Fprintf(&doc, `,"k%d":{}`, i)
	}
	show(t, s, "{"+doc.String()[1:]+"}")
	if len(s.Columns()) != 0 || s.nodes > maxInferredNodes || !s.Overflow() {
		t.Errorf("%d columns, %d nodes, overflow %t", len(s.Columns()), s.nodes, s.Overflow())
	}
	if _, err := DecodeInferred(s.State(), "_extra"); err != nil {
		t.Error(err)
	}
}

func TestFitsErrors(t *testing.T) {
	s := NewInferred("")
	show(t, s, `{"a":1,"b":[true],"c":{"d":"x"}}`)
	for _, in := range []string{
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":x}`, `{"b":[`, `{"b":[true`, `{"b":[true,]}`, `{"c":{"d":"x}}`, `{"c":{"d":"x"}`, "{\"c\":{\"d\":\"\xff\"}}", `{"zz":tru}`,
	} {
		if _, fits, err := s.Fits([]byte(in), 0); fits || err == nil {
			t.Errorf("%s: fits %t, %v", in, fits, err)
		}
	}
}

func TestDecodeInferredErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{`, "inferred schema: unexpected end of JSON input"},
		{`{}`, "inferred schema has version 0, this program reads 1"},
		{`{"version":2}`, "inferred schema has version 2, this program reads 1"},
		{`{"version":1,"columns":[{"name":"","type":"bigint"}]}`, `inferred schema: column name "" is not allowed`},
		{`{"version":1,"columns":[{"name":"a","type":"bigint"},{"name":"a","type":"bigint"}]}`, `inferred schema: column "a" is there twice`},
		{`{"version":1,"columns":[{"name":"a","type":"date"}]}`, `inferred schema: column "a": type "date" is not one that is inferred`},
		{`{"version":1,"columns":[{"name":"a","type":"array"}]}`, `inferred schema: column "a": array without elem`},
		{`{"version":1,"columns":[{"name":"a","type":""}]}`, `inferred schema: column "a" has no type`},
		{`{"version":1,"columns":[{"name":"_extra","type":"string"}]}`, `inferred schema has a column "_extra", which is wanted for what has no column; choose another name`},
		{`{"version":1,"columns":[{"name":"a","type":` + strings.Repeat(`"array","elem":{"type":`, 20) + `"bigint"` + strings.Repeat("}", 21) + `]}`, `inferred schema: column "a": nesting deeper than 16`},
		{strings.Repeat(" ", maxState+1), fmt.Sprintf("inferred schema has %d bytes, the limit is %d", maxState+1, maxState)},
	} {
		_, err := DecodeInferred([]byte(tt.in), "_extra")
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.60s: got %v, want %s", tt.in, err, tt.want)
		}
	}
}

func FuzzDecodeInferred(f *testing.F) {
	for _, d := range []string{
		`{"a":1,"b":[{"c":"x"}],"d":{"e":{}},"f":[],"g":0.5}`, `{"a":9007199254740993,"A":1}`, `{}`,
	} {
		s := NewInferred("x")
		s.Grow([]byte(d), 0)
		f.Add(s.State(), []byte(d))
	}
	f.Add([]byte(`{"version":1,"columns":[{"name":"a","type":"array","elem":{"type":""}}]}`), []byte(`{"a":[1,"x"],"b":null}`))
	f.Fuzz(func(t *testing.T, state, doc []byte) {
		s, err := DecodeInferred(state, "x")
		if err != nil {
			return
		}
		again, err := DecodeInferred(s.State(), "x")
		if err != nil || !bytes.Equal(again.State(), s.State()) {
			t.Fatalf("state goes round wrongly: %v\n%s\n%s", err, s.State(), again.State())
		}
		i := jsonscan.SkipSpace(doc, 0)
		if i >= len(doc) || doc[i] != '{' {
			return
		}
		end, err := jsonscan.Value(doc, i)
		before := s.State()
		fitsEnd, fits, fitsErr := s.Fits(doc, i)
		if !bytes.Equal(s.State(), before) {
			t.Fatal("Fits changed the schema")
		}
		if fits && (err != nil || fitsErr != nil || fitsEnd != end) {
			t.Fatalf("%q fits to %d: %v, but JSON ends at %d: %v", doc, fitsEnd, fitsErr, end, err)
		}
		if err != nil {
			return
		}
		s.Grow(doc, i)
		leaves := 0
		for _, c := range s.Columns() {
			leaves += c.Type.Leaves()
		}
		if leaves != s.leaves || leaves != s.root.leaves {
			t.Fatalf("%d leaves, counted as %d and %d", leaves, s.leaves, s.root.leaves)
		}
		if len(s.Columns()) > 0 {
			if err := Validate(s.Columns()); err != nil {
				t.Fatal(err)
			}
		}
		if _, fits, err := s.Fits(doc, i); !fits || err != nil {
			t.Fatalf("%q does not fit into %s: %v", doc, s.State(), err)
		}
		grown := s.State()
		if s.Grow(doc, i); !bytes.Equal(s.State(), grown) {
			t.Fatalf("%q changes the schema twice", doc)
		}
		if !json.Valid(grown) {
			t.Fatal("state is not JSON")
		}
	})
}
