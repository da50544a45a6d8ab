package wal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firehosed/firehosed/streams"
)

const (
	// spaceEvery is how long and how far the figure of free space is trusted;
	// spaceRetry is how long after the disk was full it is asked again.
	spaceEvery      = time.Second
	spaceEveryBytes = 16 << 20
	spaceRetry      = 100 * time.Millisecond
)

// isNoSpace reports whether err means a full disk or quota.
func isNoSpace(err error) bool {
	if errors.Is(err, errSync) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, errNoSpace)
}

func wrapNoSpace(err error) error {
	if err != nil && isNoSpace(err) && !errors.Is(err, errNoSpace) {
		return fmt.Errorf("%w: %w", errNoSpace, err)
	}
	return err
}

// space knows whether the disk has room. Its methods are cheap, and called
// with Log.mu held.
type space struct {
	minimum int64
	asked   time.Duration // monotonic time of the last look
	known   bool
	since   atomic.Int64 // bytes written since
	free    atomic.Int64
	refuse  atomic.Bool
}

func (p *space) isFull() bool { return p.refuse.Load() }

func (p *space) wrote(n int64) { p.since.Add(n) }

// full notes that a write found no room.
func (p *space) full(l *Log) {
	p.refuse.Store(true)
	p.asked, p.known = l.monotonic(), true
}

// check returns ErrFull if the disk has less free than it must.
func (p *space) check(l *Log) error {
	now := l.monotonic()
	every := spaceEvery
	if p.refuse.Load() {
		every = spaceRetry
	}
	if p.known && now-p.asked < every && p.since.Load() < spaceEveryBytes {
		return p.verdict()
	}
	free, total, err := l.opt.FS.Space(l.dir)
	if err != nil {
		return p.verdict() // the write itself will tell
	}
	p.asked, p.known = now, true
	p.since.Store(0)
	p.free.Store(free)
	p.minimum = l.opt.MinFreeBytes
	if p.minimum == 0 {
		p.minimum = min(max(1<<30, total/50), total/10)
	}
	was := p.refuse.Load()
	full := free < max(p.minimum, 1)
	p.refuse.Store(full)
	switch {
	case full && !was:
		l.opt.Logger.Error("disk: too little space; appends are refused until there is more", "free", free, "minimum", max(p.minimum, 1))
	case was && !full:
		l.opt.Logger.Info("disk: there is space again", "free", free)
		signal(l.flush)
	}
	return p.verdict()
}

func (p *space) verdict() error {
	if p.refuse.Load() {
		return fmt.Errorf("%w: %d bytes are free, %d must be", streams.ErrFull, p.free.Load(), max(p.minimum, 1))
	}
	return nil
}
