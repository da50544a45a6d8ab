// Package backoff computes pauses between tries. It does not sleep and does
// not decide whether to try again.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Policy is an exponential backoff. The zero value pauses 1 s, 2 s, 4 s, ...
// up to 2 minutes, each ±15 %: the retry rule of Amazon Data Firehose for HTTP
// endpoints.
type Policy struct {
	Initial time.Duration // pause after the first failure; 0 means 1 s
	Max     time.Duration // no pause is longer, but for jitter; 0 means 2 min
	// Jitter is the share by which a pause varies to either side, 0 to 1; 0
	// means 0.15, negative means none.
	Jitter float64
}

// Pause returns how long to wait after the failed-th failure in a row, counted
// from 1. rnd returns a number in [0, 1); nil means math/rand.
func (p Policy) Pause(failed int, rnd func() float64) time.Duration {
	if p.Initial <= 0 {
		p.Initial = time.Second
	}
	if p.Max <= 0 {
		p.Max = 2 * time.Minute
	}
	if p.Jitter == 0 {
		p.Jitter = 0.15
	}
	if rnd == nil {
		rnd = rand.Float64
	}
	d := p.Initial
	for i := 1; i < failed && d < p.Max; i++ {
		d *= 2
	}
	d = min(d, p.Max)
	if p.Jitter > 0 {
		d = time.Duration(float64(d) * (1 - p.Jitter + 2*p.Jitter*rnd()))
	}
	return d
}
