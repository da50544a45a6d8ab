package streams_test

import (
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

func TestShardID(t *testing.T) {
	if got := streams.ShardID(7).String(); got != "shardId-000000000007" {
		t.Error(got)
	}
	for s, want := range map[string]streams.ShardID{"shardId-000000000007": 7, "shardId-7": 7, "7": 7, "2147483647": 1<<31 - 1} {
		if got, err := streams.ParseShardID(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "shardId-", "shardId-x", "+7", "-7", "2147483648", "shard-7"} {
		if got, err := streams.ParseShardID(s); !errors.Is(err, streams.ErrShardID) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

func TestSequenceNumber(t *testing.T) {
	created := time.Unix(1_700_000_000, 0)
	for _, n := range []streams.SequenceNumber{
		streams.NumberOf(created, 0, 0, created),
		streams.NumberOf(created, 1<<31-1, streams.MaxSequence, created.Add(time.Hour)),
		streams.NumberOf(created, 17, 12345678901234, created.Add(90*time.Second)),
	} {
		s := n.String()
		if len(s) != 56 {
			t.Errorf("%+v: %d digits", n, len(s))
		}
		if got, err := streams.ParseSequenceNumber(s); err != nil || got != n {
			t.Errorf("%s: %+v, %v, want %+v", s, got, err, n)
		}
	}
}

func TestSequenceNumbersSort(t *testing.T) {
	created := time.Unix(1_700_000_000, 0)
	prev := ""
	for _, n := range []streams.SequenceNumber{
		streams.NumberOf(created, 5, 1, created),
		streams.NumberOf(created, 5, 2, created), // a later sequence, whatever the time
		streams.NumberOf(created, 5, 3, created.Add(-time.Hour)),
		streams.NumberOf(created, 5, 1<<40, created),
		streams.NumberOf(created.Add(time.Second), 1, 0, created), // a child, made later
	} {
		if s := n.String(); s <= prev {
			t.Errorf("%s does not sort after %s", s, prev)
		} else {
			prev = s
		}
	}
}

func TestParseSequenceNumberRefuses(t *testing.T) {
	good := streams.NumberOf(time.Unix(1_700_000_000, 0), 5, 1, time.Unix(1_700_000_000, 0)).String()
	for _, s := range []string{
		"", "0", good[1:], good + "0", "x" + good[1:], "-" + good[1:], strings.Repeat("9", 56), strings.Repeat("0", 56),
		good[:55] + string('0'+(good[55]-'0'+1)%10), // the last hexadecimal digit must be 2
	} {
		if n, err := streams.ParseSequenceNumber(s); !errors.Is(err, streams.ErrSequenceNumber) {
			t.Errorf("%q: %+v, %v", s, n, err)
		}
	}
}

func FuzzParseSequenceNumber(f *testing.F) {
	f.Add(streams.NumberOf(time.Unix(1_700_000_000, 0), 5, 1, time.Unix(1_700_000_000, 0)).String())
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := streams.ParseSequenceNumber(s); err == nil && n.String() != s {
			t.Errorf("%q was read as %+v = %s", s, n, n)
		}
	})
}

// TestDecimals compares the digits with those of package big.
func TestDecimals(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if *seedFlag >= 0 {
		seed = uint64(*seedFlag)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	any64 := func() uint64 { // of any magnitude, often at the edge of a power
		v := rng.Uint64() >> rng.IntN(64)
		switch rng.IntN(4) {
		case 0:
			return 1<<rng.IntN(64) - uint64(rng.IntN(2))
		case 1:
			p := uint64(1)
			for range rng.IntN(20) {
				p *= 10
			}
			return p - uint64(rng.IntN(2))
		}
		return v
	}
	for range 20_000 {
		n := streams.SequenceNumber{
			ShardCreated: int64(any64() & (1<<36 - 1)), Shard: streams.ShardID(any64() & (1<<31 - 1)),
			Sequence: streams.Sequence(any64()) & streams.MaxSequence, Arrival: int64(any64() & (1<<36 - 1)),
		}
		want, _ := new(big.Int).SetString(fmt.Sprintf("2%09x%x%016x00%09x%08x2", n.ShardCreated, uint32(n.Shard)&15, uint64(n.Sequence), n.Arrival, uint32(n.Shard)), 16)
		if got := string(n.Append([]byte("x"))); got != "x"+want.String() {
			t.Fatalf("%+v: got %s, want %s (-seed=%d)", n, got, want, seed)
		}
		for c, text := n.Counter(), []byte(n.String()); n.Sequence < streams.MaxSequence && rng.IntN(16) > 0; {
			n.Sequence++
			if c.Next(text); string(text) != n.String() {
				t.Fatalf("%+v: counted to %s, want %s (-seed=%d)", n, text, n, seed)
			}
		}
		h := streams.HashKey{Hi: any64(), Lo: any64()}
		if rng.IntN(4) == 0 {
			h.Hi = 0
		}
		want = new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(h.Hi), 64), new(big.Int).SetUint64(h.Lo))
		if got := h.String(); got != want.String() {
			t.Fatalf("hash key %x %x: got %s, want %s (-seed=%d)", h.Hi, h.Lo, got, want, seed)
		}
	}
}

var seedFlag = flag.Int64("seed", -1, "run the random tests with this seed")

func BenchmarkSequenceNumber(b *testing.B) {
	n := streams.NumberOf(time.Unix(1_700_000_000, 0), 17, 12345678901234, time.Unix(1_700_000_090, 0))
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		n.Sequence++
		buf = n.Append(buf[:0])
	}
}
