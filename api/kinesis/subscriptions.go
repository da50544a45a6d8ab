package kinesis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// takeoverAfter is the time after a successful SubscribeToShard within which
// the next one is refused. Later it takes the subscription over.
const takeoverAfter = 5 * time.Second

// errStopping ends subscriptions when the server stops: cleanly, so that
// clients come back without complaint.
var errStopping = errors.New("server is stopping")

// subscriptions are the active ones of all consumers, at most one for each
// consumer and shard.
type subscriptions struct {
	mu       sync.Mutex
	active   map[subscriptionKey]*activeSubscription
	swept    time.Time
	stopping bool
}

type subscriptionKey struct {
	consumer string // ARN
	shard    streams.ShardID
}

// activeSubscription is the latest one of its key. One that has ended is kept
// for as long as it still holds the next one off.
type activeSubscription struct {
	begun time.Time
	ended bool
	end   context.CancelCauseFunc
}

// held reports whether a new subscription is refused now.
func (s *subscriptions) held(key subscriptionKey, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds(key, now)
}

func (s *subscriptions) holds(key subscriptionKey, now time.Time) bool {
	a := s.active[key]
	return a != nil && now.Sub(a.begun) < takeoverAfter
}

// begin makes a subscription the active one. One that was active before ends
// for the reason taken. ok is false if it holds the new one off, err is set if
// there are no more subscriptions. The caller calls release at the end.
func (s *subscriptions) begin(ctx context.Context, key subscriptionKey, now time.Time, taken error) (
	_ context.Context, release func(), ok bool, err error,
) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return nil, nil, false, errStopping
	case s.holds(key, now):
		return nil, nil, false, nil
	}
	s.sweep(now)
	if before := s.active[key]; before != nil {
		before.end(taken)
	}
	ctx, end := context.WithCancelCause(ctx)
	a := &activeSubscription{begun: now, end: end}
	if s.active == nil {
		s.active = map[subscriptionKey]*activeSubscription{}
	}
	s.active[key] = a
	return ctx, func() {
		end(nil)
		s.mu.Lock()
		a.ended = true
		s.mu.Unlock()
	}, true, nil
}

// sweep forgets what has ended and holds nobody off. s.mu is held.
func (s *subscriptions) sweep(now time.Time) {
	if d := now.Sub(s.swept); d >= 0 && d < takeoverAfter {
		return
	}
	s.swept = now
	for key, a := range s.active {
		if a.ended && now.Sub(a.begun) >= takeoverAfter {
			delete(s.active, key)
		}
	}
}

// endConsumer ends the subscriptions of a consumer, which is gone.
func (s *subscriptions) endConsumer(arn string, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.active {
		if key.consumer == arn {
			a.end(reason)
			delete(s.active, key)
		}
	}
}

// stop ends all subscriptions, and lets no more begin.
func (s *subscriptions) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for _, a := range s.active {
		a.end(errStopping)
	}
}

// count returns how many subscriptions are active.
func (s *subscriptions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.active {
		if !a.ended {
			n++
		}
	}
	return n
}

// EndSubscriptions ends every SubscribeToShard under way, cleanly and soon,
// and refuses new ones: a server that shuts down waits for its responses.
func (s *Service) EndSubscriptions() { s.subscribed.stop() }

// Subscriptions returns how many SubscribeToShard are under way.
func (s *Service) Subscriptions() int { return s.subscribed.count() }
