package transform

import (
	"context"
	"errors"
	"fmt"
)

// How much a chain pushes through its deterministic steps at once. Decoded
// values take many times the memory of their bytes, so it is not the batch.
const (
	chunkRecords = 512
	chunkBytes   = 1 << 20
)

// Step is a transform with the name that outcomes and errors give it, such as
// "transforms[1] filter".
type Step struct {
	Name string
	T    Transformer
}

// Chain runs steps in their order. Records that a step dropped or that failed
// in it do not reach the next. It is a Transformer; a chain of no steps passes
// everything.
type Chain struct {
	steps []Step
}

var _ Transformer = (*Chain)(nil)

// NewChain returns a chain that owns the steps and closes them.
func NewChain(steps ...Step) *Chain { return &Chain{steps: steps} }

// Transform runs the batch through the steps. It does not change in. When a
// step returns an error the whole batch has none of its outcomes.
func (c *Chain) Transform(ctx context.Context, in []Record) ([]Outcome, error) {
	out := make([]Outcome, len(in))
	for i := range in {
		out[i].Record = in[i]
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for rest := c.steps; len(rest) > 0; {
		// Steps that compute alone see a chunk at a time, one after the other,
		// so that decoded values live shortly. Others make their own batches
		// and get all there is.
		n := 0
		for n < len(rest) && rest[n].T.Deterministic() {
			n++
		}
		var err error
		if n > 0 {
			err = runChunks(ctx, rest[:n], out)
		} else {
			n = 1
			err = runSteps(ctx, rest[:1], out)
		}
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return out, nil
}

func runChunks(ctx context.Context, steps []Step, out []Outcome) error {
	for len(out) > 0 {
		n, size := 0, 0
		for n < len(out) && n < chunkRecords && size < chunkBytes {
			size += len(out[n].Record.Data)
			n++
		}
		if err := runSteps(ctx, steps, out[:n]); err != nil {
			return err
		}
		for i := range out[:n] {
			out[i].Record.Forget()
		}
		out = out[n:]
	}
	return nil
}

// runSteps replaces the outcomes that are still OK by those of the steps.
func runSteps(ctx context.Context, steps []Step, out []Outcome) error {
	alive := make([]int, 0, len(out))
	for i := range out {
		if out[i].Verdict == OK {
			alive = append(alive, i)
		}
	}
	batch := make([]Record, 0, len(alive))
	for _, s := range steps {
		if len(alive) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		batch = batch[:0]
		for _, i := range alive {
			batch = append(batch, out[i].Record)
		}
		got, err := s.T.Transform(ctx, batch)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if len(got) != len(batch) {
			return fmt.Errorf("%s: %d outcomes for %d records", s.Name, len(got), len(batch))
		}
		next := alive[:0]
		for k, i := range alive {
			o := got[k]
			switch o.Verdict {
			case OK:
				o.Step = ""
				next = append(next, i)
			case Dropped, Failed:
				o.Step = s.Name
				if o.Verdict == Failed {
					o.Attempts = max(o.Attempts, 1)
				}
			default:
				return fmt.Errorf("%s: verdict %d is unknown", s.Name, o.Verdict)
			}
			out[i] = o
		}
		alive = next
	}
	return nil
}

// Deterministic reports whether all steps are.
func (c *Chain) Deterministic() bool {
	for _, s := range c.steps {
		if !s.T.Deterministic() {
			return false
		}
	}
	return true
}

// Close closes all steps, also when one fails to.
func (c *Chain) Close() error {
	var errs []error
	for _, s := range c.steps {
		if err := s.T.Close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}
