package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/filter"
	"github.com/firehosed/firehosed/transform/parse"
)

func TestIntervalAndSizeCloseObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		opt.Hints.Bytes = 100
		opt.Objects.Compression = formats.CompressionGzip
		s, stop := f.run(opt)
		f.put(numbered(0, 3)...)
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if got := f.objects("data"); len(got) != 0 {
			t.Fatalf("%d objects before the interval", len(got))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.wantLines("data", numbered(0, 3))
		for key := range f.objects("data") {
			if want := "2000/d-1-2000-01-01-00-00-00-"; !strings.HasPrefix(key, want) || !strings.HasSuffix(key, ".ndjson.gz") {
				t.Errorf("object key %q, want %s…ndjson.gz", key, want)
			}
		}
		f.put(numbered(3, 50)...) // 47 records of 7 and 8 bytes: 3 full objects and a rest
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(f.objects("data")); n != 4 {
			t.Errorf("%d objects, want 3 more that were closed by size", n)
		}
		if st := s.Status(); st.State != delivery.Filling || st.LagRecords == 0 || st.BufferRecords != st.LagRecords {
			t.Errorf("status %+v, want the rest in the open buffer", st)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		f.wantLines("data", numbered(0, 50))
		if st := s.Status(); st.LagRecords != 0 || !st.Oldest.IsZero() {
			t.Errorf("lag after everything was delivered: %+v", st)
		}
		f.stop(stop)
	})
}

func TestStopLeavesTheRestInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		_, stop := f.run(f.options())
		f.put(numbered(0, 10)...)
		time.Sleep(time.Second)
		synctest.Wait()
		f.stop(stop)
		if got := f.objects("data"); len(got) != 0 {
			t.Fatalf("%d objects of an open buffer", len(got))
		}
		_, stop = f.run(f.options())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		f.wantLines("data", numbered(0, 10))
	})
}

// A record is late by the interval counted from its arrival, not from when
// somebody looked.
func TestOldRecordsAreDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		f.put(numbered(0, 5)...)
		time.Sleep(time.Hour)
		_, stop := f.run(f.options())
		time.Sleep(time.Second)
		synctest.Wait()
		f.wantLines("data", numbered(0, 5))
		f.stop(stop)
	})
}

func TestStartAtTheTip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		f.put(numbered(0, 5)...)
		opt := f.options()
		opt.Start = streams.Tip
		_, stop := f.run(opt)
		synctest.Wait()
		f.stop(stop)
		f.put(numbered(5, 10)...) // while it is stopped: not to be missed
		_, stop = f.run(opt)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.wantLines("data", numbered(5, 10))
		f.stop(stop)
	})
}

func TestRecordsThatFailAndRecordsThatAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		js, err := parse.New(parse.Options{Format: parse.JSON})
		if err != nil {
			t.Fatal(err)
		}
		keep, err := filter.New(filter.Options{Expr: `n != 2`})
		if err != nil {
			t.Fatal(err)
		}
		opt.Transforms = transform.NewChain(transform.Step{Name: "transforms[0] parse", T: js}, transform.Step{Name: "transforms[1] filter", T: keep})
		s, stop := f.run(opt)
		f.put(`{"n":1}`, `{"n":2}`, "no JSON", `{"n":3}`)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.wantLines("data", []string{`{"n":1}`, `{"n":3}`})
		failed := f.lines("errors")
		if len(failed) != 1 {
			t.Fatalf("%d error records, want 1: %q", len(failed), failed)
		}
		var rec struct {
			AttemptsMade, ArrivalTimestamp, AttemptEndingTimestamp int64
			ErrorCode, ErrorMessage, SequenceNumber, ShardID, Step string
			RawData                                                []byte
		}
		if err := json.Unmarshal([]byte(failed[0]), &rec); err != nil {
			t.Fatal(err)
		}
		if string(rec.RawData) != "no JSON" || rec.ErrorCode != parse.NoMatch || rec.Step != "transforms[0] parse" || rec.AttemptsMade != 1 || rec.ShardID != "shardId-000000000000" {
			t.Errorf("error record %+v", rec)
		}
		if n, err := streams.ParseSequenceNumber(rec.SequenceNumber); err != nil || n.Sequence != 3 {
			t.Errorf("sequence number %s leads to %+v, %v; want the third record", rec.SequenceNumber, n, err)
		}
		for key := range f.objects("errors") {
			if !strings.HasPrefix(key, "processing-failed/") {
				t.Errorf("error object %q, want it below processing-failed/", key)
			}
		}
		m := s.Metrics()
		if m.Delivered.Load() != 2 || m.Dropped.Load() != 1 || m.Failed()["processing-failed"] != 1 {
			t.Errorf("counted %d delivered, %d dropped, %v failed", m.Delivered.Load(), m.Dropped.Load(), m.Failed())
		}
		f.stop(stop)
	})
}

func TestFormatRefusesARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		_, stop := f.run(f.options())
		f.put(`{"n":1}`, `{"n":`, `{"n":3}`)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.wantLines("data", []string{`{"n":1}`, `{"n":3}`})
		failed := f.lines("errors")
		if len(failed) != 1 || !strings.Contains(failed[0], `"lastErrorCode":"DataFormatConversion.ParseError"`) {
			t.Errorf("error records %q", failed)
		}
		for key := range f.objects("errors") {
			if !strings.HasPrefix(key, "format-conversion-failed/") {
				t.Errorf("error object %q", key)
			}
		}
		f.stop(stop)
	})
}

func TestNoEmptyObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		none, err := filter.New(filter.Options{Expr: `n < 0`})
		if err != nil {
			t.Fatal(err)
		}
		opt.Transforms = transform.NewChain(transform.Step{Name: "filter", T: none})
		s, stop := f.run(opt)
		f.put(numbered(0, 5)...)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := f.objects(""); len(got) != 0 {
			t.Errorf("objects of nothing: %q", slices.Collect(maps.Keys(got)))
		}
		if st := s.Status(); st.LagRecords != 0 {
			t.Errorf("%d records still to deliver, want the position past the dropped ones", st.LagRecords)
		}
		f.stop(stop)
	})
}

func TestBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		prefix, err := delivery.ParsePrefix("", nil)
		if err != nil {
			t.Fatal(err)
		}
		opt.Backup = &delivery.ObjectOutput{
			Output: delivery.Output{Sink: f.sink("backup"), Prefix: prefix},
			Format: formats.Raw{Delimiter: "\n"},
		}
		_, stop := f.run(opt)
		f.put(`{"n":1}`, "no JSON")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.wantLines("backup", []string{`{"n":1}`, "no JSON"})
		f.stop(stop)
	})
}

// A destination that is down holds up its own delivery stream and nobody else.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		down := &sinks.Error{Class: sinks.Fix, Code: "AccessDenied", Err: errors.New("no permission to put")}
		opt := f.options()
		sick := &script{ObjectSink: opt.Objects.Sink, before: func(sinks.Object) error { return down }, check: func() error { return down }}
		opt.Objects.Sink = sick
		opt.Budget = buffer.NewBudget(10)
		opt.MemoryBytes = 10 // the whole budget: it must be given back while the sink is down
		s, stop := f.run(opt)

		other := f.options()
		other.Name = "other"
		other.Objects.Sink = f.sink("other")
		other.Budget, other.MemoryBytes = opt.Budget, 10
		_, stopOther := f.run(other)

		for i := range 60 {
			f.put(numbered(i*10, i*10+10)...)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.wantLines("other", numbered(0, 600))
		if got := f.objects("data"); len(got) != 0 {
			t.Fatalf("%d objects in a destination that is down", len(got))
		}
		st := s.Status()
		if st.State != delivery.Stalled || !strings.Contains(st.Error, "AccessDenied") || st.LagRecords != 600 {
			t.Errorf("status %+v, want stalled with 600 records to go", st)
		}
		if sick.puts > 3 {
			t.Errorf("%d puts while the check failed, want the check to be asked instead", sick.puts)
		}
		sick.set(func(s *script) { s.before, s.check = nil, nil })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.wantLines("data", numbered(0, 600))
		f.stop(stop)
		f.stop(stopOther)
	})
}

// When the error output is down too, the position does not move.
func TestErrorOutputDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		sick := &script{ObjectSink: opt.Errors.Sink, before: func(sinks.Object) error { return errors.New("connection refused") }}
		opt.Errors.Sink = sick
		s, stop := f.run(opt)
		f.put(`{"n":1}`, "bad")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if st := s.Status(); st.LagRecords != 2 || st.State != delivery.Stalled {
			t.Errorf("status %+v, want stalled", st)
		}
		sick.set(func(s *script) { s.before = nil })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := s.Status(); st.LagRecords != 0 {
			t.Errorf("status %+v, want all delivered", st)
		}
		f.wantLines("data", []string{`{"n":1}`})
		if n := len(f.lines("errors")); n != 1 {
			t.Errorf("%d error records, want 1", n)
		}
		f.stop(stop)
	})
}

// faultyLog fails the n-th append, before or after it is durable.
type faultyLog struct {
	delivery.Log
	left  int
	after bool
}

var errKilled = fmt.Errorf("killed: %w", streams.ErrReadOnly)

func (l *faultyLog) Append(ctx context.Context, stream string, b *streams.Batch) (streams.Result, error) {
	l.left--
	if l.left == 0 && !l.after {
		return streams.Result{}, errKilled
	}
	r, err := l.Log.Append(ctx, stream, b)
	if l.left == 0 {
		return r, errKilled
	}
	return r, err
}

// A delivery that dies at any of its appends, or after any of its puts, ends up
// with every record once and no object twice.
func TestKillAtEveryAppend(t *testing.T) {
	for n := 1; n <= 12; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("append %d durable %v", n, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { killAt(t, n, 0, after) })
			})
		}
		t.Run(fmt.Sprintf("put %d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { killAt(t, 0, n, false) })
		})
	}
}

func killAt(t *testing.T, appendN, putN int, after bool) {
	f := newFixture(t, 3)
	records := append(numbered(0, 40), "bad 1", "bad 2")
	f.put(records...)
	opt := f.options()
	opt.Hints.Bytes = 60
	opt.Log = &faultyLog{Log: f.log, left: appendN, after: after}
	data := opt.Objects.Sink
	puts := 0
	opt.Objects.Sink = &script{ObjectSink: data, after: func(sinks.Object) error {
		if puts++; puts == putN {
			return fmt.Errorf("stored, but nobody heard: %w", errKilled)
		}
		return nil
	}}
	_, stop := f.run(opt)
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	if err := stop(); err != nil && !errors.Is(err, errKilled) {
		t.Fatalf("Run: %v", err)
	}
	opt.Log, opt.Objects.Sink = f.log, data
	_, stop = f.run(opt)
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	f.stop(stop)
	f.wantLines("data", numbered(0, 40))
	if n := len(f.lines("errors")); n != 2 {
		t.Errorf("%d error records, want 2", n)
	}
}

func TestReshapeKeepsTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		opt := f.options()
		opt.Objects.Format = formats.Raw{Delimiter: "\n"}
		opt.Hints.Bytes = 40
		put := func(n int) {
			for i := range 5 {
				rec := streams.NewRecord{PartitionKey: "same", Data: fmt.Appendf(nil, "%02d", n*5+i)}
				if _, err := f.log.Append(t.Context(), "in", &streams.Batch{Records: []streams.NewRecord{rec}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(0)
		if err := f.log.Split(t.Context(), "in", 0, streams.HashKey{Hi: 1 << 63}); err != nil {
			t.Fatal(err)
		}
		put(1)
		if err := f.log.Merge(t.Context(), "in", 1, 2); err != nil {
			t.Fatal(err)
		}
		put(2)
		_, stop := f.run(opt)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		put(3) // the merged shard goes on
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		var got []string
		objects := f.objects("data")
		for _, key := range slices.Sorted(maps.Keys(objects)) {
			got = append(got, strings.Fields(string(objects[key]))...)
		}
		if len(got) != 20 {
			t.Fatalf("got %d records: %q", len(got), got)
		}
		for _, b := range objects {
			if in := strings.Fields(string(b)); !slices.IsSorted(in) {
				t.Errorf("an object holds a key out of order: %q", in)
			}
		}
	})
}

func TestSourceComesLaterAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		if err := f.log.Delete(t.Context(), "in"); err != nil {
			t.Fatal(err)
		}
		s, stop := f.run(f.options())
		time.Sleep(time.Minute)
		if st := s.Status(); st.State != delivery.Waiting {
			t.Errorf("state %s without a source, want waiting", st.State)
		}
		for round := range 2 {
			if _, err := f.log.Create(t.Context(), streams.StreamSpec{Name: "in", Shards: 1}); err != nil {
				t.Fatal(err)
			}
			f.put(numbered(round*10, round*10+10)...)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if err := f.log.Delete(t.Context(), "in"); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLines("data", numbered(0, 20))
		f.stop(stop)
	})
}

// moody answers differently each time it is asked.
type moody struct{ calls int }

func (m *moody) Deterministic() bool { return false }
func (m *moody) Close() error        { return nil }

func (m *moody) Transform(_ context.Context, in []transform.Record) ([]transform.Outcome, error) {
	m.calls++
	out := make([]transform.Outcome, len(in))
	for i, r := range in {
		if (i+m.calls)%2 == 0 {
			out[i] = transform.Outcome{Verdict: transform.Failed, Code: "Moody", Message: "not today", Attempts: 1}
			continue
		}
		r.Data = bytes.ReplaceAll(r.Data, []byte("}"), fmt.Appendf(nil, `,"call":%d}`, m.calls))
		out[i] = transform.Outcome{Record: r}
	}
	return out, nil
}

// The object was stored and the process died before it knew. The second run
// must hold to what the first one decided, or a record could be in neither
// output.
func TestOutcomesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		f.put(numbered(0, 10)...)
		opt := f.options()
		m := &moody{}
		opt.Transforms = transform.NewChain(transform.Step{Name: "moody", T: m})
		data := opt.Objects.Sink
		opt.Objects.Sink = &script{ObjectSink: data, after: func(sinks.Object) error { return errKilled }}
		_, stop := f.run(opt)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if err := stop(); !errors.Is(err, errKilled) {
			t.Fatalf("Run: %v, want the kill", err)
		}
		opt.Objects.Sink = data
		_, stop = f.run(opt)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		if good, bad := len(f.lines("data")), len(f.lines("errors")); good != 5 || bad != 5 {
			t.Errorf("%d delivered and %d failed, want 5 and 5: each record in exactly one", good, bad)
		}
		if m.calls != 1 {
			t.Errorf("transforms were run %d times, want their first word to hold", m.calls)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := delivery.New(delivery.Options{Name: "d"})
	for _, want := range []string{"log", "source", "destination", "error output", "work directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want it to ask for a %s", err, want)
		}
	}
}
