package schema

import (
	"strings"
	"testing"
)

func TestParseType(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"boolean", "boolean"},
		{" BOOL ", "boolean"},
		{"tinyint", "tinyint"},
		{"int8", "tinyint"},
		{"smallint", "smallint"},
		{"Integer", "int"},
		{"int32", "int"},
		{"bigint", "bigint"},
		{"long", "bigint"},
		{"float", "float"},
		{"DOUBLE", "double"},
		{"char(10)", "string"},
		{"varchar( 65535 )", "string"},
		{"text", "string"},
		{"bytes", "binary"},
		{"timestamp", "timestamp"},
		{"date", "date"},
		{"decimal", "decimal(10,0)"},
		{"decimal(12)", "decimal(12,0)"},
		{"decimal ( 38 , 38 )", "decimal(38,38)"},
		{"array<string>", "array<string>"},
		{"list<list<int>>", "array<array<int>>"},
		{"map<string,array<double>>", "map<string,array<double>>"},
		{"struct<a:int,`b c`:string, D-1 : struct<x:date>>", "struct<a:int,`b c`:string,D-1:struct<x:date>>"},
		{"struct<`a``b`:int>", "struct<`a``b`:int>"},
		{"struct<größe:json>", "struct<größe:json>"},
		{strings.Repeat("array<", 32) + "int" + strings.Repeat(">", 32), strings.Repeat("array<", 32) + "int" + strings.Repeat(">", 32)},
	} {
		got, err := ParseType(tt.in)
		if err != nil || got.String() != tt.want {
			t.Errorf("%q: got %v, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestParseTypeErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `type "": the end where a type is expected at character 1`},
		{"strng", `type "strng": "strng" is not a type at character 1`},
		{"array<strng>", `type "array<strng>": "strng" is not a type at character 7`},
		{"int int", `type "int int": 'i' follows the end of the type at character 5`},
		{"array", `type "array": the end where '<' is expected at character 6`},
		{"array<int", `type "array<int": the end where '>' is expected at character 10`},
		{"map<string>", `type "map<string>": '>' where ',' is expected at character 11`},
		{"map<array<int>,int>", `type "map<array<int>,int>": map key is array, it must be a primitive type at character 5`},
		{"struct<>", `type "struct<>": '>' where a field name is expected at character 8`},
		{"struct<a int>", `type "struct<a int>": 'i' where ':' is expected at character 10`},
		{"struct<a:int,a:int>", `type "struct<a:int,a:int>": field "a" is there twice at character 14`},
		{"struct<`a:int>", "type \"struct<`a:int>\": back quote is not closed at character 8"},
		{"decimal(39,2)", `type "decimal(39,2)": decimal(39,2): precision is 1 to 38 and scale 0 to precision at character 1`},
		{"decimal(5,6)", `type "decimal(5,6)": decimal(5,6): precision is 1 to 38 and scale 0 to precision at character 1`},
		{"decimal(x)", `type "decimal(x)": 'x' where a number is expected at character 9`},
		{"varchar", `type "varchar": the end where '(' is expected at character 8`},
		{"char(256)", `type "char(256)": length of char is 1 to 255, not 256 at character 6`},
		{"uniontype<int>", `type "uniontype<int>": uniontype is not supported at character 1`},
		{strings.Repeat("array<", 33) + "int", `type "` + strings.Repeat("array<", 16) + `arra...": nesting deeper than 32 at character 199`},
		{strings.Repeat(" ", MaxTypeText+1), "type has 131073 bytes, the limit is 131072"},
	} {
		got, err := ParseType(tt.in)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.40q: got %v, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{
		"int", "decimal(10,2)", "struct<a:int,`b``c`:map<string,array<timestamp>>>", "varchar(3)", "struct<a:struct<b:struct<c:int>>>",
		"array<", "map<,>", "struct<`", "ARRAY < BIGINT >",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		typ, err := ParseType(in)
		if err != nil {
			return
		}
		if err := typ.validate(0); err != nil {
			t.Fatalf("%q is read as %s, which is not valid: %v", in, typ, err)
		}
		again, err := ParseType(typ.String())
		if err != nil || again.String() != typ.String() {
			t.Fatalf("%q is read as %s, which is read as %v, %v", in, typ, again, err)
		}
	})
}

func TestValidate(t *testing.T) {
	text := &Type{Kind: String}
	for _, tt := range []struct {
		columns []Column
		want    string
	}{
		{nil, "schema has no columns"},
		{[]Column{{Type: text}}, "column 1: name is empty"},
		{[]Column{{Name: "a", Type: text}, {Name: "a", Type: text}}, `column "a": name is there twice`},
		{[]Column{{Name: "a", Type: text}, {Name: "b", Key: "a", Type: text}}, `column "b": key "a" already fills another column`},
		{[]Column{{Name: "a", Key: "b", Type: text}, {Name: "b", Type: text}}, `column "b": key "b" already fills another column`},
		{[]Column{{Name: "a"}, {Name: "\xff", Type: text}}, "column \"a\": type is missing\ncolumn \"\\xff\": name is not UTF-8"},
		{[]Column{{Name: "a", Type: &Type{Kind: Decimal}}}, `column "a": decimal(0,0): precision is 1 to 38 and scale 0 to precision`},
		{[]Column{{Name: "a", Type: &Type{Kind: 99}}}, `column "a": type has unknown kind 99`},
		{[]Column{{Name: "a", Type: &Type{Kind: Struct}}}, `column "a": struct has no fields`},
	} {
		if err := Validate(tt.columns); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	many := make([]Column, MaxColumns+1)
	for i := range many {
		many[i] = Column{Name: "c" + strings.Repeat("x", i), Type: text}
	}
	if err := Validate(many); err == nil || err.Error() != "schema has 5001 leaf columns, the limit is 5000" {
		t.Errorf("got %v", err)
	}
	if err := Validate([]Column{{Name: "a", Key: "b", Type: text}, {Name: "b", Key: "a", Type: text}}); err != nil {
		t.Errorf("swapped keys: %v", err)
	}
}
