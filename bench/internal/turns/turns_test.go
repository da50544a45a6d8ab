package turns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// counting is a store that counts, and fails at one append if told so.
type counting struct {
	mu      sync.Mutex
	seen    map[int]int // number of an append -> how often it came
	records int
	fail    int // this append, counted from 1, fails
	settled int
	closed  int
}

func (c *counting) Writer(_, records int) (func(context.Context, int) error, error) {
	return func(_ context.Context, i int) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen[i]++
		c.records += records
		if c.fail > 0 && len(c.seen) >= c.fail {
			return errors.New("it broke")
		}
		return nil
	}, nil
}

func (c *counting) Settle() (time.Duration, error) { c.settled++; return time.Millisecond, nil }
func (c *counting) Close() error                   { c.closed++; return nil }

func TestRunEndsByBytes(t *testing.T) {
	c := &counting{seen: map[int]int{}}
	j := Job{For: time.Hour, Bytes: 300 << 10, Writers: 3, Records: 10, Settle: true}
	for n := range 2 {
		r, err := Run(t.Context(), c, j, n)
		if err != nil {
			t.Fatal(err)
		}
		if r.Bytes() < j.Bytes || r.Bytes() > j.Bytes+int64(j.Writers*j.Records*RecordBytes) {
			t.Errorf("turn %d: %d bytes, want %d and hardly more", n, r.Bytes(), j.Bytes)
		}
		if r.Appends*10 != r.Records || r.Settled != time.Millisecond {
			t.Errorf("turn %d: %+v", n, r)
		}
		if r.P50 > r.P99 || r.P99 > r.Took {
			t.Errorf("turn %d: p50 %v, p99 %v in %v", n, r.P50, r.P99, r.Took)
		}
	}
	for i, n := range c.seen {
		if n != 1 {
			t.Fatalf("append %d was made %d times", i, n)
		}
	}
	if c.settled != 2 {
		t.Errorf("settled %d times, want 2", c.settled)
	}
}

func TestServe(t *testing.T) {
	c := &counting{seen: map[int]int{}, fail: 100}
	jobs := `{"For":3600000000000,"Bytes":10240,"Writers":1,"Records":1}
{"For":3600000000000,"Writers":2,"Records":1}
{"Writers":0}
`
	var out bytes.Buffer
	if err := Serve(t.Context(), strings.NewReader(jobs), &out, c); err != nil {
		t.Fatal(err)
	}
	ready, rest, _ := strings.Cut(out.String(), "\n")
	if ready != "ready" {
		t.Errorf("it began with %q", ready)
	}
	var got []Result
	for dec := json.NewDecoder(strings.NewReader(rest)); ; {
		var r Result
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if len(got) != 3 {
		t.Fatalf("%d answers, want 3: %q", len(got), rest)
	}
	if got[0].Err != "" || got[0].Records < 10 {
		t.Errorf("first turn: %+v", got[0])
	}
	if got[1].Err != "it broke" {
		t.Errorf("second turn: error %q, want that of the store", got[1].Err)
	}
	if got[2].Err == "" {
		t.Error("a job without writers was done")
	}
	if c.closed != 1 {
		t.Errorf("closed %d times", c.closed)
	}
	if err := Serve(t.Context(), strings.NewReader("x\n"), &out, c); err == nil {
		t.Error("no error for a line that is no job")
	}
}

func TestHistogram(t *testing.T) {
	last := time.Duration(-1)
	for d := time.Duration(0); d < time.Hour; d += 1 + d/50 {
		v := valueOf(bucketOf(d))
		if off := float64(v-d) / float64(max(d, 1)); off < -0.07 || off > 0.07 {
			t.Fatalf("%v is counted as %v", d, v)
		}
		if v < last {
			t.Fatalf("%v is counted as %v, less than one before it", d, v)
		}
		last = v
	}
	if b := bucketOf(1 << 62); b != len(histogram{}.buckets)-1 {
		t.Errorf("a century goes to bucket %d", b)
	}
	var a, b histogram
	if a.percentile(99) != 0 {
		t.Error("percentile of nothing")
	}
	for range 98 {
		a.add(time.Millisecond)
	}
	b.add(time.Second)
	b.add(time.Second)
	a.join(&b)
	near := func(got, want time.Duration) bool { return got > want*93/100 && got < want*107/100 }
	if a.count != 100 || !near(a.percentile(50), time.Millisecond) || !near(a.percentile(99), time.Second) {
		t.Errorf("%d samples, p50 %v, p99 %v", a.count, a.percentile(50), a.percentile(99))
	}
}

func TestDataIsTheSameAndDoesNotRepeatAtOnce(t *testing.T) {
	a, b := NewData(), NewData()
	keys := map[string]bool{}
	for i := range 1000 {
		if !bytes.Equal(a.Record(i), b.Record(i)) || len(a.Record(i)) != RecordBytes {
			t.Fatalf("record %d differs, or has %d bytes", i, len(a.Record(i)))
		}
		if bytes.Equal(a.Record(i), a.Record(i+1)) {
			t.Fatalf("records %d and %d are equal", i, i+1)
		}
		keys[a.Key(i)] = true
	}
	if len(keys) < 900 {
		t.Errorf("%d keys for 1,000 records", len(keys))
	}
}
