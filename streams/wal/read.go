package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"
	"unsafe"

	"github.com/firehosed/firehosed/streams"
)

const (
	defaultPageRecords = 10_000
	defaultPageBytes   = 1 << 20
	minChunk           = 64 << 10
	maxChunk           = 1 << 20
)

// Read implements streams.Engine.
func (l *Log) Read(ctx context.Context, ref streams.ShardRef, from streams.Position, limit streams.Limit) (streams.Page, error) {
	s, retention, err := l.resolve(ref)
	if err != nil {
		return streams.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return streams.Page{}, err
	}
	if limit.Records <= 0 {
		limit.Records = defaultPageRecords
	}
	if limit.Bytes <= 0 {
		limit.Bytes = defaultPageBytes
	}
	cut := l.retentionNow() - retention.Milliseconds()
	horizon, err := l.horizon(s, cut)
	if err != nil {
		return streams.Page{}, s.wrap(err)
	}
	seq := horizon
	switch from.Kind {
	case streams.Horizon:
	case streams.At:
		seq = max(from.Seq, horizon)
	case streams.AtTime:
		at, _, err := l.findTime(s, max(from.Time.UnixMilli(), cut))
		if err != nil {
			return streams.Page{}, s.wrap(err)
		}
		seq = max(at, horizon)
	case streams.Tip:
		s.mu.Lock()
		seq = s.next
		s.mu.Unlock()
	default:
		return streams.Page{}, fmt.Errorf("%s: %w: position of kind %d", s, streams.ErrInvalid, from.Kind)
	}
	p := pageOf(seq, limit)
	if err := l.fillPage(s, &p); err != nil {
		return streams.Page{}, s.wrap(err)
	}
	s.mu.Lock()
	gone := s.gone
	p.page.Tip = s.next
	p.page.Ended = s.ended && p.page.Next >= s.next
	s.mu.Unlock()
	if gone {
		return streams.Page{}, s.wrap(streams.ErrNotFound)
	}
	if p.nextAt >= 0 {
		p.page.Behind = max(0, l.opt.Clock().Sub(msTime(p.nextAt)))
	}
	l.stats.read(&p.page)
	return p.page, nil
}

func (s *shard) wrap(err error) error { return fmt.Errorf("%s: %w", s, err) }

// collector gathers a page.
type collector struct {
	page   streams.Page
	left   streams.Limit
	nextAt int64 // arrival of the record at page.Next, -1 at the tip
}

func pageOf(seq streams.Sequence, limit streams.Limit) collector {
	return collector{page: streams.Page{Next: seq}, left: limit, nextAt: -1}
}

// add takes the records of a frame at and after page.Next, and reports whether
// there is room for more. The body was checked.
func (c *collector) add(base streams.Sequence, count uint32, arrival int64, body []byte) (more bool, err error) {
	if want := min(c.left.Records, int(count)); c.page.Records == nil && want > 0 {
		c.page.Records = make([]streams.Record, 0, want)
	}
	for i := range count {
		r, rest, ok := nextRecord(body)
		if !ok {
			return false, errRecords
		}
		body = rest
		seq := base + streams.Sequence(i)
		if seq < c.page.Next {
			continue
		}
		at := arrival + int64(r.delta) //nolint:gosec // At most 32 bits.
		size := int64(len(r.key) + len(r.data))
		if c.left.Records <= 0 || (size > c.left.Bytes && len(c.page.Records) > 0) {
			c.nextAt = at
			return false, nil
		}
		rec := streams.Record{
			// The buffer is never written again, so the key may share it.
			PartitionKey: unsafe.String(unsafe.SliceData(r.key), len(r.key)),
			Data:         r.data, Arrival: msTime(at), Sequence: seq,
		}
		if r.explicit {
			rec.ExplicitHashKey = r.hash.String()
		}
		c.page.Records = append(c.page.Records, rec)
		c.page.Next = seq + 1
		c.left.Records--
		c.left.Bytes -= size
	}
	return true, nil
}

var errRecords = errors.New("frame does not hold the records it should")

// source is where the record at a sequence lies.
type source struct {
	tail  []frame  // in memory
	seg   *segment // or in a file:
	path  string
	open  bool
	off   int64 // of a frame at or before it
	end   int64 // of the frames
	next  streams.Sequence
	known bool // off and end are, else the index must be loaded first
	hole  *damaged
	tip   bool
}

// locate finds the source of seq. The index of seg, if loaded, is used.
func (l *Log) locate(s *shard, seq streams.Sequence) source {
	s.mu.Lock()
	var victims []*indexOwner
	src := s.locate(seq)
	if src.seg != nil && src.seg.index != nil {
		x := src.seg.index
		src.off, src.end, src.known = int64(x.bySeq(src.seg, seq).off), src.seg.size, true
		victims = l.indexes.touch(s, src.seg)
	}
	s.mu.Unlock()
	l.indexes.drop(victims)
	return src
}

func (s *shard) locate(seq streams.Sequence) source {
	for i := range s.damage {
		if d := &s.damage[i]; seq >= d.from && seq < d.to {
			return source{hole: d}
		}
	}
	if seq >= s.next {
		if s.suspect != nil {
			return source{hole: &damaged{from: seq, to: seq, err: s.suspect}}
		}
		return source{tip: true}
	}
	if len(s.tail) > 0 && seq >= s.tail[0].base {
		i := sort.Search(len(s.tail), func(i int) bool { return s.tail[i].next() > seq })
		if i < len(s.tail) {
			return source{tail: s.tail[i:]}
		}
	}
	for _, seg := range s.segs {
		if seq < seg.next {
			return source{seg: seg, path: seg.path(), open: !seg.sealed, next: seg.next}
		}
	}
	return source{tip: true}
}

// fillPage collects from wherever the records are, until the page is full or
// the tip is reached.
func (l *Log) fillPage(s *shard, c *collector) error {
	for range 1 << 20 { // each turn makes progress; see the end of the loop
		src := l.locate(s, c.page.Next)
		before := c.page.Next
		var more bool
		var err error
		switch {
		case src.hole != nil:
			if len(c.page.Records) > 0 {
				return nil
			}
			return src.hole.err
		case src.tip:
			return nil
		case src.tail != nil:
			for i := range src.tail {
				f := &src.tail[i]
				if f.base > c.page.Next { // a hole in between
					break
				}
				if more, err = c.add(f.base, f.count, f.arrival, f.body()); err != nil || !more {
					return err
				}
			}
		default:
			more, err = l.fillFromSegment(s, &src, c)
			if errors.Is(err, errMovedFile) {
				continue
			}
			if err != nil {
				var bad *streams.DamageError
				if errors.As(err, &bad) && len(c.page.Records) > 0 {
					return nil // what was good comes first
				}
				return err
			}
			if !more {
				return nil
			}
		}
		if c.page.Next == before {
			return nil
		}
	}
	return nil
}

// errMovedFile means that a segment got another name, or was removed, between
// the look at it and its opening.
var errMovedFile = errors.New("file moved")

// openToRead opens the file of a source.
func (l *Log) openToRead(s *shard, seg *segment, path string, open bool) (*handle, error) {
	flag := os.O_RDONLY
	if open {
		flag = os.O_RDWR // the writer shares it
	}
	h, err := l.files.acquire(seg, path, flag)
	if errors.Is(err, os.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone {
			return nil, streams.ErrNotFound
		}
		for _, now := range s.segs {
			if now == seg && seg.path() == path {
				return nil, &streams.DamageError{File: path, Reason: "the file is missing"}
			}
		}
		return nil, errMovedFile
	}
	return h, err
}

func (l *Log) fillFromSegment(s *shard, src *source, c *collector) (more bool, err error) {
	if !src.known {
		if err := l.loadIndex(s, src.seg); err != nil {
			return false, err
		}
		return true, errMovedFile // look again, now with the index
	}
	h, err := l.openToRead(s, src.seg, src.path, src.open)
	if err != nil {
		return false, err
	}
	defer l.files.release(h)
	r := frameReader{l: l, s: s, f: h, path: src.path, off: src.off, end: src.end}
	r.chunk = int(min(max(c.left.Bytes+c.left.Bytes/8+indexEvery, minChunk), maxChunk))
	for {
		f, err := r.next()
		if errors.Is(err, io.EOF) {
			if c.page.Next < src.next {
				// All frames were read, and yet records are missing.
				return false, &streams.DamageError{File: src.path, From: src.off, To: src.end, Reason: "records are missing"}
			}
			return true, nil
		}
		var bad *streams.DamageError
		if errors.As(err, &bad) {
			// The frame that cannot be read may be before the one wanted, and
			// then does not matter.
			if ahead, ok := r.skip(bad); ok && ahead <= c.page.Next {
				continue
			}
		}
		if err != nil {
			return false, err
		}
		if f.next() <= c.page.Next {
			continue
		}
		if f.base > c.page.Next {
			return false, &streams.DamageError{
				File: src.path, From: src.off, To: r.off - int64(len(f.buf)),
				Reason: fmt.Sprintf("records %d to %d are missing", c.page.Next, f.base-1),
			}
		}
		if err := r.check(f); err != nil {
			return false, err
		}
		more, err := c.add(f.base, f.count, f.arrival, f.body())
		if err != nil {
			return false, r.damage(f, err.Error())
		}
		if !more {
			return false, nil
		}
	}
}

// frameReader walks the frames of a segment file in [off, end). Frames alias
// buffers that are not used again, so records may be kept.
type frameReader struct {
	l        *Log
	s        *shard
	f        io.ReaderAt
	path     string
	off, end int64 // what was not handed out yet
	buf      []byte
	chunk    int
}

// next returns the next frame with a good header, without its body checked.
// io.EOF at the end; a *streams.DamageError if the header is not good.
func (r *frameReader) next() (frame, error) {
	if r.off >= r.end {
		return frame{}, io.EOF
	}
	if err := r.fill(headerBytes); err != nil {
		return frame{}, err
	}
	h, ok := parseHeader(r.buf, r.l.seed)
	if !ok || h.kind != kindRecords || h.stream != r.s.st.id || h.shard != uint32(r.s.id) || h.count == 0 ||
		int64(h.size()) > r.end-r.off {
		return frame{}, &streams.DamageError{
			File: r.path, From: r.off, To: r.end,
			Reason: fmt.Sprintf("no frame of this shard at byte %d", r.off),
		}
	}
	if err := r.fill(h.size()); err != nil {
		return frame{}, err
	}
	f := frame{buf: r.buf[:h.size():h.size()], base: streams.Sequence(h.seq), count: h.count, arrival: h.time}
	r.buf = r.buf[h.size():]
	r.off += int64(h.size())
	return f, nil
}

// skip goes on at the next good frame after damage at off, and returns the
// sequence it begins with. It completes what bad says.
func (r *frameReader) skip(bad *streams.DamageError) (streams.Sequence, bool) {
	off := r.l.nextFrame(r.f, r.s, r.off+8, r.end, 0)
	if off < 0 {
		return 0, false
	}
	bad.To = off
	r.off, r.buf = off, nil
	if err := r.fill(headerBytes); err != nil {
		return 0, false
	}
	h, ok := parseHeader(r.buf, r.l.seed)
	return streams.Sequence(h.seq), ok
}

// check verifies the body of the frame that next returned last.
func (r *frameReader) check(f frame) error {
	h, _ := parseHeader(f.buf, r.l.seed)
	if !bodyOK(f.buf, h, r.l.seed) {
		return r.damage(f, "checksum does not match")
	}
	return nil
}

func (r *frameReader) damage(f frame, why string) error {
	return &streams.DamageError{
		File: r.path, From: r.off - int64(len(f.buf)), To: r.off,
		Reason: fmt.Sprintf("%s in records %d to %d", why, f.base, f.next()-1),
	}
}

// fill makes n bytes available in buf.
func (r *frameReader) fill(n int) error {
	if len(r.buf) >= n {
		return nil
	}
	at := r.off + int64(len(r.buf))
	want := max(n, r.chunk)
	if left := r.end - r.off; int64(want) > left {
		want = int(left)
	}
	if want < n {
		return &streams.DamageError{File: r.path, From: r.off, To: r.end, Reason: "a frame does not end"}
	}
	grown := make([]byte, want)
	have := copy(grown, r.buf)
	got, err := r.f.ReadAt(grown[have:], at)
	if have+got < n {
		if err == nil || errors.Is(err, io.EOF) {
			return &streams.DamageError{File: r.path, From: at + int64(got), To: r.end, Reason: "the file is too short"}
		}
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	r.buf = grown[:have+got]
	return nil
}

// horizon returns the first sequence that retention still shows.
func (l *Log) horizon(s *shard, cut int64) (streams.Sequence, error) {
	s.mu.Lock()
	first, at, last, next := s.first, s.firstAt, s.last, s.next
	s.mu.Unlock()
	switch {
	case last < cut: // also if there never was a record
		return next, nil
	case at >= cut:
		return first, nil
	}
	seq, at, err := l.findTime(s, cut)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Records that are lost right before the first one that is left may not
	// have expired either: they are not passed over in silence.
	for _, d := range slices.Backward(s.damage) {
		if d.from < seq && d.to >= seq && d.to > s.first {
			seq, at = max(d.from, s.first), -1
		}
	}
	if seq >= s.first {
		s.first, s.firstAt = seq, at
	}
	return s.first, nil
}

// findTime returns the first record that arrived at or after t (Unix ms) and
// its arrival, or the tip and -1.
func (l *Log) findTime(s *shard, t int64) (streams.Sequence, int64, error) {
	for range 1 << 20 { // until nothing moves under it
		seq, at, err := l.findTimeOnce(s, t)
		if !errors.Is(err, errMovedFile) {
			return seq, at, err
		}
	}
	return 0, 0, errMovedFile
}

func (l *Log) findTimeOnce(s *shard, t int64) (streams.Sequence, int64, error) {
	s.mu.Lock()
	tip := s.next
	for _, seg := range s.segs {
		if seg.last < t {
			continue
		}
		if seg.first >= t {
			base, at := seg.base, seg.first
			s.mu.Unlock()
			return base, at, nil
		}
		if seg.index == nil {
			s.mu.Unlock()
			if err := l.loadIndex(s, seg); err != nil {
				return 0, 0, err
			}
			return 0, 0, errMovedFile
		}
		off, end, path, open := int64(seg.index.byArrival(seg, t).off), seg.size, seg.path(), !seg.sealed
		s.mu.Unlock()
		return l.scanTime(s, seg, path, open, off, end, t)
	}
	tail := s.tail
	s.mu.Unlock()
	for i := range tail {
		f := &tail[i]
		if seq, at, ok := firstAt(f, t); ok {
			return seq, at, nil
		}
	}
	return tip, -1, nil
}

func (l *Log) scanTime(s *shard, seg *segment, path string, open bool, off, end, t int64) (streams.Sequence, int64, error) {
	h, err := l.openToRead(s, seg, path, open)
	if err != nil {
		return 0, 0, err
	}
	defer l.files.release(h)
	r := frameReader{l: l, s: s, f: h, path: path, off: off, end: end, chunk: minChunk}
	next := seg.base // of the records not seen yet
	if off > segmentHead {
		next = 0
	}
	for {
		f, err := r.next()
		var bad *streams.DamageError
		if errors.As(err, &bad) && next > 0 {
			if ahead, ok := r.skip(bad); ok && ahead > next {
				// The damaged records may be among those wanted. Reading them
				// will tell.
				return next, -1, nil
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = &streams.DamageError{File: path, From: off, To: end, Reason: "records are missing"}
			}
			return 0, 0, err
		}
		if seq, at, ok := firstAt(&f, t); ok {
			return seq, at, nil
		}
		next = f.next()
	}
}

// firstAt finds the first record of a frame that arrived at or after t.
func firstAt(f *frame, t int64) (streams.Sequence, int64, bool) {
	if f.arrival >= t {
		return f.base, f.arrival, true
	}
	body := f.body()
	for i := range f.count {
		r, rest, ok := nextRecord(body)
		if !ok {
			return 0, 0, false
		}
		if at := f.arrival + int64(r.delta); at >= t { //nolint:gosec // At most 32 bits.
			return f.base + streams.Sequence(i), at, true
		}
		body = rest
	}
	return 0, 0, false
}

// Wait implements streams.Engine.
func (l *Log) Wait(ctx context.Context, ref streams.ShardRef, from streams.Sequence) error {
	s, _, err := l.resolve(ref)
	if err != nil {
		return err
	}
	for {
		s.mu.Lock()
		if s.gone {
			s.mu.Unlock()
			return s.wrap(streams.ErrNotFound)
		}
		if s.next > from || s.ended || s.suspect != nil {
			s.mu.Unlock()
			return nil
		}
		if s.notify == nil {
			s.notify = make(chan struct{})
		}
		notify := s.notify
		s.mu.Unlock()
		select {
		case <-notify:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.stop:
			return streams.ErrClosed
		}
	}
}

// Stat implements streams.Engine.
func (l *Log) Stat(ref streams.ShardRef, from streams.Sequence) (streams.Backlog, error) {
	s, retention, err := l.resolve(ref)
	if err != nil {
		return streams.Backlog{}, err
	}
	horizon, err := l.horizon(s, l.retentionNow()-retention.Milliseconds())
	if err != nil {
		return streams.Backlog{}, s.wrap(err)
	}
	from = max(from, horizon)
	b, err := l.stat(s, from)
	if err != nil {
		return streams.Backlog{}, s.wrap(err)
	}
	return b, nil
}

func (l *Log) stat(s *shard, from streams.Sequence) (b streams.Backlog, err error) {
	for range 1 << 20 { // until every index that is needed is loaded
		var need *segment
		b, need = s.stat(from)
		if need == nil {
			break
		}
		if err := l.loadIndex(s, need); err != nil {
			return b, err
		}
	}
	if b.Records == 0 {
		return streams.Backlog{}, nil
	}
	p := pageOf(from, streams.Limit{Records: 0, Bytes: 1})
	if err := l.fillPage(s, &p); err == nil && p.nextAt >= 0 {
		b.Oldest = msTime(p.nextAt)
	} else if err != nil {
		var bad *streams.DamageError
		if !errors.As(err, &bad) {
			return b, err
		}
	}
	return b, nil
}

// stat counts from what is in memory, or names the segment whose index must be
// loaded before.
func (s *shard) stat(from streams.Sequence) (b streams.Backlog, need *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from >= s.next {
		return b, nil
	}
	b.Records = int64(s.next - from) //nolint:gosec // Positive.
	for i := range s.damage {
		if d := &s.damage[i]; d.to > from {
			b.Records -= int64(d.to - max(d.from, from)) //nolint:gosec // Positive.
		}
	}
	for _, seg := range s.segs {
		if seg.next <= from {
			continue
		}
		if seg.payload < 0 || (seg.base < from && seg.index == nil) {
			return b, seg
		}
		b.Bytes += seg.payload
		if seg.base < from {
			b.Bytes -= int64(seg.index.bySeq(seg, from).payload)
		}
	}
	for i := range s.tail {
		if s.tail[i].next() > from {
			b.Bytes += s.tail[i].payload
		}
	}
	return b, nil
}

// retentionNow is the wall time in Unix ms that retention goes by: Clock, but
// if that jumped by more than an hour against the monotonic clock, what it
// would be without the jump. A wrong clock must not erase a year of records.
func (l *Log) retentionNow() int64 {
	wall := l.opt.Clock()
	if l.opt.Monotonic == nil {
		return wall.UnixMilli()
	}
	steady := l.wallStart.Add(l.opt.Monotonic() - l.monoStart)
	d := wall.Sub(steady)
	if d > time.Hour || d < -time.Hour {
		if !l.jumped.Swap(true) {
			l.opt.Logger.Error("clock: it jumped; retention goes on without the jump until a restart", "jump", d)
		}
		return steady.UnixMilli()
	}
	if l.jumped.Swap(false) {
		l.opt.Logger.Info("clock: it is right again")
	}
	return wall.UnixMilli()
}
