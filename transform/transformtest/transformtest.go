// Package transformtest is the contract suite of transforms: every kind passes
// it with records of its own.
package transformtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/transform"
)

// Case says how to open a transform and what to give it.
type Case struct {
	// Open returns a fresh transform. The suite closes it.
	Open func(t *testing.T) transform.Transformer
	// OK, Dropped and Failed are contents that get that verdict, in whatever
	// company. OK must not be empty.
	OK, Dropped, Failed []string
	// Slow marks kinds that call someone else: they see fewer records.
	Slow bool
}

var code = regexp.MustCompile(`^[A-Z][A-Za-z]*\.[A-Z][A-Za-z]*$`)

// Run checks a transform against the contract of transform.Transformer.
func Run(t *testing.T, c Case) {
	open := func(t *testing.T) transform.Transformer {
		tr := c.Open(t)
		t.Cleanup(func() {
			if err := tr.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return tr
	}
	rounds := 50
	if c.Slow {
		rounds = 3
	}

	t.Run("empty batch", func(t *testing.T) {
		tr := open(t)
		for _, in := range [][]transform.Record{nil, {}} {
			out, err := tr.Transform(t.Context(), in)
			if err != nil || len(out) != 0 {
				t.Errorf("got %d outcomes, %v", len(out), err)
			}
		}
	})
	t.Run("length, order, origin", func(t *testing.T) {
		in, want := c.batch(rounds)
		kept := make([]string, len(in))
		for i := range in {
			kept[i] = string(in[i].Data)
		}
		original := append([]transform.Record(nil), in...)
		out, err := open(t).Transform(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		check(t, original, out, want)
		for i := range original {
			if string(original[i].Data) != kept[i] {
				t.Errorf("record %d: its bytes were written to: %q is now %q", i, kept[i], original[i].Data)
			}
		}
	})
	t.Run("one record", func(t *testing.T) {
		in, want := c.batch(1)
		out, err := open(t).Transform(t.Context(), in[:1])
		if err != nil {
			t.Fatal(err)
		}
		check(t, in[:1], out, want[:1])
	})
	t.Run("canceled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		in, _ := c.batch(1)
		if out, err := open(t).Transform(ctx, in); !errors.Is(err, context.Canceled) {
			t.Errorf("got %d outcomes and error %v, want context.Canceled", len(out), err)
		}
	})
	t.Run("expired context", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		in, _ := c.batch(1)
		if out, err := open(t).Transform(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %d outcomes and error %v, want context.DeadlineExceeded", len(out), err)
		}
	})
	t.Run("concurrent use", func(t *testing.T) {
		tr := open(t)
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				in, want := c.batch(rounds)
				original := append([]transform.Record(nil), in...)
				out, err := tr.Transform(t.Context(), in)
				if err != nil {
					t.Error(err)
					return
				}
				check(t, original, out, want)
			})
		}
		g.Wait()
	})
	t.Run("deterministic", func(t *testing.T) {
		tr := open(t)
		if !tr.Deterministic() {
			t.Skip("it says that it is not")
		}
		var first []transform.Outcome
		for range 3 {
			in, _ := c.batch(rounds)
			out, err := tr.Transform(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = out
			}
			for i := range out {
				if a, b := show(first[i]), show(out[i]); a != b {
					t.Fatalf("record %d: first %s, then %s", i, a, b)
				}
			}
		}
	})
	t.Run("hostile records", func(t *testing.T) {
		var in []transform.Record
		for i, b := range hostile() {
			in = append(in, transform.Record{ID: fmt.Sprint("hostile-", i), Data: b})
		}
		original := append([]transform.Record(nil), in...)
		out, err := open(t).Transform(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		check(t, original, out, nil)
	})
	t.Run("close twice", func(t *testing.T) {
		tr := c.Open(t)
		in, _ := c.batch(1)
		if _, err := tr.Transform(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// batch mixes the records of the case, each as often as rounds.
func (c Case) batch(rounds int) ([]transform.Record, []transform.Verdict) {
	var in []transform.Record
	var want []transform.Verdict
	arrival := time.UnixMilli(1495072949453).UTC()
	for r := range rounds {
		for v, texts := range [][]string{c.OK, c.Dropped, c.Failed} {
			for k, s := range texts {
				n := len(in)
				in = append(in, transform.Record{
					Data: []byte(s), ID: fmt.Sprintf("%d-%d-%d", r, v, k),
					Arrival: arrival.Add(time.Duration(n) * time.Millisecond), PartitionKey: fmt.Sprint("key-", n),
					ShardID: "shardId-000000000000", SequenceNumber: fmt.Sprintf("4959033827149025660800%d", n),
				})
				want = append(want, transform.Verdict(v))
			}
		}
	}
	return in, want
}

// check compares outcomes with the records they are for. Without want any
// verdict will do.
func check(t *testing.T, in []transform.Record, out []transform.Outcome, want []transform.Verdict) {
	t.Helper()
	if len(out) != len(in) {
		t.Errorf("%d outcomes for %d records", len(out), len(in))
		return
	}
	for i, o := range out {
		if want != nil && o.Verdict != want[i] {
			t.Errorf("record %d %.100q: %s, want %v", i, in[i].Data, show(o), want[i])
			return
		}
		switch o.Verdict {
		case transform.OK:
			a, b := o.Record, in[i]
			if a.ID != b.ID || !a.Arrival.Equal(b.Arrival) || a.PartitionKey != b.PartitionKey ||
				a.ShardID != b.ShardID || a.SequenceNumber != b.SequenceNumber {
				t.Errorf("record %d came from %s %s, its outcome says %s %s", i, b.ID, b.PartitionKey, a.ID, a.PartitionKey)
				return
			}
		case transform.Dropped:
		case transform.Failed:
			if !code.MatchString(o.Code) || o.Message == "" || o.Attempts < 1 {
				t.Errorf("record %d: code %q, message %q, attempts %d", i, o.Code, o.Message, o.Attempts)
			}
			if len(o.Message) > 1024 {
				t.Errorf("record %d: the message has %d bytes", i, len(o.Message))
			}
		default:
			t.Errorf("record %d: verdict %d", i, o.Verdict)
		}
	}
}

func show(o transform.Outcome) string {
	keys := make([]string, 0, len(o.Record.PartitionKeys))
	for _, k := range slices.Sorted(maps.Keys(o.Record.PartitionKeys)) {
		keys = append(keys, k+"="+o.Record.PartitionKeys[k])
	}
	return fmt.Sprintf("%v %q %s %q %v", o.Verdict, o.Record.Data, o.Code, o.Message, keys)
}

func hostile() [][]byte {
	var h [][]byte
	for _, s := range []string{
		"", " ", "\n", "\x00", "\xff\xfe\xfd", "\"", "\\", "{", "}", "[", "null", "true", "0", "-", `""`, "[]", "{}", "{}{}",
		`{"":null}`, `{"a":1,"a":2}`, `{"status":"200"}`, `{"status":null}`, `{"status":[1]}`, `{"status":1e999}`,
		`{"status":123456789012345678901234567890}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}", `"\ud800"`, "a=b", "a,b,c",
		`1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "`, strings.Repeat(" [", 4096), strings.Repeat(`"`, 4096),
		strings.Repeat("a=", 4096), strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), strings.Repeat("[", 1<<20),
		strings.Repeat("9", 1<<16),
	} {
		h = append(h, []byte(s))
	}
	return append(h, nil, bytes.Repeat([]byte{0}, 1<<20), bytes.Repeat([]byte("\xff"), 1<<16))
}
