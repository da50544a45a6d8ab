// Package buffer says when a batch is full: by size, by age and by count. It
// also keeps the one memory budget that every delivery stream draws from.
//
// A Buffer holds no records. A delivery stream counts what it has read of the
// log into it, and turns what was counted into an object when the buffer
// closes. The package does no I/O, starts no goroutine and reads no clock.
package buffer

import "time"

// Hints say when a buffer closes, as the buffering hints of Amazon Data
// Firehose do. Whichever comes first closes it.
type Hints struct {
	Bytes    int64         // size of the records; 0 means no limit
	Records  int64         // 0 means no limit
	Interval time.Duration // since the first record; 0 closes at once
}

// Reason tells why a buffer closed.
type Reason string

// The reasons.
const (
	Open     Reason = ""
	Size     Reason = "size"
	Count    Reason = "count"
	Interval Reason = "interval"
)

// Buffer counts what goes into one object. It is not for concurrent use.
type Buffer struct {
	hints   Hints
	bytes   int64
	records int64
	since   time.Time
}

// New returns an empty buffer.
func New(h Hints) *Buffer { return &Buffer{hints: h} }

// Add counts records whose oldest one has been waiting since the given time.
func (b *Buffer) Add(records, bytes int64, since time.Time) {
	if records == 0 {
		return
	}
	if b.records == 0 || since.Before(b.since) {
		b.since = since
	}
	b.records += records
	b.bytes += bytes
}

// Room returns how much more the buffer takes before its size or count closes
// it; at least 1 of each while it is open by that measure. No limit is -1.
func (b *Buffer) Room() (records, bytes int64) {
	records, bytes = -1, -1
	if b.hints.Records > 0 {
		records = max(b.hints.Records-b.records, 0)
	}
	if b.hints.Bytes > 0 {
		bytes = max(b.hints.Bytes-b.bytes, 0)
	}
	return records, bytes
}

// Closed returns why the buffer is closed at a time, or Open. An empty buffer
// never closes.
func (b *Buffer) Closed(now time.Time) Reason {
	switch {
	case b.records == 0:
		return Open
	case b.hints.Bytes > 0 && b.bytes >= b.hints.Bytes:
		return Size
	case b.hints.Records > 0 && b.records >= b.hints.Records:
		return Count
	case now.Sub(b.since) >= b.hints.Interval:
		return Interval
	}
	return Open
}

// Deadline returns when the interval closes the buffer; false if it is empty.
func (b *Buffer) Deadline() (time.Time, bool) {
	if b.records == 0 {
		return time.Time{}, false
	}
	return b.since.Add(b.hints.Interval), true
}

// Bytes and Records return what was counted.
func (b *Buffer) Bytes() int64 { return b.bytes }

// Records returns how many records were counted.
func (b *Buffer) Records() int64 { return b.records }

// Reset empties the buffer.
func (b *Buffer) Reset() { *b = Buffer{hints: b.hints} }
