package leases

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func decimal(t testing.TB, s string) Value {
	t.Helper()
	d, err := ParseDecimal(s)
	must(t, err)
	return Number(d)
}

// goldenItems are stored items by the names of their files.
func goldenItems(t testing.TB) map[string]Item {
	set := func(kind Kind, elements ...Value) Value {
		v, ok := Set(kind, elements)
		if !ok {
			t.Fatal("an element is there twice")
		}
		return v
	}
	return map[string]Item{
		"lease": {
			"leaseKey": String("shardId-000000000001"), "leaseOwner": String("worker-1"), "leaseCounter": decimal(t, "42"),
			"checkpoint": String("TRIM_HORIZON"), "parentShardId": set(KindStringSet, String("shardId-000000000000")),
		},
		"all-kinds": {
			"s": String("é\x00"), "n": decimal(t, "-12.5e-3"), "zero": decimal(t, "0"), "b": Binary("\xff\x00"),
			"ss": set(KindStringSet, String("b"), String("a")), "ns": set(KindNumberSet, decimal(t, "10"), decimal(t, "9")),
			"bs": set(KindBinarySet, Binary("\x02"), Binary("\x01")), "yes": {Kind: KindBool, Bool: true}, "no": {Kind: KindBool},
			"null": {Kind: KindNull}, "m": {Kind: KindMap, Map: Item{"k": {Kind: KindList, List: []Value{String(""), {Kind: KindMap, Map: Item{}}}}}},
		},
		"empty": {},
	}
}

// TestGoldenItems compares with stored items of the first version of the
// format, which docs/formats/leases.md shows too.
func TestGoldenItems(t *testing.T) {
	doc, err := os.ReadFile("../docs/formats/leases.md")
	must(t, err)
	for name, item := range goldenItems(t) {
		file := filepath.Join("testdata", "v1", name+".hex")
		got := hex.EncodeToString(encodeItem(nil, item))
		if *update {
			must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			must(t, os.WriteFile(file, []byte(got+"\n"), 0o600))
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(want)))
		must(t, err)
		if back, err := decodeItem(b); err != nil || !back.Equal(item) {
			t.Errorf("%s reads back as %v, %v", name, back, err)
		}
		if name == "lease" && !strings.Contains(strings.ReplaceAll(string(doc), "\n", ""), got) {
			t.Errorf("docs/formats/leases.md does not show %s", got)
		}
	}
}

func TestDecodeItemRefuses(t *testing.T) {
	for _, tt := range []struct{ name, hex, want string }{
		{"nothing", "", "ends early"},
		{"another format", "0200", "format 2"},
		{"more bytes", "010000", "more after the item"},
		{"a count beyond the end", "01ff01", "count larger"},
		{"a count in too many bytes", "01810000", "bad count"},
		{"names out of order", "0102" + "0162" + "08" + "0161" + "08", "names out of order"},
		{"a name twice", "0102" + "0161" + "08" + "0161" + "08", "names out of order"},
		{"unknown kind", "0101" + "0161" + "0b", "unknown kind"},
		{"a name that is not UTF-8", "0101" + "01ff" + "08", "not UTF-8"},
		{"an empty set", "0101" + "0161" + "0400", "empty set"},
		{"a set out of order", "0101" + "0161" + "0402" + "0162" + "0161", "set out of order"},
		{"a boolean of 2", "0101" + "0161" + "0702", "boolean"},
		{"digits that begin with 0", "0101" + "0161" + "020100" + "023031", "bad digits"},
		{"an exponent beyond the range", "0101" + "0161" + "0201fe01" + "0131", "bad exponent"},
		{"a sign of 3", "0101" + "0161" + "0203", "bad sign"},
		{"lists without end", "0101" + "0161" + strings.Repeat("0a01", 40) + "08", "nested too deep"},
	} {
		b, err := hex.DecodeString(tt.hex)
		must(t, err)
		if item, err := decodeItem(b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", tt.name, item, err, tt.want)
		}
	}
}

func TestCodecKeepsItems(t *testing.T) {
	seeds(t, 300, func(t *testing.T, seed uint64) {
		item := randomItem(rand.New(rand.NewPCG(seed, 0)), 1)
		b := encodeItem(nil, item)
		if back, err := decodeItem(b); err != nil || !back.Equal(item) || back.Size() != item.Size() {
			t.Errorf("%v reads back as %v, %v", item, back, err)
		}
		if again := encodeItem(nil, item); !bytes.Equal(b, again) {
			t.Errorf("%v is stored in two ways", item)
		}
	})
}

func randomItem(rng *rand.Rand, depth int) Item {
	item := Item{}
	for range rng.IntN(5) {
		item[fmt.Sprint("a", rng.IntN(20))] = randomValue(rng, depth)
	}
	return item
}

func randomValue(rng *rand.Rand, depth int) Value {
	kind := Kind(1 + rng.IntN(10))
	if depth > 4 && (kind == KindMap || kind == KindList) {
		kind = KindNull
	}
	v := Value{Kind: kind}
	switch kind {
	case KindString:
		return String(fmt.Sprint("text ", rng.IntN(10)))
	case KindBinary:
		return Binary(string([]byte{byte(rng.IntN(256)), byte(rng.IntN(256))}))
	case KindNumber:
		return Number(randomDecimal(rng))
	case KindBool:
		v.Bool = rng.IntN(2) == 0
	case KindMap:
		v.Map = randomItem(rng, depth+1)
	case KindList:
		for range rng.IntN(4) {
			v.List = append(v.List, randomValue(rng, depth+1))
		}
	case KindStringSet, KindNumberSet, KindBinarySet:
		var elements []Value
		for i := range 1 + rng.IntN(4) {
			switch kind.Element() {
			case KindNumber:
				elements = append(elements, Number(Whole(rng.IntN(100)*10+i)))
			default:
				elements = append(elements, Value{Kind: kind.Element(), Text: fmt.Sprint(rng.IntN(100)*10 + i)})
			}
		}
		v, _ = Set(kind, elements)
	}
	return v
}

func FuzzDecodeItem(f *testing.F) {
	for _, item := range goldenItems(f) {
		f.Add(encodeItem(nil, item))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		item, err := decodeItem(b)
		if err != nil {
			return
		}
		if again := encodeItem(nil, item); !bytes.Equal(again, b) {
			t.Fatalf("%x is stored again as %x", b, again)
		}
		if item.Size() < 0 || item.depth() > MaxDepth {
			t.Fatalf("size %d, depth %d", item.Size(), item.depth())
		}
	})
}
