package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/firehosed/firehosed/config"
)

const root = "../.."

func TestFilesAreCurrent(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date; run go generate ./config", name)
		}
	}
}

func TestEverythingIsExplained(t *testing.T) {
	c, err := readComments(filepath.Join(root, "config"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range collect(config.Table(), c) {
		if s.doc == "" {
			t.Errorf("type %s has no comment", s.Type)
		}
		for _, f := range s.Fields {
			doc := s.field[f]
			if doc == "" {
				t.Errorf("%s.%s has no comment", s.Type, f.GoName)
			} else if !strings.HasSuffix(doc, ".") && !strings.HasSuffix(doc, ":") {
				t.Errorf("%s.%s: comment is no sentence: %q", s.Type, f.GoName, doc)
			}
		}
	}
}

// The schema takes what Load takes, as far as it can know, and finds misspelled
// keys.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "docs/config.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config/testdata/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, file := range append(files, filepath.Join(root, "config.example.yaml")) {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			continue // not YAML, or keys twice
		}
		problem := (&validator{schema}).check(schema, value, "")
		switch bad := strings.Contains(string(text), "# want: "); {
		case !bad && problem != "":
			t.Errorf("%s: the schema refuses it: %s", name, problem)
		case bad && problem == "" && bytes.Contains(text, []byte("unknown key")):
			t.Errorf("%s: the schema takes it, with its unknown keys", name)
		case bad && problem != "":
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("the schema refuses %d bad files, want at least 40", refused)
	}
}

// validator checks a value against the part of JSON schema that jsonSchema
// writes. It fails on anything else.
type validator struct{ root object }

func (v *validator) check(schema any, value any, at string) string {
	if schema == true {
		return ""
	}
	if schema == false {
		return at + ": is not allowed"
	}
	s := schema.(object)
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range s {
			if !yield(k) {
				return
			}
		}
	}) {
		if problem := v.keyword(s, key, value, at); problem != "" {
			return problem
		}
	}
	return ""
}

func (v *validator) keyword(s object, key string, value any, at string) string {
	arg := s[key]
	text, isText := value.(string)
	mapping, isMapping := value.(map[string]any)
	list, isList := value.([]any)
	number, isNumber := value.(int)
	switch key {
	case "$schema", "$defs", "title", "description", "default", "patternProperties":
		return ""
	case "$ref":
		name := strings.TrimPrefix(arg.(string), "#/$defs/")
		return v.check(v.root["$defs"].(object)[name], value, at)
	case "type":
		if !hasType(arg, value) {
			return fmt.Sprintf("%s: %v is not of type %v", at, value, arg)
		}
	case "enum":
		if !slices.Contains(arg.([]any), value) {
			return fmt.Sprintf("%s: %v is not one of %v", at, value, arg)
		}
	case "const":
		if !isNumber || float64(number) != arg.(float64) {
			return fmt.Sprintf("%s: %v is not %v", at, value, arg)
		}
	case "pattern":
		if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
			return fmt.Sprintf("%s: %q does not match %v", at, text, arg)
		}
	case "minLength":
		if isText && len(text) < int(arg.(float64)) {
			return at + ": too short"
		}
	case "minimum":
		if isNumber && float64(number) < arg.(float64) {
			return at + ": too small"
		}
	case "maximum":
		if isNumber && float64(number) > arg.(float64) {
			return at + ": too large"
		}
	case "minItems":
		if isList && len(list) < int(arg.(float64)) {
			return at + ": too few"
		}
	case "items":
		for i, e := range list {
			if p := v.check(arg, e, fmt.Sprintf("%s[%d]", at, i)); p != "" {
				return p
			}
		}
	case "required":
		for _, k := range arg.([]any) {
			if _, ok := mapping[k.(string)]; isMapping && !ok {
				return fmt.Sprintf("%s: %v is missing", at, k)
			}
		}
	case "propertyNames":
		for k := range mapping {
			if p := v.check(arg, k, at+"."+k); p != "" {
				return p
			}
		}
	case "properties", "additionalProperties":
		return v.members(s, key, mapping, at)
	case "allOf", "anyOf", "oneOf":
		return v.combined(key, arg.([]any), value, at)
	default:
		return fmt.Sprintf("%s: the test does not know the keyword %s", at, key)
	}
	return ""
}

func (v *validator) members(s object, key string, mapping map[string]any, at string) string {
	properties, _ := s["properties"].(object)
	patterns, _ := s["patternProperties"].(object)
	for k, e := range mapping {
		sub, known := properties[k]
		if key == "additionalProperties" {
			if known {
				continue
			}
			sub, known = s["additionalProperties"], true
			for pattern, p := range patterns {
				if regexp.MustCompile(pattern).MatchString(k) {
					sub = p
				}
			}
		}
		if !known {
			continue
		}
		if p := v.check(sub, e, at+"."+k); p != "" {
			return p
		}
	}
	return ""
}

func (v *validator) combined(key string, schemas []any, value any, at string) string {
	passed, first := 0, ""
	for _, s := range schemas {
		p := v.check(s, value, at)
		if p == "" {
			passed++
		} else if first == "" {
			first = p
		}
	}
	if key == "allOf" && passed < len(schemas) || key == "anyOf" && passed == 0 || key == "oneOf" && passed != 1 {
		return fmt.Sprintf("%s: %d of %d of %s fit; %s", at, passed, len(schemas), key, first)
	}
	return ""
}

func hasType(want, value any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(w any) bool { return hasType(w, value) })
	}
	is := ""
	switch value.(type) {
	case string:
		is = "string"
	case bool:
		is = "boolean"
	case int:
		is = "integer"
	case float64:
		is = "number"
	case []any:
		is = "array"
	case map[string]any:
		is = "object"
	}
	return is == want || is == "integer" && want == "number"
}
