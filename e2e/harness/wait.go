package harness

import (
	"context"
	"testing"
	"time"
)

// pollEvery is how often Eventually asks.
const pollEvery = 100 * time.Millisecond

// Patience is how long most tests wait for what happens within seconds. It
// guards against waiting forever, on a machine that is slow or stands still for
// a while too.
const Patience = 2 * time.Minute

// toTell is how long before the end of the test binary's time waiting ends, so
// that the test can say what it waited for and stop what it has started.
const toTell = 45 * time.Second

// Within is limit, or less when the time of the test binary, go test -timeout,
// is over before: whatever hangs, the tests behind it are told so, and what is
// printed is not the stacks of all goroutines.
func Within(t testing.TB, limit time.Duration) time.Duration {
	bound, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return limit
	}
	end, ok := bound.Deadline()
	if !ok {
		return limit
	}
	return max(0, min(limit, time.Until(end)-toTell))
}

// Eventually asks until cond returns nil, and fails the test with the last
// answer when that takes longer than limit.
func Eventually(t testing.TB, limit time.Duration, what string, cond func() error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), Within(t, limit))
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
