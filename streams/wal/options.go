package wal

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// Options of a log. The zero value is right for production.
type Options struct {
	// FS holds the files. Default: the operating system's. Others exist for the
	// tests of this module only.
	FS vfs.FS
	// Clock tells the wall time, for arrivals and retention. Default: time.Now.
	Clock func() time.Time
	// Monotonic tells the time since some fixed moment, unmoved by changes of
	// the wall clock. It guards retention against jumps of Clock by more than
	// an hour: nothing expires by them until the clock was steady for a day.
	// Default: the process's monotonic clock, or no guard if Clock is
	// set.
	Monotonic func() time.Duration
	// Logger takes what an operator should know. Default: nothing is logged.
	Logger *slog.Logger

	// SegmentBytes is where a shard goes on in a new segment file. Default
	// 64 MiB, 4 KiB to 1 GiB.
	SegmentBytes int64
	// JournalBytes is the size of a journal file. Default 64 MiB, 64 KiB to
	// 1 GiB.
	JournalBytes int64
	// CheckpointBytes of journal start a checkpoint, and so bound the replay
	// at a start: appends wait while there is more than three times as much.
	// Default 128 MiB. About twice as much journal is on disk.
	CheckpointBytes int64
	// CheckpointInterval is how long data rests in the journal only. Default
	// 10 s.
	CheckpointInterval time.Duration
	// SyncInterval is how long records of streams with streams.Interval are
	// acknowledged before the sync that makes them durable begins. Default 1 s,
	// 10 ms to a minute.
	SyncInterval time.Duration
	// TailBytes bounds the durable records that wait in memory for their
	// segments, over all shards. Default 64 MiB, at least 1 MiB.
	TailBytes int64
	// IndexBytes bounds the segment indexes held in memory. Default 32 MiB.
	IndexBytes int64
	// MinFreeBytes is the free space below which appends get ErrFull. Default
	// (0): the larger of 1 GiB and 2 % of the disk, but at most 10 % of it.
	// Negative: only a disk without any space refuses.
	MinFreeBytes int64
	// BallastBytes is the size of a file that only takes space, and is removed
	// when a write finds the disk full: state, checkpoints and a start then have
	// room, while appends get ErrFull until it could be made again. Default (0):
	// 64 MiB, but at most 1/32 of the disk. Negative: none.
	BallastBytes int64
	// CacheBytes is how much of what was written to segments last is left in the
	// system's page cache, for readers that are behind what waits in memory.
	// More than a quarter of it in a second is written past the page cache.
	// Default 256 MiB; negative: all of it stays, as far as the system keeps it.
	CacheBytes int64
	// MaxOpenFiles bounds the segment files open at a time. Default 1,024, but
	// at most a quarter of what the process may open.
	MaxOpenFiles int

	// Keys encrypt the files. Default: no encryption.
	Keys Keys

	// Compression says whether sealed segments are compressed, in the background.
	// It can be changed at any start: what is compressed stays so and is read, what
	// is not is compressed. Default: NoCompression.
	Compression Compression
	// compressRate is how many bytes are read for that in a second. Default 32 MiB;
	// negative as fast as it goes, for tests.
	compressRate int64

	// largeBytes is from where on an append is written to the journal from its own
	// memory, in whole blocks, instead of being copied together with others.
	// Default 64 KiB; for tests.
	largeBytes int
	// alignedBytes is from where on a frame of such an append begins and ends on a
	// block, so that it goes to its segment from there, too. 0 means 64 KiB.
	alignedBytes int

	// stepBytes is about how much of a shard is written to a segment at once to
	// make room in memory.
	stepBytes int64

	// OnDamage says what reads do where records cannot be read. Default:
	// FailOnDamage.
	OnDamage OnDamage

	// ScrubBytesPerSecond is how fast sealed segments are read and compared
	// with their checksums in the background, once a day. Default 4 MiB;
	// negative: never.
	ScrubBytesPerSecond int64

	// markAfter is how long the journal rests before a group without frames
	// vouches for the last one with. Default 1 s; for tests.
	markAfter time.Duration

	// directBytes is from where on a write to a segment goes past the page cache
	// while the log is busy. Default 256 KiB; for tests.
	directBytes int64

	// OnSync, if set, is told of every sync of the journal: how long it took
	// and how many bytes it made durable. It must return quickly.
	OnSync func(took time.Duration, bytes int64)

	// OnIdle, if set, is called when nothing was appended for a second and
	// everything is in the segments: once after each time the log was in use.
	// Whatever memory the log needed for it is free then. Checkpoints wait for
	// its return.
	OnIdle func()

	repairing bool // Repair opened the log
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Clock == nil {
		o.Clock = time.Now
		if o.Monotonic == nil {
			start := time.Now()
			o.Monotonic = func() time.Duration { return time.Since(start) }
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.JournalBytes == 0 {
		o.JournalBytes = 64 << 20
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 128 << 20
	}
	if o.CheckpointInterval == 0 {
		o.CheckpointInterval = 10 * time.Second
	}
	if o.markAfter == 0 {
		o.markAfter = markAfter
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.TailBytes == 0 {
		o.TailBytes = 64 << 20
	}
	if o.IndexBytes == 0 {
		o.IndexBytes = 32 << 20
	}
	if o.directBytes == 0 {
		o.directBytes = 256 << 10
	}
	if o.largeBytes == 0 {
		o.largeBytes = 64 << 10
	}
	if o.alignedBytes == 0 {
		o.alignedBytes = 64 << 10
	}
	if o.stepBytes == 0 {
		o.stepBytes = 2 << 20
	}
	if o.ScrubBytesPerSecond == 0 {
		o.ScrubBytesPerSecond = 4 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 256 << 20
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = 1024
		if n := vfs.OpenFileLimit(); n > 0 {
			o.MaxOpenFiles = max(2, min(o.MaxOpenFiles, n/4))
		}
	}
	return o
}

func (o Options) validate() error {
	for _, c := range []struct {
		name     string
		v        int64
		from, to int64
	}{
		{"SegmentBytes", o.SegmentBytes, 4 << 10, 1 << 30},
		{"JournalBytes", o.JournalBytes, 64 << 10, 1 << 30},
		{"CheckpointBytes", o.CheckpointBytes, 4 << 10, 1 << 40},
		{"CheckpointInterval", int64(o.CheckpointInterval), int64(time.Millisecond), int64(24 * time.Hour)},
		{"SyncInterval", int64(o.SyncInterval), int64(10 * time.Millisecond), int64(time.Minute)},
		{"TailBytes", o.TailBytes, 4 << 10, 1 << 40},
		{"IndexBytes", o.IndexBytes, 4 << 10, 1 << 40},
		{"MaxOpenFiles", int64(o.MaxOpenFiles), 2, 1 << 20},
	} {
		if c.v < c.from || c.v > c.to {
			return fmt.Errorf("option %s: %d is outside %d to %d", c.name, c.v, c.from, c.to)
		}
	}
	return o.Keys.validate()
}
