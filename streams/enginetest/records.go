package enginetest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/streams"
)

func testAppendRead(t *testing.T, e *env) {
	info := e.create(t, "s", 1)
	before := e.Now().Truncate(time.Millisecond)
	b := &streams.Batch{Records: []streams.NewRecord{
		{PartitionKey: "a", Data: []byte("one")},
		{PartitionKey: "", Data: nil},
		{PartitionKey: "ключ\x00\xff", Data: []byte{0, 1, 2, 255}, Explicit: true, HashKey: streams.MaxHashKey},
	}}
	res, err := e.Append(t.Context(), "s", b)
	must(t, err)
	b.Records[0].Data[0] = 'X' // the batch is the caller's again
	for i, p := range res.Placed {
		if p.Shard != 0 || p.Sequence != streams.Sequence(i+1) || !p.ShardCreated.Equal(info.Shards[0].Created) {
			t.Errorf("record %d went to %+v", i, p)
		}
	}
	got := e.all(t, ref("s", 0), horizon, streams.Limit{})
	want(t, got, "one", "", "\x00\x01\x02\xff")
	for i, r := range got {
		if r.PartitionKey != b.Records[i].PartitionKey || r.Sequence != res.Placed[i].Sequence || !r.Arrival.Equal(res.Arrival) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if got[0].ExplicitHashKey != "" || got[2].ExplicitHashKey != streams.MaxHashKey.String() {
		t.Errorf("explicit hash keys %q, %q", got[0].ExplicitHashKey, got[2].ExplicitHashKey)
	}
	if a := res.Arrival; a.Before(before) || a.After(e.Now()) || a != a.Truncate(time.Millisecond) || a.Location() != time.UTC {
		t.Errorf("arrival %v, now %v", a, e.Now())
	}
}

func testRouting(t *testing.T, e *env) {
	info := e.create(t, "s", 4)
	b := new(streams.Batch)
	for i := range 400 {
		r := streams.NewRecord{PartitionKey: strings.Repeat("k", i%7) + string(rune('a'+i%26)), Data: []byte{byte(i), byte(i >> 8)}}
		if i%5 == 0 {
			r.Explicit, r.HashKey = true, streams.HashKey{Hi: uint64(i) << 55, Lo: uint64(i)} //nolint:gosec // Small.
		}
		b.Records = append(b.Records, r)
	}
	res, err := e.Append(t.Context(), "s", b)
	must(t, err)
	next := map[streams.ShardID]streams.Sequence{}
	for i, p := range res.Placed {
		r := b.Records[i]
		h := r.HashKey
		if !r.Explicit {
			h = streams.HashOf(r.PartitionKey)
		}
		if !info.Shards[p.Shard].Range.Contains(h) {
			t.Errorf("record %d with hash %s is in %s", i, h, p.Shard)
		}
		next[p.Shard]++
		if p.Sequence != next[p.Shard] {
			t.Errorf("record %d has sequence %d in %s, want %d: the order of the batch is kept", i, p.Sequence, p.Shard, next[p.Shard])
		}
	}
	for i, p := range res.Placed {
		page, err := e.Read(t.Context(), ref("s", p.Shard), at(p.Sequence), streams.Limit{Records: 1})
		must(t, err)
		want(t, page.Records, string(b.Records[i].Data))
	}
	if len(next) != 4 {
		t.Errorf("only shards %v got records", next)
	}
	for _, edge := range info.Shards {
		for _, h := range []streams.HashKey{edge.Range.Start, edge.Range.End} {
			res, err := e.Append(t.Context(), "s", &streams.Batch{Records: []streams.NewRecord{{Explicit: true, HashKey: h}}})
			must(t, err)
			if res.Placed[0].Shard != edge.ID {
				t.Errorf("hash key %s at the edge of %s went to %s", h, edge.ID, res.Placed[0].Shard)
			}
		}
	}
}

func testPositions(t *testing.T, e *env) {
	e.create(t, "s", 1)
	p, err := e.Read(t.Context(), ref("s", 0), horizon, streams.Limit{})
	must(t, err)
	if len(p.Records) != 0 || p.Next != 1 || p.Tip != 1 || p.Ended || p.Behind != 0 {
		t.Errorf("empty shard: %+v", p)
	}
	var times []time.Time
	for _, d := range numbers(0, 5) {
		times = append(times, e.put(t, "s", d, d+"x").Arrival)
		e.Advance(time.Second)
	}
	for _, c := range []struct {
		name string
		pos  streams.Position
		from int // of ten records
	}{
		{"sequence 0", at(0), 0},
		{"sequence 1", at(1), 0},
		{"a sequence", at(6), 5},
		{"the tip by sequence", at(11), 10},
		{"beyond the tip", at(15), 10},
		{"horizon", horizon, 0},
		{"tip", streams.Position{Kind: streams.Tip}, 10},
		{"long ago", streams.Position{Kind: streams.AtTime, Time: times[0].Add(-time.Hour)}, 0},
		{"an arrival", streams.Position{Kind: streams.AtTime, Time: times[2]}, 4},
		{"between arrivals", streams.Position{Kind: streams.AtTime, Time: times[2].Add(time.Millisecond)}, 6},
		{"the last arrival", streams.Position{Kind: streams.AtTime, Time: times[4]}, 8},
		{"the future", streams.Position{Kind: streams.AtTime, Time: times[4].Add(time.Hour)}, 10},
	} {
		p, err := e.Read(t.Context(), ref("s", 0), c.pos, streams.Limit{})
		must(t, err)
		if len(p.Records) != 10-c.from || p.Tip != 11 || (len(p.Records) > 0 && p.Records[0].Sequence != streams.Sequence(c.from+1)) {
			t.Errorf("%s: got %d records from %+v", c.name, len(p.Records), p)
		}
	}
	p, err = e.Read(t.Context(), ref("s", 0), at(1), streams.Limit{Records: 4})
	must(t, err)
	if want := e.Now().Sub(times[2]); p.Behind < want-time.Millisecond || p.Behind > want+time.Millisecond {
		t.Errorf("behind %v, want %v", p.Behind, want)
	}
}

func testPageLimits(t *testing.T, e *env) {
	e.create(t, "s", 1)
	b := new(streams.Batch)
	for range 50 {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: "0123456789", Data: make([]byte, 90)})
	}
	for range 3 {
		_, err := e.Append(t.Context(), "s", b)
		must(t, err)
	}
	for _, c := range []struct {
		limit streams.Limit
		want  int
	}{
		{streams.Limit{Records: 1}, 1},
		{streams.Limit{Records: 7}, 7},
		{streams.Limit{Records: 60}, 60},
		{streams.Limit{}, 150},
		{streams.Limit{Bytes: 1}, 1}, // one at least, however large
		{streams.Limit{Bytes: 100}, 1},
		{streams.Limit{Bytes: 1050}, 10},
		{streams.Limit{Bytes: 6000}, 60},
		{streams.Limit{Bytes: 6000, Records: 5}, 5},
	} {
		p, err := e.Read(t.Context(), ref("s", 0), horizon, c.limit)
		must(t, err)
		if len(p.Records) != c.want || p.Next != streams.Sequence(c.want+1) {
			t.Errorf("%+v: %d records, next %d, want %d", c.limit, len(p.Records), p.Next, c.want)
		}
		if got := e.all(t, ref("s", 0), horizon, c.limit); len(got) != 150 {
			t.Errorf("%+v: %d records in all", c.limit, len(got))
		}
	}
}

func testBatchLimits(t *testing.T, e *env) {
	e.create(t, "s", 1)
	big := make([]byte, streams.MaxRecordBytes+1)
	for _, c := range []struct {
		name string
		b    streams.Batch
		want error
	}{
		{"nothing", streams.Batch{}, streams.ErrInvalid},
		{"record", streams.Batch{Records: []streams.NewRecord{{Data: big}}}, streams.ErrTooLarge},
		{"records", streams.Batch{Records: make([]streams.NewRecord, streams.MaxBatchRecords+1)}, streams.ErrTooLarge},
		{"bytes", streams.Batch{Records: []streams.NewRecord{{Data: big[1:]}, {Data: big[1:]}, {Data: big[1:]}, {Data: big[1:]}}}, streams.ErrTooLarge},
		{"key", streams.Batch{Records: []streams.NewRecord{{PartitionKey: strings.Repeat("k", 1025)}}}, streams.ErrTooLarge},
		{"state key", streams.Batch{State: []streams.StateUpdate{{Key: strings.Repeat("k", streams.MaxStateKeyBytes+1)}}}, streams.ErrTooLarge},
		{"state value", streams.Batch{State: []streams.StateUpdate{{Key: "k", Value: big}}}, streams.ErrTooLarge},
		{"no state key", streams.Batch{State: []streams.StateUpdate{{Value: []byte("v")}}}, streams.ErrInvalid},
	} {
		if _, err := e.Append(t.Context(), "s", &c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := e.Append(t.Context(), "none", &streams.Batch{Records: make([]streams.NewRecord, 1)}); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("no stream: %v", err)
	}
	if got := e.all(t, ref("s", 0), horizon, streams.Limit{}); len(got) != 0 {
		t.Errorf("%d records came from refused batches", len(got))
	}
	_, err := e.Append(t.Context(), "s", &streams.Batch{Records: make([]streams.NewRecord, streams.MaxBatchRecords)})
	must(t, err)
	_, err = e.Append(t.Context(), "s", &streams.Batch{Records: []streams.NewRecord{{PartitionKey: strings.Repeat("k", 1024)}}})
	must(t, err)
}

func testBigRecords(t *testing.T, e *env) {
	e.create(t, "s", 1)
	big := bytes.Repeat([]byte("0123456789abcdef"), streams.MaxRecordBytes/16)
	b := &streams.Batch{Records: []streams.NewRecord{{Data: big}, {Data: []byte("small")}, {Data: big}}}
	_, err := e.Append(t.Context(), "s", b)
	must(t, err)
	for range 2 {
		got := e.all(t, ref("s", 0), horizon, streams.Limit{})
		if len(got) != 3 || !bytes.Equal(got[0].Data, big) || string(got[1].Data) != "small" || !bytes.Equal(got[2].Data, big) {
			t.Fatalf("%d records, or altered ones", len(got))
		}
		e.reopen(t)
	}
}

func testState(t *testing.T, e *env) {
	e.create(t, "s", 1)
	set := func(u ...streams.StateUpdate) {
		t.Helper()
		_, err := e.Append(t.Context(), "s", &streams.Batch{State: u, Records: []streams.NewRecord{{Data: []byte("with state")}}})
		must(t, err)
	}
	check := func(key string, want []byte) {
		t.Helper()
		if got := e.State(key); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("state %q: %q, want %q", key, got, want)
		}
	}
	check("a/1", nil)
	value := []byte("one")
	set(streams.StateUpdate{Key: "a/1", Value: value}, streams.StateUpdate{Key: "a/2", Value: []byte{}},
		streams.StateUpdate{Key: "b\xff\x00", Value: []byte{0, 255}}, streams.StateUpdate{Key: "a/1", Value: []byte("newer")})
	value[0] = 'X'
	for range 2 {
		check("a/1", []byte("newer"))
		check("a/2", []byte{})
		check("b\xff\x00", []byte{0, 255})
		if all := e.StateAll("a/"); len(all) != 2 || string(all["a/1"]) != "newer" {
			t.Errorf("all under a/: %q", all)
		}
		e.reopen(t)
	}
	set(streams.StateUpdate{Key: "a/1"}, streams.StateUpdate{Key: "never"})
	if _, err := e.Append(t.Context(), "s", &streams.Batch{State: []streams.StateUpdate{{Key: "alone", Value: []byte("x")}}}); err != nil {
		t.Errorf("state without records: %v", err)
	}
	for range 2 {
		check("a/1", nil)
		check("alone", []byte("x"))
		if all := e.StateAll(""); len(all) != 3 {
			t.Errorf("all: %q", all)
		}
		e.reopen(t)
	}
}

func testStat(t *testing.T, e *env) {
	e.create(t, "s", 1)
	var times []time.Time
	for range 4 {
		res := e.put(t, "s", numbers(0, 100)...)
		times = append(times, res.Arrival)
		e.Advance(time.Second)
	}
	const each = 10 // bytes of key and data
	for range 2 {
		for _, c := range []struct {
			from    streams.Sequence
			records int64
			oldest  time.Time
		}{
			{0, 400, times[0]}, {1, 400, times[0]}, {101, 300, times[1]}, {350, 51, times[3]}, {400, 1, times[3]}, {401, 0, time.Time{}}, {500, 0, time.Time{}},
		} {
			b, err := e.Stat(ref("s", 0), c.from)
			must(t, err)
			if b.Records != c.records || !b.Oldest.Equal(c.oldest) || b.Bytes < c.records*each || b.Bytes > c.records*each+32<<10 {
				t.Errorf("from %d: %+v, want %d records from %v", c.from, b, c.records, c.oldest)
			}
		}
		e.reopen(t)
	}
	if _, err := e.Stat(ref("s", 9), 0); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("no shard: %v", err)
	}
}
