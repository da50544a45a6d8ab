package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on a file. They are far above what a person writes and keep a hostile
// one from costing much.
const (
	maxFileBytes = 1 << 20
	maxItems     = 50_000 // after aliases are put in place
	maxDepth     = 64
)

// item is a YAML node with its aliases and merge keys put in place.
type item struct {
	kind      itemKind
	line, col int
	text      string // of a scalar
	null      bool   // a scalar that is empty, ~ or null, without quotes
	pairs     []pair // of a mapping, in order, keys unique
	list      []*item
}

type pair struct {
	key       string
	line, col int
	value     *item
}

type itemKind uint8

const (
	scalarItem itemKind = iota
	mappingItem
	listItem
)

func (k itemKind) String() string {
	return [...]string{"single value", "mapping", "list"}[k]
}

// get returns the value of a key, or nil.
func (it *item) get(key string) *item {
	for i := range it.pairs {
		if it.pairs[i].key == key {
			return it.pairs[i].value
		}
	}
	return nil
}

// treeBuilder turns YAML nodes into items.
type treeBuilder struct {
	file     string
	problems *collector
	items    int
	tooMany  bool
	open     map[*yaml.Node]bool // anchors being expanded: one inside itself has no end
}

func (b *treeBuilder) report(line, col int, format string, args ...any) {
	b.problems.add(Problem{File: b.file, Line: max(line, 1), Col: max(col, 1), Message: fmt.Sprintf(format, args...)})
}

// parseTree reads the one document of a file. It returns nil if that is not
// possible at all; the problems say why.
func parseTree(file string, data []byte, problems *collector) *item {
	b := &treeBuilder{file: file, problems: problems, open: map[*yaml.Node]bool{}}
	if len(data) > maxFileBytes {
		b.report(1, 1, "the file has more than %v", Bytes(maxFileBytes))
		return nil
	}
	if !utf8.Valid(data) {
		line, col := badUTF8(data)
		b.report(line, col, "the file is not UTF-8 text")
		return nil
	}
	docs, err := readDocuments(data)
	if err != nil {
		line, col, message := syntaxError(data, err)
		b.report(line, col, "%s", message)
		return nil
	}
	if len(docs) == 0 || len(docs[0].Content) == 0 {
		b.report(1, 1, "the file is empty; write {} to run on defaults alone")
		return nil
	}
	if len(docs) > 1 {
		b.report(docs[1].Line, docs[1].Column, "a second YAML document begins here (after ---); the file can have only one")
	}
	root := b.build(docs[0].Content[0], 0)
	if root == nil {
		return nil
	}
	if root.null {
		b.report(root.line, root.col, "the file has no settings; write {} to run on defaults alone")
		return nil
	}
	if root.kind != mappingItem {
		b.report(root.line, root.col, "the file must be a mapping (key: value), not a %v", root.kind)
		return nil
	}
	return root
}

// readDocuments returns at most two documents: a second one is an error
// already. The parser is frozen third-party code; should it panic, the file is
// refused like any other it cannot read.
func readDocuments(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &doc)
	}
	return docs, nil
}

func badUTF8(data []byte) (line, col int) {
	line, col = 1, 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
		data = data[n:]
	}
	return line, col
}

var yamlLine = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxError makes a place and a message of an error of the YAML parser. The
// line it names, if any, is that where the surrounding block began; we look for
// the first line that brings the error about.
func syntaxError(data []byte, err error) (line, col int, message string) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	message = yamlLine.ReplaceAllString(err.Error(), "")
	ends := make([]int, len(lines)) // of each line in data
	at := 0
	for i, l := range lines {
		at += len(l)
		ends[i] = at
	}
	line = 1 + sort.Search(len(lines)-1, func(i int) bool {
		_, err := readDocuments(data[:ends[i]])
		return err != nil && yamlLine.ReplaceAllString(err.Error(), "") == message
	})
	text := lines[line-1]
	indent := len(text) - len(bytes.TrimLeft(text, " \t"))
	if tab := bytes.IndexByte(text[:indent], '\t'); tab >= 0 {
		return line, tab + 1, "a tab cannot indent YAML; use spaces"
	}
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		message += `; put quotes around a value with ": " in it, and check the indentation`
	case strings.Contains(message, "did not find expected"):
		message += "; check the indentation, brackets and quotes here"
	case strings.Contains(message, "unexpected end of stream"):
		message += "; a quote that begins here has no end"
	case strings.Contains(message, "cannot start any token"):
		message += "; put quotes around the value"
	}
	return line, indent + 1, "not YAML: " + message
}

// build makes an item of a node, or nil if there is no end to it.
func (b *treeBuilder) build(n *yaml.Node, depth int) *item {
	if b.items++; b.items > maxItems {
		if !b.tooMany {
			b.tooMany = true
			b.report(n.Line, n.Column, "the file has more than %d values once its aliases (*name) are put in place", maxItems)
		}
		return nil
	}
	if depth > maxDepth {
		b.report(n.Line, n.Column, "nested more than %d deep", maxDepth)
		return nil
	}
	if n.Style&yaml.TaggedStyle != 0 {
		b.report(n.Line, n.Column, "tags such as %s are not known here; write the plain value", clip(n.Tag))
	}
	it := &item{line: n.Line, col: n.Column}
	switch n.Kind {
	case yaml.AliasNode:
		if b.open[n.Alias] {
			b.report(n.Line, n.Column, "alias *%s stands inside its own anchor", clip(n.Value))
			return nil
		}
		b.open[n.Alias] = true
		defer delete(b.open, n.Alias)
		return b.build(n.Alias, depth+1)
	case yaml.ScalarNode:
		it.kind, it.text = scalarItem, n.Value
		it.null = n.Tag == "!!null" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	case yaml.SequenceNode:
		it.kind = listItem
		for _, c := range n.Content {
			if child := b.build(c, depth+1); child != nil {
				it.list = append(it.list, child)
			}
		}
	case yaml.MappingNode:
		it.kind = mappingItem
		b.buildPairs(it, n, depth)
	}
	return it
}

// buildPairs fills a mapping. What it says itself wins over what it merges in
// with <<, and an earlier merge over a later one.
func (b *treeBuilder) buildPairs(it *item, n *yaml.Node, depth int) {
	first := map[string]pair{}
	var merges []*item
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode && !b.open[k.Alias] {
			k = &yaml.Node{Kind: k.Alias.Kind, Tag: k.Alias.Tag, Value: k.Alias.Value, Line: k.Line, Column: k.Column}
		}
		if k.Kind != yaml.ScalarNode {
			b.report(k.Line, k.Column, "a key must be a single word")
			continue
		}
		value := b.build(v, depth+1)
		if value == nil {
			continue
		}
		if k.Tag == "!!merge" {
			merges = append(merges, b.merged(value)...)
			continue
		}
		if p, ok := first[k.Value]; ok {
			b.report(k.Line, k.Column, "key `%s` stands here a second time; the first is in line %d, column %d", clip(k.Value), p.line, p.col)
			continue
		}
		p := pair{key: k.Value, line: k.Line, col: k.Column, value: value}
		first[k.Value] = p
		it.pairs = append(it.pairs, p)
	}
	for _, m := range merges {
		for _, p := range m.pairs {
			if _, ok := first[p.key]; !ok {
				first[p.key] = p
				it.pairs = append(it.pairs, p)
			}
		}
	}
}

// merged returns the mappings that the value of a merge key names.
func (b *treeBuilder) merged(value *item) []*item {
	list := []*item{value}
	if value.kind == listItem {
		list = value.list
	}
	var out []*item
	for _, it := range list {
		if it.kind != mappingItem {
			b.report(it.line, it.col, "<< merges mappings, not a %v", it.kind)
			continue
		}
		out = append(out, it)
	}
	return out
}

// clip shortens and cleans a text of the file for a message of one line.
func clip(s string) string {
	const most = 60
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("...")
			break
		}
		if strconv.IsPrint(r) && r != '`' {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
