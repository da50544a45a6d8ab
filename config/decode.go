package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// decoder fills the structs of the table from items. It goes on after each
// problem, so that all of them are found in one pass.
type decoder struct {
	file     string
	problems *collector
	resolver *resolver
	places   map[string]place
}

func (d *decoder) report(line, col int, path, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	d.problems.add(Problem{File: d.file, Line: line, Col: col, Path: path, Message: message})
}

// section fills v from a mapping. key is where the mapping hangs: for what is
// missing there is no better place to point at.
func (d *decoder) section(s *Section, it *item, v reflect.Value, path string, key place) {
	s.setDefaults(v)
	it = d.expandScalar(s, it, path)
	if it == nil {
		return
	}
	var meant []string // known keys that an unknown one probably means
	for i := range it.pairs {
		p := &it.pairs[i]
		f := s.field(p.key)
		if f == nil {
			if path != "" || !strings.HasPrefix(p.key, "x-") {
				meant = append(meant, d.unknownKey(s, p, path))
			}
			continue
		}
		below := pathKey(path, f.Key)
		d.places[below] = place{line: p.line, col: p.col}
		d.value(f, p.value, v.Field(f.index), below, d.places[below])
	}
	d.missing(s, it, path, key, meant)
}

// expandScalar turns a single value that stands for a mapping into that
// mapping. It returns nil, after a report, if nothing can be made of it.
func (d *decoder) expandScalar(s *Section, it *item, path string) *item {
	if it.kind == mappingItem {
		return it
	}
	if it.null {
		d.empty(it, path)
		return nil
	}
	how, arg, _ := strings.Cut(s.Scalar, ":")
	if it.kind == listItem || how == "" {
		d.report(it.line, it.col, path, "%s: must be %s, not a %v", path, d.wanted(s), it.kind)
		return nil
	}
	out := &item{kind: mappingItem, line: it.line, col: it.col}
	if how == "field" {
		out.pairs = []pair{{key: arg, line: it.line, col: it.col, value: it}}
		return out
	}
	text, origin, err := d.resolver.resolve(it.text)
	if err != nil {
		d.report(it.line, it.col, path, "%s: %v", path, err)
		return nil
	}
	shown := d.shown(text, origin)
	if how == "words" {
		if text == arg {
			return nil // the zero value, with the section's own defaults
		}
		d.report(it.line, it.col, path, "%s: %s is neither `%s` nor a mapping", path, shown, arg)
		return nil
	}
	if slices.Contains(s.Later, text) {
		d.report(it.line, it.col, path, "%s: %s is not available yet; write %s", path, shown, orWords(s.keys()))
		return nil
	}
	if s.field(text) == nil {
		d.report(it.line, it.col, path, "%s: %s is not one of %s%s", path, shown, strings.Join(s.keys(), ", "), didYouMean(text, s.keys()))
		return nil
	}
	empty := &item{kind: mappingItem, line: it.line, col: it.col}
	out.pairs = []pair{{key: text, line: it.line, col: it.col, value: empty}}
	return out
}

// wanted says in a message what a section takes.
func (d *decoder) wanted(s *Section) string {
	switch how, arg, _ := strings.Cut(s.Scalar, ":"); how {
	case "choice":
		return "a word or a mapping"
	case "words":
		return "`" + arg + "` or a mapping"
	}
	keys := s.keys()
	if len(keys) == 0 {
		return "{}"
	}
	return "a mapping such as { " + keys[0] + ": ... }"
}

// unknownKey reports a key and returns the known one that is probably meant, or
// "".
func (d *decoder) unknownKey(s *Section, p *pair, path string) string {
	in := " at the top of the file"
	if path != "" {
		in = " in " + path
	}
	message := "unknown key `" + clip(p.key) + "`" + in
	keys := s.keys()
	near := nearest(p.key, keys)
	switch {
	case slices.Contains(s.Later, p.key):
		message = "`" + p.key + "`" + in + " is not available yet; write " + orWords(keys)
	case near != "":
		message += "; did you mean `" + near + "`?"
	default:
		if len(keys) > 0 && len(keys) <= 12 {
			message += "; known here: " + strings.Join(keys, ", ")
		} else if len(keys) == 0 {
			message += "; it takes no keys, write {}"
		}
		if at := homes(p.key); len(at) > 0 {
			message += "; `" + p.key + "` belongs in " + orWords(at)
		}
	}
	d.report(p.line, p.col, pathKey(path, p.key), "%s", message)
	return near
}

// missing reports required keys that are not there, and choices that are not
// made or made twice. A misspelled key, reported already, counts as there.
func (d *decoder) missing(s *Section, it *item, path string, key place, meant []string) {
	name := path
	if name == "" {
		name = "the file"
	}
	groups, members := s.Choices()
	for _, g := range groups {
		var made []pair
		for _, p := range it.pairs {
			if slices.Contains(members[g], p.key) {
				made = append(made, p)
			}
		}
		if len(made) == 0 && len(meant) == 0 {
			d.report(key.line, key.col, path, "%s: exactly one of %s must be given", name, strings.Join(members[g], ", "))
		}
		for _, p := range made[min(1, len(made)):] {
			d.report(p.line, p.col, pathKey(path, p.key), "%s: `%s` cannot stand beside `%s`; exactly one of %s must be given",
				name, p.key, made[0].key, strings.Join(members[g], ", "))
		}
	}
	for _, f := range s.Fields {
		if f.Required && it.get(f.Key) == nil && !slices.Contains(meant, f.Key) {
			d.report(key.line, key.col, pathKey(path, f.Key), "%s: `%s` is missing", name, f.Key)
		}
	}
}

// value fills the Go field v of f.
func (d *decoder) value(f *Field, it *item, v reflect.Value, path string, key place) {
	switch f.Kind {
	case SectionKind:
		if f.pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		d.section(f.Section, it, v, path, key)
	case ListKind:
		d.elements(f, it, v, path)
	case MapKind:
		d.entries(f, it, v, path)
	default:
		d.scalar(f, it, v, path)
	}
}

func (d *decoder) elements(f *Field, it *item, v reflect.Value, path string) {
	if it.null {
		d.report(it.line, it.col, path, "%s: has no value; give it a list or remove the key", path)
		return
	}
	if it.kind != listItem {
		example := "[...]"
		if it.kind == scalarItem {
			example = "[" + clip(it.text) + "]"
			if f.Elem.Kind == SecretKind {
				example = "[...]"
			}
		}
		d.report(it.line, it.col, path, "%s: must be a list, such as %s, not a %v", path, example, it.kind)
		return
	}
	if f.Required && len(it.list) == 0 {
		d.report(it.line, it.col, path, "%s: is empty; give at least one", path)
	}
	list := reflect.MakeSlice(v.Type(), len(it.list), len(it.list))
	for i, e := range it.list {
		below := pathIndex(path, i)
		d.places[below] = place{line: e.line, col: e.col}
		d.value(f.Elem, e, list.Index(i), below, d.places[below])
	}
	v.Set(list)
}

func (d *decoder) entries(f *Field, it *item, v reflect.Value, path string) {
	if it.null {
		d.empty(it, path)
		return
	}
	if it.kind != mappingItem {
		d.report(it.line, it.col, path, "%s: must be a mapping from names, not a %v", path, it.kind)
		return
	}
	entries := reflect.MakeMapWithSize(v.Type(), len(it.pairs))
	for i := range it.pairs {
		p := &it.pairs[i]
		below := pathKey(path, p.key)
		d.places[below] = place{line: p.line, col: p.col}
		if f.Match != nil && !f.Match.MatchString(p.key) {
			d.report(p.line, p.col, below, "%s: name `%s` must be %s", path, clip(p.key), f.Shape)
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(f.Elem, p.value, e, below, d.places[below])
		entries.SetMapIndex(reflect.ValueOf(p.key), e)
	}
	v.Set(entries)
}

func (d *decoder) scalar(f *Field, it *item, v reflect.Value, path string) {
	if it.kind != scalarItem {
		d.report(it.line, it.col, path, "%s: must be a %s, not a %v", path, f.wanted(), it.kind)
		return
	}
	at := place{line: it.line, col: it.col}
	d.places[path] = at
	if it.null {
		d.report(it.line, it.col, path, "%s: has no value; give it one or remove the key", path)
		return
	}
	text, origin, err := d.resolver.resolve(it.text)
	if err != nil {
		d.report(it.line, it.col, path, "%s: %v", path, err)
		return
	}
	shown := d.shown(text, origin)
	if f.Kind == SecretKind {
		at.origin, at.value, shown = "the file", text, "the value"
	}
	if origin != "" {
		at.origin, at.value, shown = origin, text, d.shown(text, origin)
	}
	d.places[path] = at
	if err := f.parse(text, v); err != nil {
		what := err.Error()
		if at.origin != "" {
			// What comes after the semicolon may repeat a part of the value.
			what, _, _ = strings.Cut(what, "; ")
		}
		if text == "" && origin == "" {
			shown = "the text"
		}
		d.report(it.line, it.col, path, "%s: %s %s", path, shown, what)
	}
}

// wanted says in a message what a field with a single value takes.
func (f *Field) wanted() string {
	switch {
	case f.Kind == BoolKind:
		return "single value, true or false"
	case f.Enum != nil:
		return "single value, " + orWords(f.Enum)
	case f.Kind == SecretKind:
		return "single value"
	}
	return string(f.Kind)
}

func (d *decoder) shown(text, origin string) string {
	if origin != "" {
		return "value from " + origin
	}
	return "`" + clip(text) + "`"
}

// empty reports a mapping without a value, where YAML would quietly read
// nothing.
func (d *decoder) empty(it *item, path string) {
	d.report(it.line, it.col, path, "%s: has no value; write {} for the defaults, or remove the key", path)
}
