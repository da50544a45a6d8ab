package transform

import "context"

// Each gives every record to f, in order, and stops with the context's error
// when ctx ends. It is the Transform of kinds that look at one record at a
// time.
func Each(ctx context.Context, in []Record, f func(*Record) Outcome) ([]Outcome, error) {
	out := make([]Outcome, len(in))
	for i := range in {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = f(&in[i])
	}
	return out, ctx.Err()
}
