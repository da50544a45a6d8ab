package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firehosed/firehosed/sinks"
)

// Documents is a destination of documents under test.
type Documents struct {
	Sink sinks.DocumentSink
	// Stored returns the documents that the destination holds, in any order;
	// what it took twice as the same it returns once.
	Stored func() []string
	// Good returns the i-th of any number of different documents that the
	// destination takes, as Stored returns it.
	Good func(i int) string
	// Bad is a document that is refused, while others of its batch are stored.
	Bad    string
	Faults []Fault // Big has no meaning here
}

// RunDocuments runs the suite. open returns a sink on an empty destination, and
// registers what must be cleaned up after the sink was closed.
func RunDocuments(t *testing.T, open func(t *testing.T) Documents) {
	run := func(name string, f func(t *testing.T, d Documents)) {
		t.Run(name, func(t *testing.T) { f(t, openDocuments(t, open)) })
	}
	run("check", func(t *testing.T, d Documents) {
		if err := d.Sink.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		wantStored(t, d)
		if d.Sink.String() == "" {
			t.Error("the sink has no name")
		}
		if l := d.Sink.Limits(); l.Documents < 0 || l.Bytes < 0 {
			t.Errorf("limits %+v", l)
		}
	})
	run("no document", func(t *testing.T, d Documents) {
		if err := d.Sink.PutDocuments(t.Context(), sinks.Batch{ID: batchID(0)}); err != nil {
			t.Fatal(err)
		}
		wantStored(t, d)
	})
	run("one document", func(t *testing.T, d Documents) { putGood(t, d, 0, 0, 1) })
	run("same batch twice", func(t *testing.T, d Documents) {
		for range 2 {
			if err := d.Sink.PutDocuments(t.Context(), goodBatch(d, 1, 0, 10)); err != nil {
				t.Fatal(err)
			}
			wantStored(t, d, good(d, 0, 10)...)
		}
	})
	run("largest batch", func(t *testing.T, d Documents) {
		n := d.Sink.Limits().Documents
		if n == 0 || n > 10_000 {
			n = 10_000
		}
		putGood(t, d, 2, 0, n)
	})
	run("bad among good", testBadDocument)
	run("canceled before", func(t *testing.T, d Documents) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Sink.PutDocuments(ctx, goodBatch(d, 3, 0, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if err := d.Sink.Check(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Check: got %v, want context.Canceled", err)
		}
		wantStored(t, d)
	})
	run("many at once", func(t *testing.T, d Documents) {
		const batches, each = 16, 20
		var wg sync.WaitGroup
		errs := make([]error, batches)
		for i := range batches {
			wg.Go(func() { errs[i] = d.Sink.PutDocuments(t.Context(), goodBatch(d, i, i*each, each)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		wantStored(t, d, good(d, 0, batches*each)...)
	})
	run("after Close", func(t *testing.T, d Documents) {
		if err := d.Sink.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.Sink.PutDocuments(t.Context(), goodBatch(d, 4, 0, 1)); !errors.Is(err, sinks.ErrClosed) {
			t.Errorf("PutDocuments: got %v, want sinks.ErrClosed", err)
		}
		if err := d.Sink.Check(t.Context()); !errors.Is(err, sinks.ErrClosed) {
			t.Errorf("Check: got %v, want sinks.ErrClosed", err)
		}
		if err := d.Sink.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		wantStored(t, d)
	})
	t.Run("faults", func(t *testing.T) {
		for i, f := range openDocuments(t, open).Faults {
			t.Run(f.Name, func(t *testing.T) {
				d := openDocuments(t, open)
				f := d.Faults[i]
				heal := f.Inject(t)
				err := d.Sink.PutDocuments(t.Context(), goodBatch(d, 5, 0, 10))
				heal()
				wantFault(t, err, f)
				if f.Stored {
					wantStored(t, d, good(d, 0, 10)...)
				} else {
					wantStored(t, d)
				}
				putGood(t, d, 5, 0, 10)
			})
		}
	})
}

func openDocuments(t *testing.T, open func(t *testing.T) Documents) Documents {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	d := open(t)
	t.Cleanup(func() {
		if err := d.Sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// batchID returns the same UUID for the same number.
func batchID(n int) string { return fmt.Sprintf("ed4acda5-034f-9f42-bba1-%012x", n) }

// Arrival is the arrival time of the first document of the suite; each next one
// came a millisecond later.
var Arrival = time.Date(2016, 2, 25, 13, 0, 0, 0, time.UTC)

func document(i int, data string) sinks.Document {
	return sinks.Document{
		ID: fmt.Sprintf("shardId-000000000000.%d", i), Data: []byte(data), Arrival: Arrival.Add(time.Duration(i) * time.Millisecond),
	}
}

func good(d Documents, from, n int) []string {
	var list []string
	for i := range n {
		list = append(list, d.Good(from+i))
	}
	return list
}

func goodBatch(d Documents, id, from, n int) sinks.Batch {
	b := sinks.Batch{ID: batchID(id)}
	for i, data := range good(d, from, n) {
		b.Documents = append(b.Documents, document(from+i, data))
	}
	return b
}

func putGood(t *testing.T, d Documents, id, from, n int) {
	t.Helper()
	if err := d.Sink.PutDocuments(t.Context(), goodBatch(d, id, from, n)); err != nil {
		t.Fatal(err)
	}
	wantStored(t, d, good(d, from, n)...)
}

func wantStored(t *testing.T, d Documents, want ...string) {
	t.Helper()
	got := d.Stored()
	slices.Sort(got)
	want = slices.Clone(want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the destination holds %d documents, %.300q, want %d, %.300q", len(got), got, len(want), want)
	}
}

func testBadDocument(t *testing.T, d Documents) {
	b := goodBatch(d, 6, 0, 7)
	for _, i := range []int{0, 3, 6} {
		b.Documents[i].Data = []byte(d.Bad)
	}
	err := d.Sink.PutDocuments(t.Context(), b)
	var partial *sinks.PartialError
	if !errors.As(err, &partial) {
		t.Fatalf("got %v, want a PartialError", err)
	}
	for i := range b.Documents {
		e := partial.Failed[i]
		if bad := i%3 == 0; bad != (e != nil) {
			t.Errorf("document %d: got %v", i, e)
		} else if bad && (e.Class != sinks.Refuse || e.Code == "" || e.Err == nil) {
			t.Errorf("document %d: got %+v, want class refuse, a code and a reason", i, e)
		}
	}
	wantStored(t, d, d.Good(1), d.Good(2), d.Good(4), d.Good(5))
	// All of them bad: still a partial error, and nothing breaks.
	b = goodBatch(d, 7, 100, 7)
	for i := range b.Documents {
		b.Documents[i].Data = []byte(d.Bad)
	}
	if err := d.Sink.PutDocuments(t.Context(), b); !errors.As(err, &partial) || len(partial.Failed) != len(b.Documents) {
		t.Errorf("all bad: got %v", err)
	}
}
