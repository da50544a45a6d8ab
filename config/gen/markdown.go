package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/firehosed/firehosed/config"
)

//go:embed intro.md
var intro string

func markdown(sections []*section) []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	b.WriteString("## Sections\n\n")
	for _, s := range sections {
		depth, name := 0, s.title()
		if p := s.paths[0]; p != "" {
			depth, name = strings.Count(strings.ReplaceAll(p, ".NAME", ""), "."), lastKey(p)
		}
		fmt.Fprintf(&b, "%s- [%s](#%s)\n", strings.Repeat("  ", depth), name, anchor(s.title()))
	}
	for _, s := range sections {
		s.write(&b, sections)
	}
	return b.Bytes()
}

func (s *section) title() string {
	if s.paths[0] == "" {
		return "The file"
	}
	return s.paths[0]
}

// lastKey returns the key at the end of a path: transforms[] -> transforms,
// streams.NAME -> streams.
func lastKey(path string) string {
	path = strings.TrimSuffix(strings.TrimSuffix(path, ".NAME"), "[]")
	return path[strings.LastIndexByte(path, '.')+1:]
}

// anchor is the name that Markdown renderers give to a heading.
func anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (s *section) write(b *bytes.Buffer, all []*section) {
	fmt.Fprintf(b, "\n## %s\n\n", s.title())
	if p := s.paths[0]; p != "" {
		doc, subject := s.doc, "`"+lastKey(p)+"`"
		if strings.HasSuffix(p, "[]") || strings.HasSuffix(p, ".NAME") {
			subject = "Each entry"
		}
		b.WriteString(about(doc, s.Type, subject) + "\n\n")
	}
	if others := s.paths[1:]; len(others) > 0 {
		fmt.Fprintf(b, "The same keys stand in %s.\n\n", code(others, ", "))
	}
	if groups, keys := s.Choices(); !strings.Contains(s.doc, "xactly one of") {
		for _, g := range groups {
			fmt.Fprintf(b, "Exactly one of %s must be given.\n\n", code(keys[g], ", "))
		}
	}
	if len(s.Later) > 0 {
		fmt.Fprintf(b, "Not available yet: %s.\n\n", code(s.Later, ", "))
	}
	if len(s.Fields) == 0 {
		return
	}
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, f := range s.Fields {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Key, cell(typeOf(f, all)), cell(defaultOf(f)), cell(meaningOf(f, s.field[f])))
	}
}

// typeOf says what a key takes, with its words or range.
func typeOf(f *config.Field, all []*section) string {
	switch f.Kind {
	case config.SectionKind:
		return mappingType(f.Section, all)
	case config.ListKind:
		return "list of " + typeOf(f.Elem, all)
	case config.MapKind:
		return "from names to " + typeOf(f.Elem, all)
	}
	switch {
	case f.Enum != nil:
		return code(f.Enum, ", ")
	case f.Range[0] != "":
		return string(f.Kind) + ", " + f.Range[0] + " to " + f.Range[1]
	}
	return string(f.Kind)
}

func mappingType(s *config.Section, all []*section) string {
	i := slices.IndexFunc(all, func(k *section) bool { return k.Section == s })
	link := fmt.Sprintf("[mapping](#%s)", anchor(all[i].title()))
	switch how, arg, _ := strings.Cut(s.Scalar, ":"); how {
	case "choice":
		return "one of its words, or " + link
	case "field":
		return "its " + arg + ", or " + link
	case "words":
		return "`" + arg + "`, or " + link
	}
	return link
}

func defaultOf(f *config.Field) string {
	switch {
	case f.Required:
		return "required"
	case f.Otherwise != "":
		return f.Otherwise
	case f.HasDefault:
		return "`" + strings.ReplaceAll(f.Default, "\n", `\n`) + "`"
	}
	return ""
}

func meaningOf(f *config.Field, doc string) string {
	if f.Shape != "" && f.Kind != config.MapKind {
		doc += " Must be " + f.Shape + "."
	}
	if f.Shape != "" && f.Kind == config.MapKind {
		doc += " Names: " + f.Shape + "."
	}
	if len(f.Later) > 0 {
		doc += " Not available yet: " + code(f.Later, ", ") + "."
	}
	return strings.TrimSpace(doc)
}

func code(list []string, sep string) string {
	return "`" + strings.Join(list, "`"+sep+"`") + "`"
}

// cell makes a text fit into a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n\n", " ", "\n", " ").Replace(s)
}
