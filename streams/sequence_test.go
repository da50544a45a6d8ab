package streams

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// The published sample of a real number (Kinesis sheet, section 3.2).
func TestSequenceNumberSample(t *testing.T) {
	const s = "49594189147623985939251953501666965394405037144469929986"
	n, err := ParseSequenceNumber(s)
	if err != nil {
		t.Fatal(err)
	}
	want := SequenceNumber{ShardCreated: 1553568712, Shard: 0, Sequence: 0xc3, Arrival: 1553568735}
	if n != want {
		t.Errorf("parsed %+v, want %+v", n, want)
	}
	if n.String() != s {
		t.Errorf("rendered %s, want %s", n, s)
	}
}

// Rendering by words must say what big.Int says of the hexadecimal layout.
func TestSequenceNumberAgainstBigInt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		n := SequenceNumber{
			ShardCreated: int64(rng.Uint64N(1 << (1 + rng.UintN(36)))),
			Shard:        ShardID(rng.Uint64N(1 << (1 + rng.UintN(31)))),
			Sequence:     Sequence(rng.Uint64N(1 << (1 + rng.UintN(63)))),
			Arrival:      int64(rng.Uint64N(1 << (1 + rng.UintN(36)))),
		}
		hex := fmt.Sprintf("2%09x%x%016x00%09x%08x2", n.ShardCreated, uint32(n.Shard)&15, uint64(n.Sequence), n.Arrival, uint32(n.Shard))
		want, _ := new(big.Int).SetString(hex, 16)
		if got := n.String(); got != want.String() {
			t.Fatalf("%+v: rendered %s, want %s", n, got, want)
		}
		if want.BitLen() != 186 {
			t.Fatalf("%+v: %d bits", n, want.BitLen())
		}
		back, err := ParseSequenceNumber(n.String())
		if err != nil || back != n {
			t.Fatalf("%s parsed to %+v, %v; want %+v", n, back, err, n)
		}
	}
}

func TestSequenceNumbersSort(t *testing.T) {
	made := time.Unix(1_700_000_000, 0)
	parent := NumberOf(made, 3, MaxSequence, made.Add(time.Hour)).String()
	child := NumberOf(made.Add(time.Second), 4, 0, made.Add(time.Second)).String()
	if parent >= child {
		t.Errorf("a child's numbers must sort after its parent's: %s, %s", parent, child)
	}
	a := NumberOf(made, 3, 9, made.Add(time.Hour)).String()
	b := NumberOf(made, 3, 10, made).String()
	if a >= b {
		t.Errorf("numbers of a shard must sort by sequence, not by arrival: %s, %s", a, b)
	}
}

func TestParseSequenceNumberRefuses(t *testing.T) {
	for _, s := range []string{
		"", "0", "12x", "+9594189147623985939251953501666965394405037144469929986",
		"49594189147623985939251953501666965394405037144469929987",  // version digit
		"99999999999999999999999999999999999999999999999999999999",  // 186 bits, other layout
		"495941891476239859392519535016669653944050371444699299860", // 57 digits
	} {
		if n, err := ParseSequenceNumber(s); err == nil {
			t.Errorf("%q was taken for %+v", s, n)
		}
	}
}

func FuzzParseSequenceNumber(f *testing.F) {
	f.Add("49594189147623985939251953501666965394405037144469929986")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSequenceNumber(s)
		if err == nil && n.String() != s {
			t.Fatalf("%s came back as %s", s, n)
		}
	})
}

func BenchmarkSequenceNumber(b *testing.B) {
	n := NumberOf(time.Now(), 7, 123456, time.Now())
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = n.Append(buf[:0])
	}
}
