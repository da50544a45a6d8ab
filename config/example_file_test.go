package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const exampleFile = "../config.example.yaml"

func TestExampleFileAsItIs(t *testing.T) {
	c, err := Load(exampleFile, getenv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Notes()) > 0 {
		t.Errorf("notes: %v", c.Notes())
	}
	if c.HTTP.Listen != "127.0.0.1:4573" || c.HTTP.Auth != "none" {
		t.Errorf("listens on %s with auth %s", c.HTTP.Listen, c.HTTP.Auth)
	}
	log := c.DeliveryStreams["access-log"]
	if log == nil || log.Source.File == nil || log.Format.Parquet == nil || !log.Format.Parquet.Schema.Inferred() ||
		log.Destination.Dir == nil || len(log.Transforms) != 2 || log.Errors.Dir == nil {
		t.Errorf("access-log is %+v", log)
	}
	for name, s := range c.DeliveryStreams {
		if s.Buffer.Interval > Duration(5e9) {
			t.Errorf("%s has an interval of %v: files would not show within seconds", name, s.Buffer.Interval)
		}
	}
}

// A line "# key: value" is a setting that is switched off, "## text" explains.
var switchedOff = regexp.MustCompile(`(?m)^# (.*)$`)

func TestExampleFileMentionsEveryKey(t *testing.T) {
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(string(data), "\n"); ok { // the first line is for editors
		data = switchedOff.ReplaceAll([]byte(rest), []byte("$1"))
	}
	c, err := loadBytes("all switched on", data)
	if err != nil {
		t.Fatal(err)
	}
	given := map[*Field]bool{}
	var walk func(s *Section, v reflect.Value, path string)
	var value func(f *Field, v reflect.Value, path string)
	value = func(f *Field, v reflect.Value, path string) {
		switch f.Kind {
		case SectionKind:
			if f.pointer {
				v = v.Elem()
			}
			walk(f.Section, v, path)
		case ListKind:
			for i := range v.Len() {
				value(f.Elem, v.Index(i), pathIndex(path, i))
			}
		case MapKind:
			for _, k := range v.MapKeys() {
				value(f.Elem, v.MapIndex(k), pathKey(path, k.String()))
			}
		}
	}
	walk = func(s *Section, v reflect.Value, path string) {
		for _, f := range s.Fields {
			below := pathKey(path, f.Key)
			if c.Given(below) {
				given[f] = true
				value(f, v.Field(f.index), below)
			}
		}
	}
	walk(Table(), reflect.ValueOf(c).Elem(), "")

	for _, s := range allSections() {
		for _, f := range s.Fields {
			if !given[f] {
				t.Errorf("%s does not mention %s of %s", exampleFile, f.Key, s.Type)
			}
		}
	}
}

// allSections lists every section once.
func allSections() []*Section {
	var list []*Section
	var walk func(s *Section)
	walk = func(s *Section) {
		if slices.Contains(list, s) {
			return
		}
		list = append(list, s)
		for _, f := range s.Fields {
			inner := f
			for inner.Elem != nil {
				inner = inner.Elem
			}
			if inner.Section != nil {
				walk(inner.Section)
			}
		}
	}
	walk(Table())
	return list
}
