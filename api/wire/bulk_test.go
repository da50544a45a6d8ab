package wire

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// The vector code must refuse what the plain code refuses, with the same text
// and the original bytes left, wherever the bad character stands.
func TestBase64BulkAgainstPlain(t *testing.T) {
	raw := make([]byte, 3500) // more than a chunk
	for i := range raw {
		raw[i] = byte(i*31 + i/7)
	}
	good := []byte(base64.StdEncoding.EncodeToString(raw))
	b := bytes.Clone(good)
	if n, err := decodeBase64(b, new(base64Chunk)); err != nil || !bytes.Equal(b[:n], raw) {
		t.Fatalf("decoded %d bytes, %v", n, err)
	}
	for at := 0; at < len(good)-4; at += 13 {
		for _, bad := range []byte{'\n', '\r', ' ', '-', '_', '=', 0, 0xff} {
			b := bytes.Clone(good)
			b[at] = bad
			before := bytes.Clone(b)
			_, err := decodeBase64(b, new(base64Chunk))
			if err == nil {
				t.Fatalf("%q at %d was taken", bad, at)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("%q at %d: the original is not there again", bad, at)
			}
			// The same fault in a text too short for the vector code.
			quantum := at &^ 3
			short := append(bytes.Clone(b[quantum:quantum+4]), "AAAA"...)
			if _, plain := decodeBase64(short, new(base64Chunk)); plain == nil {
				t.Fatalf("%q at %d is taken in a short text", bad, at)
			}
		}
	}
}

// The vector code must write what the plain code writes, and not a byte more.
func TestAppendBase64AgainstPlain(t *testing.T) {
	raw := make([]byte, 300)
	for i := range raw {
		raw[i] = byte(i*31 + i/7)
	}
	for n := range len(raw) + 1 {
		room := bytes.Repeat([]byte{'~'}, 1+base64.StdEncoding.EncodedLen(n)+64)
		got := appendBase64(room[:1], raw[len(raw)-n:])
		if want := "~" + base64.StdEncoding.EncodeToString(raw[len(raw)-n:]); string(got) != want {
			t.Fatalf("%d bytes: got %q, want %q", n, got, want)
		}
		if &got[0] != &room[0] || !bytes.Equal(room[len(got):], bytes.Repeat([]byte{'~'}, len(room)-len(got))) {
			t.Fatalf("%d bytes: bytes after the text were written: %q", n, room[len(got):])
		}
	}
}
