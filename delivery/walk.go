package delivery

import (
	"context"
	"fmt"

	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

// outcome is what became of one source record.
type outcome struct {
	shard  planRange
	source streams.Record
	transform.Outcome
}

func (o *outcome) sequenceNumber() string {
	return streams.NumberOf(o.shard.Created, o.shard.Shard, o.source.Sequence, o.source.Arrival).String()
}

// place is a point inside a plan: the next record of a range.
type place struct {
	rng int
	seq streams.Sequence
}

func (p *plan) start() place {
	if len(p.Ranges) == 0 {
		return place{}
	}
	return place{seq: p.Ranges[0].From}
}

// walk reads the records of a plan from a place on, a page at a time, range by
// range. Records that have expired meanwhile are skipped and counted by the
// page that follows the gap.
func (s *Stream) walk(ctx context.Context, p *plan, from place, page func(planRange, []streams.Record) error) error {
	for i := from.rng; i < len(p.Ranges); i++ {
		r := p.Ranges[i]
		next := r.From
		if i == from.rng {
			next = max(next, from.seq)
		}
		ref := streams.ShardRef{Stream: s.opt.Source, StreamID: p.StreamID, Shard: r.Shard}
		for next < r.To {
			limit := streams.Limit{Records: int(min(pageRecords, r.To-next)), Bytes: pageBytes}
			got, err := s.opt.Log.Read(ctx, ref, streams.Position{Kind: streams.At, Seq: next}, limit)
			if err != nil {
				return fmt.Errorf("%s %s: %w", s.opt.Source, r.Shard, err)
			}
			records := got.Records
			for len(records) > 0 && records[len(records)-1].Sequence >= r.To {
				records = records[:len(records)-1] // beyond a gap
			}
			first := r.To
			if len(records) > 0 {
				first = records[0].Sequence
			}
			if first > next {
				s.lost(r.Shard, next, first)
			}
			if len(records) == 0 {
				break
			}
			if err := page(r, records); err != nil {
				return err
			}
			next = records[len(records)-1].Sequence + 1
		}
	}
	return nil
}

// outcomes runs the records of a plan from a place on through the transforms
// and hands them on page by page. Transforms that might decide otherwise the
// next time are run once and what they said is kept until the plan is done.
func (s *Stream) outcomes(ctx context.Context, x *execution, from place, each func([]outcome) error) error {
	if s.opt.Transforms == nil || s.opt.Transforms.Deterministic() {
		return s.walk(ctx, x.plan, from, func(r planRange, records []streams.Record) error {
			out, err := s.transform(ctx, r, records)
			if err != nil {
				return err
			}
			return each(out)
		})
	}
	if err := s.keepOutcomes(ctx, x.plan); err != nil {
		return err
	}
	kept, err := openKept(s.keptFile(x.plan.ID))
	if err != nil {
		return err
	}
	defer kept.close()
	return s.walk(ctx, x.plan, from, func(r planRange, records []streams.Record) error {
		out := make([]outcome, len(records))
		for i, rec := range records {
			o, err := kept.find(r.Shard, rec.Sequence)
			if err != nil {
				return err
			}
			out[i] = outcome{shard: r, source: rec, Outcome: o}
		}
		return each(out)
	})
}

// transform returns an outcome for each record.
func (s *Stream) transform(ctx context.Context, r planRange, records []streams.Record) ([]outcome, error) {
	out := make([]outcome, len(records))
	if s.opt.Transforms == nil {
		for i, rec := range records {
			out[i] = outcome{shard: r, source: rec, Outcome: transform.Outcome{Record: transform.Record{Data: rec.Data}}}
		}
		return out, nil
	}
	in := make([]transform.Record, len(records))
	shard := r.Shard.String()
	for i, rec := range records {
		number := streams.NumberOf(r.Created, r.Shard, rec.Sequence, rec.Arrival).String()
		in[i] = transform.Record{
			Data: rec.Data, ID: number, Arrival: rec.Arrival, PartitionKey: rec.PartitionKey,
			ShardID: shard, SequenceNumber: number,
		}
	}
	got, err := s.opt.Transforms.Transform(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("transforms: %w", err)
	}
	if len(got) != len(records) {
		return nil, fmt.Errorf("transforms: %d outcomes for %d records", len(got), len(records))
	}
	for i := range got {
		out[i] = outcome{shard: r, source: records[i], Outcome: got[i]}
	}
	return out, nil
}
