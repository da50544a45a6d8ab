package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Long strings are read another way than short ones; what is a string must not
// depend on it.
func TestLongStrings(t *testing.T) {
	plain := bytes.Repeat([]byte("abcdefgh"), 40)
	for at := 0; at < len(plain); at += 7 {
		for _, c := range []byte{0, 0x1f, ' ', '"', '\\', 0x7e, 0x7f, 0x80, 0xff, 'A'} {
			in := append([]byte(`{"k":"`), plain...)
			in[6+at] = c
			in = append(in, `"}`...)
			var d document
			err := d.parseJSON(in)
			if err == nil {
				err = d.firmAll()
			}
			want := json.Valid(in) && c < 0x80 // encoding/json takes what is not UTF-8
			if (err == nil) != want {
				t.Fatalf("%q at %d: got %v, want it taken: %v", c, at, err, want)
			}
		}
	}
}

// What is wrong in a long text is found in whatever member it stands, known or
// not, and before the operation sees it.
func TestLongTextsOfMembers(t *testing.T) {
	shape := Structure(Optional("Blob", Blob()), Optional("Text", String()), Optional("Number", Integer()))
	long := string(bytes.Repeat([]byte("QUJD"), 30))
	for _, c := range []struct{ body, want string }{
		{`{"Blob":"` + long + `"}`, ""},
		{`{"Blob":"` + long + `\u0051UJD"}`, ""},
		{`{"Text":"` + long + `\n"}`, ""},
		{`{"Other":["` + long + `é"]}`, ""},
		{`{"Blob":"` + long + "\x01\x01\x01\x01\"}", "control character in string at byte 129"},
		{`{"Text":"` + long + "\x01\"}", "control character in string at byte 129"},
		{`{"Other":{"a":"` + long + "\\x\"}}", "unknown escape at byte 135"},
		{`{"Other":"` + long + "\xff\"}", "string is not UTF-8 at byte 131"},
		{`{"Blob":"` + long + `*"}`, "can not be converted to a Blob"},
		{`{"Number":"` + long + `"}`, "can not be converted to an Integer"},
	} {
		_, err := Decode([]byte(c.body), shape)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.body, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.body, err, c.want)
		}
	}
}
