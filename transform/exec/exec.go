// Package exec is the transform that hands records to a program that keeps
// running, with the data transformation contract of Amazon Data Firehose over
// its standard input and output.
//
// The framing: a request is one line of JSON on standard input, the answer is
// one line of JSON on standard output, in the order of the requests. The next
// request is written when the answer to the last one is there. Standard error
// goes to the logger. A program should end when its input ends.
//
// The program starts with the first batch. When it ends, answers too late, says
// something that was not asked or answers what is not the contract, it is
// killed with all its children (its process group) and started again, after a
// pause that doubles while it keeps failing. Records fail after Options.Retries
// more tries; a program that cannot be started is an error of Transform.
//
// The program may see a record more than once. It runs with the rights of this
// process: nothing is sandboxed.
package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/contract"
)

const (
	// MaxRequest is the size of a request line in bytes: a record of 16 MiB in
	// base64, and some more.
	MaxRequest = 24 << 20
	// MaxBatch is the largest Options.BatchBytes.
	MaxBatch = 16 << 20
)

// Options of an exec step. Command is required.
type Options struct {
	// Command is the program and its arguments; no shell is involved. A name
	// without a slash is looked up in PATH.
	Command []string
	// Env is added to the environment of this process, each as NAME=value.
	Env []string
	// Dir is where the program runs, default the directory of this process.
	Dir string
	// Name is how messages and the log call the program, default its file name.
	Name string

	// DeliveryStreamARN, SourceStreamARN and Region are in the requests.
	DeliveryStreamARN, SourceStreamARN, Region string

	// Workers is how many copies of the program run, default 1.
	Workers int
	// Timeout of one batch, default 1 min.
	Timeout time.Duration
	// Retries of a batch after the first time, 0 to 300.
	Retries int
	// Restart is the pause before the program is started again after it failed.
	// The zero value waits 1 s, 2 s, 4 s, ... up to 2 min.
	Restart backoff.Policy
	// Grace is how long Close waits for the program to end once its input is
	// closed, and again after SIGTERM; default 5 s.
	Grace time.Duration
	// BatchBytes is the most bytes of records in a request of several, default
	// 1 MiB, at most MaxBatch. BatchRecords is the most records, default 500.
	BatchBytes   int
	BatchRecords int
	// MaxResponse is the longest line of an answer in bytes, default 32 MiB.
	MaxResponse int
	// Logger gets standard error and the program's life; default discard.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Workers, 1)
	def(&o.BatchBytes, 1<<20)
	def(&o.BatchRecords, 500)
	def(&o.MaxResponse, 32<<20)
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	switch {
	case len(o.Command) == 0 || o.Command[0] == "":
		return errors.New("command is missing")
	case o.Workers < 1 || o.Workers > 1024:
		return fmt.Errorf("workers %d is outside 1 to 1024", o.Workers)
	case o.Retries < 0 || o.Retries > 300:
		return fmt.Errorf("retries %d is outside 0 to 300", o.Retries)
	case o.BatchBytes < 1 || o.BatchBytes > MaxBatch:
		return fmt.Errorf("batch size %d is outside 1 to %d bytes", o.BatchBytes, MaxBatch)
	case o.BatchRecords < 1 || o.BatchRecords > 10_000:
		return fmt.Errorf("batch records %d is outside 1 to 10000", o.BatchRecords)
	case o.Timeout < 0 || o.Grace < 0 || o.MaxResponse < 0:
		return errors.New("times and sizes must not be negative")
	}
	return nil
}

// Transformer is an exec step.
type Transformer struct {
	opt      Options
	dispatch *contract.Dispatcher
	idle     chan *worker // those without a request
	workers  []*worker
	life     context.Context // ends with Close
	end      context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup
	closed  bool
}

var _ transform.Transformer = (*Transformer)(nil)

// ErrClosed is what Transform returns after Close.
var ErrClosed = errors.New("exec: step is closed")

// New makes the step. It does not start the program.
func New(opt Options) (*Transformer, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	if opt.Name == "" {
		opt.Name = baseName(opt.Command[0])
	}
	t := &Transformer{opt: opt, idle: make(chan *worker, opt.Workers)}
	t.life, t.end = context.WithCancel(context.Background())
	for i := range opt.Workers {
		w := &worker{opt: &t.opt, log: opt.Logger.With("program", opt.Name, "worker", i)}
		t.workers = append(t.workers, w)
		t.idle <- w
	}
	t.dispatch = contract.NewDispatcher(t, contract.Options{
		Name:         "Exec",
		Origin:       contract.Origin{DeliveryStreamARN: opt.DeliveryStreamARN, SourceStreamARN: opt.SourceStreamARN, Region: opt.Region},
		BatchRecords: opt.BatchRecords,
		BatchBytes:   opt.BatchBytes,
		MaxRequest:   MaxRequest,
		Concurrency:  opt.Workers,
		// A pause before a restart is not the batch's time; ask keeps that.
		Timeout: 24 * time.Hour,
		Retries: opt.Retries,
		// Workers pause before they start a program again; nothing else needs to.
		Backoff: backoff.Policy{Initial: 1, Max: 1},
	})
	return t, nil
}

// Deterministic is false: nobody knows what the program does.
func (t *Transformer) Deterministic() bool { return false }

// Transform hands the records to the program.
func (t *Transformer) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	t.running.Add(1)
	t.mu.Unlock()
	defer t.running.Done()
	out, err := t.dispatch.Transform(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	return out, nil
}

// Call implements contract.Caller.
func (t *Transformer) Call(ctx context.Context, request []byte, accept func([]byte) bool) error {
	select {
	case w := <-t.idle:
		defer func() { t.idle <- w }()
		return w.call(ctx, t.life, request, accept)
	case <-ctx.Done():
		return ctx.Err()
	case <-t.life.Done():
		return ErrClosed
	}
}

// Close ends the program: it closes its input, after Options.Grace it sends
// SIGTERM, after that again SIGKILL, to the whole process group. Batches that
// run end with ErrClosed.
func (t *Transformer) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end()
	t.running.Wait()
	var g sync.WaitGroup
	for _, w := range t.workers {
		g.Go(w.close)
	}
	g.Wait()
	return nil
}
