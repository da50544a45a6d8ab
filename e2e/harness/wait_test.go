package harness

import (
	"testing"
	"time"
)

// bound is a test whose binary has some time left.
type bound struct {
	testing.TB
	left time.Duration // none if 0
}

func (b bound) Deadline() (time.Time, bool) { return time.Now().Add(b.left), b.left != 0 }

// unbound hides that a test knows its deadline.
type unbound struct{ testing.TB }

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name      string
		t         testing.TB
		limit     time.Duration
		least, at time.Duration // what may come out
	}{
		{"no deadline", unbound{t}, time.Minute, time.Minute, time.Minute},
		{"go test without a limit", bound{t, 0}, time.Minute, time.Minute, time.Minute},
		{"enough time", bound{t, time.Hour}, time.Minute, time.Minute, time.Minute},
		// Time passes until it is asked.
		{"less time", bound{t, time.Hour}, 2 * time.Hour, time.Minute, time.Hour - toTell},
		{"repeated", &repeating{TB: bound{t, time.Hour}}, 2 * time.Hour, time.Minute, time.Hour - toTell},
		{"repeated, no deadline", &repeating{TB: unbound{t}}, time.Hour, time.Hour, time.Hour},
		{"no time", bound{t, toTell / 2}, time.Minute, 0, 0},
	} {
		if got := Within(tt.t, tt.limit); got < tt.least || got > tt.at {
			t.Errorf("%s: %v, want %v to %v", tt.name, got, tt.least, tt.at)
		}
	}
}
