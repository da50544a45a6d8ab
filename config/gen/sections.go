package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firehosed/firehosed/config"
)

// section is a section of the file with where it stands and what it means.
type section struct {
	*config.Section
	paths []string // from the root: "delivery_streams.NAME.buffer"; "" is the root
	doc   string   // paragraphs, one line each
	field map[*config.Field]string
}

// comments are the doc comments of package config: "Type" and "Type.Field".
type comments map[string]string

func readComments(dir string) (comments, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	out := comments{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				out.add(d)
			}
		}
	}
	return out, nil
}

func (c comments) add(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t := spec.(*ast.TypeSpec)
		doc := t.Doc
		if doc == nil {
			doc = d.Doc
		}
		c[t.Name.Name] = paragraphs(doc.Text())
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range s.Fields.List {
			for _, n := range f.Names {
				c[t.Name.Name+"."+n.Name] = paragraphs(f.Doc.Text())
			}
		}
	}
}

// paragraphs joins the lines of each paragraph.
func paragraphs(text string) string {
	var out []string
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.Join(strings.Fields(p), " "); p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "\n\n")
}

// collect lists the sections in the order in which a reader meets them: each
// before those inside it.
func collect(root *config.Section, c comments) []*section {
	var list []*section
	var walk func(s *config.Section, path string)
	walk = func(s *config.Section, path string) {
		if i := slices.IndexFunc(list, func(k *section) bool { return k.Section == s }); i >= 0 {
			list[i].paths = append(list[i].paths, path)
			return
		}
		out := &section{Section: s, paths: []string{path}, doc: c[s.Type], field: map[*config.Field]string{}}
		list = append(list, out)
		for _, f := range s.Fields {
			inner, below := f, f.Key
			if path != "" {
				below = path + "." + f.Key
			}
			for inner.Elem != nil {
				below += map[config.Kind]string{config.ListKind: "[]", config.MapKind: ".NAME"}[inner.Kind]
				inner = inner.Elem
			}
			out.field[f] = c[s.Type+"."+f.GoName]
			if inner.Section == nil {
				continue
			}
			if out.field[f] == "" {
				out.field[f] = firstSentence(about(c[inner.Section.Type], inner.Section.Type, "`"+f.Key+"`"))
			}
			walk(inner.Section, below)
		}
	}
	walk(root, "")
	return list
}

// about makes a comment on a Go type one on another subject.
func about(doc, goType, subject string) string {
	if rest, ok := strings.CutPrefix(doc, goType+" "); ok {
		return subject + " " + rest
	}
	return doc
}

func firstSentence(doc string) string {
	if i := strings.Index(doc, ". "); i >= 0 {
		return doc[:i+1]
	}
	return doc
}
