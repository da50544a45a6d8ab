package main

import (
	"context"
	"sync"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// grouped gives a library that takes one writer at a time what firehosed does
// by itself: all appends that came while the last group was stored are the next
// one.
type grouped struct {
	store func(records []int) error // by number, durable when it returns
	end   func() error

	work    chan struct{}
	stop    chan struct{}
	stopped chan struct{}

	mu  sync.Mutex
	cur *group
}

type group struct {
	records []int
	done    chan struct{}
	err     error
}

func startGroups(store func(records []int) error, end func() error) turns.Store {
	g := &grouped{
		store: store, end: end, cur: &group{done: make(chan struct{})},
		work: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go g.run()
	return g
}

func (g *grouped) Writer(_, records int) (func(context.Context, int) error, error) {
	return func(_ context.Context, i int) error {
		g.mu.Lock()
		mine := g.cur
		for k := range records {
			mine.records = append(mine.records, i*records+k)
		}
		g.mu.Unlock()
		select {
		case g.work <- struct{}{}:
		default:
		}
		<-mine.done
		return mine.err
	}, nil
}

func (g *grouped) run() {
	defer close(g.stopped)
	for {
		select {
		case <-g.work:
		case <-g.stop:
			return
		}
		g.mu.Lock()
		now := g.cur
		g.cur = &group{done: make(chan struct{})}
		g.mu.Unlock()
		if len(now.records) > 0 {
			now.err = g.store(now.records)
		}
		close(now.done)
	}
}

func (g *grouped) Settle() (time.Duration, error) { return 0, nil }

func (g *grouped) Close() error {
	close(g.stop)
	<-g.stopped
	return g.end()
}
