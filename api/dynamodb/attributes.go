package dynamodb

import (
	"encoding/base64"
	"strings"

	"github.com/firehosed/firehosed/api/dynamodb/internal/expression"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// decodeItem reads attributes by name. Null is no attribute.
func decodeItem(in wire.Value) (leases.Item, error) {
	if in.Kind() != wire.Object {
		return nil, wrongKind(in, "Map")
	}
	item := make(leases.Item, in.Len())
	for name, v := range in.Pairs() {
		value, err := decodeValue(v)
		if err != nil {
			return nil, err
		}
		switch {
		case name == "":
			return nil, invalid("One or more parameter values were invalid: Attribute name must not be empty")
		case len(name) > 65535:
			return nil, invalid("One or more parameter values were invalid: Attribute name is too large, must be less than 65536 bytes")
		}
		item[name] = value
	}
	return item, nil
}

// decodeValue reads an attribute value: an object with one member, whose name
// is the kind.
func decodeValue(in wire.Value) (leases.Value, error) {
	if in.Kind() != wire.Object {
		return leases.Value{}, wrongKind(in, "AttributeValue")
	}
	kind, found := leases.Kind(0), wire.Value{}
	for name, v := range in.Pairs() {
		k := leases.KindOf(name)
		if k == 0 || v.Kind() == wire.Null {
			continue
		}
		if kind != 0 {
			return leases.Value{}, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		kind, found = k, v
	}
	if kind == 0 {
		return leases.Value{}, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	switch kind {
	case leases.KindMap:
		item, err := decodeItem(found)
		return leases.Value{Kind: kind, Map: item}, err
	case leases.KindList:
		list, err := decodeList(found, decodeValue)
		return leases.Value{Kind: kind, List: list}, err
	case leases.KindStringSet, leases.KindNumberSet, leases.KindBinarySet:
		return decodeSet(found, kind)
	case leases.KindBool, leases.KindNull:
		if found.Kind() != wire.Bool {
			return leases.Value{}, wrongKind(found, "Boolean")
		}
		if kind == leases.KindNull && !found.Bool(false) {
			return leases.Value{}, invalidParameter("Null attribute value types must have the value of true")
		}
		return leases.Value{Kind: kind, Bool: kind == leases.KindBool && found.Bool(false)}, nil
	}
	return decodeScalar(found, kind)
}

func decodeScalar(in wire.Value, kind leases.Kind) (leases.Value, error) {
	if in.Kind() != wire.Text {
		return leases.Value{}, wrongKind(in, "String")
	}
	switch kind {
	case leases.KindNumber:
		text := in.View()
		d, err := leases.ParseDecimal(text)
		if err != nil {
			msg := expression.NumberMessage(err)
			if text != "" && len(text) <= 1024 && strings.HasSuffix(msg, "numeric value") {
				msg += ": " + text
			}
			return leases.Value{}, invalid("%s", msg)
		}
		return leases.Number(d), nil
	case leases.KindBinary:
		b, err := base64.StdEncoding.DecodeString(in.View())
		if err != nil {
			return leases.Value{}, serialization("Invalid Base64 in a binary value")
		}
		return leases.Binary(string(b)), nil
	}
	return leases.String(in.Text()), nil
}

func decodeList(in wire.Value, decode func(wire.Value) (leases.Value, error)) ([]leases.Value, error) {
	if in.Kind() != wire.Items {
		return nil, wrongKind(in, "List")
	}
	list := make([]leases.Value, 0, in.Len())
	for item := range in.Items() {
		v, err := decode(item)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func decodeSet(in wire.Value, kind leases.Kind) (leases.Value, error) {
	list, err := decodeList(in, func(v wire.Value) (leases.Value, error) { return decodeScalar(v, kind.Element()) })
	if err != nil {
		return leases.Value{}, err
	}
	if len(list) == 0 {
		switch kind {
		case leases.KindStringSet:
			return leases.Value{}, invalidParameter("An string set  may not be empty")
		case leases.KindNumberSet:
			return leases.Value{}, invalidParameter("An number set  may not be empty")
		}
		return leases.Value{}, invalidParameter("Binary sets should not be empty")
	}
	shown := make([]string, 0, min(len(list), 16))
	for _, v := range list[:cap(shown)] {
		shown = append(shown, v.Text)
	}
	set, ok := leases.Set(kind, list)
	if ok {
		return set, nil
	}
	switch kind {
	case leases.KindNumberSet:
		return leases.Value{}, invalid("Input collection contains duplicates")
	case leases.KindBinarySet:
		return leases.Value{}, invalidParameter("Input collection of type BS contains duplicates.")
	}
	return leases.Value{}, invalidParameter("Input collection [%s] contains duplicates.", strings.Join(shown, ", "))
}

func serialization(format string, args ...any) error {
	return wire.Errorf(wire.CodeSerialization, format, args...)
}

// wrongKind is the answer to JSON of another kind than the member has.
func wrongKind(v wire.Value, want string) error {
	switch v.Kind() {
	case wire.Items:
		return serialization("Unrecognized collection type class java.util.ArrayList: expected %s", want)
	case wire.Object:
		return serialization("Start of structure or map found where not expected.")
	case wire.Number:
		return serialization("NUMBER_VALUE cannot be converted to %s", want)
	case wire.Bool:
		if v.Bool(false) {
			return serialization("TRUE_VALUE cannot be converted to %s", want)
		}
		return serialization("FALSE_VALUE cannot be converted to %s", want)
	case wire.Text:
		return serialization("STRING_VALUE cannot be converted to %s", want)
	}
	return serialization("null cannot be converted to %s", want)
}

// encodeItem writes attributes by name.
func encodeItem(out *wire.Encoder, item leases.Item) {
	out.BeginObject()
	for name, v := range item {
		out.TextKey(name)
		encodeValue(out, v)
	}
	out.EndObject()
}

func encodeValue(out *wire.Encoder, v leases.Value) {
	out.BeginObject()
	out.Key(v.Kind.String())
	switch v.Kind {
	case leases.KindMap:
		encodeItem(out, v.Map)
	case leases.KindList:
		out.BeginList()
		for _, e := range v.List {
			encodeValue(out, e)
		}
		out.EndList()
	case leases.KindStringSet, leases.KindNumberSet, leases.KindBinarySet:
		out.BeginList()
		for _, e := range v.List {
			encodeScalar(out, e)
		}
		out.EndList()
	case leases.KindBool:
		out.Bool(v.Bool)
	case leases.KindNull:
		out.Bool(true)
	default:
		encodeScalar(out, v)
	}
	out.EndObject()
}

func encodeScalar(out *wire.Encoder, v leases.Value) {
	switch v.Kind {
	case leases.KindNumber:
		out.String(v.Number.String())
	case leases.KindBinary:
		out.Blob([]byte(v.Text))
	default:
		out.String(v.Text)
	}
}

func encodeItems(out *wire.Encoder, items []leases.Item) {
	out.BeginList()
	for _, item := range items {
		encodeItem(out, item)
	}
	out.EndList()
}

// keyOf reads and checks a key given by itself.
func keyOf(in wire.Value, def *leases.Definition) (leases.Item, error) {
	key, err := decodeItem(in)
	if err != nil {
		return nil, err
	}
	if err := checkKey(key, def); err != nil {
		return nil, err
	}
	want := 1
	if def.Range != "" {
		want = 2
	}
	if len(key) != want {
		return nil, errKeyMismatch
	}
	return key, nil
}

// Limits of keys, in bytes.
const (
	maxHashBytes  = 2048
	maxRangeBytes = 1024
)

// checkKey makes sure that an item has the key of its table, in its kinds and
// within its limits; errors speak of a key that was given by itself.
func checkKey(item leases.Item, def *leases.Definition) error {
	for _, name := range []string{def.Hash, def.Range} {
		if name == "" {
			continue
		}
		v, ok := item[name]
		if !ok || v.Kind.String() != def.Attributes[name] {
			return errKeyMismatch
		}
		if err := checkKeyValue(name, v, name == def.Range); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyValue(name string, v leases.Value, isRange bool) error {
	if v.Kind == leases.KindNumber {
		return nil
	}
	switch {
	case v.Text == "":
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", longKind(v.Kind), name)
	case !isRange && len(v.Text) > maxHashBytes:
		return invalidParameter("Size of hashkey has exceeded the maximum size limit of%d bytes", maxHashBytes)
	case isRange && len(v.Text) > maxRangeBytes:
		return invalidParameter("Aggregated size of all range keys has exceeded the size limit of %d bytes", maxRangeBytes)
	}
	return nil
}

// checkItemKey is checkKey for an item that is put.
func checkItemKey(item leases.Item, def *leases.Definition) error {
	for _, name := range []string{def.Hash, def.Range} {
		if name == "" {
			continue
		}
		v, ok := item[name]
		if !ok {
			return invalidParameter("Missing the key %s in the item", name)
		}
		if got := v.Kind.String(); got != def.Attributes[name] {
			return invalidParameter("Type mismatch for key %s expected: %s actual: %s", name, def.Attributes[name], got)
		}
		if err := checkKeyValue(name, v, name == def.Range); err != nil {
			return err
		}
	}
	return nil
}
