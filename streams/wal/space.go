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
	low     atomic.Bool
}

// lowShare is the part of the disk below which little is free, which is worth
// a warning; lowAgain is when there is enough again.
const (
	lowShare = 0.10
	lowAgain = 0.12
)

// minFree is the least space that must be free to take records.
func (l *Log) minFree(total int64) int64 {
	n := l.opt.MinFreeBytes
	if n == 0 {
		n = min(max(1<<30, total/50), total/10)
	}
	return max(n, 1)
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
	p.noteLow(l, free, total)
	p.minimum = l.minFree(total) + l.ballast.missing()
	was := p.refuse.Load()
	full := free < p.minimum
	p.refuse.Store(full)
	if !full && l.ballast.missing() > 0 {
		signal(l.ballastNow)
	}
	switch {
	case full && !was:
		l.opt.Logger.Error("disk: too little space; appends are refused until there is more", "free", free, "minimum", p.minimum)
	case was && !full:
		l.opt.Logger.Info("disk: there is space again", "free", free)
		signal(l.flush)
	}
	return p.verdict()
}

func (p *space) verdict() error {
	if p.refuse.Load() {
		return fmt.Errorf("%w: %d bytes are free, %d must be", streams.ErrFull, p.free.Load(), p.minimum)
	}
	return nil
}

// noteLow warns once when little is free, long before appends are refused.
func (p *space) noteLow(l *Log, free, total int64) {
	was := p.low.Load()
	low := float64(free) < lowShare*float64(total) || was && float64(free) < lowAgain*float64(total)
	p.low.Store(low)
	switch {
	case low && !was:
		l.opt.Logger.Warn("disk: less than a tenth of it is free; appends are refused when too little is left",
			"free", free, "total", total, "refused_below", l.minFree(total))
	case was && !low:
		l.opt.Logger.Info("disk: there is enough space again", "free", free, "total", total)
	}
}
