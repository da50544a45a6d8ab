package parquet

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/firehosed/firehosed/formats/schema"
)

// plan is a schema made ready for shredding: a tree that follows the JSON, whose
// leaves are numbered in the order of the file's columns.
type plan struct {
	root      *place
	leaves    []leaf
	schema    *pq.Schema
	noBounds  [][]string   // paths of columns whose smallest and largest value say nothing
	extra     int          // leaf of the extra column, or -1
	columns   *schema.Type // all columns as a struct, for the file's metadata
	foldNames bool
}

// place is one place in a record: a column, a field, an element, a key.
type place struct {
	kind     schema.Kind
	path     string // for messages: user.tags[]
	name     string // JSON key
	required bool
	// def is the definition level of a value that is there and not null: an empty
	// list, a struct, a number. Null is one less, as everything is optional but
	// the keys of maps.
	def, rep          int
	precision, scale  int
	leaf, leafCount   int // first leaf and how many
	key, elem         *place
	fields            []*place
	index             map[string]int // of fields by name
	seen              uint64         // the object instance that had this field last
	smallest, largest int64          // of an integer
	fixed             int            // bytes of a decimal that needs more than an int64
}

// leaf is a column of the file.
type leaf struct {
	repeated bool
	kind     pq.Kind
	encoding *chosenEncoding
}

// newPlan prepares columns, which are valid, and the text column extra unless
// that is empty.
func newPlan(columns []schema.Column, extra string, foldNames bool) *plan {
	p := &plan{root: &place{kind: schema.Struct}, columns: &schema.Type{Kind: schema.Struct}, extra: -1, foldNames: foldNames}
	group := &groupNode{}
	for _, c := range columns {
		key := c.Key
		if key == "" {
			key = c.Name
		}
		child, n := p.add(c.Type, c.Name, []string{c.Name}, 0, 0)
		child.required = c.Required
		p.root.put(p.fold(key), child)
		group.put(c.Name, n)
		p.columns.Fields = append(p.columns.Fields, schema.Field{Name: c.Name, Type: c.Type})
	}
	if extra != "" {
		t := &schema.Type{Kind: schema.JSON}
		child, n := p.add(t, extra, []string{extra}, 0, 0)
		p.extra = child.leaf
		p.columns.Fields = append(p.columns.Fields, schema.Field{Name: extra, Type: t})
		group.put(extra, n)
	}
	p.root.leafCount = len(p.leaves)
	p.schema = pq.NewSchema("record", group)
	return p
}

func (p *plan) fold(name string) string {
	if p.foldNames {
		return strings.ToLower(name)
	}
	return name
}

func (pl *place) put(name string, child *place) {
	if pl.index == nil {
		pl.index = map[string]int{}
	}
	child.name = name
	pl.index[name] = len(pl.fields)
	pl.fields = append(pl.fields, child)
}

// find returns the field with that name, which is likely the one at hint.
func (pl *place) find(name []byte, hint int) (int, bool) {
	if hint < len(pl.fields) && pl.fields[hint].name == string(name) {
		return hint, true
	}
	at, ok := pl.index[string(name)]
	return at, ok
}

// add makes the place and the file's node of an optional value of type t, whose
// parent has the levels def and rep.
func (p *plan) add(t *schema.Type, path string, columns []string, def, rep int) (*place, pq.Node) {
	pl, n := p.addRequired(t, path, columns, def+1, rep)
	return pl, pq.Optional(n)
}

// addRequired is add for a value that is there whenever its parent is.
func (p *plan) addRequired(t *schema.Type, path string, columns []string, def, rep int) (*place, pq.Node) {
	pl := &place{kind: t.Kind, path: path, def: def, rep: rep, leaf: len(p.leaves), precision: t.Precision, scale: t.Scale}
	// Paths of siblings must not share memory.
	columns = columns[:len(columns):len(columns)]
	var n pq.Node
	switch t.Kind {
	case schema.List:
		// optional group (LIST) { repeated group list { optional element } }
		pl.rep = rep + 1
		var elem pq.Node
		pl.elem, elem = p.add(t.Elem, path+"[]", append(columns, "list", "element"), def+1, rep+1)
		n = pq.List(elem)
	case schema.Map:
		// optional group (MAP) { repeated group key_value { required key; optional value } }
		pl.rep = rep + 1
		var key, value pq.Node
		pl.key, key = p.addRequired(t.Key, path+"{key}", append(columns, "key_value", "key"), def+1, rep+1)
		pl.elem, value = p.add(t.Elem, path+"{}", append(columns, "key_value", "value"), def+1, rep+1)
		n = pq.Map(key, value)
	case schema.Struct:
		group := &groupNode{}
		for _, f := range t.Fields {
			child, fn := p.add(f.Type, path+"."+f.Name, append(columns, f.Name), def, rep)
			pl.put(p.fold(f.Name), child)
			group.put(f.Name, fn)
		}
		n = group
	default:
		enc := &chosenEncoding{}
		n = &leafNode{Node: pl.leafNode(), chosen: enc}
		p.leaves = append(p.leaves, leaf{repeated: rep > 0, kind: n.Type().Kind(), encoding: enc})
		if pl.fixed > 0 {
			p.noBounds = append(p.noBounds, columns)
		}
	}
	pl.leafCount = len(p.leaves) - pl.leaf
	return pl, n
}

// leafNode is the file's type of a primitive.
func (pl *place) leafNode() pq.Node {
	switch pl.kind {
	case schema.Boolean:
		return pq.Leaf(pq.BooleanType)
	case schema.Int8:
		pl.smallest, pl.largest = -1<<7, 1<<7-1
		return pq.Int(8)
	case schema.Int16:
		pl.smallest, pl.largest = -1<<15, 1<<15-1
		return pq.Int(16)
	case schema.Int32:
		pl.smallest, pl.largest = -1<<31, 1<<31-1
		return pq.Leaf(pq.Int32Type)
	case schema.Int64:
		pl.smallest, pl.largest = -1<<63, 1<<63-1
		return pq.Leaf(pq.Int64Type)
	case schema.Float:
		return pq.Leaf(pq.FloatType)
	case schema.Double:
		return pq.Leaf(pq.DoubleType)
	case schema.Binary:
		return pq.Leaf(pq.ByteArrayType)
	case schema.Timestamp:
		return pq.Timestamp(pq.Microsecond)
	case schema.Date:
		return pq.Date()
	case schema.Decimal:
		switch {
		case pl.precision <= 9:
			return pq.Decimal(pl.scale, pl.precision, pq.Int32Type)
		case pl.precision <= 18:
			return pq.Decimal(pl.scale, pl.precision, pq.Int64Type)
		}
		pl.fixed = decimalBytes[pl.precision-19]
		return pq.Leaf(wideDecimal{pq.Decimal(pl.scale, pl.precision, pq.FixedLenByteArrayType(pl.fixed)).Type(), pl.fixed})
	}
	return pq.String() // String, JSON
}

// decimalBytes is how many bytes hold a signed number of 19, 20, ... 38 digits.
var decimalBytes = [...]int{9, 9, 9, 10, 10, 11, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15, 16, 16, 16}

// wideDecimal is a decimal in bytes. The library orders such values as bytes
// without a sign, so that negative ones come last and a reader that goes by the
// bounds misses rows. Hence the column chunk has no bounds, and its column index,
// which must have some, says of every page that it may hold any value.
type wideDecimal struct {
	pq.Type
	size int
}

func (d wideDecimal) NewColumnIndexer(int) pq.ColumnIndexer {
	smallest, largest := make([]byte, d.size), bytes.Repeat([]byte{0xff}, d.size)
	smallest[0], largest[0] = 0x80, 0x7f
	return &anyValue{smallest: smallest, largest: largest}
}

// anyValue is the column index of pages that may hold any value.
type anyValue struct {
	smallest, largest []byte
	index             format.ColumnIndex
}

func (a *anyValue) Reset() { a.index = format.ColumnIndex{} }

func (a *anyValue) IndexPage(values, nulls int64, _, _ pq.Value) {
	x := &a.index
	x.NullPages = append(x.NullPages, values == nulls)
	x.NullCounts = append(x.NullCounts, nulls)
	if values == nulls {
		x.MinValues, x.MaxValues = append(x.MinValues, nil), append(x.MaxValues, nil)
	} else {
		x.MinValues, x.MaxValues = append(x.MinValues, a.smallest), append(x.MaxValues, a.largest)
	}
}

func (a *anyValue) ColumnIndex() format.ColumnIndex { return a.index }

// groupNode is a group whose fields stay in their order. The library's own
// sorts them by name.
type groupNode struct {
	pq.Group
	fields []pq.Field
}

func (g *groupNode) Fields() []pq.Field { return g.fields }
func (g *groupNode) String() string     { return fmt.Sprintf("group of %d", len(g.fields)) }

// GoType is asked for by the library only to read and write Go values.
func (g *groupNode) GoType() reflect.Type { return reflect.TypeFor[any]() }

func (g *groupNode) put(name string, n pq.Node) { g.fields = append(g.fields, fieldNode{n, name}) }

type fieldNode struct {
	pq.Node
	name string
}

func (f fieldNode) Name() string { return f.name }

// Value is asked for by the library only to read and write Go values.
func (f fieldNode) Value(reflect.Value) reflect.Value { return reflect.Value{} }

// leafNode lets the encoding of a column be chosen when the first values are
// there, anew for each row group.
type leafNode struct {
	pq.Node
	chosen *chosenEncoding
}

type chosenEncoding struct{ dictionary bool }

func (n *leafNode) Encoding() encoding.Encoding {
	if n.chosen.dictionary {
		return &pq.RLEDictionary
	}
	return &pq.Plain // the one encoding that every reader knows
}
