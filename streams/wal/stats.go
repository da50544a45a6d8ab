package wal

import (
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// SyncBuckets are the upper bounds of Stats.SyncLatency.
var SyncBuckets = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond,
	4 * time.Millisecond, 8 * time.Millisecond, 16 * time.Millisecond, 32 * time.Millisecond,
	64 * time.Millisecond, 128 * time.Millisecond, 256 * time.Millisecond, 512 * time.Millisecond,
	time.Second, 4 * time.Second, 16 * time.Second,
}

// Stats is what a log did since it was opened, and how it stands.
type Stats struct {
	Appends, Records, Bytes       int64 // acknowledged; Bytes of data and keys
	ReadRecords, ReadBytes, Reads int64
	Syncs, SyncedBytes            int64 // of the journal
	// Unsynced is how many bytes of the journal hold what was acknowledged before
	// a sync, and wait for one: what a loss of power may cost now.
	Unsynced int64
	// SyncLatency counts syncs by duration: [i] those up to SyncBuckets[i],
	// the last one the longer ones. SyncTime is the sum of all.
	SyncLatency [len(SyncBuckets) + 1]int64
	SyncTime    time.Duration
	Checkpoints int64
	// CheckpointAge is the time since the last checkpoint, or since the start;
	// 0 if nothing waits for one.
	CheckpointAge time.Duration
	JournalBytes  int64 // written since the last checkpoint
	TailBytes     int64 // durable records waiting in memory for their segment
	DiskFree      int64 // as of the last look, 0 before the first
	DiskLow       bool  // less than a tenth of the disk is free
	Ballast       int64 // bytes that are kept for a full disk; 0 while they are in use
	Full          bool  // appends get ErrFull
	ReadOnly      bool  // appends get ErrReadOnly
	ClockJumped   bool  // nothing expires by the wall clock until it was steady for a day
	Damaged       int   // shards that have damaged ranges
	DamageFound   int64 // damaged places that reads and the scrubber met
	DamagedReads  int64 // reads answered with damage
	Skipped       int64 // records that reads passed over because they are lost
	ScrubbedBytes int64 // read in the background and compared with their checksums
	ScrubDamage   int64 // damaged places in that
	ScrubPasses   int64 // over all sealed segments
	// Compressed counts the segments that were compressed, CompressedFrom and
	// CompressedTo the bytes of their files before and after.
	Compressed, CompressedFrom, CompressedTo int64
	OpenFiles                                int
	Streams                                  int
	// ByDurability counts the streams.
	ByDurability map[streams.Durability]int
	Shards       int
}

type counters struct {
	appends, records, bytes       atomic.Int64
	reads, readRecords, readBytes atomic.Int64
	syncs, syncBytes, syncTime    atomic.Int64
	latency                       [len(SyncBuckets) + 1]atomic.Int64
	checkpoints, lastCheckpoint   atomic.Int64
}

func (c *counters) synced(took time.Duration, bytes int64) {
	c.syncs.Add(1)
	c.syncBytes.Add(bytes)
	c.syncTime.Add(int64(took))
	i := 0
	for i < len(SyncBuckets) && took > SyncBuckets[i] {
		i++
	}
	c.latency[i].Add(1)
}

func (c *counters) appended(records int, u *unit) {
	c.appends.Add(1)
	c.records.Add(int64(records))
	var n int64
	for i := range u.frames {
		n += u.frames[i].payload
	}
	c.bytes.Add(n)
}

func (c *counters) read(p *streams.Page) {
	c.reads.Add(1)
	c.readRecords.Add(int64(len(p.Records)))
	var n int64
	for i := range p.Records {
		n += int64(len(p.Records[i].Data) + len(p.Records[i].PartitionKey))
	}
	c.readBytes.Add(n)
}

func (c *counters) checkpointed(now time.Duration) {
	c.checkpoints.Add(1)
	c.lastCheckpoint.Store(int64(now))
}

// Stats returns the counters and gauges of the log. It is cheap enough to be
// called for every scrape of metrics.
func (l *Log) Stats() Stats {
	c := &l.stats
	if l.space.isFull() || l.space.low.Load() {
		// Whoever asks whether records are taken may be why nobody sends any.
		l.mu.Lock()
		_ = l.space.check(l)
		l.mu.Unlock()
	}
	st := Stats{
		Appends: c.appends.Load(), Records: c.records.Load(), Bytes: c.bytes.Load(),
		Reads: c.reads.Load(), ReadRecords: c.readRecords.Load(), ReadBytes: c.readBytes.Load(),
		Syncs: c.syncs.Load(), SyncedBytes: c.syncBytes.Load(), SyncTime: time.Duration(c.syncTime.Load()),
		Checkpoints: c.checkpoints.Load(), TailBytes: l.tailBytes.Load(), DiskFree: l.space.free.Load(),
		DamageFound: l.losses.found.Load(), DamagedReads: l.losses.reads.Load(), Skipped: l.losses.skipped.Load(),
		ScrubbedBytes: l.losses.scrubbed.Load(), ScrubDamage: l.losses.scrubDamage.Load(), ScrubPasses: l.losses.passes.Load(),
		Compressed: l.compressed.segments.Load(), CompressedFrom: l.compressed.before.Load(), CompressedTo: l.compressed.after.Load(),
		DiskLow: l.space.low.Load(), Ballast: l.ballast.has(),
		Unsynced: l.journal.unsynced.Load(),
		Full:     l.space.isFull(), ClockJumped: l.clock.jumped.Load(),
	}
	for i := range c.latency {
		st.SyncLatency[i] = c.latency[i].Load()
	}
	l.mu.RLock()
	st.ReadOnly = l.failed != nil || l.rebuilt != nil
	st.JournalBytes = l.sinceCheckpoint
	st.Streams = len(l.byID)
	st.ByDurability = map[streams.Durability]int{streams.Fsync: 0, streams.Interval: 0, streams.None: 0}
	for _, s := range l.byID {
		st.ByDurability[s.durability]++
		st.Shards += len(s.shards)
	}
	st.Damaged = l.damagedShards
	l.mu.RUnlock()
	if st.JournalBytes > 0 {
		st.CheckpointAge = l.monotonic() - time.Duration(c.lastCheckpoint.Load())
	}
	l.files.mu.Lock()
	st.OpenFiles = len(l.files.open)
	l.files.mu.Unlock()
	return st
}
