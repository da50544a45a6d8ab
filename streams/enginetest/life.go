package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

func testStreamLife(t *testing.T, e *env) {
	info := e.create(t, "b", 3)
	if info.Name != "b" || info.ID == 0 || info.Status != streams.Active || info.Retention != 24*time.Hour || len(info.Shards) != 3 {
		t.Errorf("created %+v", info)
	}
	for i, r := range streams.UniformRanges(3) {
		s := info.Shards[i]
		if s.ID != streams.ShardID(i) || s.Range != r || s.Parent != streams.NoShard || s.AdjacentParent != streams.NoShard ||
			s.Closed || s.First != 1 || s.Next != 1 {
			t.Errorf("shard %d: %+v", i, s)
		}
	}
	e.create(t, "a\xff", 1)
	e.create(t, "$internal", 1)
	if _, err := e.Create(t.Context(), streams.StreamSpec{Name: "b", Shards: 1}); !errors.Is(err, streams.ErrExists) {
		t.Errorf("again: %v", err)
	}
	for range 2 {
		list := e.List()
		if len(list) != 2 || list[0].Name != "a\xff" || list[1].Name != "b" || list[1].Shards != nil || list[1].ID != info.ID {
			t.Errorf("list %+v", list)
		}
		if !e.describe(t, "$internal").Internal() {
			t.Error("$internal is not internal")
		}
		e.reopen(t)
	}
	must(t, e.Delete(t.Context(), "b"))
	for range 2 {
		if _, err := e.Describe("b"); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("describe deleted: %v", err)
		}
		e.reopen(t)
	}
	for name, err := range map[string]error{
		"delete":    e.Delete(t.Context(), "b"),
		"configure": e.Configure(t.Context(), "b", time.Hour),
		"split":     e.Split(t.Context(), "b", 0, streams.HashKey{Lo: 1}),
		"merge":     e.Merge(t.Context(), "b", 0, 1),
		"wait":      e.Wait(t.Context(), ref("b", 0), 1),
	} {
		if !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("%s of nothing: %v", name, err)
		}
	}
	if _, err := e.Read(t.Context(), ref("b", 0), horizon, streams.Limit{}); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
}

func testBadSpecs(t *testing.T, e *env) {
	for _, s := range []streams.StreamSpec{
		{Name: "", Shards: 1},
		{Name: strings.Repeat("n", 129), Shards: 1},
		{Name: "a\x00b", Shards: 1},
		{Name: "s", Shards: 0},
		{Name: "s", Shards: -1},
		{Name: "s", Shards: 10_001},
		{Name: "s", Shards: 1, Retention: time.Millisecond},
		{Name: "s", Shards: 1, Retention: 8761 * time.Hour},
	} {
		if _, err := e.Create(t.Context(), s); !errors.Is(err, streams.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", s, err)
		}
	}
	info, err := e.Create(t.Context(), streams.StreamSpec{Name: strings.Repeat("n", 128), Shards: 10_000, Retention: 8760 * time.Hour})
	must(t, err)
	if len(info.Shards) != 10_000 {
		t.Errorf("%d shards", len(info.Shards))
	}
}

func testSplit(t *testing.T, e *env) {
	e.create(t, "s", 1)
	e.put(t, "s", "before")
	mid := streams.HashKey{Hi: 1 << 63}
	must(t, e.Split(t.Context(), "s", 0, mid))
	low := &streams.Batch{Records: []streams.NewRecord{{Explicit: true, HashKey: mid.Prev(), Data: []byte("low")}, {Explicit: true, HashKey: mid, Data: []byte("high")}}}
	res, err := e.Append(t.Context(), "s", low)
	must(t, err)
	if res.Placed[0].Shard != 1 || res.Placed[1].Shard != 2 || res.Placed[0].Sequence != 1 {
		t.Errorf("placed %+v", res.Placed)
	}
	for range 2 {
		info := e.describe(t, "s")
		if len(info.Shards) != 3 {
			t.Fatalf("shards %+v", info.Shards)
		}
		p, a, b := info.Shards[0], info.Shards[1], info.Shards[2]
		if !p.Closed || p.ClosedAt.IsZero() || p.Next != 2 || a.Closed || b.Closed || a.Parent != 0 || b.Parent != 0 ||
			a.AdjacentParent != streams.NoShard || b.AdjacentParent != streams.NoShard ||
			a.Range != (streams.HashRange{Start: streams.HashKey{}, End: mid.Prev()}) || b.Range != (streams.HashRange{Start: mid, End: streams.MaxHashKey}) {
			t.Errorf("shards %+v", info.Shards)
		}
		for _, c := range []streams.ShardInfo{a, b} {
			if c.Created.Before(p.Created.Add(time.Second)) {
				t.Errorf("child created %v, parent %v: less than a second after", c.Created, p.Created)
			}
			old := streams.NumberOf(p.Created, p.ID, p.Next, e.Now()).String()
			if young := streams.NumberOf(c.Created, c.ID, 1, e.Now()).String(); young <= old {
				t.Errorf("sequence number %s of the child sorts before %s of the parent", young, old)
			}
		}
		// The parent drains: its records, then the end.
		page, err := e.Read(t.Context(), ref("s", 0), horizon, streams.Limit{})
		must(t, err)
		want(t, page.Records, "before")
		if !page.Ended {
			t.Errorf("the parent has not ended: %+v", page)
		}
		must(t, e.Wait(t.Context(), ref("s", 0), 2))
		want(t, e.all(t, ref("s", 1), horizon, streams.Limit{}), "low")
		want(t, e.all(t, ref("s", 2), horizon, streams.Limit{}), "high")
		page, err = e.Read(t.Context(), ref("s", 1), streams.Position{Kind: streams.Tip}, streams.Limit{})
		must(t, err)
		if page.Ended {
			t.Error("an open shard has ended")
		}
		e.reopen(t)
	}
}

func testMerge(t *testing.T, e *env) {
	before := e.create(t, "s", 3)
	e.put(t, "s", numbers(0, 30)...)
	must(t, e.Merge(t.Context(), "s", 0, 1))
	for range 2 {
		info := e.describe(t, "s")
		if len(info.Shards) != 4 {
			t.Fatalf("shards %+v", info.Shards)
		}
		m := info.Shards[3]
		if m.ID != 3 || m.Parent != 0 || m.AdjacentParent != 1 || m.Closed || m.Next < 1 ||
			m.Range != (streams.HashRange{Start: before.Shards[0].Range.Start, End: before.Shards[1].Range.End}) {
			t.Errorf("merged shard %+v", m)
		}
		if !info.Shards[0].Closed || !info.Shards[1].Closed || info.Shards[2].Closed {
			t.Errorf("shards %+v", info.Shards)
		}
		for _, p := range info.Shards[:2] {
			if m.Created.Before(p.Created.Add(time.Second)) {
				t.Errorf("created %v, parent %v", m.Created, p.Created)
			}
		}
		res, err := e.Append(t.Context(), "s", &streams.Batch{Records: []streams.NewRecord{{Explicit: true, HashKey: before.Shards[1].Range.Start}}})
		must(t, err)
		if res.Placed[0].Shard != 3 {
			t.Errorf("placed %+v", res.Placed)
		}
		e.reopen(t)
	}
	total := 0
	for _, s := range e.describe(t, "s").Shards {
		total += len(e.all(t, ref("s", s.ID), horizon, streams.Limit{}))
	}
	if total != 32 {
		t.Errorf("%d records after the merge, want 32", total)
	}
}

func testReshapeRefused(t *testing.T, e *env) {
	info := e.create(t, "s", 3)
	must(t, e.Split(t.Context(), "s", 2, streams.MaxHashKey))
	one := info.Shards[1].Range
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"split at the start", e.Split(t.Context(), "s", 1, one.Start), streams.ErrInvalid},
		{"split before", e.Split(t.Context(), "s", 1, one.Start.Prev()), streams.ErrInvalid},
		{"split after", e.Split(t.Context(), "s", 1, one.End.Next()), streams.ErrInvalid},
		{"split closed", e.Split(t.Context(), "s", 2, streams.MaxHashKey), streams.ErrInvalid},
		{"split nothing", e.Split(t.Context(), "s", 77, one.End), streams.ErrNotFound},
		{"merge strangers", e.Merge(t.Context(), "s", 0, 3+1), streams.ErrInvalid},
		{"merge the wrong way", e.Merge(t.Context(), "s", 1, 0), streams.ErrInvalid},
		{"merge with itself", e.Merge(t.Context(), "s", 1, 1), streams.ErrInvalid},
		{"merge closed", e.Merge(t.Context(), "s", 1, 2), streams.ErrInvalid},
		{"merge nothing", e.Merge(t.Context(), "s", 1, 77), streams.ErrNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.err, c.want)
		}
	}
	if n := len(e.describe(t, "s").Shards); n != 5 {
		t.Errorf("%d shards after refused changes, want 5", n)
	}
}

func testRecreate(t *testing.T, e *env) {
	old := e.create(t, "s", 1)
	e.put(t, "s", "old")
	must(t, e.Delete(t.Context(), "s"))
	young := e.create(t, "s", 1)
	if young.ID == old.ID {
		t.Fatalf("both have id %d", young.ID)
	}
	e.put(t, "s", "young")
	for range 2 {
		want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), "young")
		want(t, e.all(t, streams.ShardRef{Stream: "s", StreamID: young.ID}, horizon, streams.Limit{}), "young")
		if _, err := e.Read(t.Context(), streams.ShardRef{Stream: "s", StreamID: old.ID}, horizon, streams.Limit{}); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("read of the deleted one: %v", err)
		}
		if err := e.Wait(t.Context(), streams.ShardRef{Stream: "s", StreamID: old.ID}, 5); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("wait for the deleted one: %v", err)
		}
		e.reopen(t)
	}
}

func testRetention(t *testing.T, e *env) {
	_, err := e.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1, Retention: time.Hour})
	must(t, err)
	e.put(t, "s", numbers(0, 10)...)
	e.Advance(40 * time.Minute)
	e.put(t, "s", numbers(10, 20)...)
	e.Advance(19 * time.Minute)
	want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), numbers(0, 20)...)
	e.Advance(2 * time.Minute) // the first ten have expired
	for range 2 {
		want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), numbers(10, 20)...)
		want(t, e.all(t, ref("s", 0), at(3), streams.Limit{}), numbers(10, 20)...)
		want(t, e.all(t, ref("s", 0), streams.Position{Kind: streams.AtTime, Time: e.Now().Add(-24 * time.Hour)}, streams.Limit{}), numbers(10, 20)...)
		if s := e.describe(t, "s").Shards[0]; s.First > 11 || s.Next != 21 {
			t.Errorf("first %d, next %d", s.First, s.Next)
		}
		if b, err := e.Stat(ref("s", 0), 0); err != nil || b.Records != 10 {
			t.Errorf("stat %+v, %v", b, err)
		}
		e.reopen(t)
	}
	e.Advance(time.Hour)
	for range 2 {
		want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}))
		if s := e.describe(t, "s").Shards[0]; s.First != 21 || s.Next != 21 {
			t.Errorf("all expired: first %d, next %d", s.First, s.Next)
		}
		e.reopen(t)
	}
	if res := e.put(t, "s", "next"); res.Placed[0].Sequence != 21 {
		t.Errorf("sequence %d after expired ones, want 21", res.Placed[0].Sequence)
	}
	want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), "next")
}

func testBound(t *testing.T, e *env) {
	if _, err := e.Create(t.Context(), streams.StreamSpec{Name: "bad", Shards: 1, RetentionBytes: -1}); !errors.Is(err, streams.ErrInvalid) {
		t.Errorf("a bound of -1: %v", err)
	}
	info, err := e.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1, RetentionBytes: 1 << 30})
	must(t, err)
	e.put(t, "s", "a")
	if info.RetentionBytes != 1<<30 {
		t.Errorf("created %+v", info)
	}
	for _, n := range []int64{1 << 40, 0, 5 << 20} {
		must(t, e.Bound(t.Context(), "s", n))
		must(t, e.Configure(t.Context(), "s", 30*time.Hour)) // which leaves the bound alone
		for range 2 {
			if got := e.describe(t, "s"); got.RetentionBytes != n || got.Retention != 30*time.Hour {
				t.Errorf("bound %d: described %+v", n, got)
			}
			want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), "a")
			e.reopen(t)
		}
	}
	if err := e.Bound(t.Context(), "s", -1); !errors.Is(err, streams.ErrInvalid) {
		t.Errorf("bound -1: %v", err)
	}
	if err := e.Bound(t.Context(), "nothing", 1); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("bound of nothing: %v", err)
	}
}

func testDurability(t *testing.T, e *env) {
	if _, err := e.Create(t.Context(), streams.StreamSpec{Name: "bad", Shards: 1, Durability: "sometimes"}); !errors.Is(err, streams.ErrInvalid) {
		t.Errorf("an unknown durability: %v", err)
	}
	e.create(t, "plain", 1)
	if got := e.describe(t, "plain").Durability; got != streams.Fsync {
		t.Errorf("durability %q unless told", got)
	}
	info, err := e.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1, Durability: streams.None})
	must(t, err)
	if info.Durability != streams.None {
		t.Errorf("created %+v", info)
	}
	var all []string
	for i, d := range []streams.Durability{streams.None, streams.Interval, streams.Fsync, streams.None} {
		must(t, e.SetDurability(t.Context(), "s", d))
		must(t, e.Configure(t.Context(), "s", 30*time.Hour)) // which leaves it alone
		for k := range 2 {
			if got := e.describe(t, "s"); got.Durability != d || got.Retention != 30*time.Hour {
				t.Errorf("%s: described %+v", d, got)
			}
			all = append(all, fmt.Sprint(i, k))
			e.put(t, "s", all[len(all)-1])
			want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), all...)
			must(t, e.Wait(t.Context(), ref("s", 0), streams.Sequence(len(all))))
			e.reopen(t)
			want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), all...)
		}
	}
	if err := e.SetDurability(t.Context(), "s", ""); !errors.Is(err, streams.ErrInvalid) {
		t.Errorf("no durability: %v", err)
	}
	if err := e.SetDurability(t.Context(), "nothing", streams.None); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("durability of nothing: %v", err)
	}
}

func testConfigure(t *testing.T, e *env) {
	e.create(t, "s", 1)
	e.put(t, "s", "a")
	for _, d := range []time.Duration{0, time.Millisecond, 9000 * time.Hour, -time.Hour} {
		if err := e.Configure(t.Context(), "s", d); !errors.Is(err, streams.ErrInvalid) {
			t.Errorf("retention %v: %v", d, err)
		}
	}
	must(t, e.Configure(t.Context(), "s", 48*time.Hour))
	e.reopen(t)
	if got := e.describe(t, "s").Retention; got != 48*time.Hour {
		t.Errorf("retention %v", got)
	}
	e.Advance(30 * time.Hour)
	want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), "a")
	must(t, e.Configure(t.Context(), "s", 24*time.Hour))
	want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}))
}

func testClosedExpire(t *testing.T, e *env) {
	e.create(t, "s", 1)
	e.put(t, "s", "a")
	must(t, e.Split(t.Context(), "s", 0, streams.HashKey{Hi: 1 << 63}))
	e.Advance(23 * time.Hour)
	if n := len(e.describe(t, "s").Shards); n != 3 {
		t.Errorf("%d shards before the records expired, want 3", n)
	}
	e.Advance(2 * time.Hour)
	for range 2 {
		info := e.describe(t, "s")
		if len(info.Shards) != 2 || info.Shards[0].ID != 1 || info.Shards[0].Parent != 0 {
			t.Errorf("shards %+v after the records expired", info.Shards)
		}
		if _, err := e.Read(t.Context(), ref("s", 0), horizon, streams.Limit{}); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("read of an expired shard: %v", err)
		}
		e.reopen(t)
	}
	must(t, e.Merge(t.Context(), "s", 1, 2))
	if s := e.describe(t, "s").Shards; s[len(s)-1].ID != 3 {
		t.Errorf("the id of an expired shard was used again: %+v", s)
	}
}

func testClockBack(t *testing.T, e *env) {
	e.create(t, "s", 1)
	first := e.put(t, "s", "a").Arrival
	e.Advance(-30 * time.Minute)
	second := e.put(t, "s", "b").Arrival
	if second.Before(first) {
		t.Errorf("arrival %v after %v", second, first)
	}
	e.reopen(t)
	if third := e.put(t, "s", "c").Arrival; third.Before(second) {
		t.Errorf("arrival %v after %v and a restart", third, second)
	}
	want(t, e.all(t, ref("s", 0), horizon, streams.Limit{}), "a", "b", "c")
}

func testRestart(t *testing.T, e *env) {
	e.create(t, "s", 2)
	var placed []streams.Placed
	var data []string
	for i := range 5 {
		d := numbers(i*200, (i+1)*200)
		placed = append(placed, e.put(t, "s", d...).Placed...)
		data = append(data, d...)
		e.reopen(t)
	}
	for i, p := range placed {
		page, err := e.Read(t.Context(), ref("s", p.Shard), at(p.Sequence), streams.Limit{Records: 1})
		must(t, err)
		want(t, page.Records, data[i])
	}
}

func testClosed(t *testing.T, e *env) {
	e.create(t, "s", 1)
	old := e.Engine
	must(t, old.Close())
	must(t, old.Close()) // again is harmless
	defer func() { e.Engine = e.Open(t) }()
	if _, err := old.Append(t.Context(), "s", &streams.Batch{Records: make([]streams.NewRecord, 1)}); !errors.Is(err, streams.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := old.Create(t.Context(), streams.StreamSpec{Name: "x", Shards: 1}); !errors.Is(err, streams.ErrClosed) {
		t.Errorf("create: %v", err)
	}
	if _, err := old.Read(t.Context(), ref("s", 0), horizon, streams.Limit{}); !errors.Is(err, streams.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}
