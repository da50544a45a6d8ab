package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/sinks"
)

// index is a document sink with the rules of a search index: a document id is
// stored once.
type index struct {
	mu      sync.Mutex
	limits  sinks.BatchLimits
	docs    map[string]string
	batches [][]string
	answer  func(sinks.Batch) error // asked before anything is stored; a *PartialError stores the others
	check   error
}

func newIndex() *index {
	return &index{docs: map[string]string{}, limits: sinks.BatchLimits{Documents: 4}}
}

func (x *index) Limits() sinks.BatchLimits { return x.limits }
func (x *index) String() string            { return "index" }
func (x *index) Close() error              { return nil }

func (x *index) Check(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.check
}

func (x *index) PutDocuments(_ context.Context, b sinks.Batch) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var partial *sinks.PartialError
	if x.answer != nil {
		err := x.answer(b)
		if err != nil && !errors.As(err, &partial) {
			return err
		}
	}
	var ids []string
	for i, d := range b.Documents {
		if partial == nil || partial.Failed[i] == nil {
			x.docs[d.ID] = string(d.Data)
			ids = append(ids, string(d.Data))
		}
	}
	x.batches = append(x.batches, ids)
	if partial != nil {
		return partial
	}
	return nil
}

func (x *index) set(change func(*index)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change(x)
}

func (x *index) stored() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []string
	for _, d := range x.docs {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

func (f *fixture) documents(x *index) delivery.Options {
	opt := f.options()
	opt.Objects = nil
	opt.Documents = &delivery.DocumentOutput{Sink: x, ErrorType: "AmazonOpenSearchService-failed"}
	return opt
}

func TestDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, x := newFixture(t, 2), newIndex()
		_, stop := f.run(f.documents(x))
		f.put(numbered(0, 10)...)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		if got := x.stored(); !slices.Equal(got, sorted(numbered(0, 10))) {
			t.Errorf("stored %q", got)
		}
		for _, b := range x.batches {
			if len(b) > 4 {
				t.Errorf("a batch of %d documents, more than the sink takes", len(b))
			}
		}
	})
}

func TestPoisonAndBusyDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, x := newFixture(t, 1), newIndex()
		busy := 3
		x.answer = func(b sinks.Batch) error {
			failed := map[int]*sinks.Error{}
			for i, d := range b.Documents {
				switch {
				case strings.Contains(string(d.Data), `:5}`):
					failed[i] = &sinks.Error{Class: sinks.Refuse, Code: "400", Err: errors.New("mapper_parsing_exception")}
				case strings.Contains(string(d.Data), `:6}`) && busy > 0:
					busy--
					failed[i] = &sinks.Error{Class: sinks.Retry, Code: "429", Err: errors.New("rejected")}
				}
			}
			if len(failed) == 0 {
				return nil
			}
			return &sinks.PartialError{Failed: failed}
		}
		_, stop := f.run(f.documents(x))
		f.put(numbered(0, 10)...)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		want := slices.DeleteFunc(numbered(0, 10), func(s string) bool { return s == `{"n":5}` })
		if got := x.stored(); !slices.Equal(got, sorted(want)) {
			t.Errorf("stored %q, want all but the poison", got)
		}
		failed := f.lines("errors")
		if len(failed) != 1 || !strings.Contains(failed[0], "mapper_parsing_exception") || !strings.Contains(failed[0], `"esDocumentId":"`) {
			t.Errorf("error records %q, want the poison alone", failed)
		}
		for _, b := range x.batches[2:] {
			if slices.Contains(b, `{"n":4}`) {
				t.Error("a document that was stored was sent again")
			}
		}
	})
}

// Documents before an outage are not sent again after it.
func TestOutageInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, x := newFixture(t, 1), newIndex()
		calls := 0
		down := &sinks.Error{Class: sinks.Retry, Code: "503", Err: errors.New("unavailable")}
		x.answer = func(sinks.Batch) error {
			if calls++; calls >= 3 {
				return down
			}
			return nil
		}
		s, stop := f.run(f.documents(x))
		f.put(numbered(0, 20)...)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(x.stored()); n != 8 || s.Status().State != delivery.Stalled {
			t.Fatalf("%d documents and state %s in the outage, want 8 and stalled", n, s.Status().State)
		}
		x.set(func(x *index) { x.answer = nil })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.stop(stop)
		if got := x.stored(); !slices.Equal(got, sorted(numbered(0, 20))) {
			t.Errorf("stored %q", got)
		}
		sent := 0
		for _, b := range x.batches {
			sent += len(b)
		}
		if sent != 20 {
			t.Errorf("%d documents stored in all batches, want each once", sent)
		}
	})
}

func TestGiveUp(t *testing.T) {
	for _, tt := range []struct {
		class sinks.Class
		after time.Duration
		given bool
	}{
		{sinks.Retry, 5 * time.Minute, true},
		{sinks.Retry, 0, false},
		{sinks.Fix, 5 * time.Minute, false}, // an operator will mend it
		{sinks.Refuse, 0, true},
	} {
		t.Run(fmt.Sprint(tt.class, tt.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, x := newFixture(t, 1), newIndex()
				down := &sinks.Error{Class: tt.class, Code: "HttpEndpoint.DestinationException", Err: errors.New("no")}
				x.answer = func(sinks.Batch) error { return down }
				x.check = down
				opt := f.documents(x)
				opt.Documents.GiveUpAfter = tt.after
				opt.Documents.ErrorType = "http-endpoint-failed"
				s, stop := f.run(opt)
				f.put(numbered(0, 3)...)
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				want := 0
				if tt.given {
					want = 3
				}
				if n := len(f.lines("errors")); n != want {
					t.Errorf("%d documents in the error output, want %d", n, want)
				}
				if st := s.Status(); (st.LagRecords == 0) != tt.given {
					t.Errorf("status %+v", st)
				}
				f.stop(stop)
			})
		})
	}
}
