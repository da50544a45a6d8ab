package contract

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/transform"
)

// Caller carries a request to whoever answers it.
type Caller interface {
	// Call sends one request, which it must not keep, and gives the answer to
	// accept, at most once. accept reports whether the answer fits the request;
	// the caller may want to start over if not. An error that is no *Fault is
	// for the operator: it ends the batch at once. The context ends with the
	// time of the call.
	Call(ctx context.Context, request []byte, accept func(answer []byte) bool) error
}

// Class says what a Fault means for the records.
type Class uint8

// The classes of faults.
const (
	Again    Class = iota // try again; in the end the records fail
	Down                  // try again; in the end the batch has no outcome, as nobody is there
	Refused               // final: the records fail
	TooLarge              // try with fewer records; a single one fails
)

// Fault is why a call gave no answer.
type Fault struct {
	Class   Class
	Code    string // without the name of the kind
	Message string
	After   time.Duration // wait at least so long before the next call; bounded by the dispatcher
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// Options of a dispatcher. Name and the limits are required.
type Options struct {
	Name         string // of the kind, in front of codes: "Lambda"
	Origin       Origin
	BatchRecords int            // most records in a request
	BatchBytes   int            // most bytes of records in a request of several
	MaxRequest   int            // most bytes of a request, encoded
	Concurrency  int            // most calls at a time, over all batches
	Timeout      time.Duration  // of one call
	Retries      int            // calls after the first one
	Backoff      backoff.Policy // between calls
}

// maxAfter bounds what a Fault may ask for.
const maxAfter = time.Minute

// Dispatcher hands batches to a Caller. It may be used concurrently; it keeps
// nothing between calls.
type Dispatcher struct {
	opt    Options
	caller Caller
	slots  chan struct{} // a token for each call that may run
}

// NewDispatcher makes a dispatcher.
func NewDispatcher(c Caller, opt Options) *Dispatcher {
	return &Dispatcher{opt: opt, caller: c, slots: make(chan struct{}, opt.Concurrency)}
}

// Transform is that of a Transformer. Its memory beyond the records is that of
// Concurrency requests and answers.
func (d *Dispatcher) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]transform.Outcome, len(in))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.opt.Concurrency)
	for from := 0; from < len(in) && gctx.Err() == nil; {
		n := d.cut(in[from:])
		records, outcomes := in[from:from+n:from+n], out[from:from+n:from+n]
		from += n
		g.Go(func() error { return d.run(gctx, records, outcomes, 0) })
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return out, ctx.Err()
}

// cut says how many records the next request takes, at least one.
func (d *Dispatcher) cut(in []transform.Record) int {
	n, size, request := 0, 0, requestBytes(d.opt.Origin, nil)
	for n < len(in) && n < d.opt.BatchRecords {
		size += len(in[n].Data)
		request += requestBytes(d.opt.Origin, &in[n])
		if n > 0 && (size > d.opt.BatchBytes || request > d.opt.MaxRequest) {
			break
		}
		n++
	}
	return n
}

// run brings the records of one request to outcomes. tried counts the calls
// their larger request took before it was split.
func (d *Dispatcher) run(ctx context.Context, in []transform.Record, out []transform.Outcome, tried int) error {
	if len(in) == 1 && requestBytes(d.opt.Origin, nil)+requestBytes(d.opt.Origin, &in[0]) > d.opt.MaxRequest {
		d.fail(out, &Fault{Code: RequestTooLarge, Message: fmt.Sprintf("the record has %d bytes; the limit of a request, which holds them in base64, is %d", len(in[0].Data), d.opt.MaxRequest)}, max(tried, 1))
		return nil
	}
	for failed := 1; ; failed++ {
		f, err := d.call(ctx, in, out)
		if err != nil {
			return err
		}
		if f == nil {
			for i := range out {
				if out[i].Verdict == transform.Failed {
					out[i].Attempts = tried + failed
				}
			}
			return nil
		}
		switch {
		case f.Class == TooLarge && len(in) > 1:
			half := len(in) / 2
			if err := d.run(ctx, in[:half], out[:half], tried+failed); err != nil {
				return err
			}
			return d.run(ctx, in[half:], out[half:], tried+failed)
		case f.Class == Refused || f.Class == TooLarge:
			d.fail(out, f, tried+failed)
			return nil
		case failed <= d.opt.Retries:
		case f.Class == Down:
			return fmt.Errorf("%s (%d attempts)", f.Message, failed)
		default:
			d.fail(out, f, tried+failed)
			return nil
		}
		if err := pause(ctx, max(d.opt.Backoff.Pause(failed, nil), min(f.After, maxAfter))); err != nil {
			return err
		}
	}
}

func (d *Dispatcher) fail(out []transform.Outcome, f *Fault, attempts int) {
	for i := range out {
		out[i] = transform.Outcome{Verdict: transform.Failed, Code: d.opt.Name + "." + f.Code, Message: f.Message, Attempts: attempts}
	}
}

// call makes one call. Neither a fault nor an error means that out is filled.
func (d *Dispatcher) call(ctx context.Context, in []transform.Record, out []transform.Outcome) (*Fault, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ids, index := recordIDs(in)
	size := requestBytes(d.opt.Origin, nil)
	for i := range in {
		size += requestBytes(d.opt.Origin, &in[i])
	}
	request := appendRequest(make([]byte, 0, size), newID(), d.opt.Origin, in, ids)

	timed, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	var got []transform.Outcome
	var bad *Fault
	err := d.caller.Call(timed, request, func(answer []byte) bool {
		got, bad = decode(d.opt.Name, answer, in, index)
		return bad == nil
	})
	var f *Fault
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case got != nil || bad != nil:
		// The answer is there; how the call ended after it does not matter.
		copy(out, got)
		return bad, nil
	case errors.As(err, &f) && timed.Err() == nil:
		return f, nil
	case timed.Err() != nil:
		return &Fault{Class: Again, Code: FunctionTimeout, Message: fmt.Sprintf("no answer within %v", d.opt.Timeout)}, nil
	case err == nil:
		return nil, errors.New("the call ended without an answer")
	}
	return nil, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newID is a random UUID (RFC 9562, version 4). Each call gets its own, as from
// Firehose.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
