package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/transform"
)

// itemTries is how often the documents that a destination was too busy for
// are sent again before the whole batch waits.
const itemTries = 4

// putDocuments sends the documents of a plan from x.sent on. What a batch
// brought about counts only when all of it is settled: x.sent then moves, so
// that a later try does not begin again from the start.
func (s *Stream) putDocuments(ctx context.Context, x *execution) error {
	b := &batcher{s: s, x: x, limits: s.opt.Documents.Sink.Limits()}
	err := s.outcomes(ctx, x, x.sent, func(page []outcome) error {
		for i := range page {
			if err := b.add(ctx, &page[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.send(ctx)
}

// batcher gathers outcomes until a batch is full. It holds one batch at most.
type batcher struct {
	s      *Stream
	x      *execution
	limits sinks.BatchLimits

	docs     []sinks.Document
	from     []outcome
	bytes    int64
	failures []failure
	dropped  int64
	last     *outcome
}

func (b *batcher) add(ctx context.Context, o *outcome) error {
	switch o.Verdict {
	case transform.OK:
		size := int64(len(o.Record.Data))
		full := b.limits.Documents > 0 && len(b.docs) >= b.limits.Documents ||
			b.limits.Bytes > 0 && len(b.docs) > 0 && b.bytes+size > b.limits.Bytes
		if full {
			if err := b.send(ctx); err != nil {
				return err
			}
		}
		b.docs = append(b.docs, sinks.Document{ID: documentID(b.x.plan, o), Data: o.Record.Data, Arrival: o.source.Arrival})
		b.from = append(b.from, *o)
		b.bytes += size
	case transform.Dropped:
		b.dropped++
	default:
		b.failures = append(b.failures, transformFailure(b.x.plan, o))
	}
	b.last = o
	if len(b.docs) == 0 && len(b.failures) >= 1000 {
		return b.settle()
	}
	return nil
}

// send hands the batch over and settles it.
func (b *batcher) send(ctx context.Context) error {
	if len(b.docs) > 0 {
		if err := b.put(ctx); err != nil {
			return err
		}
	}
	return b.settle()
}

func (b *batcher) put(ctx context.Context) error {
	x, out := b.x, b.s.opt.Documents
	batch := sinks.Batch{ID: partID(x.plan.ID, fmt.Sprintf("batch %d", x.batches)), Documents: b.docs}
	from := b.from
	for try := 1; ; try++ {
		err := out.Sink.PutDocuments(ctx, batch)
		if err == nil {
			return nil
		}
		var partial *sinks.PartialError
		if !errors.As(err, &partial) {
			return b.giveUp(batch, from, err, nil)
		}
		again, refused, fix := sortOut(partial)
		for _, i := range refused {
			b.failures = append(b.failures, sinkFailure(x.plan, &from[i], out.ErrorType, partial.Failed[i], try))
		}
		if len(again) == 0 {
			return nil
		}
		docs := make([]sinks.Document, len(again))
		rest := make([]outcome, len(again))
		errs := make(map[int]*sinks.Error, len(again))
		for j, i := range again {
			docs[j], rest[j], errs[j] = batch.Documents[i], from[i], partial.Failed[i]
		}
		batch.Documents, from = docs, rest
		if fix != nil || try == itemTries {
			if fix == nil {
				fix = partial.Failed[again[0]]
			}
			return b.giveUp(batch, from, fmt.Errorf("%d of %d documents: %w", len(again), len(b.docs), fix), errs)
		}
		if err := sleep(ctx, b.s.opt.Retry.Pause(try, nil)); err != nil {
			return err
		}
	}
}

// sortOut splits the failed documents into those to send again and those that
// were refused. fix is set if an operator has to act on one of them.
func sortOut(e *sinks.PartialError) (again, refused []int, fix *sinks.Error) {
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		switch e.Failed[i].Class {
		case sinks.Refuse:
			refused = append(refused, i)
		case sinks.Fix:
			fix = e.Failed[i]
			again = append(again, i)
		default:
			again = append(again, i)
		}
	}
	return again, refused, fix
}

// giveUp decides about documents that could not be sent: those that are
// refused as a whole, or that were tried for as long as was asked for, go to
// the error output; for all others the error goes back and the batch is sent
// again later.
func (b *batcher) giveUp(batch sinks.Batch, from []outcome, err error, each map[int]*sinks.Error) error {
	x, out := b.x, b.s.opt.Documents
	class := sinks.ClassOf(err)
	waited := since(b.s.opt.Now(), x.failingSince)
	late := out.GiveUpAfter > 0 && class == sinks.Retry && !x.failingSince.IsZero() && waited >= out.GiveUpAfter
	if class != sinks.Refuse && !late {
		return err
	}
	var whole *sinks.Error
	if !errors.As(err, &whole) {
		whole = &sinks.Error{Err: err}
	}
	for i := range batch.Documents {
		why := whole
		if each[i] != nil {
			why = each[i]
		}
		b.failures = append(b.failures, sinkFailure(x.plan, &from[i], out.ErrorType, why, x.tries+1))
	}
	return nil
}

// settle books the batch: its failures, and the place after its last record.
func (b *batcher) settle() error {
	x := b.x
	for _, f := range b.failures {
		if err := x.failures.add(f); err != nil {
			return err
		}
	}
	refused := int64(0)
	for _, f := range b.failures {
		if f.errorType == b.s.opt.Documents.ErrorType {
			refused++
		}
	}
	x.dropped += b.dropped
	x.rows += int64(len(b.docs)) - refused
	if len(b.docs) > 0 {
		x.batches++
		x.failingSince, x.tries = time.Time{}, 0
	}
	if b.last != nil {
		x.sent = x.plan.after(b.last)
	}
	b.docs, b.from, b.failures, b.bytes, b.dropped, b.last = nil, nil, nil, 0, 0, nil
	return nil
}

// after returns the place behind a record.
func (p *plan) after(o *outcome) place {
	for i, r := range p.Ranges {
		if r.Shard == o.shard.Shard {
			return place{rng: i, seq: o.source.Sequence + 1}
		}
	}
	return place{rng: len(p.Ranges)}
}
