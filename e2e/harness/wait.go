package harness

import (
	"context"
	"testing"
	"time"
)

// pollEvery is how often Eventually asks.
const pollEvery = 100 * time.Millisecond

// Eventually asks until cond returns nil, and fails the test with the last
// answer when that takes longer than limit.
func Eventually(t testing.TB, limit time.Duration, what string, cond func() error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not after %v: %v", what, time.Since(began).Round(time.Millisecond), err)
		case <-tick.C:
		}
	}
}

// Pause waits for d, or less when ctx ends; it tells whether d has passed.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
