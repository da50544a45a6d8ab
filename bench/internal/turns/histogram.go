package turns

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is a sixteenth of their
// place, so that a percentile is right to about 6 %. It never allocates.
type histogram struct {
	count   int64
	buckets [48 * 16]uint32
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0)) //nolint:gosec // Not negative.
	if n < 16 {
		return int(n) //nolint:gosec // Small.
	}
	shift := bits.Len64(n) - 5
	return min((shift+1)*16+int(n>>shift&15), len(histogram{}.buckets)-1) //nolint:gosec // Small.
}

// valueOf is the middle of a bucket.
func valueOf(bucket int) time.Duration {
	if bucket < 16 {
		return time.Duration(bucket)
	}
	shift := bucket/16 - 1
	low := uint64(16+bucket%16) << shift //nolint:gosec // Small.
	return time.Duration(low + uint64(1)<<shift/2)
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.buckets[bucketOf(d)]++
}

func (h *histogram) join(o *histogram) {
	h.count += o.count
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
}

// percentile is 0 if nothing was counted.
func (h *histogram) percentile(p float64) time.Duration {
	want := int64(float64(h.count) * p / 100)
	for i, n := range h.buckets {
		want -= int64(n)
		if want < 0 {
			return valueOf(i)
		}
	}
	return 0
}
