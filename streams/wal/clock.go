package wal

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxDrift is how far the wall clock may stand from what it should show.
	maxDrift = time.Hour
	// maxAway is how long a log is believed to have been stopped.
	maxAway = 365 * 24 * time.Hour
	// trustAfter is how long a clock that jumped has to run steadily, with the
	// log open, before retention goes by it.
	trustAfter = 24 * time.Hour
)

// retentionClock is the time that retention goes by: the wall clock, as long as
// it moves like the monotonic one, and in a start has moved on plausibly since
// the last checkpoint. After a jump it is the earlier of the wall clock and of
// what that would show without the jump, so that a wrong clock erases nothing;
// a day of steady running later the wall clock is believed again.
//
// All of it is in milliseconds without a monotonic reading: two times of Go
// that have one are compared by it, which never jumps.
type retentionClock struct {
	wall func() time.Time
	mono func() time.Duration // nil: the wall clock is always believed
	log  *slog.Logger

	right  atomic.Pointer[anchor] // the wall clock was right at that moment
	jumped atomic.Bool
	moved  atomic.Bool // it was believed again, which no snapshot knows yet

	begun time.Duration // when the log was opened, and
	known int64         // what the time was at least, by a checkpoint before; both stay as they are

	mu     sync.Mutex
	since  time.Duration // the jump, and
	offset time.Duration // how far it went
}

type anchor struct {
	wall int64
	mono time.Duration
}

// shows returns what the wall clock should show, in Unix ms, when the monotonic
// one stands at mono.
func (a *anchor) shows(mono time.Duration) int64 { return a.wall + (mono - a.mono).Milliseconds() }

func (c *retentionClock) start() {
	a := anchor{wall: c.wall().UnixMilli()}
	if c.mono != nil {
		a.wall, a.mono = c.read()
	}
	c.begun = a.mono
	c.right.Store(&a)
}

// clockState is what a snapshot keeps of the clock.
type clockState struct {
	Now     int64 `json:"now_ms"`               // what the wall clock should show
	Wall    int64 `json:"wall_ms"`              // what it showed
	Waiting int64 `json:"waiting_ms,omitempty"` // how long it was steady since a jump
}

// state is what the next start has to know.
func (c *retentionClock) state() clockState {
	s := clockState{Now: c.now(), Wall: c.wall().UnixMilli()}
	if c.mono != nil && c.jumped.Load() {
		mono := c.mono()
		s.Now = c.right.Load().shows(mono)
		c.mu.Lock()
		s.Waiting = max((mono - c.since).Milliseconds(), 1)
		c.mu.Unlock()
	}
	return s
}

// resume goes on from what the last snapshot says. A clock that stands where it
// cannot be is treated like one that jumped right now, or goes on with the time
// it was steady already.
func (c *retentionClock) resume(last clockState) {
	if c.mono == nil || last.Now == 0 {
		return
	}
	wall := c.wall().UnixMilli()
	plausible := func(from int64) bool {
		away := msDuration(wall - from)
		return away >= -maxDrift && away <= maxAway
	}
	if plausible(last.Now) {
		return
	}
	c.right.Store(&anchor{wall: last.Now, mono: c.mono()})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since, c.offset = c.mono(), msDuration(wall-last.Now)
	if last.Waiting > 0 && plausible(last.Wall) {
		c.since -= msDuration(last.Waiting)
	}
	c.jumped.Store(true)
	c.log.Error("clock: it is far from where it stood when the log was last written; nothing expires by it until it was steady for a day",
		"now", msTime(wall), "last", msTime(last.Now))
}

// now returns the time in Unix ms.
func (c *retentionClock) now() int64 {
	wall := c.wall().UnixMilli()
	if c.mono == nil {
		return wall
	}
	if a := c.right.Load(); near(msDuration(wall-a.shows(c.mono()))) && !c.jumped.Load() {
		return wall
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Once more: the two readings above may be of different moments.
	wall, mono := c.read()
	steady := c.right.Load().shows(mono)
	d := msDuration(wall - steady)
	switch {
	case c.setRight(d, wall, mono):
		c.right.Store(&anchor{wall: wall, mono: mono})
		c.jumped.Store(false)
		c.moved.Store(true)
		c.log.Warn("clock: it was set back soon after the start, and is believed", "jump", d)
		return wall
	case near(d):
		if c.jumped.Swap(false) {
			c.log.Info("clock: it is right again")
		}
		return wall
	case !c.jumped.Load() || !near(d-c.offset):
		c.since, c.offset = mono, d
		c.jumped.Store(true)
		c.log.Error("clock: it jumped; nothing expires by the jump until it was steady for a day", "jump", d)
	case mono-c.since >= trustAfter:
		c.right.Store(&anchor{wall: wall, mono: mono})
		c.jumped.Store(false)
		c.moved.Store(true)
		c.log.Warn("clock: it was steady for a day; retention goes by it again", "jump", d)
		return wall
	}
	return min(wall, steady)
}

// read reads both clocks at one moment: not with the hours in between that the
// process was stopped for, unless that happens every time.
func (c *retentionClock) read() (wall int64, mono time.Duration) {
	mono = c.mono()
	for range 3 {
		before := mono
		wall = c.wall().UnixMilli()
		if mono = c.mono(); mono-before < time.Second {
			break
		}
	}
	return wall, mono
}

// arrival is the time in Unix ms for what arrives now: the wall clock, unless it
// fell behind so far that it is not believed, as one that stands still or was set
// back. Then it is what it should show: what arrived meanwhile would look old, and
// expire at once, when the clock is right again.
func (c *retentionClock) arrival() int64 {
	wall := c.wall().UnixMilli()
	if c.mono == nil {
		return wall
	}
	if msDuration(c.right.Load().shows(c.mono())-wall) <= maxDrift {
		return wall
	}
	c.now() // notices it, and may believe it
	return max(wall, c.right.Load().shows(c.mono()))
}

// setRight reports whether a clock that is behind by -d was ahead at the start
// and is right now: a machine whose clock runs on its own while it is off gets
// the time from the network minutes later. It is not believed if it was later
// already when the log was last written. If it went on as at the start, records
// would get a time that is years ahead, and with them all that follow in their
// shards. c.mu is held.
func (c *retentionClock) setRight(d time.Duration, wall int64, mono time.Duration) bool {
	return d < -maxDrift && mono-c.begun <= maxDrift && msDuration(wall-c.known) >= -maxDrift
}

func near(d time.Duration) bool { return d <= maxDrift && d >= -maxDrift }

// retentionNow is the time in Unix ms that retention goes by.
func (l *Log) retentionNow() int64 { return l.clock.now() }
