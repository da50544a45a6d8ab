package kinesis

import (
	"encoding/base64"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

func testSealer() sealer { return sealer{key: []byte("0123456789abcdef0123456789abcdef")} }

func TestSeal(t *testing.T) {
	s := testSealer()
	it := iterator{stream: "clicks", streamID: 7, shard: 3, created: 1 << 33, kind: streams.AtTime, seq: streams.MaxSequence, millis: -5, issued: 1 << 41}
	token := s.sealIterator(it)
	if got, ok := s.openIterator(token); !ok || got != it {
		t.Errorf("got %+v, %v, want %+v", got, ok, it)
	}
	if again := s.sealIterator(it); again == token {
		t.Error("two tokens are the same")
	}
	l := listing{stream: "clicks", streamID: 7, filter: fromTimestamp, millis: 12, after: -1}
	page := s.sealListing(l, 99)
	if got, issued, ok := s.openListing(page); !ok || got != l || issued != 99 {
		t.Errorf("got %+v, %d, %v, want %+v", got, issued, ok, l)
	}
	// Kinds are not exchangeable.
	if _, ok := s.openIterator(page); ok {
		t.Error("a page token opens as an iterator")
	}
	if _, _, ok := s.openListing(token); ok {
		t.Error("an iterator opens as a page token")
	}
	// Another key opens nothing.
	if _, ok := (sealer{key: []byte("another key, of another server..")}).openIterator(token); ok {
		t.Error("a token of another key opens")
	}
	// Any change of any bit is seen.
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, ok := s.openIterator(base64.RawURLEncoding.EncodeToString(raw)); ok {
				t.Fatalf("bit %d of byte %d changed, and the token opens", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
	for n := range len(token) {
		if _, ok := s.openIterator(token[:n]); ok {
			t.Fatalf("the first %d characters of a token open", n)
		}
	}
}

// FuzzTokens opens anything as a token, and the fields of anything that a key
// holder might have sealed.
func FuzzTokens(f *testing.F) {
	s := testSealer()
	f.Add(s.sealIterator(iterator{stream: "s"}), []byte("\x01s\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(s.sealListing(listing{stream: "s"}, 1), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add(s.seal(tokenListStreams, appendText(nil, "s")), []byte{0x80})
	f.Fuzz(func(t *testing.T, token string, contents []byte) {
		for kind := range byte(4) {
			_, ok := s.open(kind, token)
			if b, err := base64.RawURLEncoding.DecodeString(token); ok && (err != nil || b[0] != kind) {
				t.Fatalf("token of kind %d opened as %d", b[0], kind)
			}
			sealed := s.seal(kind, contents)
			if got, ok := s.open(kind, sealed); !ok || string(got) != string(contents) {
				t.Fatalf("sealed %q, opened %q, %v", contents, got, ok)
			}
			s.openIterator(sealed)
			s.openListing(sealed)
		}
	})
}
