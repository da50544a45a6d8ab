package buffer

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Budget is a number of bytes that its holders share. It serves in the order
// of asking, so that a large request is not starved by small ones. Its methods
// may be called concurrently.
type Budget struct {
	size int64
	sem  *semaphore.Weighted
	used atomic.Int64
}

// NewBudget returns a budget of size bytes, at least 1.
func NewBudget(size int64) *Budget {
	size = max(size, 1)
	return &Budget{size: size, sem: semaphore.NewWeighted(size)}
}

// Acquire takes n bytes, waiting until they are free or ctx ends. A request
// for more than the whole budget takes the whole budget: it runs alone. The
// returned function gives the bytes back and may be called once.
func (b *Budget) Acquire(ctx context.Context, n int64) (release func(), err error) {
	n = min(max(n, 0), b.size)
	if err := b.sem.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("memory budget of %d bytes: %w", b.size, err)
	}
	b.used.Add(n)
	return func() {
		b.used.Add(-n)
		b.sem.Release(n)
	}, nil
}

// Size returns the budget in bytes.
func (b *Budget) Size() int64 { return b.size }

// Used returns the bytes taken now.
func (b *Budget) Used() int64 { return b.used.Load() }
