// Package schema describes the columns of tabular objects: their names, their
// types, the text form of types, and the schema inferred from records.
//
// Types are those of Hive and of the AWS Glue Data Catalog, with a few more
// names for them. The package knows no file format.
package schema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a type.
type Kind uint8

const (
	Boolean   Kind = iota + 1
	Int8           // tinyint
	Int16          // smallint
	Int32          // int
	Int64          // bigint
	Float          // 32 bits
	Double         // 64 bits
	String         // UTF-8 text; char(n) and varchar(n) are read as this and not cut
	Binary         // bytes
	Timestamp      // an instant, in microseconds
	Date           // a day without a time zone
	Decimal        // Precision digits, Scale of them after the point
	JSON           // UTF-8 text that is a JSON value
	List           // of Elem
	Map            // from Key, a primitive, to Elem
	Struct         // Fields
)

var kindNames = [...]string{
	Boolean: "boolean", Int8: "tinyint", Int16: "smallint", Int32: "int", Int64: "bigint", Float: "float", Double: "double",
	String: "string", Binary: "binary", Timestamp: "timestamp", Date: "date", Decimal: "decimal", JSON: "json",
	List: "array", Map: "map", Struct: "struct",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Type is the type of a column or of a part of one. A type is not changed after
// it was made.
type Type struct {
	Kind      Kind
	Precision int     // of a Decimal, 1 to 38
	Scale     int     // of a Decimal, 0 to Precision
	Key       *Type   // of a Map
	Elem      *Type   // of a List or a Map
	Fields    []Field // of a Struct, at least one, names differ
}

// Field is a member of a struct.
type Field struct {
	Name string
	Type *Type
}

// Column is a column of a table.
type Column struct {
	Name string
	Type *Type
	// Key is the JSON key that holds the value; empty means Name.
	Key string
	// Required columns must have a value in each record.
	Required bool
}

// Limits of a schema, which bound the memory that a reader of one needs.
const (
	MaxColumns  = 5000    // leaves of all columns together
	MaxDepth    = 32      // lists, maps and structs inside each other
	MaxTypeText = 1 << 17 // bytes of a type's text, as in Glue
)

// Validate reports every problem of columns, each with the column's name.
func Validate(columns []Column) error {
	if len(columns) == 0 {
		return errors.New("schema has no columns")
	}
	var errs []error
	names, keys := map[string]bool{}, map[string]bool{}
	leaves := 0
	for i, c := range columns {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("column %q: "+format, append([]any{c.Name}, args...)...))
		}
		key := c.Key
		if key == "" {
			key = c.Name
		}
		switch {
		case c.Name == "":
			errs = append(errs, fmt.Errorf("column %d: name is empty", i+1))
		case !utf8.ValidString(c.Name):
			fail("name is not UTF-8")
		case names[c.Name]:
			fail("name is there twice")
		case keys[key]:
			fail("key %q already fills another column", key)
		}
		names[c.Name] = true
		keys[key] = true
		if err := c.Type.validate(0); err != nil {
			fail("%w", err)
			continue
		}
		leaves += c.Type.Leaves()
	}
	if leaves > MaxColumns {
		errs = append(errs, fmt.Errorf("schema has %d leaf columns, the limit is %d", leaves, MaxColumns))
	}
	return errors.Join(errs...)
}

// validate checks a type that may have been put together by hand.
func (t *Type) validate(depth int) error {
	switch {
	case t == nil:
		return errors.New("type is missing")
	case depth > MaxDepth:
		return fmt.Errorf("type is nested deeper than %d", MaxDepth)
	}
	switch t.Kind {
	case Decimal:
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return fmt.Errorf("decimal(%d,%d): precision is 1 to 38 and scale 0 to precision", t.Precision, t.Scale)
		}
	case List:
		return t.Elem.validate(depth + 1)
	case Map:
		if err := t.Key.validate(depth + 1); err != nil {
			return err
		}
		if t.Key.Kind >= JSON {
			return fmt.Errorf("map key is %v, it must be a primitive type", t.Key.Kind)
		}
		return t.Elem.validate(depth + 1)
	case Struct:
		if len(t.Fields) == 0 {
			return errors.New("struct has no fields")
		}
		seen := make(map[string]bool, len(t.Fields))
		for _, f := range t.Fields {
			if f.Name == "" || !utf8.ValidString(f.Name) {
				return fmt.Errorf("struct field name %q is empty or not UTF-8", f.Name)
			}
			if seen[f.Name] {
				return fmt.Errorf("struct field %q is there twice", f.Name)
			}
			seen[f.Name] = true
			if err := f.Type.validate(depth + 1); err != nil {
				return err
			}
		}
	default:
		if t.Kind < Boolean || t.Kind > JSON {
			return fmt.Errorf("type has unknown %v", t.Kind)
		}
	}
	return nil
}

// Leaves is how many primitive columns the type takes.
func (t *Type) Leaves() int {
	switch t.Kind {
	case List:
		return t.Elem.Leaves()
	case Map:
		return t.Key.Leaves() + t.Elem.Leaves()
	case Struct:
		n := 0
		for _, f := range t.Fields {
			n += f.Type.Leaves()
		}
		return n
	}
	return 1
}

// String is the text that ParseType reads.
func (t *Type) String() string {
	var b strings.Builder
	t.write(&b)
	return b.String()
}

func (t *Type) write(b *strings.Builder) {
	b.WriteString(t.Kind.String())
	switch t.Kind {
	case Decimal:
		fmt.Fprintf(b, "(%d,%d)", t.Precision, t.Scale)
	case List:
		b.WriteByte('<')
		t.Elem.write(b)
		b.WriteByte('>')
	case Map:
		b.WriteByte('<')
		t.Key.write(b)
		b.WriteByte(',')
		t.Elem.write(b)
		b.WriteByte('>')
	case Struct:
		for i, f := range t.Fields {
			b.WriteByte("<,"[min(i, 1)])
			writeName(b, f.Name)
			b.WriteByte(':')
			f.Type.write(b)
		}
		b.WriteByte('>')
	}
}

// writeName quotes a name that is not plain.
func writeName(b *strings.Builder, name string) {
	plain := name != ""
	for i := range len(name) {
		plain = plain && nameByte(name[i])
	}
	if plain {
		b.WriteString(name)
		return
	}
	b.WriteByte('`')
	b.WriteString(strings.ReplaceAll(name, "`", "``"))
	b.WriteByte('`')
}
