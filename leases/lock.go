package leases

import (
	"context"
	"sync"
)

// locks are the items that are being written. An item has a lock only while
// someone holds it or waits for it.
type locks struct {
	mu   sync.Mutex
	held map[lockKey]*lock // guarded by mu
}

// lockKey names an item: its table by number, and its place in it.
type lockKey struct {
	table uint64
	place string
}

type lock struct {
	turn chan struct{} // holds one value while the lock is held
	refs int           // holders and waiters; guarded by locks.mu
}

// acquire takes the lock of an item, or returns the error of ctx.
func (l *locks) acquire(ctx context.Context, k lockKey) error {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[lockKey]*lock{}
	}
	it := l.held[k]
	if it == nil {
		it = &lock{turn: make(chan struct{}, 1)}
		l.held[k] = it
	}
	it.refs++
	l.mu.Unlock()
	select {
	case it.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.leave(k, it)
		return ctx.Err()
	}
}

// release gives the lock to the next in line.
func (l *locks) release(k lockKey) {
	l.mu.Lock()
	it := l.held[k]
	l.mu.Unlock()
	<-it.turn
	l.leave(k, it)
}

func (l *locks) leave(k lockKey, it *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it.refs--; it.refs == 0 {
		delete(l.held, k)
	}
}
