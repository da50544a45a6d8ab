package streams_test

import (
	"errors"
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
