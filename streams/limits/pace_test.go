package limits

import (
	"testing"
	"time"
)

// TestPace reads by a clock that moves as the pace says, and as it does not.
func TestPace(t *testing.T) {
	w := newWorld(Rates{OutBytes: 1000})
	p := w.Pace("s")
	for i, step := range []struct {
		after time.Duration
		bytes int64
		wait  time.Duration
	}{
		{0, 600, 0},
		{0, 400, 0},                      // a second's share is there at once
		{0, 500, 500 * time.Millisecond}, // beyond it is owed
		{500 * time.Millisecond, 0, 0},   // and paid back
		{time.Hour, 1000, 0},             // no more than a second's share is saved
		{0, 10_000, 10 * time.Second},    // a record of more than that
		{5 * time.Second, 1, 5001 * time.Millisecond},
		{-time.Hour, 0, 5001 * time.Millisecond}, // a clock that goes back gives nothing
	} {
		w.advance(step.after)
		if got := p.Took(step.bytes); got.Round(time.Millisecond) != step.wait {
			t.Errorf("step %d: wait %v, want %v", i, got, step.wait)
		}
	}
	if got := p.Most(5000); got != 1000 {
		t.Errorf("most %d bytes at once, want 1000", got)
	}
	if got := p.Most(10); got != 10 {
		t.Errorf("most %d bytes at once, want 10", got)
	}
	free := w.Pace("free")
	if got := free.Took(1 << 40); got != 0 || free.Most(1<<30) != 1<<30 {
		t.Errorf("a stream without limits waits %v", got)
	}
}
