package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/firehosed/firehosed/config"
)

// object is a JSON object; encoding/json sorts its keys.
type object = map[string]any

// Texts that stand for a value of any kind: see "Values from outside".
const (
	referencePattern = `\$\{(env|file):`
	sizePattern      = `^[0-9]+(\.[0-9]+)?([KMGTP]i?)?B$|^[0-9]+$`
	durationPattern  = `^([0-9]+d)?([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))*$`
)

// jsonSchema describes the file as a JSON schema of draft 2020-12, for editors.
// It knows no rules between keys other than choices.
func jsonSchema(sections []*section) ([]byte, error) {
	defs := object{
		"reference": object{"type": "string", "pattern": referencePattern},
	}
	for _, s := range sections[1:] {
		defs[s.Type] = sectionSchema(s)
	}
	root := sectionSchema(sections[0])
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of firehosed"
	root["patternProperties"] = object{"^x-": true}
	root["$defs"] = defs
	data, err := json.MarshalIndent(root, "", "  ")
	return append(data, '\n'), err
}

func sectionSchema(s *section) object {
	properties := object{}
	var required []string
	for _, f := range s.Fields {
		p := fieldSchema(f)
		if doc := meaningOf(f, s.field[f]); doc != "" {
			p["description"] = doc
		}
		properties[f.Key] = p
		if f.Required {
			required = append(required, f.Key)
		}
	}
	out := object{"type": "object", "additionalProperties": false, "properties": properties}
	if s.doc != "" {
		out["description"] = s.doc
	}
	if required != nil {
		out["required"] = required
	}
	groups, keys := s.Choices()
	var all []any
	for _, g := range groups {
		var one []any
		for _, k := range keys[g] {
			one = append(one, object{"required": []string{k}})
		}
		all = append(all, object{"oneOf": one})
	}
	if all != nil {
		out["allOf"] = all
	}
	return out
}

func reference() object { return object{"$ref": "#/$defs/reference"} }

// fieldSchema describes what may stand behind a key.
func fieldSchema(f *config.Field) object {
	switch f.Kind {
	case config.SectionKind:
		return mappingSchema(f.Section)
	case config.ListKind:
		out := object{"type": "array", "items": fieldSchema(f.Elem)}
		if f.Required {
			out["minItems"] = 1
		}
		return out
	case config.MapKind:
		out := object{"type": "object", "additionalProperties": fieldSchema(f.Elem)}
		if f.Match != nil {
			out["propertyNames"] = object{"pattern": f.Match.String()}
		}
		return out
	}
	out := scalarSchema(f)
	if f.HasDefault {
		out["default"] = defaultValue(f)
	}
	return out
}

// mappingSchema describes a section, and what may stand in its place.
func mappingSchema(s *config.Section) object {
	ref := object{"$ref": "#/$defs/" + s.Type}
	how, arg, _ := strings.Cut(s.Scalar, ":")
	var short object
	switch how {
	case "choice":
		var keys []string
		for _, f := range s.Fields {
			keys = append(keys, f.Key)
		}
		short = object{"enum": keys}
	case "words":
		short = object{"enum": []string{arg}}
	case "field":
		i := slices.IndexFunc(s.Fields, func(f *config.Field) bool { return f.Key == arg })
		return object{"anyOf": []any{fieldSchema(s.Fields[i]), ref}}
	default:
		return ref
	}
	return object{"anyOf": []any{short, reference(), ref}}
}

func scalarSchema(f *config.Field) object {
	switch f.Kind {
	case config.BoolKind:
		return object{"anyOf": []any{object{"type": "boolean"}, reference()}}
	case config.NumberKind:
		number := object{"type": "integer"}
		if f.Range[0] != "" {
			number["minimum"], number["maximum"] = json.Number(f.Range[0]), json.Number(f.Range[1])
		}
		return object{"anyOf": []any{number, reference()}}
	case config.BytesKind:
		return object{"anyOf": []any{object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": sizePattern}, reference()}}
	case config.DurationKind:
		return object{"anyOf": []any{object{"const": 0}, object{"type": "string", "pattern": durationPattern}, reference()}}
	}
	if f.Enum != nil {
		return object{"anyOf": []any{object{"enum": f.Enum}, reference()}}
	}
	// Text may be written without quotes even if YAML then takes it for a number.
	out := object{"type": []string{"string", "number", "boolean"}}
	if f.Match != nil {
		out["pattern"] = "(?:" + f.Match.String() + ")|" + referencePattern
	}
	if f.Required {
		out["minLength"] = 1
	}
	return out
}

func defaultValue(f *config.Field) any {
	switch f.Kind {
	case config.BoolKind:
		return f.Default == "true"
	case config.NumberKind:
		if n, err := strconv.Atoi(f.Default); err == nil {
			return n
		}
	}
	return f.Default
}
