package streams_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

func TestParseHashKey(t *testing.T) {
	for _, s := range []string{"0", "1", "9", "10", "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211455"} {
		h, err := streams.ParseHashKey(s)
		if err != nil || h.String() != s {
			t.Errorf("%s: got %s, %v", s, h, err)
		}
	}
	for _, s := range []string{
		"", "00", "01", "-1", "+1", " 1", "1 ", "0x1", "1e3", "٣",
		"340282366920938463463374607431768211456", "999999999999999999999999999999999999999", "1000000000000000000000000000000000000000",
	} {
		if h, err := streams.ParseHashKey(s); !errors.Is(err, streams.ErrHashKey) {
			t.Errorf("%q: got %s, %v, want ErrHashKey", s, h, err)
		}
	}
}

func TestHashOf(t *testing.T) {
	// MD5 of the empty string and of "a", as RFC 1321 lists them.
	for key, hex := range map[string]string{
		"":  "d41d8cd98f00b204e9800998ecf8427e",
		"a": "0cc175b9c0f1b6a831c399e269772661",
	} {
		want, _ := new(big.Int).SetString(hex, 16)
		if got := streams.HashOf(key).String(); got != want.String() {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
}

func TestHashKeyOrder(t *testing.T) {
	a, b := streams.HashKey{Lo: ^uint64(0)}, streams.HashKey{Hi: 1}
	if a.Next() != b || b.Prev() != a {
		t.Errorf("next %v, prev %v", a.Next(), b.Prev())
	}
	if a.Compare(b) != -1 || b.Compare(a) != 1 || a.Compare(a) != 0 {
		t.Error("order is wrong across the halves")
	}
	if streams.MaxHashKey.Next() != (streams.HashKey{}) || (streams.HashKey{}).Prev() != streams.MaxHashKey {
		t.Error("the ends do not meet")
	}
}

func TestUniformRanges(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 1000, 10_000} {
		r := streams.UniformRanges(n)
		if len(r) != n || r[0].Start != (streams.HashKey{}) || r[n-1].End != streams.MaxHashKey {
			t.Fatalf("%d: ends %v to %v", n, r[0].Start, r[n-1].End)
		}
		for i := 1; i < n; i++ {
			if r[i-1].End.Next() != r[i].Start {
				t.Fatalf("%d: a gap before range %d", n, i)
			}
		}
	}
	// Three shards of Kinesis.
	if got := streams.UniformRanges(3)[1].Start.String(); got != "113427455640312821154458202477256070485" {
		t.Errorf("second of three begins at %s", got)
	}
}

func FuzzParseHashKey(f *testing.F) {
	f.Add("0")
	f.Add("340282366920938463463374607431768211455")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := streams.ParseHashKey(s); err == nil && h.String() != s {
			t.Errorf("%q was read as %s", s, h)
		}
	})
}
