package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzRepeat holds objects that were taken for a repetition of the one before
// them against the same objects read in full: behind a they are what they are
// behind null.
func FuzzRepeat(f *testing.F) {
	long := strings.Repeat("QUJD", 20)
	for _, s := range [][2]string{
		{`{"Data":"QUJD","Key":"a"}`, `{"Data":"QQ==","Key":"bcd"}`},
		{`{"Data":"` + long + `"}`, `{"Data":"` + long + `"},{"Data":"x` + long + `"}`},
		{`{"Data":"` + long + `"}`, `{"Data":"` + long + `"},{"Other":"` + long + "\x01" + `"}`},
		{` { "Key" : "a" , "n" : "" } `, ` { "Key" : "b" , "n" : "c" }, { "Key" : "\n" , "n" : "d" }`},
		{`{"Key":"a"}`, `{"Key":"b","Key":"c"}`},
		{`{"Key":"a"}`, `{"Key":1},{"Key":"b"},{"Key":"` + "\xff" + `"}`},
		{`{"\u004bey":"a"}`, `{"\u004bey":"b"},{"Key":"b"}`},
		{`{"Key":"a\\"}`, `{"Key":"b`},
		{`{}`, `{},{"Key":"a"}`},
	} {
		f.Add(false, []byte(s[0]), []byte(s[1]))
	}
	for _, s := range [][2]string{
		{"\xa2\x64Data\x43ABC\x63Key\x61a", "\xa2\x64Data\x41A\x63Key\x63bcd"},
		{"\xbf\x63Key\x61a\x64Data\x78\x02AA\xff", "\xbf\x63Key\x61b\x64Data\x40\xff"},
		{"\xbf\x63Key\x7f\x61a\xff\x64Data\x41A\xff", "\xbf\x63Key\x61a\xff\x64Data\x41A"},
		{"\xa1\x63Key\x61a", "\xa1\x63Key\x61\xff"},
		{"\xa1\x63Key\xc1\x61a", "\xa1\x63Key\x61b"},
		{"\xc1\xa1\x63Key\x61a", "\xa1\x63Key\x62b"},
	} {
		f.Add(true, []byte(s[0]), []byte(s[1]))
	}
	shape := List(Structure(Optional("Key", String()), Optional("Data", Blob())))
	f.Fuzz(func(t *testing.T, binary bool, a, b []byte) {
		format, ahead, null, join := JSON, "[", "null", ","
		read := func(body string) (*document, error) {
			d := new(document)
			return d, d.parseJSON([]byte(body + "]"))
		}
		if binary {
			format, ahead, null, join = CBOR, "\x9f", "\xf6", ""
			read = func(body string) (*document, error) {
				d := new(document)
				return d, d.parseCBOR([]byte(body + "\xff"))
			}
		}
		first, err := read(ahead + string(a))
		if err != nil || first.nodes[0].count != 1 {
			return
		}
		want, wantErr := read(ahead + null + join + string(b))
		got, err := read(ahead + string(a) + join + string(b))
		if errors.Is(err, errTooMany) {
			return
		}
		var wrong *syntaxError
		if errors.As(err, &wrong) {
			wrong.at -= len(a) - len(null)
		}
		if !reflect.DeepEqual(err, wantErr) {
			t.Fatalf("got error %v, behind null %v", err, wantErr)
		}
		if err != nil || first.fit(shape, format) != nil {
			return
		}
		if got.nodes[0].count != want.nodes[0].count || len(got.nodes)-len(first.nodes) != len(want.nodes)-2 {
			t.Fatalf("got %d nodes, behind null %d", len(got.nodes), len(want.nodes))
		}
		fitErr, wantFit := got.fit(shape, format), want.fit(shape, format)
		if reason(fitErr) != reason(wantFit) {
			t.Fatalf("got error %v, behind null %v", fitErr, wantFit)
		}
		if fitErr != nil {
			return
		}
		i, o := got.nodes[1].next, want.nodes[1].next
		for ; i < got.nodes[0].next; i, o = got.nodes[i].next, want.nodes[o].next {
			item, other := Value{got, i}, Value{want, o}
			if a, b := item.AppendJSON(nil), other.AppendJSON(nil); !bytes.Equal(a, b) {
				t.Fatalf("got %s, behind null %s", a, b)
			}
			var members, others [2]Value
			item.Members(members[:])
			other.Members(others[:])
			for m := range members {
				if a, b := members[m], others[m]; a.Kind() != b.Kind() || !bytes.Equal(a.Bytes(), b.Bytes()) {
					t.Fatalf("member %d: got %s, behind null %s", m, a.AppendJSON(nil), b.AppendJSON(nil))
				}
			}
		}
	})
}

// reason is the text of an error without the place.
func reason(err *Error) string {
	if err == nil {
		return ""
	}
	text, _, _ := strings.Cut(err.Error(), " at byte ")
	return text
}
