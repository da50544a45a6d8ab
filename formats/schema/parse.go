package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseType reads the text of a type in the grammar of Hive, which the Glue Data
// Catalog uses for its columns:
//
//	boolean | tinyint | smallint | int | bigint | float | double
//	string | char(n) | varchar(n) | binary | timestamp | date
//	decimal | decimal(precision) | decimal(precision,scale)
//	array<type> | map<primitive,type> | struct<name:type,...>
//
// and as further names bool, int8, int16, int32, integer, int64, long, text,
// bytes, list and json. Names of types are read in any case, white space may be
// between the parts, and names of fields may be in back quotes, doubled inside.
// A decimal without numbers is decimal(10,0), as in Hive.
func ParseType(text string) (*Type, error) {
	if len(text) > MaxTypeText {
		return nil, fmt.Errorf("type has %d bytes, the limit is %d", len(text), MaxTypeText)
	}
	p := parser{text: text}
	t, err := p.parse(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(text) {
		return nil, p.fail(p.i, "%s follows the end of the type", p.here())
	}
	return t, nil
}

type parser struct {
	text   string
	i      int
	leaves int
}

// fail is an error at byte at, which is shown counting from 1.
func (p *parser) fail(at int, format string, args ...any) error {
	text := p.text
	if len(text) > 100 {
		text = strings.ToValidUTF8(text[:100], "") + "..."
	}
	return fmt.Errorf("type %q: %s at character %d", text, fmt.Sprintf(format, args...), at+1)
}

// here describes what is next.
func (p *parser) here() string {
	if p.i >= len(p.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.i:])
	return fmt.Sprintf("%q", r)
}

func (p *parser) space() {
	for p.i < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.i]) >= 0 {
		p.i++
	}
}

// skip passes over c when it is next.
func (p *parser) skip(c byte) bool {
	p.space()
	if p.i < len(p.text) && p.text[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) expect(c byte) error {
	if !p.skip(c) {
		return p.fail(p.i, "%s where %q is expected", p.here(), c)
	}
	return nil
}

// nameByte reports whether c can be in a name without quotes.
func nameByte(c byte) bool {
	return c >= utf8.RuneSelf || c == '_' || c == '-' || c == '.' || c == '$' || c-'0' <= 9 || (c|0x20)-'a' <= 'z'-'a'
}

func (p *parser) word() string {
	p.space()
	start := p.i
	for p.i < len(p.text) && nameByte(p.text[p.i]) {
		p.i++
	}
	return p.text[start:p.i]
}

// typeNames are the types that need nothing but their name.
var typeNames = map[string]Kind{
	"boolean": Boolean, "bool": Boolean, "tinyint": Int8, "int8": Int8, "smallint": Int16, "int16": Int16,
	"int": Int32, "integer": Int32, "int32": Int32, "bigint": Int64, "int64": Int64, "long": Int64,
	"float": Float, "double": Double, "string": String, "text": String, "binary": Binary, "bytes": Binary,
	"timestamp": Timestamp, "date": Date, "json": JSON,
}

func (p *parser) parse(depth int) (*Type, error) {
	if depth > MaxDepth {
		return nil, p.fail(p.i, "nesting deeper than %d", MaxDepth)
	}
	p.space()
	start := p.i
	name := strings.ToLower(p.word())
	if kind, ok := typeNames[name]; ok {
		return p.leaf(&Type{Kind: kind})
	}
	switch name {
	case "char", "varchar":
		return p.lengthOf(name)
	case "decimal", "numeric":
		return p.decimal(start)
	case "array", "list":
		return p.list(depth)
	case "map":
		return p.mapping(depth)
	case "struct":
		return p.structure(depth)
	case "":
		return nil, p.fail(p.i, "%s where a type is expected", p.here())
	case "uniontype":
		return nil, p.fail(start, "uniontype is not supported")
	}
	return nil, p.fail(start, "%q is not a type", p.text[start:p.i])
}

func (p *parser) leaf(t *Type) (*Type, error) {
	if p.leaves++; p.leaves > MaxColumns {
		return nil, p.fail(p.i, "more than %d leaf columns", MaxColumns)
	}
	return t, nil
}

// number reads digits, as many as an int holds for sure.
func (p *parser) number() (int, error) {
	p.space()
	n, start := 0, p.i
	for p.i < len(p.text) && p.text[p.i]-'0' <= 9 && p.i-start < 6 {
		n = n*10 + int(p.text[p.i]-'0')
		p.i++
	}
	if p.i == start {
		return 0, p.fail(p.i, "%s where a number is expected", p.here())
	}
	return n, nil
}

// lengthOf reads the length of char and varchar, which is checked and not kept.
func (p *parser) lengthOf(name string) (*Type, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	at := p.i
	n, err := p.number()
	if err != nil {
		return nil, err
	}
	if limit := map[string]int{"char": 255, "varchar": 65535}[name]; n < 1 || n > limit {
		return nil, p.fail(at, "length of %s is 1 to %d, not %d", name, limit, n)
	}
	if err := p.expect(')'); err != nil {
		return nil, err
	}
	return p.leaf(&Type{Kind: String})
}

func (p *parser) decimal(start int) (*Type, error) {
	t := &Type{Kind: Decimal, Precision: 10}
	if !p.skip('(') {
		return p.leaf(t)
	}
	var err error
	if t.Precision, err = p.number(); err != nil {
		return nil, err
	}
	if p.skip(',') {
		if t.Scale, err = p.number(); err != nil {
			return nil, err
		}
	}
	if err := p.expect(')'); err != nil {
		return nil, err
	}
	if err := t.validate(0); err != nil {
		return nil, p.fail(start, "%v", err)
	}
	return p.leaf(t)
}

func (p *parser) list(depth int) (*Type, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	elem, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	return &Type{Kind: List, Elem: elem}, p.expect('>')
}

func (p *parser) mapping(depth int) (*Type, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	p.space()
	at := p.i
	key, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	if key.Kind >= JSON {
		return nil, p.fail(at, "map key is %v, it must be a primitive type", key.Kind)
	}
	if err := p.expect(','); err != nil {
		return nil, err
	}
	elem, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	return &Type{Kind: Map, Key: key, Elem: elem}, p.expect('>')
}

func (p *parser) structure(depth int) (*Type, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	t := &Type{Kind: Struct}
	seen := map[string]bool{}
	for {
		p.space()
		at := p.i
		name, err := p.fieldName()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, p.fail(at, "field %q is there twice", name)
		}
		seen[name] = true
		if err := p.expect(':'); err != nil {
			return nil, err
		}
		ft, err := p.parse(depth + 1)
		if err != nil {
			return nil, err
		}
		t.Fields = append(t.Fields, Field{Name: name, Type: ft})
		if !p.skip(',') {
			return t, p.expect('>')
		}
	}
}

func (p *parser) fieldName() (string, error) {
	start := p.i
	name := ""
	if p.skip('`') {
		var b strings.Builder
		for {
			end := strings.IndexByte(p.text[p.i:], '`')
			if end < 0 {
				return "", p.fail(start, "back quote is not closed")
			}
			b.WriteString(p.text[p.i : p.i+end])
			p.i += end + 1
			if p.i >= len(p.text) || p.text[p.i] != '`' {
				break
			}
			b.WriteByte('`')
			p.i++
		}
		name = b.String()
	} else {
		name = p.word()
	}
	if name == "" || !utf8.ValidString(name) {
		return "", p.fail(start, "%s where a field name is expected", p.here())
	}
	return name, nil
}
