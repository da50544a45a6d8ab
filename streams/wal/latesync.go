package wal

import (
	"fmt"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// lateSync arranges syncs of groups that were acknowledged without one. timer
// and armed are of the goroutine that writes the journal.
type lateSync struct {
	timer *time.Timer
	armed bool
	asked chan chan error // by who needs what is written to be durable
	ended chan struct{}   // closed when nothing is written any more
}

func newLateSync() lateSync {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return lateSync{timer: t, asked: make(chan chan error), ended: make(chan struct{})}
}

// arm starts the timer for the oldest group that waits.
func (s *lateSync) arm(interval time.Duration) {
	if !s.armed {
		s.armed = true
		s.timer.Reset(interval)
	}
}

func (s *lateSync) disarm() {
	if s.armed {
		s.armed = false
		s.timer.Stop()
	}
}

// synced notes a sync of the journal, which covers all that was written.
func (l *Log) synced(took time.Duration, bytes int64) {
	l.late.disarm()
	l.stats.synced(took, bytes)
	if l.opt.OnSync != nil {
		l.opt.OnSync(took, bytes)
	}
}

// syncLate makes durable what was written, if something waits for that.
func (l *Log) syncLate() error {
	l.late.disarm()
	bytes := l.journal.unsynced.Load()
	if bytes == 0 {
		return nil
	}
	start := l.monotonic()
	if err := l.journal.sync(); err != nil {
		l.fail(fmt.Errorf("journal: %w", err))
		return fmt.Errorf("%w: %w", streams.ErrReadOnly, err)
	}
	l.synced(l.monotonic()-start, bytes)
	return nil
}

// syncIfDue does between two groups what else the goroutine would only come to
// when no group waits. Who asked before the last group was synced is answered,
// too.
func (l *Log) syncIfDue() {
	select {
	case <-l.late.timer.C:
		_ = l.syncLate() // it made the log read-only
	case done := <-l.late.asked:
		done <- l.syncLate()
	default:
	}
}

// syncJournal returns when all that was visible at the time of the call is
// durable. Only the goroutine that writes may sync, so it is asked.
func (l *Log) syncJournal() error {
	if l.journal.unsynced.Load() == 0 {
		return nil
	}
	done := make(chan error, 1)
	select {
	case l.late.asked <- done:
		return <-done
	case <-l.late.ended:
	}
	// It synced as the last thing it did.
	if err := l.Err(); err != nil {
		return fmt.Errorf("%w: %w", streams.ErrReadOnly, err)
	}
	return nil
}
