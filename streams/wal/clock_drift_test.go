package wal

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestClockDrift lets the wall clock stand still, go backwards or go at another
// pace for more than a day, while records are appended, waited for and read by
// time, files roll, retention runs and the log is started again, and then sets it
// right. Order and sequences hold, waits end, and nothing expires that is younger
// than the retention, but for the hour by which a clock is believed.
func TestClockDrift(t *testing.T) {
	for _, pace := range []float64{1, 0, -0.1, -1, 0.5, 1.5} {
		t.Run(fmt.Sprintf("pace %v", pace), func(t *testing.T) {
			d := &drift{t: t, fsys: memfs.New(), c: &clocks{}, born: map[string][]time.Duration{}}
			d.open()
			d.create("old")
			d.run(6*time.Hour, 1)
			d.run(15*time.Hour, pace)
			d.create("fresh") // no shard of it has seen the right time
			d.run(5*time.Hour, pace)
			if pace <= 1 { // a start cannot tell a clock that is ahead from a stop that was long
				must(t, d.l.Close())
				d.open()
			}
			d.run(10*time.Hour, pace)
			d.c.setRight()
			d.retain()
			d.younger(pace)
			if d.l.Stats().ClockJumped {
				t.Error("still called jumped when the clock is right again")
			}
			d.run(30*time.Hour, 1)
			d.younger(pace)
			if first := d.horizon("old"); first < 30 {
				t.Errorf("record %d of the first hours is still there", first)
			}
			must(t, d.l.Close())
		})
	}
}

// drift is a log under a clock, and when each record was really appended.
type drift struct {
	t    *testing.T
	fsys *memfs.FS
	c    *clocks
	l    *Log
	born map[string][]time.Duration
}

func (d *drift) open() {
	d.t.Helper()
	o := small(d.fsys)
	o.CheckpointInterval, o.ScrubBytesPerSecond = 24*time.Hour, -1
	d.c.set(&o)
	d.l = open(d.t, "/data", o)
}

func (d *drift) create(name string) {
	d.t.Helper()
	create(d.t, d.l, name, 1)
	d.born[name] = nil
}

// run appends a record to each stream every ten minutes of real time, and looks
// once an hour for what has expired.
func (d *drift) run(long time.Duration, pace float64) {
	d.t.Helper()
	const step = 10 * time.Minute
	for n := time.Duration(0); n < long; n += step {
		d.c.move(time.Duration(pace*float64(step)), step)
		for name := range d.born {
			d.append(name)
		}
		if n%time.Hour == 0 {
			d.retain()
			d.younger(pace)
		}
	}
}

func (d *drift) append(name string) {
	d.t.Helper()
	next := streams.Sequence(len(d.born[name]) + 1) //nolint:gosec // Small.
	waited := make(chan error, 1)
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	go func() { waited <- d.l.Wait(ctx, streams.ShardRef{Stream: name}, next) }()
	res := appendAll(d.t, d.l, name, fmt.Sprintf("%d %1000d", next, 0))
	if got := res.Placed[0].Sequence; got != next {
		d.t.Errorf("%s: sequence %d, want %d", name, got, next)
	}
	must(d.t, <-waited)
	d.born[name] = append(d.born[name], d.c.mono())
}

func (d *drift) retain() {
	d.t.Helper()
	d.l.retain()
	must(d.t, d.l.checkpoint())
	d.l.retain()
}

func (d *drift) horizon(name string) streams.Sequence {
	d.t.Helper()
	recs, err := readShard(d.t, d.l, name, 0)
	must(d.t, err)
	if len(recs) == 0 {
		d.t.Fatalf("%s: no record is left", name)
	}
	return recs[0].Sequence
}

// younger checks that all records are there that have not expired, in order, and
// where a read by time finds them.
func (d *drift) younger(pace float64) {
	d.t.Helper()
	now := d.c.mono()
	for name, born := range d.born {
		if len(born) == 0 {
			continue
		}
		recs, err := readShard(d.t, d.l, name, 0)
		must(d.t, err)
		oldest := slices.IndexFunc(born, func(at time.Duration) bool { return now-at < 24*time.Hour-maxDrift }) + 1
		if len(recs) == 0 || int(recs[0].Sequence) > oldest || int(recs[len(recs)-1].Sequence) != len(born) { //nolint:gosec // Small.
			d.t.Fatalf("%s, pace %v, after %v: %d records, want those from %d to %d", name, pace, now, len(recs), oldest, len(born))
		}
		for i := 1; i < len(recs); i++ {
			if recs[i].Sequence != recs[i-1].Sequence+1 || recs[i].Arrival.Before(recs[i-1].Arrival) {
				d.t.Fatalf("%s: record %d at %v follows %d at %v", name, recs[i].Sequence, recs[i].Arrival, recs[i-1].Sequence, recs[i-1].Arrival)
			}
		}
		at := recs[len(recs)/2].Arrival
		p, err := d.l.Read(d.t.Context(), streams.ShardRef{Stream: name}, streams.Position{Kind: streams.AtTime, Time: at}, streams.Limit{Records: 1})
		must(d.t, err)
		want := recs[slices.IndexFunc(recs, func(r streams.Record) bool { return !r.Arrival.Before(at) })].Sequence
		if len(p.Records) != 1 || p.Records[0].Sequence != want {
			d.t.Fatalf("%s: a read at %v gives %+v, want record %d", name, at, p.Records, want)
		}
	}
}

// TestClockBack sets the clock back by a year, makes a stream, splits a shard, and
// sets it right: neither records nor the closed shard look a year old then.
func TestClockBack(t *testing.T) {
	fsys, c := memfs.New(), &clocks{}
	o := small(fsys)
	c.set(&o)
	l := open(t, "/data", o)
	c.advance(2 * time.Hour)
	c.jump(-365 * 24 * time.Hour)
	create(t, l, "s", 1)
	appendAll(t, l, "s", "a", "b")
	must(t, l.Split(t.Context(), "s", 0, streams.HashKey{Hi: 1 << 63}))
	must(t, l.checkpoint())
	c.jump(365 * 24 * time.Hour)
	c.advance(time.Minute)
	for range 2 {
		l.retain()
		must(t, l.checkpoint())
	}
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, recs, "a", "b")
	must(t, l.Close())
}

// TestClockSetRight starts a log under a clock that is years, or hours, ahead, and
// sets it right minutes later: what arrives then has the right time and expires in
// time. A clock that falls behind where the log was last written is not right.
func TestClockSetRight(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		stopped  time.Duration // since the log was last written; 0: it is new
		ahead    time.Duration // at the start
		after    time.Duration // how long until it is set
		back     time.Duration // by how much
		believed bool
	}{
		{"new log, four years", 0, 4 * 365 * day, 5 * time.Minute, 4 * 365 * day, true},
		{"new log, hours", 0, 9 * time.Hour, 5 * time.Minute, 9 * time.Hour, true},
		{"new log, hours, too late", 0, 9 * time.Hour, 2 * time.Hour, 9 * time.Hour, false},
		{"stopped for a day, half a year", day, 180 * day, 30 * time.Minute, 180 * day, true},
		{"stopped for a day, set back too far", day, 180 * day, 30 * time.Minute, 183 * day, false},
		{"stopped for a day, was right", day, 0, 30 * time.Minute, 3 * day, false},
		{"stopped for a minute, hours", time.Minute, 2 * time.Hour, time.Minute, 2 * time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys, c := memfs.New(), &clocks{}
			o := small(fsys)
			o.ScrubBytesPerSecond = -1
			c.set(&o)
			if tt.stopped > 0 {
				l := open(t, "/data", o)
				create(t, l, "before", 1)
				must(t, l.Close())
				c.advance(tt.stopped)
			}
			c.jump(tt.ahead)
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			c.advance(tt.after)
			c.jump(-tt.back)
			steady := c.now().Add(tt.back)
			appendAll(t, l, "s", "a")
			if jumped := l.Stats().ClockJumped; jumped == tt.believed {
				t.Errorf("called jumped: %v", jumped)
			}
			want := steady
			if tt.believed {
				want = c.now()
			}
			recs, err := readShard(t, l, "s", 0)
			must(t, err)
			if len(recs) != 1 || !recs[0].Arrival.Equal(want.Truncate(time.Millisecond)) {
				t.Fatalf("got %+v, want one record of %v", recs, want)
			}
			must(t, l.Close())
			l = open(t, "/data", o) // knows it
			if jumped := l.Stats().ClockJumped; jumped == tt.believed {
				t.Errorf("called jumped after another start: %v", jumped)
			}
			c.advance(day + time.Minute)
			l.retain()
			recs, err = readShard(t, l, "s", 0)
			must(t, err)
			if gone := len(recs) == 0; gone != tt.believed {
				t.Errorf("a day later %d records are left", len(recs))
			}
			if next := appendAll(t, l, "s", "b").Placed[0].Sequence; next != 2 {
				t.Errorf("sequence %d, want 2", next)
			}
			must(t, l.Close())
		})
	}
}
