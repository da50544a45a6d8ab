package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/streams"
)

// Stream is one delivery stream. Run may be called once; Status may be called
// at any time.
type Stream struct {
	opt     Options
	log     *slog.Logger
	workDir string
	metrics Metrics
	status  statusKeeper

	mu  sync.Mutex
	pos *position // nil until there is one

	// Used by Run alone.
	pending     *plan
	formatState []byte
	oldest      time.Time
}

// New checks the options and returns a stream that is not running.
func New(opt Options) (*Stream, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("delivery stream %s: %w", opt.Name, err)
	}
	s := &Stream{
		opt: opt,
		log: opt.Logger.With("delivery_stream", opt.Name),
		// A folder of its own, whatever characters the id has.
		workDir: filepath.Join(opt.WorkDir, uuid.NewSHA1(namespace, []byte(opt.StateID)).String()),
	}
	s.status.set(Starting, nil)
	return s, nil
}

// Name returns the name of the delivery stream.
func (s *Stream) Name() string { return s.opt.Name }

// Run delivers until ctx ends and returns nil then. A write under way may take
// the grace period to finish. It returns an error only when the log takes
// nothing more, or when the state in it cannot be understood; a destination
// that is down is waited for, for ever.
func (s *Stream) Run(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return fmt.Errorf("delivery stream %s: %w", s.opt.Name, err)
	}
	// work outlives ctx by the grace period.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(s.opt.Grace, cancel)
		context.AfterFunc(work, func() { t.Stop() })
	})
	defer stop()

	err := s.loop(ctx, work)
	s.status.set(Stopped, nil)
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delivery stream %s: %w", s.opt.Name, err)
	}
	return nil
}

func (s *Stream) prepare() error {
	if err := s.load(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.workDir, 0o700); err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	if err := removeStaleSpools(s.workDir); err != nil {
		return err
	}
	keep := ""
	if s.pending != nil {
		keep = s.pending.ID
	}
	return s.removeKept(keep)
}

func (s *Stream) loop(ctx, work context.Context) error {
	for failed := 0; ctx.Err() == nil; {
		p := s.pending
		if p == nil {
			var err error
			p, err = s.next(ctx, work)
			if err != nil {
				if ctx.Err() != nil || fatal(err) {
					return err
				}
				failed++
				if errors.Is(err, streams.ErrNotFound) {
					s.status.set(Waiting, err)
					s.log.Info("waiting for the source stream", "stream", s.opt.Source)
				} else {
					s.stalled(err, sinks.ClassOf(err))
				}
				if err := sleep(ctx, s.opt.Retry.Pause(failed, nil)); err != nil {
					return err
				}
				continue
			}
			failed = 0
		}
		s.pending = nil
		if err := s.deliver(ctx, work, p); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// next waits for a buffer to close and logs the plan for it.
func (s *Stream) next(ctx, work context.Context) (*plan, error) {
	s.status.set(Filling, nil)
	p, err := s.fill(ctx)
	if err != nil {
		return nil, err
	}
	m := Moment{Time: p.Oldest, Seed: p.ID}
	if out := s.opt.Objects; out != nil {
		if p.Key, err = s.objectKey(out.Prefix, m, p.ID, out.extension()); err != nil {
			return nil, fmt.Errorf("object key: %w", err)
		}
	}
	if out := s.opt.Backup; out != nil {
		id := partID(p.ID, "backup")
		if p.Backup, err = s.objectKey(out.Prefix, Moment{Time: p.Oldest, Seed: id}, id, out.extension()); err != nil {
			return nil, fmt.Errorf("backup key: %w", err)
		}
	}
	return p, s.logPlan(work, p)
}

func (o *ObjectOutput) extension() string {
	if o.Extension != "" {
		return o.Extension
	}
	return o.Format.Extension() + o.Compression.Extension()
}

// execution is one plan being carried out, over as many tries as it takes.
type execution struct {
	plan     *plan
	failures failures

	// What is confirmed; not done again in the next try.
	delivered, failuresPut, backedUp bool
	sent                             place // documents before it are settled
	batches                          int

	dropped     int64
	rows        int64
	formatState []byte
	object      string
	stored      sinks.Stored

	tries        int
	failingSince time.Time
}

// reset forgets what an unfinished try of an object gathered.
func (x *execution) reset() {
	x.failures.reset()
	x.dropped, x.rows, x.formatState = 0, 0, nil
}

// deliver carries out a plan until everything of it is confirmed, and moves
// the position.
func (s *Stream) deliver(ctx, work context.Context, p *plan) error {
	x := &execution{plan: p, failures: failures{dir: s.workDir}, sent: p.start()}
	defer x.failures.reset()
	for {
		s.status.set(Writing, nil)
		err := s.attempt(work, x)
		if err == nil {
			err = s.finish(work, x)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, streams.ErrNotFound):
			return s.abandon(work, x, err)
		case fatal(err):
			return err
		case ctx.Err() != nil:
			// Told to stop: the plan is in the log and is carried out after the
			// next start.
			return ctx.Err()
		}
		if err := s.waitOut(ctx, x, err); err != nil {
			return err
		}
	}
}

// attempt does what is not confirmed yet. It holds memory from the budget only
// while it runs: a destination that is down costs none.
func (s *Stream) attempt(ctx context.Context, x *execution) error {
	if s.opt.Budget != nil {
		release, err := s.opt.Budget.Acquire(ctx, s.opt.MemoryBytes)
		if err != nil {
			return err
		}
		defer release()
	}
	if !x.delivered {
		put := s.putObject
		if s.opt.Documents != nil {
			put = s.putDocuments
		}
		if err := put(ctx, x); err != nil {
			return err
		}
		x.delivered = true
	}
	if !x.failuresPut {
		if err := s.putFailures(ctx, x); err != nil {
			return err
		}
		x.failuresPut = true
	}
	if s.opt.Backup != nil && !x.backedUp {
		if err := s.putBackup(ctx, x); err != nil {
			return err
		}
		x.backedUp = true
	}
	return nil
}

// waitOut pauses after a failed try, longer each time, and goes on pausing
// until the destination answers a cheap request again.
func (s *Stream) waitOut(ctx context.Context, x *execution, cause error) error {
	if x.failingSince.IsZero() {
		x.failingSince = s.opt.Now()
	}
	for {
		x.tries++
		s.metrics.Retries.Add(1)
		s.hold(ctx, x.plan.Oldest)
		s.stalled(cause, sinks.ClassOf(cause))
		pause := s.opt.Retry.Pause(x.tries, nil)
		var classed *sinks.Error
		if errors.As(cause, &classed) {
			pause = max(pause, classed.After)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		check := s.destination()
		if x.delivered {
			check = s.opt.Errors.Sink
			if x.failuresPut && s.opt.Backup != nil {
				check = s.opt.Backup.Sink
			}
		}
		if out := s.opt.Documents; out != nil && out.GiveUpAfter > 0 && !x.delivered && since(s.opt.Now(), x.failingSince) >= out.GiveUpAfter {
			return nil // the last try, which sends the documents to the error output
		}
		if cause = check.Check(ctx); cause == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (s *Stream) destination() sinks.Sink {
	if s.opt.Objects != nil {
		return s.opt.Objects.Sink
	}
	return s.opt.Documents.Sink
}

// finish books a plan whose every part is confirmed.
func (s *Stream) finish(ctx context.Context, x *execution) error {
	if err := s.logDone(ctx, x.plan, x.formatState); err != nil {
		return err
	}
	m := &s.metrics
	m.Delivered.Add(x.rows)
	m.Dropped.Add(x.dropped)
	for typ, n := range x.failures.counts {
		m.failed(typ).Add(n)
	}
	attrs := []any{
		"records", x.plan.Records, "bytes", x.plan.Bytes, "reason", x.plan.Reason,
		"age", since(s.opt.Now(), x.plan.Oldest).Round(time.Millisecond), "dropped", x.dropped,
	}
	if x.object != "" {
		m.Objects.Add(1)
		m.Bytes.Add(x.stored.Bytes)
		attrs = append(attrs, "object", x.object, "stored_bytes", x.stored.Bytes)
	}
	for _, typ := range x.failures.types() {
		attrs = append(attrs, typ, x.failures.counts[typ])
	}
	s.status.delivered(x.object, s.opt.Now())
	s.hold(ctx, x.plan.Oldest)
	s.log.Info("delivered", attrs...)
	if err := s.removeKept(""); err != nil {
		s.log.Warn("outcomes of a finished plan are left behind", "error", err)
	}
	return nil
}

// abandon ends a plan whose source was deleted: there is nothing left to read.
func (s *Stream) abandon(ctx context.Context, x *execution, cause error) error {
	s.metrics.Expired.Add(x.plan.Records)
	s.log.Error("source stream was deleted before its records were delivered", "records", x.plan.Records, "error", cause)
	x.plan.After = s.currentPosition()
	if x.plan.After == nil {
		x.plan.After = &position{Version: stateVersion}
	}
	return s.logDone(ctx, x.plan, nil)
}

func (s *Stream) stalled(err error, class sinks.Class) {
	s.status.set(Stalled, err)
	level := slog.LevelWarn
	if class == sinks.Fix {
		level = slog.LevelError // somebody has to act
	}
	s.log.Log(context.Background(), level, "delivery waits; records stay in the log", "class", class.String(), "error", err)
}

// fatal reports whether the log itself is at its end.
func fatal(err error) bool {
	return errors.Is(err, streams.ErrReadOnly) || errors.Is(err, streams.ErrClosed)
}

func (s *Stream) currentPosition() *position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos
}

func (s *Stream) setPosition(p *position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pos = p
}
