package wal

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/enginetest"
)

// store is a directory and a clock that tests move.
type store struct {
	dir   string
	opt   Options
	shift atomic.Int64
	start time.Time
}

func (s *store) Now() time.Time { return s.start.Add(time.Duration(s.shift.Load())) }

func (s *store) Advance(d time.Duration) { s.shift.Add(int64(d)) }

func (s *store) Open(t *testing.T) streams.Engine {
	t.Helper()
	o := s.opt
	o.Clock = s.Now
	l, err := Open(s.dir, o)
	must(t, err)
	return l
}

func newStore(t testing.TB, opt Options) *store {
	return &store{dir: tempDir(t), opt: opt, start: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}
}

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness { return newStore(t, Options{MinFreeBytes: -1}) })
}

// TestEngineSmall runs the suite with every limit so low that files roll,
// buffers fill and checkpoints run all the time.
func TestEngineSmall(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		o := small(vfs.OS())
		o.CheckpointInterval = time.Millisecond
		o.IndexBytes = 4 << 10
		return newStore(t, o)
	})
}

// TestEnginePast runs it with segments that are written past the page cache.
func TestEnginePast(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		o := past(small(vfs.OS()))
		o.CheckpointInterval = time.Millisecond
		return newStore(t, o)
	})
}
