package wire

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
)

// flight bounds the bytes of all requests and responses that are in memory at
// one time. A request that does not fit waits a little, which slows its client
// down by way of TCP, and is then sent away with an answer that makes clients
// come back.
type flight struct {
	bytes *semaphore.Weighted
	wait  time.Duration
	// events is the part of bytes that event streams may take, eventBytes in all.
	events     *semaphore.Weighted
	eventBytes int64
}

func newFlight(most int64) *flight {
	events := max(most/2, 1)
	return &flight{
		bytes: semaphore.NewWeighted(most), wait: inFlightWait,
		events: semaphore.NewWeighted(events), eventBytes: events,
	}
}

// share is what one request holds of a flight. It is used by one goroutine.
type share struct {
	flight *flight
	held   int64
}

// grow raises what is held to n bytes. It waits for a bounded time; false
// means that there is no room.
func (s *share) grow(ctx context.Context, n int64) bool {
	more := n - s.held
	if more <= 0 {
		return true
	}
	if !s.flight.bytes.TryAcquire(more) {
		ctx, cancel := context.WithTimeout(ctx, s.flight.wait)
		defer cancel()
		if s.flight.bytes.Acquire(ctx, more) != nil {
			return false
		}
	}
	s.held = n
	return true
}

// upTo adds want bytes to what is held, or less but at least least, without
// waiting. It returns how many were added, 0 if there is no room.
func (s *share) upTo(want, least int64) int64 {
	for n := want; n >= least && n > 0; n /= 2 {
		if s.flight.bytes.TryAcquire(n) {
			s.held += n
			return n
		}
	}
	return 0
}

func (s *share) release() {
	if s.held > 0 {
		s.flight.bytes.Release(s.held)
		s.held = 0
	}
}
