package limits

import "time"

// bucket holds up to one second's share of a rate, and fills steadily. The
// zero value is full.
type bucket struct {
	used   bool
	tokens float64 // below zero: owed
	at     time.Duration
}

// fill brings the bucket to now.
func (b *bucket) fill(rate int64, now time.Duration) {
	if !b.used {
		b.used, b.tokens, b.at = true, float64(rate), now
	}
	if d := now - b.at; d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*float64(rate), float64(rate))
	}
	b.at = now // also of a clock that went back: it goes on from there
}

// has reports whether n may be taken now. More than the bucket holds may be
// when it is full. A rate of 0 has no end.
func (b *bucket) has(rate, n int64, now time.Duration) bool {
	if rate == 0 {
		return true
	}
	b.fill(rate, now)
	return b.tokens >= float64(min(n, rate))
}

// take takes n out of a bucket that was filled.
func (b *bucket) take(rate, n int64) {
	if rate != 0 {
		b.tokens -= float64(n)
	}
}

// full reports whether the bucket is as good as a new one.
func (b *bucket) full(rate int64, now time.Duration) bool {
	if rate == 0 || !b.used {
		return true
	}
	b.fill(rate, now)
	return b.tokens >= float64(rate)
}
