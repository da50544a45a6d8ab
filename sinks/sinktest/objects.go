// Package sinktest is the contract of package sinks as tests: a destination is
// done when its suite passes.
//
// RunObjects tests an ObjectSink, RunDocuments a DocumentSink. Each subtest
// opens a fresh, empty destination, and after it closed the sink no goroutine
// may be left. The suites know nothing of one destination: what only one can do
// wrong is tested beside it, or handed in as a Fault.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/firehosed/firehosed/sinks"
)

// Objects is a destination under test.
type Objects struct {
	Sink sinks.ObjectSink
	// Read returns the bytes that a reader of the destination sees under a key;
	// ok is false if it sees nothing there.
	Read func(key string) (data []byte, ok bool)
	// List returns the keys that a reader sees, in any order.
	List func() []string
	// Leftovers names what a failed Put left behind and nobody sees: temporary
	// files, unfinished uploads. nil if the destination has no such thing.
	Leftovers func() []string
	// BigBytes is a size that makes the sink use every way it has; 0 means
	// 3 MiB and a byte.
	BigBytes int64
	Faults   []Fault
}

// Fault is something that goes wrong at a destination.
type Fault struct {
	Name string
	// Inject makes the next Put meet the fault; heal ends it.
	Inject func(t *testing.T) (heal func())
	// Class and Code are what the error must say; Code "" means any.
	Class sinks.Class
	Code  string
	// Stored is true if the destination keeps the object, and only the answer
	// is lost.
	Stored bool
	// Big is true if the object must have BigBytes to meet the fault.
	Big bool
}

// RunObjects runs the suite. open returns a sink on an empty destination, and
// registers what must be cleaned up after the sink was closed.
func RunObjects(t *testing.T, open func(t *testing.T) Objects) {
	run := func(name string, f func(t *testing.T, o Objects)) {
		t.Run(name, func(t *testing.T) {
			o := openObjects(t, open)
			f(t, o)
		})
	}
	run("check", func(t *testing.T, o Objects) {
		if err := o.Sink.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		wantKeys(t, o)
		if o.Sink.String() == "" {
			t.Error("the sink has no name")
		}
	})
	run("one object", func(t *testing.T, o Objects) {
		put(t, o, "a/b/one.json", "plan-1", []byte("{}\n"))
		wantKeys(t, o, "a/b/one.json")
	})
	run("zero bytes", func(t *testing.T, o Objects) {
		put(t, o, "empty", "plan-1", nil)
		wantKeys(t, o, "empty")
	})
	run("odd keys", func(t *testing.T, o Objects) {
		keys := []string{
			"dt=2016-02-25/hour=07/a b+c&d=e;f,g@h!i'(j)*~k%25.gz", "Ünïcödé/日本/é", ".hidden/.file", "a..b/...", "x#y?z",
		}
		for i, key := range keys {
			put(t, o, key, fmt.Sprint("plan-", i), []byte(key))
		}
		wantKeys(t, o, keys...)
	})
	run("same key and ID twice", testTwice)
	run("same key and ID at once", testAtOnce)
	run("big object", testBig)
	run("Object.Write fails", testWriteFails)
	run("Object.Write hides an error", testHiddenError)
	run("canceled before", func(t *testing.T, o Objects) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := o.Sink.Put(ctx, object("k", "plan-1", []byte("x")))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Put with a canceled context: got %v, want context.Canceled", err)
		}
		wantKeys(t, o)
	})
	run("canceled while writing", testCanceled)
	run("bad keys", testBadKeys)
	run("many at once", testMany)
	run("after Close", func(t *testing.T, o Objects) {
		if err := o.Sink.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Sink.Put(t.Context(), object("k", "plan-1", []byte("x"))); !errors.Is(err, sinks.ErrClosed) {
			t.Errorf("Put: got %v, want sinks.ErrClosed", err)
		}
		if err := o.Sink.Check(t.Context()); !errors.Is(err, sinks.ErrClosed) {
			t.Errorf("Check: got %v, want sinks.ErrClosed", err)
		}
		if err := o.Sink.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		wantKeys(t, o)
	})
	t.Run("faults", func(t *testing.T) {
		for i, f := range openObjects(t, open).Faults {
			t.Run(f.Name, func(t *testing.T) {
				o := openObjects(t, open)
				testFault(t, o, o.Faults[i])
			})
		}
	})
}

func openObjects(t *testing.T, open func(t *testing.T) Objects) Objects {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) }) // after those of open
	o := open(t)
	if o.BigBytes == 0 {
		o.BigBytes = 3<<20 + 1
	}
	t.Cleanup(func() {
		if o.Leftovers != nil {
			if left := o.Leftovers(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		}
		if err := o.Sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return o
}

func object(key, id string, data []byte) sinks.Object {
	return sinks.Object{
		Key: key, ID: id, ContentType: "application/x-ndjson",
		Write: func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		},
	}
}

func put(t *testing.T, o Objects, key, id string, data []byte) sinks.Stored {
	t.Helper()
	st, err := o.Sink.Put(t.Context(), object(key, id, data))
	if err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
	if st.Bytes != int64(len(data)) {
		t.Errorf("Put %q: stored %d bytes, want %d", key, st.Bytes, len(data))
	}
	wantObject(t, o, key, data)
	return st
}

func wantObject(t *testing.T, o Objects, key string, want []byte) {
	t.Helper()
	got, ok := o.Read(key)
	if !ok {
		t.Fatalf("%q is not there", key)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q holds %d bytes, not the %d that were put", key, len(got), len(want))
	}
}

func wantKeys(t *testing.T, o Objects, want ...string) {
	t.Helper()
	got := o.List()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the destination holds %q, want %q", got, want)
	}
}

func testTwice(t *testing.T, o Objects) {
	first := put(t, o, "a/k", "plan-1", []byte("same"))
	if first.Existed {
		t.Error("the first Put says that the object existed")
	}
	put(t, o, "a/k", "plan-1", []byte("same"))
	wantKeys(t, o, "a/k")
}

func testAtOnce(t *testing.T, o Objects) {
	data := blob(1, 1<<20)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = o.Sink.Put(t.Context(), object("k", "plan-1", data)) })
	}
	wg.Wait()
	stored := 0
	for _, err := range errs {
		// A store may answer all but one with a conflict that passes.
		if err == nil {
			stored++
		} else if c := sinks.ClassOf(err); c != sinks.Retry {
			t.Errorf("class %v, want retry: %v", c, err)
		}
	}
	if stored == 0 {
		t.Error("no Put succeeded")
	}
	wantObject(t, o, "k", data)
	wantKeys(t, o, "k")
}

func testBig(t *testing.T, o Objects) {
	want := blob(2, int(o.BigBytes))
	rng := rand.New(rand.NewPCG(3, 0))
	st, err := o.Sink.Put(t.Context(), sinks.Object{
		Key: "big", ID: "plan-1",
		Write: func(w io.Writer) error {
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(1<<18))
				if m, err := w.Write(rest[:n]); err != nil || m != n {
					return fmt.Errorf("wrote %d of %d: %w", m, n, err)
				}
				rest = rest[n:]
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if st.Bytes != o.BigBytes {
		t.Errorf("stored %d bytes, want %d", st.Bytes, o.BigBytes)
	}
	wantObject(t, o, "big", want)
	// Again, as after a crash between the store and its note.
	if _, err := o.Sink.Put(t.Context(), object("big", "plan-1", want)); err != nil {
		t.Fatalf("second Put: %v", err)
	}
	wantObject(t, o, "big", want)
	wantKeys(t, o, "big")
}

var errBroken = errors.New("record 7 is broken")

func testWriteFails(t *testing.T, o Objects) {
	for _, size := range []int64{0, 10, o.BigBytes} {
		calls := 0
		_, err := o.Sink.Put(t.Context(), sinks.Object{
			Key: "k", ID: "plan-1",
			Write: func(w io.Writer) error {
				calls++
				if _, err := w.Write(blob(4, int(size))); err != nil {
					return err
				}
				return fmt.Errorf("encode: %w", errBroken)
			},
		})
		if !errors.Is(err, errBroken) {
			t.Errorf("after %d bytes: got %v, want the error of Object.Write", size, err)
		}
		var classed *sinks.Error
		if errors.As(err, &classed) {
			t.Errorf("after %d bytes: the error was classed %v", size, classed.Class)
		}
		if calls != 1 {
			t.Errorf("after %d bytes: Object.Write was called %d times", size, calls)
		}
		wantKeys(t, o)
	}
	put(t, o, "k", "plan-1", []byte("whole"))
}

// testHiddenError: an encoder that swallows the error of its writer must not
// make a cut object look whole.
func testHiddenError(t *testing.T, o Objects) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := o.Sink.Put(ctx, sinks.Object{
		Key: "k", ID: "plan-1",
		Write: func(w io.Writer) error {
			cancel()
			for range 8 {
				_, _ = w.Write(blob(5, int(o.BigBytes/4)))
			}
			return nil
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	wantKeys(t, o)
}

func testCanceled(t *testing.T, o Objects) {
	for _, size := range []int64{1, o.BigBytes} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := o.Sink.Put(ctx, sinks.Object{
			Key: "k", ID: "plan-1",
			Write: func(w io.Writer) error {
				if _, err := w.Write(blob(6, int(size))); err != nil {
					return err
				}
				cancel()
				_, err := w.Write([]byte("more"))
				return err
			},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes: got %v, want context.Canceled", size, err)
		}
		wantKeys(t, o)
	}
}

func testBadKeys(t *testing.T, o Objects) {
	for _, key := range []string{
		"", "..", ".", "../x", "a/../../x", "a/./b", "a/..", "nul\x00", "line\nfeed", "tab\t", "\xff\xfe", string(make([]byte, 2000)),
	} {
		_, err := o.Sink.Put(t.Context(), object(key, "plan-1", []byte("x")))
		var e *sinks.Error
		if !errors.As(err, &e) || e.Class != sinks.Refuse || e.Code == "" {
			t.Errorf("key %q: got %v, want an error of class refuse with a code", key, err)
		}
	}
	wantKeys(t, o)
}

func testMany(t *testing.T, o Objects) {
	const n = 24
	var wg sync.WaitGroup
	var want []string
	errs := make([]error, n)
	for i := range n {
		key := fmt.Sprintf("p=%d/%d", i%3, i)
		want = append(want, key)
		wg.Go(func() {
			_, errs[i] = o.Sink.Put(t.Context(), object(key, fmt.Sprint("plan-", i), blob(uint64(i), 1000*i)))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, key := range want {
		wantObject(t, o, key, blob(uint64(i), 1000*i))
	}
	wantKeys(t, o, want...)
}

func testFault(t *testing.T, o Objects, f Fault) {
	data := []byte("the records of one plan\n")
	if f.Big {
		data = blob(8, int(o.BigBytes))
	}
	heal := f.Inject(t)
	_, err := o.Sink.Put(t.Context(), object("f/k", "plan-1", data))
	heal()
	wantFault(t, err, f)
	if f.Stored {
		wantObject(t, o, "f/k", data)
	} else {
		wantKeys(t, o)
	}
	// The operator acted, or the pause is over: the same plan again.
	put(t, o, "f/k", "plan-1", data)
	wantKeys(t, o, "f/k")
}

func wantFault(t *testing.T, err error, f Fault) {
	t.Helper()
	var e *sinks.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a classed error", err)
	}
	if e.Class != f.Class {
		t.Errorf("class %v, want %v: %v", e.Class, f.Class, err)
	}
	if f.Code != "" && e.Code != f.Code {
		t.Errorf("code %q, want %q: %v", e.Code, f.Code, err)
	}
}

// blob returns n bytes that do not compress, the same for the same seed.
func blob(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}
