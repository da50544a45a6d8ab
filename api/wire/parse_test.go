package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// plainValue turns the node at i into what encoding/json makes of it.
func (d *document) plainValue(i uint32) any {
	n := d.nodes[i]
	switch n.kind {
	case nodeBool:
		return n.num != 0
	case nodeInt:
		return float64(n.num)
	case nodeFloat:
		return math.Float64frombits(uint64(n.num))
	case nodeString:
		return string(d.plainCopy(i))
	case nodeBytes:
		return bytes.Clone(d.plainCopy(i))
	case nodeList:
		out := []any{}
		for c := i + 1; c < n.next; c = d.nodes[c].next {
			out = append(out, d.plainValue(c))
		}
		return out
	case nodeObject:
		out := map[string]any{}
		for k := i + 1; k < n.next; k = d.nodes[k+1].next {
			out[string(d.plainCopy(k))] = d.plainValue(k + 1)
		}
		return out
	}
	return nil
}

func TestParseJSON(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty object", `{}`, ""},
		{"all kinds", ` { "a" : [ 1 , -2.5e3, true, false, null, "x" ] , "b" : { } } `, ""},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"}`, ""},
		{"lone surrogates", `{"a":"\ud83d","b":"\ude00","c":"\ud83dx","d":"\ud83d\ud83d\ude00"}`, ""},
		{"escaped key", `{"\u0061b":1}`, ""},
		{"text of many bytes", `{"a":"0123456789 äöü €uro 😀 end","b":"` + strings.Repeat("x", 100) + `"}`, ""},
		{"list of objects alike", `[{"ab":1,"c":{"d":"e"}},{"ab":2,"c":[]},{"ab":3},{"ab":4,"c":5,"f":6},{"ab":7,"c":8,"f":9},{},null,{"c":1,"ab":2},{"ab ":1,"c":2},{"a":1,"c":2}]`, ""},
		{"list of objects with escapes alike", `[{"\u0061":1,"b":2},{"\u0061":3,"b":4},{"a":5,"b":6},{"\u0062":7,"\u0061":8}]`, ""},
		{"32 levels", strings.Repeat("[", 32) + strings.Repeat("]", 32), ""},
		{"no body", "", "value missing at byte 0"},
		{"33 levels", strings.Repeat("[", 33) + strings.Repeat("]", 33), "The body is nested deeper than 32 levels."},
		{"a million open brackets", strings.Repeat("[", 1<<20), "The body is nested deeper than 32 levels."},
		{"too many values", "[" + strings.Repeat("0,", MaxValues) + "0]", "The body has more than 65536 values."},
		{"key twice", `{"a":1,"a":2}`, "The body has an object with the same key twice."},
		{"key twice in the second object of a list", `[{"a":1,"b":2},{"a":1,"a":2}]`, "The body has an object with the same key twice."},
		{"key twice in a longer object of a list", `[{"a":1,"b":2},{"a":1,"b":2,"a":3}]`, "The body has an object with the same key twice."},
		{"key twice in a list, once escaped", `[{"a":1,"b":2},{"a":1,"\u0061":2}]`, "The body has an object with the same key twice."},
		{"cut off in a key of a list", `[{"abc":1},{"abc`, "string not closed at byte 16"},
		{"cut off after a key of a list", `[{"abc":1},{"abc"`, "colon missing at byte 17"},
		{"key twice, once escaped", `{"a":1,"\u0061":2}`, "The body has an object with the same key twice."},
		{"key twice of many", `{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0,"16":0,"1":0}`, "The body has an object with the same key twice."},
		{"cut off", `{"a":"b`, "string not closed at byte 7"},
		{"cut off escape", `{"a":"b\`, "string not closed at byte 7"},
		{"cut off in object", `{"a":1`, "object not closed at byte 6"},
		{"cut off in list", `[1`, "list not closed at byte 2"},
		{"trailing comma", `{"a":1,}`, "key missing at byte 7"},
		{"more after", `{}{}`, "more after the value at byte 2"},
		{"no colon", `{"a" 1}`, "colon missing at byte 5"},
		{"key without quotes", `{a:1}`, "key missing at byte 1"},
		{"bad literal", `{"a":nul}`, "unexpected character at byte 5"},
		{"leading zero", `[01]`, "number with a leading zero at byte 3"},
		{"no digit", `[-]`, "digit missing at byte 2"},
		{"no fraction", `[1.]`, "digit missing at byte 3"},
		{"no exponent", `[1e+]`, "digit missing at byte 4"},
		{"bad escape", `["\x"]`, "unknown escape at byte 2"},
		{"short unicode escape", `["\u12"]`, "unknown escape at byte 2"},
		{"control character", "[\"a\nb\"]", "control character in string at byte 3"},
		{"not UTF-8", "[\"abc\xff\"]", "string is not UTF-8 at byte 6"},
		{"byte order mark", "\xef\xbb\xbf{}", "unexpected character at byte 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d document
			err := d.parseJSON([]byte(tt.in))
			if tt.want != "" {
				if err == nil || err.Error() != tt.want {
					t.Fatalf("got error %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal([]byte(tt.in), &want); err != nil {
				t.Fatal(err)
			}
			if got := d.plainValue(0); !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

// FuzzJSON compares the parser with encoding/json: both take the same bodies,
// but for limits and keys that come twice, and read the same values.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `[1,2.5,-0,1e400]`, `{"a":{"b":"\ud83d\ude00\u0000"}}`, `"\\"`, "[\"\x7f\x80\"]", `{"a":1,"a":2}`, `[{"a":1,"b":2},{"a":1,"b":2,"c":3},{"a":1,"a":2}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var d document
		before := bytes.Clone(in)
		err := d.parseJSON(in)
		if err == nil {
			err = d.firmAll()
		}
		if !bytes.Equal(before, in) {
			t.Fatal("parsing changed the body")
		}
		var limit limitError
		errors.As(err, &limit)
		if limit != "" {
			return
		}
		var want any
		wantErr := json.Unmarshal(in, &want)
		if err == nil && wantErr != nil && strings.Contains(wantErr.Error(), "cannot unmarshal number") {
			return // out of the range of float64: kept as an infinity here
		}
		if (err == nil) != (wantErr == nil) {
			if err != nil && strings.HasPrefix(err.Error(), "string is not UTF-8") {
				return // encoding/json replaces, we refuse
			}
			t.Fatalf("got %v, encoding/json says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if got := d.plainValue(0); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		// What is written again reads as the same.
		again := Value{&d, 0}.AppendJSON(nil)
		var round any
		if err := json.Unmarshal(again, &round); err != nil || !reflect.DeepEqual(round, want) {
			t.Fatalf("written again: %s (%v)", again, err)
		}
	})
}

func TestParseCBOR(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"definite map", "a1 61 61 01", `{"a":1}`},
		{"indefinite map and list", "bf 61 61 9f 01 20 ff ff", `{"a":[1,-1]}`},
		{"chunked text and bytes", "a2 61 61 7f 62 6869 61 21 ff 61 62 5f 41 01 42 0203 ff", `{"a":"hi!","b":"AQID"}`},
		{"chunked key", "a1 7f 61 61 61 62 ff 01", `{"ab":1}`},
		{"floats", "83 f9 3e00 fa 3fc00000 fb 3ff8000000000000", `[1.5,1.5,1.5]`},
		{"time", "a1 61 74 c1 1b 0000015dcafe0000", `{"t":1502349230080}`},
		{"simple values", "84 f4 f5 f6 f7", `[false,true,null,null]`},
		{"large integers", "82 1b ffffffffffffffff 3b ffffffffffffffff", `[1.8446744073709552e+19,-1.8446744073709552e+19]`},
		{"empty", "", "head cut off or malformed at byte 0"},
		{"length beyond the end", "5b 7fffffffffffffff 00", "string cut off at byte 9"},
		{"array of 2^32 items", "9a ffffffff 00", "The body has more than 65536 values."},
		{"map of 2^63 pairs", "bb 7fffffffffffffff 00", "The body has more than 65536 values."},
		{"map cut off", "a2 61 61 01", "head cut off or malformed at byte 4"},
		{"break alone", "ff", "break outside of a list or map at byte 0"},
		{"never closed", "bf 61 61 01", "not closed at byte 4"},
		{"chunk of the other kind", "7f 41 61 ff", "chunk of a string malformed at byte 1"},
		{"key is a number", "a1 01 01", "map key is not text at byte 2"},
		{"key twice", "a2 61 61 01 61 61 02", "The body has an object with the same key twice."},
		{"text is not UTF-8", "61 ff", "text is not UTF-8 at byte 2"},
		{"list of maps alike", "84 a2 6161 01 6162 6163 a2 6161 02 6162 03 bf 6161 04 ff a1 6162 05", `[{"a":1,"b":"c"},{"a":2,"b":3},{"a":4},{"b":5}]`},
		{"key twice in the second map of a list", "82 a2 6161 01 6162 02 a2 6161 01 6161 02", "The body has an object with the same key twice."},
		{"key twice in a longer map of a list", "82 a2 6161 01 6162 02 a3 6161 01 6162 02 6161 03", "The body has an object with the same key twice."},
		{"cut off in a key of a list", "82 a1 62 6162 01 a1 62 61", "string cut off at byte 8"},
		{"33 levels", strings.Repeat("81", 33) + "00", "The body is nested deeper than 32 levels."},
		{"tags 40 deep", strings.Repeat("c1", 40) + "00", "The body is nested deeper than 32 levels."},
		{"integer without an end", "1f", "head cut off or malformed at byte 0"},
		{"tag without an end", "df 00", "head cut off or malformed at byte 0"},
		{"reserved head", "a1 61 61 1c", "head cut off or malformed at byte 3"},
		{"break for a value", "bf 61 61 ff", "break outside of a list or map at byte 3"},
		{"simple value in two bytes", "f8 14", "unknown simple value at byte 0"},
		{"more after", "a0 a0", "bytes after the value at byte 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := hex.DecodeString(strings.ReplaceAll(tt.in, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			var d document
			got := ""
			if err := d.parseCBOR(in); err != nil {
				got = err.Error()
			} else {
				got = string(Value{&d, 0}.AppendJSON(nil))
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzCBOR reads anything, and compares what is read with the library.
func FuzzCBOR(f *testing.F) {
	for _, s := range []string{"a16161820102", "bf61615f4101ff61627f6162ffff", "c11a00000001", "fb7ff0000000000000", "9f9fffff", "83a26161016162f6a26161026162f5bf616103616203616304ff"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), TimeTag: cbor.DecTagIgnored}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	rules, err := cbor.DecOptions{MaxNestedLevels: 4 * MaxDepth, MaxArrayElements: 1 << 30, MaxMapPairs: 1 << 30}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var d document
		before := bytes.Clone(in)
		err := d.parseCBOR(in)
		if !bytes.Equal(before, in) {
			t.Fatal("parsing changed the body")
		}
		// The library says what is well-formed. Here less is taken: see the
		// reasons, and the limits.
		formed := rules.Wellformed(in)
		if err != nil {
			var limit limitError
			refused := slices.ContainsFunc([]string{"map key is not text", "text is not UTF-8", "unknown simple value"}, func(why string) bool {
				return strings.HasPrefix(err.Error(), why)
			})
			if formed == nil && !refused && !errors.As(err, &limit) {
				t.Fatalf("refused although it is well-formed: %v", err)
			}
			return
		}
		if formed != nil {
			t.Fatalf("taken although it is not well-formed: %v", formed)
		}
		_ = Value{&d, 0}.AppendJSON(nil)
		var want any
		if err := mode.Unmarshal(in, &want); err != nil {
			return // stricter about things that do not matter here, such as tags
		}
		if got := d.plainValue(0); !same(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
	})
}

// same compares what was read with what the library read, whose numbers have
// many types.
func same(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k, v := range w {
			if !same(g[k], v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i, v := range w {
			if !same(g[i], v) {
				return false
			}
		}
		return true
	case uint64:
		return got == float64(w) || got == float64(int64(w))
	case int64:
		return got == float64(w)
	case float64:
		return got == w || math.IsNaN(w)
	case []byte:
		g, ok := got.([]byte)
		return ok && bytes.Equal(g, w)
	case string, bool, nil:
		return got == w
	}
	return true // tags and bignums: the library makes types of its own
}

func TestDecodeBase64(t *testing.T) {
	long := strings.Repeat("QUJD", 100)
	for _, tt := range []struct{ in, want, err string }{
		{"", "", ""},
		{"QQ==", "A", ""},
		{"QUI=", "AB", ""},
		{"QUJD", "ABC", ""},
		{long + "QQ==", strings.Repeat("ABC", 100) + "A", ""},
		{"-_-_", "", "'-_-_' can not be converted to a Blob: Invalid Base64 character: '-'"},
		{"QUJD?UJD", "", "'QUJD?UJD' can not be converted to a Blob: Invalid Base64 character: '?'"},
		{"=UJD", "", "'=UJD' can not be converted to a Blob: Invalid Base64 character: '='"},
		{"QQ==QUJD", "", "'QQ==QUJD' can not be converted to a Blob: Invalid Base64 character: '='"},
		{"Q===", "", "'Q===' can not be converted to a Blob: Invalid Base64 character: '='"},
		{"QUJDR", "", "'QUJDR' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"},
		{"QUJDQR==", "", "'QUJDQR==' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"},
		{"QUJDQUJ=", "", "'QUJDQUJ=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"},
		{"QUJ\nD", "", "'QUJ\nD' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"},
	} {
		b := []byte(tt.in)
		n, err := decodeBase64(b, new(base64Chunk))
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%q: got error %v, want %s", tt.in, err, tt.err)
			}
			if string(b) != tt.in {
				t.Errorf("%q: the text is now %q", tt.in, b)
			}
			continue
		}
		if err != nil || string(b[:n]) != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.in, b[:n], err, tt.want)
		}
	}
}

// FuzzBase64 compares the decoder with the strict one of the library.
func FuzzBase64(f *testing.F) {
	f.Add("QUJDQQ==")
	f.Add("=AAA")
	f.Fuzz(func(t *testing.T, in string) {
		if strings.ContainsAny(in, "\r\n") {
			return // the library skips them
		}
		want, wantErr := base64.StdEncoding.Strict().DecodeString(in)
		b := []byte(in)
		n, err := decodeBase64(b, new(base64Chunk))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, the library says %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(b[:n], want) {
			t.Fatalf("got %x, want %x", b[:n], want)
		}
		if err != nil && string(b) != in {
			t.Fatalf("after the error the text is %q", b)
		}
	})
}
