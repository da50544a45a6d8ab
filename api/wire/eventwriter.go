package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// slowEvent is the time after which a client counts as slow.
const slowEvent = time.Second

// EventWriter writes the events of one response, in the order
//
//	Reserve (if the event is large), Begin, the payload into the encoder, Send
//
// It belongs to the goroutine of its request.
type EventWriter struct {
	x     *exchange
	share share
	frame *eventFrame // between Begin and Send
	slow  bool
	err   error // of a write: nothing more can be sent

	mu       sync.Mutex
	ending   context.Context
	deadline time.Time // of writes, as it was set last
}

// eventFrame is the memory of a frame, used again by later ones of any stream.
type eventFrame struct {
	buf []byte
	out Encoder
}

// Slow reports whether the client took its time to let the last event in.
// Events for such a client should be small, for they may stay in memory.
func (w *EventWriter) Slow() bool { return w.slow }

// Reserve asks for n bytes of the memory for requests and responses in flight,
// until the next Send. All event streams together get a part of it, so that
// clients that do not read hold up no other requests; if it is taken, Reserve
// waits until there is room or ctx ends. More than the part counts as all of
// it.
func (w *EventWriter) Reserve(ctx context.Context, n int64) error {
	flight := w.x.h.flight
	n = min(n, flight.eventBytes)
	if n <= w.share.held {
		return nil
	}
	w.release(0)
	if err := flight.events.Acquire(ctx, n); err != nil {
		return err
	}
	if err := flight.bytes.Acquire(ctx, n); err != nil {
		flight.events.Release(n)
		return err
	}
	w.share.held = n
	return nil
}

// release gives back what is held above n bytes.
func (w *EventWriter) release(n int64) {
	if back := w.share.held - n; back > 0 {
		w.x.h.flight.bytes.Release(back)
		w.x.h.flight.events.Release(back)
		w.share.held = n
	}
}

// Begin starts an event of a type and returns the encoder for its payload,
// which is JSON.
func (w *EventWriter) Begin(kind string) *Encoder {
	if w.frame == nil {
		w.frame = w.x.h.frames.Get().(*eventFrame)
	}
	w.frame.out = Encoder{buf: beginEvent(w.frame.buf[:0], kind), format: JSON}
	return &w.frame.out
}

// Send sends the event that was begun, and returns when the connection took
// it. After an error the stream is over.
func (w *EventWriter) Send() error {
	f := w.frame
	f.buf = endFrame(f.out.buf, 0)
	f.out.buf = nil
	return w.send()
}

// send sends the frame in w.frame.buf.
func (w *EventWriter) send() error {
	f := w.frame
	w.frame = nil
	defer w.release(0)
	if w.err != nil {
		return w.err
	}
	w.release(int64(len(f.buf)))
	begun := time.Now()
	w.extend(begun, len(f.buf))
	n, err := w.x.w.Write(f.buf)
	if err == nil {
		if err = w.x.control.Flush(); errors.Is(err, errors.ErrUnsupported) {
			err = nil
		}
	}
	w.x.event.BytesOut += int64(n)
	if err != nil {
		// The frame is not used again: an HTTP/2 connection may still be sending
		// from it, see respond.
		w.err = fmt.Errorf("event not sent: %w", err)
		return w.err
	}
	w.slow = time.Since(begun) > slowEvent
	if cap(f.buf) <= keepBytes {
		w.x.h.frames.Put(f)
	}
	return nil
}

// extend gives the write of n bytes that begins now its time. The deadline is
// not moved for every event, for that costs a message to an HTTP/2 connection.
func (w *EventWriter) extend(now time.Time, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := w.x.deadline(now, int64(n))
	if w.ending != nil && w.ending.Err() != nil {
		w.setDeadline(least)
	} else if patience := w.x.h.opt.EventTimeout; w.deadline.Before(least.Add(patience)) {
		w.setDeadline(least.Add(patience + patience/2))
	}
}

func (w *EventWriter) setDeadline(t time.Time) {
	w.deadline = t
	_ = w.x.control.SetWriteDeadline(t)
}

// EndWith makes a write that is under way when ctx ends give up soon: streams
// that end for a reason of this side do not wait for a client that does not
// read. The returned function must be called before the stream's function
// returns.
func (w *EventWriter) EndWith(ctx context.Context) (stop func()) {
	w.mu.Lock()
	w.ending = ctx
	w.mu.Unlock()
	over := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(over)
		w.mu.Lock()
		defer w.mu.Unlock()
		if soon := w.x.deadline(time.Now(), 0); soon.Before(w.deadline) {
			w.setDeadline(soon)
		}
	})
	return func() {
		if !cancel() {
			<-over
		}
	}
}

// stream answers a request with a stream of events, or with an error as it
// would any other.
func (x *exchange) stream(op *Operation, req *Request) {
	run, err := x.openStream(op, req)
	if err != nil {
		x.fail(JSON, asError(err))
		return
	}
	// Streams last for minutes. What the request needed goes now.
	x.share.release()
	x.h.recycle(x.scratch)
	x.scratch = nil
	header := x.w.Header()
	header.Set("Content-Type", eventStreamType)
	x.event.Status = http.StatusOK
	w := &EventWriter{x: x, share: share{flight: x.h.flight}}
	defer w.release(0)
	x.w.WriteHeader(http.StatusOK)
	// Clients wait for this one before they look at anything.
	w.Begin("initial-response").Raw([]byte("{}"))
	_ = w.Send() // if it failed, so does the first event
	if err := x.runStream(op, run, w); err != nil {
		x.endStream(w, err)
	}
}

// endStream tells the client of the error that ended its stream, if it is
// still there.
func (x *exchange) endStream(w *EventWriter, err error) {
	if w.err != nil || x.r.Context().Err() != nil {
		x.event.Code = CodeClientGone
		x.h.log.Debug("event stream ended by its client", "id", x.id, "operation", x.event.Operation, "error", err)
		return
	}
	e := asError(err)
	x.event.Code = e.Code
	if e.status() >= http.StatusInternalServerError {
		x.h.log.Error("event stream failed", "id", x.id, "service", x.event.Service, "operation", x.event.Operation, "error", e)
	}
	w.frame = &eventFrame{buf: appendException(nil, e)}
	_ = w.send() // a client that is gone now needs no answer
}

func (x *exchange) openStream(op *Operation, req *Request) (run StreamFunc, err error) {
	defer x.recovered(op, &err)
	return op.Stream(x.r.Context(), req)
}

func (x *exchange) runStream(op *Operation, run StreamFunc, w *EventWriter) (err error) {
	defer x.recovered(op, &err)
	return run(w)
}

// recovered turns a panic of an operation into a failure of this side, which
// ends the request only.
func (x *exchange) recovered(op *Operation, err *error) {
	if p := recover(); p != nil {
		x.h.log.Error("operation panicked", "id", x.id, "operation", op.Name, "panic", p, "stack", string(debug.Stack()))
		*err = Internal(fmt.Errorf("panic in %s", op.Name))
	}
}
