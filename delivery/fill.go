package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/streams"
)

// settle is how long fill lets records gather after it saw some, so that a
// busy stream is not walked once for each append.
const settle = 100 * time.Millisecond

// pageBytes and pageRecords bound what is read at a time.
const (
	pageBytes   = 1 << 20
	pageRecords = 2_000
)

// cursor is how far fill has counted in a shard.
type cursor struct {
	shard streams.ShardInfo
	from  streams.Sequence // start of the open buffer
	to    streams.Sequence // counted up to here
	ended bool             // closed, and counted to the end
}

// fill counts records until the buffer closes and returns the plan for them.
// It holds no records. It returns ctx.Err() when ctx ends.
func (s *Stream) fill(ctx context.Context) (*plan, error) {
	buf := buffer.New(s.opt.Hints)
	var cursors []*cursor
	var pos *position
	for {
		info, err := s.opt.Log.Describe(s.opt.Source)
		if err != nil {
			return nil, fmt.Errorf("source stream %s: %w", s.opt.Source, err)
		}
		if pos == nil || pos.StreamID != info.ID {
			// First round, or the source was deleted and made again meanwhile.
			buf.Reset()
			cursors = nil
			if pos, err = s.begin(ctx, info); err != nil {
				return nil, err
			}
		}
		cursors = follow(cursors, pos, info)
		progressed, err := s.count(ctx, info, cursors, buf)
		if err != nil {
			return nil, err
		}
		now := s.opt.Now()
		if why := buf.Closed(now); why != buffer.Open {
			return s.newPlan(info, pos, cursors, buf, why), nil
		}
		s.status.filling(buf)
		wait := settle
		if deadline, ok := buf.Deadline(); ok {
			wait = min(wait, deadline.Sub(now))
			if !progressed {
				wait = deadline.Sub(now)
			}
		}
		switch {
		case progressed:
			err = sleep(ctx, wait)
		default:
			_, open := buf.Deadline()
			err = s.waitForMore(ctx, info, cursors, wait, open)
		}
		if err != nil {
			return nil, err
		}
	}
}

// begin returns the position to read from, and logs one if there is none yet:
// what arrives from now on is then not missed by a later start at the tip.
func (s *Stream) begin(ctx context.Context, info streams.StreamInfo) (*position, error) {
	if pos := s.currentPosition(); pos != nil && pos.StreamID == info.ID {
		return pos, nil
	}
	pos := &position{Version: stateVersion, StreamID: info.ID, Origin: uuid.NewString(), Shards: map[streams.ShardID]shardPosition{}}
	if s.currentPosition() == nil && s.opt.Start == streams.Tip {
		for _, sh := range info.Shards {
			pos.Shards[sh.ID] = shardPosition{Next: sh.Next, Ended: sh.Closed}
		}
	}
	if err := s.logDone(ctx, &plan{After: pos}, nil); err != nil {
		return nil, err
	}
	return pos, nil
}

// follow brings the cursors up to date with the shards of the stream. A shard
// is read only when its parents have been read to their end, so that records
// of one partition key stay in order over a split or merge.
func follow(cursors []*cursor, pos *position, info streams.StreamInfo) []*cursor {
	known := make(map[streams.ShardID]*cursor, len(cursors))
	for _, c := range cursors {
		known[c.shard.ID] = c
	}
	listed := make(map[streams.ShardID]bool, len(info.Shards))
	for _, sh := range info.Shards {
		listed[sh.ID] = true
	}
	drained := func(id streams.ShardID) bool {
		if id == streams.NoShard || !listed[id] || pos.Shards[id].Ended {
			return true
		}
		c := known[id]
		return c != nil && c.ended
	}
	for _, sh := range info.Shards { // by id: parents come before children
		if c := known[sh.ID]; c != nil {
			c.shard = sh
			continue
		}
		at, begun := pos.Shards[sh.ID]
		if at.Ended || !drained(sh.Parent) || !drained(sh.AdjacentParent) {
			continue
		}
		from := max(at.Next, 1)
		if !begun {
			from = max(sh.First, 1)
		}
		c := &cursor{shard: sh, from: from, to: from}
		known[sh.ID] = c
		cursors = append(cursors, c)
	}
	return cursors
}

// count reads on from every cursor until the buffer is full or all are at the
// tip, a page of each in turn.
func (s *Stream) count(ctx context.Context, info streams.StreamInfo, cursors []*cursor, buf *buffer.Buffer) (progressed bool, err error) {
	active := slices.DeleteFunc(slices.Clone(cursors), func(c *cursor) bool { return c.ended })
	for len(active) > 0 {
		next := active[:0]
		for _, c := range active {
			more, err := s.countPage(ctx, info, c, buf)
			if err != nil {
				return progressed, err
			}
			progressed = progressed || more
			if why := buf.Closed(s.opt.Now()); why == buffer.Size || why == buffer.Count {
				return progressed, nil
			}
			if more && !c.ended {
				next = append(next, c)
			}
		}
		active = next
	}
	return progressed, nil
}

func (s *Stream) countPage(ctx context.Context, info streams.StreamInfo, c *cursor, buf *buffer.Buffer) (more bool, err error) {
	limit := streams.Limit{Records: pageRecords, Bytes: pageBytes}
	records, bytes := buf.Room()
	if records >= 0 {
		limit.Records = int(min(int64(limit.Records), max(records, 1)))
	}
	if bytes >= 0 {
		limit.Bytes = min(limit.Bytes, max(bytes, 1))
	}
	ref := streams.ShardRef{Stream: info.Name, StreamID: info.ID, Shard: c.shard.ID}
	page, err := s.opt.Log.Read(ctx, ref, streams.Position{Kind: streams.At, Seq: c.to}, limit)
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", info.Name, c.shard.ID, err)
	}
	if len(page.Records) > 0 {
		first := page.Records[0]
		if first.Sequence > c.to {
			s.lost(c.shard.ID, c.to, first.Sequence)
			if c.from == c.to {
				c.from = first.Sequence
			}
		}
		var size int64
		for _, r := range page.Records {
			size += int64(len(r.Data))
		}
		since := s.opt.Now()
		if first.Arrival.Before(since) {
			since = first.Arrival
		}
		if s.oldest.IsZero() || buf.Records() == 0 || first.Arrival.Before(s.oldest) {
			s.oldest = first.Arrival
		}
		buf.Add(int64(len(page.Records)), size, since)
	}
	// The end of a shard is progress too: its children can be read now.
	moved := page.Next > c.to || page.Ended && !c.ended
	c.to = max(c.to, page.Next)
	c.ended = page.Ended
	return moved, nil
}

// waitForMore returns when a shard has something new, or after a time if
// limited. Its goroutines have ended when it returns.
func (s *Stream) waitForMore(ctx context.Context, info streams.StreamInfo, cursors []*cursor, d time.Duration, limited bool) error {
	wctx, cancel := context.WithCancel(ctx)
	if limited {
		wctx, cancel = context.WithTimeout(ctx, max(d, 0))
	}
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	waiting := 0
	for _, c := range cursors {
		if c.ended {
			continue
		}
		waiting++
		ref := streams.ShardRef{Stream: info.Name, StreamID: info.ID, Shard: c.shard.ID}
		wg.Go(func() {
			err := s.opt.Log.Wait(wctx, ref, c.to)
			if err != nil && wctx.Err() == nil {
				mu.Lock()
				failed = errors.Join(failed, fmt.Errorf("%s %s: %w", info.Name, c.shard.ID, err))
				mu.Unlock()
			}
			cancel()
		})
	}
	if waiting == 0 {
		// Every shard is closed and its children are not listed yet, which a
		// reshape never shows: look again rather than hang.
		err := sleep(wctx, time.Second)
		if limited && wctx.Err() != nil && ctx.Err() == nil {
			return nil
		}
		return err
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed
}

func (s *Stream) newPlan(info streams.StreamInfo, pos *position, cursors []*cursor, buf *buffer.Buffer, why buffer.Reason) *plan {
	p := &plan{
		Version: stateVersion, StreamID: info.ID, Records: buf.Records(), Bytes: buf.Bytes(),
		Oldest: s.oldest.UTC(), Now: s.opt.Now().UTC(), Reason: string(why), After: pos.clone(),
	}
	listed := make(map[streams.ShardID]bool, len(info.Shards))
	for _, sh := range info.Shards {
		listed[sh.ID] = true
	}
	for id := range p.After.Shards {
		if !listed[id] { // all its records have expired: nobody asks for it again
			delete(p.After.Shards, id)
		}
	}
	for _, c := range cursors {
		if c.to > c.from {
			p.Ranges = append(p.Ranges, planRange{Shard: c.shard.ID, Created: c.shard.Created, From: c.from, To: c.to})
		}
		p.After.Shards[c.shard.ID] = shardPosition{Next: c.to, Ended: c.ended}
	}
	p.ID = planID(s.opt.StateID, pos, p.Ranges)
	return p
}

// lost says that records expired before they were delivered.
func (s *Stream) lost(shard streams.ShardID, from, to streams.Sequence) {
	n := int64(to - from)
	s.metrics.Expired.Add(n)
	s.log.Error("records expired before they were delivered: raise the retention or mend the destination sooner",
		"shard", shard.String(), "records", n, "from", uint64(from), "to", uint64(to))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
