package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kind says what a field takes.
type Kind string

// The kinds of values.
const (
	TextKind     Kind = "text"
	SecretKind   Kind = "secret"
	BoolKind     Kind = "true or false"
	NumberKind   Kind = "number"
	BytesKind    Kind = "size"
	DurationKind Kind = "duration"
	SectionKind  Kind = "mapping" // described by Field.Section
	ListKind     Kind = "list"    // of Field.Elem
	MapKind      Kind = "map"     // from names to Field.Elem
)

// Section describes a mapping of the file: one Go struct of this package.
type Section struct {
	// Type is the name of the Go type, whose comment explains the section.
	Type   string
	Fields []*Field
	// Scalar says what a single value in place of the mapping means: "" it may not
	// stand there; "choice" it names a field of a choice, with defaults;
	// "field:KEY" it is the value of that field; "words:A" it is that word.
	Scalar string
	// Later are keys that will be known one day and deserve their own answer.
	Later []string

	goType reflect.Type
}

// Field describes a key of a section: one field of a Go struct.
type Field struct {
	Key string
	// GoName is the name of the Go field, whose comment explains the key.
	GoName string
	Kind   Kind
	// Section describes the mapping if Kind is SectionKind.
	Section *Section
	// Elem describes the elements of a list or map.
	Elem *Field
	// Default is what stands for a missing key, as it would be written in the file;
	// HasDefault is false if there is none. Otherwise tells of a default that
	// depends on other keys.
	Default    string
	HasDefault bool
	Otherwise  string
	// Range are the least and the largest value, as written in the file.
	Range [2]string
	// Enum are the words a text may be, Later those that are not available yet.
	Enum, Later []string
	// Required fields must be there and not be empty.
	Required bool
	// Choice names a group of which exactly one field must be there.
	Choice string
	// Match is what a text (or, for a map, a name) must look like, and Shape says
	// so in words.
	Match *regexp.Regexp
	Shape string

	index    int
	pointer  bool // the Go field is a pointer, nil while the key is missing
	low, top int64
}

// field returns the description of a key, or nil.
func (s *Section) field(key string) *Field {
	for _, f := range s.Fields {
		if f.Key == key {
			return f
		}
	}
	return nil
}

// keys returns the keys of a section in their order.
func (s *Section) keys() []string {
	keys := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		keys[i] = f.Key
	}
	return keys
}

// Choices returns the groups of which exactly one key must be there, and their
// keys.
func (s *Section) Choices() (groups []string, keys map[string][]string) {
	keys = map[string][]string{}
	for _, f := range s.Fields {
		if f.Choice == "" {
			continue
		}
		if keys[f.Choice] == nil {
			groups = append(groups, f.Choice)
		}
		keys[f.Choice] = append(keys[f.Choice], f.Key)
	}
	return groups, keys
}

// Table describes the whole file, from the section at its root. The result is
// shared and must not be changed.
func Table() *Section { return table() }

// table reads the tags once; they are constants of the program, and a malformed
// one stops every test of this package.
var table = sync.OnceValue(func() *Section {
	return sectionOf(reflect.TypeFor[Config](), map[reflect.Type]*Section{})
})

func sectionOf(t reflect.Type, known map[reflect.Type]*Section) *Section {
	if s := known[t]; s != nil {
		return s
	}
	s := &Section{Type: t.Name(), goType: t}
	known[t] = s
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Name == "_" {
			s.Scalar = sf.Tag.Get("scalar")
			s.Later = words(sf.Tag.Get("later"))
			continue
		}
		key := sf.Tag.Get("key")
		if key == "" {
			continue
		}
		f := &Field{Key: key, GoName: sf.Name, index: i}
		f.describe(sf.Type, known)
		f.readTag(t.Name()+"."+sf.Name, sf.Tag)
		s.Fields = append(s.Fields, f)
	}
	return s
}

// describe sets the kind of a field from its Go type.
func (f *Field) describe(t reflect.Type, known map[reflect.Type]*Section) {
	if t.Kind() == reflect.Pointer {
		f.pointer = true
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[Secret]():
		f.Kind = SecretKind
	case t == reflect.TypeFor[Bytes]():
		f.Kind = BytesKind
	case t == reflect.TypeFor[Duration]():
		f.Kind = DurationKind
	case t.Kind() == reflect.String:
		f.Kind = TextKind
	case t.Kind() == reflect.Bool:
		f.Kind = BoolKind
	case t.Kind() == reflect.Int:
		f.Kind = NumberKind
	case t.Kind() == reflect.Struct:
		f.Kind, f.Section = SectionKind, sectionOf(t, known)
	case t.Kind() == reflect.Slice:
		f.Kind, f.Elem = ListKind, &Field{GoName: f.GoName}
		f.Elem.describe(t.Elem(), known)
	case t.Kind() == reflect.Map:
		f.Kind, f.Elem = MapKind, &Field{GoName: f.GoName}
		f.Elem.describe(t.Elem(), known)
	default:
		panic("config: no kind for " + t.String())
	}
}

// readTag sets what the tag of a field says about it.
func (f *Field) readTag(name string, tag reflect.StructTag) {
	f.Default, f.HasDefault = tag.Lookup("default")
	f.Otherwise = tag.Get("otherwise")
	f.Enum, f.Later = words(tag.Get("enum")), words(tag.Get("later"))
	f.Required = tag.Get("required") != ""
	f.Choice = tag.Get("choice")
	f.Shape = tag.Get("shape")
	match := tag.Get("match")
	if f.Kind == MapKind {
		match = tag.Get("names")
	}
	if match != "" {
		f.Match = regexp.MustCompile(match)
	}
	if limits, ok := tag.Lookup("range"); ok {
		low, top, _ := strings.Cut(limits, "..")
		f.Range = [2]string{low, top}
		var err error
		if f.low, err = f.number(low); err == nil {
			f.top, err = f.number(top)
		}
		if err != nil || f.low > f.top {
			panic(fmt.Sprintf("config: %s: bad range %q", name, limits))
		}
	}
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}

// number reads a text as the number behind a field: bytes, nanoseconds or a
// count. Its error says how to write it, without the text itself.
func (f *Field) number(text string) (int64, error) {
	switch f.Kind {
	case BytesKind:
		b, err := ParseBytes(text)
		return int64(b), err
	case DurationKind:
		d, err := ParseDuration(text)
		return int64(d), err
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("is not a whole number")
		}
		return n, nil
	}
}

// parse reads a text into v, which is of the type of the field. Its error says
// what is wrong with the text, without the text itself.
func (f *Field) parse(text string, v reflect.Value) error {
	switch f.Kind {
	case TextKind, SecretKind:
		if f.Required && text == "" {
			return fmt.Errorf("is empty")
		}
		if slices.Contains(f.Later, text) {
			return fmt.Errorf("is not available yet; write %s", orWords(f.Enum))
		}
		if f.Enum != nil && !slices.Contains(f.Enum, text) {
			return fmt.Errorf("is not one of %s%s", strings.Join(f.Enum, ", "), didYouMean(text, f.Enum))
		}
		if f.Match != nil && !f.Match.MatchString(text) {
			return fmt.Errorf("must be %s", f.Shape)
		}
		if f.Kind == SecretKind {
			v.Set(reflect.ValueOf(NewSecret(text)))
		} else {
			v.SetString(text)
		}
		return nil
	case BoolKind:
		if text != "true" && text != "false" {
			return fmt.Errorf("is neither true nor false")
		}
		v.SetBool(text == "true")
		return nil
	}
	n, err := f.number(text)
	if err != nil {
		return err
	}
	if f.Range[0] != "" && (n < f.low || n > f.top) {
		return fmt.Errorf("is outside %s to %s", f.Range[0], f.Range[1])
	}
	v.SetInt(n)
	return nil
}

// setDefaults gives a struct the defaults of its fields, deep, but leaves
// pointers nil.
func (s *Section) setDefaults(v reflect.Value) {
	for _, f := range s.Fields {
		fv := v.Field(f.index)
		switch {
		case f.pointer:
		case f.Kind == SectionKind:
			f.Section.setDefaults(fv)
		case f.HasDefault:
			if err := f.parse(f.Default, fv); err != nil {
				panic(fmt.Sprintf("config: %s.%s: default %q %v", s.Type, f.GoName, f.Default, err))
			}
		}
	}
}
