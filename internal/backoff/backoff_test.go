package backoff

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	half := func() float64 { return 0.5 }
	for _, tt := range []struct {
		name   string
		policy Policy
		failed int
		rnd    func() float64
		want   time.Duration
	}{
		{"first", Policy{}, 1, half, time.Second},
		{"fourth doubles thrice", Policy{}, 4, half, 8 * time.Second},
		{"capped", Policy{}, 60, half, 2 * time.Minute},
		{"many failures do not overflow", Policy{Max: 1 << 62}, 1 << 20, half, 1 << 62},
		{"low end of the jitter", Policy{}, 1, func() float64 { return 0 }, 850 * time.Millisecond},
		{"no jitter", Policy{Jitter: -1, Initial: time.Minute}, 1, func() float64 { return 0 }, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.policy.Pause(tt.failed, tt.rnd)
			if d := got - tt.want; d > time.Microsecond || d < -time.Microsecond {
				t.Errorf("Pause(%d) = %v, want %v", tt.failed, got, tt.want)
			}
		})
	}
}
