package wire

import (
	"bytes"
	"encoding/json"
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
			want := json.Valid(in) && c < 0x80 // encoding/json takes what is not UTF-8
			if (err == nil) != want {
				t.Fatalf("%q at %d: got %v, want it taken: %v", c, at, err, want)
			}
		}
	}
}
