package leases

import (
	"maps"
	"slices"
	"strconv"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds, in no order of meaning. Their numbers are part of the format of
// stored items.
const (
	KindString    Kind = 1 + iota // S
	KindNumber                    // N
	KindBinary                    // B
	KindStringSet                 // SS
	KindNumberSet                 // NS
	KindBinarySet                 // BS
	KindBool                      // BOOL
	KindNull                      // NULL
	KindMap                       // M
	KindList                      // L
)

var kindNames = [...]string{"", "S", "N", "B", "SS", "NS", "BS", "BOOL", "NULL", "M", "L"}

// String returns the name of the kind on the wire.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// KindOf returns the kind of a name on the wire, 0 if there is none.
func KindOf(name string) Kind {
	if i := slices.Index(kindNames[1:], name); i >= 0 {
		return Kind(i + 1)
	}
	return 0
}

// Element returns the kind of the elements of a set, 0 for other kinds.
func (k Kind) Element() Kind {
	if k >= KindStringSet && k <= KindBinarySet {
		return k - KindStringSet + KindString
	}
	return 0
}

// SetOf returns the kind of sets of a scalar kind, 0 for other kinds.
func (k Kind) SetOf() Kind {
	if k >= KindString && k <= KindBinary {
		return k - KindString + KindStringSet
	}
	return 0
}

// Value is the value of an attribute. Values are never changed: an update
// makes new ones.
type Value struct {
	Kind   Kind
	Bool   bool
	Text   string // of S; the bytes of B
	Number Decimal
	List   []Value // of L; elements of a set, in the order of Compare
	Map    Item
}

// Item is a set of attributes by name, and the value of a map.
type Item map[string]Value

// String returns a value of kind S.
func String(s string) Value { return Value{Kind: KindString, Text: s} }

// Whole returns a whole number.
func Whole(n int) Decimal {
	d, _ := ParseDecimal(strconv.Itoa(n)) // it has at most 19 digits
	return d
}

// Number returns a value of kind N.
func Number(d Decimal) Value { return Value{Kind: KindNumber, Number: d} }

// Binary returns a value of kind B; b holds its bytes.
func Binary(b string) Value { return Value{Kind: KindBinary, Text: b} }

// Set returns a set of elements of its kind's Element, in any order. False
// means that an element is there twice.
func Set(kind Kind, elements []Value) (Value, bool) {
	slices.SortFunc(elements, Value.Compare)
	for i := range elements[min(1, len(elements)):] {
		if elements[i].Compare(elements[i+1]) == 0 {
			return Value{}, false
		}
	}
	return Value{Kind: kind, List: elements}, true
}

// Compare orders two values of the same scalar kind S, N or B: text and bytes
// bytewise, numbers by value.
func (v Value) Compare(o Value) int {
	if v.Kind == KindNumber {
		return v.Number.Compare(o.Number)
	}
	switch {
	case v.Text < o.Text:
		return -1
	case v.Text > o.Text:
		return 1
	}
	return 0
}

// Equal reports whether two values are the same.
func (v Value) Equal(o Value) bool {
	if v.Kind != o.Kind {
		return false
	}
	switch v.Kind {
	case KindBool:
		return v.Bool == o.Bool
	case KindNull:
		return true
	case KindNumber:
		return v.Number == o.Number
	case KindMap:
		return v.Map.Equal(o.Map)
	case KindList, KindStringSet, KindNumberSet, KindBinarySet:
		return slices.EqualFunc(v.List, o.List, Value.Equal)
	}
	return v.Text == o.Text
}

// Equal reports whether two items have the same attributes.
func (i Item) Equal(o Item) bool { return maps.EqualFunc(i, o, Value.Equal) }

// Size is what a value counts for in the size of an item, in bytes.
func (v Value) Size() int {
	switch v.Kind {
	case KindBool, KindNull:
		return 1
	case KindNumber:
		return v.Number.size()
	case KindMap:
		return 3 + len(v.Map) + v.Map.Size()
	case KindList:
		n := 3
		for i := range v.List {
			n += 1 + v.List[i].Size()
		}
		return n
	case KindStringSet, KindNumberSet, KindBinarySet:
		n := 0
		for i := range v.List {
			n += v.List[i].Size()
		}
		return n
	}
	return len(v.Text)
}

// Size is the sum of the names and values of an item, in bytes.
func (i Item) Size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.Size()
	}
	return n
}

// depth is how deep lists and maps nest: 1 for an item of scalars.
func (i Item) depth() int {
	deepest := 0
	for _, v := range i {
		deepest = max(deepest, v.depth())
	}
	return deepest + 1
}

func (v Value) depth() int {
	switch v.Kind {
	case KindMap:
		return v.Map.depth()
	case KindList:
		deepest := 0
		for i := range v.List {
			deepest = max(deepest, v.List[i].depth())
		}
		return deepest + 1
	}
	return 0
}

// count is the number of values in an item, at all depths.
func (i Item) count() int {
	n := 0
	for _, v := range i {
		n += v.count()
	}
	return n
}

func (v Value) count() int {
	n := 1 + v.Map.count()
	for i := range v.List {
		n += v.List[i].count()
	}
	return n
}
