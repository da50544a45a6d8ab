package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// TestCrash runs random histories on a file system that forgets what was not
// synced, cuts the power at a random operation, and compares what is found
// with a ledger of what was acknowledged, asked for and read.
func TestCrash(t *testing.T) {
	seeds(t, *crashSeeds, func(t *testing.T, seed uint64) {
		h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: memfs.New(), ledger: newLedger()}
		for range 3 {
			h.round()
			if t.Failed() {
				return
			}
		}
	})
}

// TestCrashRetention is TestCrash with a clock that moves by hours: segments
// roll by age, records, segments and closed shards expire, and their files are
// removed. What has not expired must be there.
func TestCrashRetention(t *testing.T) {
	seeds(t, *crashSeeds, func(t *testing.T, seed uint64) {
		h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: memfs.New(), ledger: newLedger(), aging: true, compress: seed%2 == 0}
		for range 4 {
			h.round()
			if t.Failed() {
				return
			}
		}
	})
}

// TestCrashEncrypted is TestCrash with encryption, a change of the key, or
// encryption off again, at each start.
func TestCrashEncrypted(t *testing.T) {
	seeds(t, *crashSeeds, func(t *testing.T, seed uint64) {
		h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: memfs.New(), ledger: newLedger(), encrypt: true}
		for range 3 {
			h.round()
			if t.Failed() {
				return
			}
		}
	})
}

// TestCrashCompressed is TestCrash with sealed segments compressed all the
// time, half of the histories encrypted as well.
func TestCrashCompressed(t *testing.T) {
	seeds(t, *crashSeeds, func(t *testing.T, seed uint64) {
		h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: memfs.New(), ledger: newLedger(), compress: true, encrypt: seed%2 == 0}
		for range 3 {
			h.round()
			if t.Failed() {
				return
			}
		}
	})
}

// ledger is what must be found. Guarded by mu while workers run.
type ledger struct {
	mu      sync.Mutex
	streams map[string]*streamLedger
	dropped map[string]bool // batches of streams that were deleted
}

type streamLedger struct {
	relaxed bool                      // acknowledged before a sync
	loose   map[place]unsynced        // acknowledged, or read, since the last start, and not known to be synced
	exists  bool                      // create was acknowledged
	maybe   bool                      // create or delete was asked for and not acknowledged
	shards  map[streams.ShardID]int64 // when it was closed, or seen open last
	acked   map[place]record          // acknowledged, or read
	placed  map[place]bool            // acknowledged in this round
	batches map[string]*tried         // by name
}

type place struct {
	shard streams.ShardID
	seq   streams.Sequence
}

type record struct {
	key, data string
	arrival   int64
}

type unsynced struct {
	record
	worker int // that appended it, -1 if it was only read
}

type tried struct {
	records int
	state   bool
	acked   bool
	worker  int
	number  int
}

func newLedger() *ledger {
	return &ledger{streams: map[string]*streamLedger{}, dropped: map[string]bool{}}
}

func newStreamLedger() *streamLedger {
	return &streamLedger{
		loose: map[place]unsynced{}, shards: map[streams.ShardID]int64{}, acked: map[place]record{},
		placed: map[place]bool{}, batches: map[string]*tried{},
	}
}

type history struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *memfs.FS
	ledger *ledger
	cut    bool         // the power, since the last start
	number atomic.Int64 // of batches

	encrypt, compress bool

	clock clocks
	aging bool // the clock moves by hours, and records expire
}

// now is the wall time in Unix ms.
func (h *history) now() int64 { return h.clock.now().UnixMilli() }

// seen notes that a shard exists. h.ledger.mu is held.
func (h *history) seen(sl *streamLedger, s *streams.ShardInfo) {
	at := h.now()
	if s.Closed {
		at = s.ClosedAt.UnixMilli()
	}
	sl.shards[s.ID] = at
}

// crashDir is two levels below what is there: a start makes both, and both must
// survive.
const crashDir = "/srv/data"

func (h *history) options(fsys *errfs.FS) Options {
	o := small(fsys)
	h.clock.set(&o)
	o.SegmentBytes = 4<<10 + h.rng.Int64N(12<<10)
	o.TailBytes = 8<<10 + h.rng.Int64N(64<<10)
	o.CheckpointBytes = 8<<10 + h.rng.Int64N(128<<10)
	o.MaxOpenFiles = 2 + h.rng.IntN(4)
	o.IndexBytes = 4 << 10
	if h.rng.IntN(2) == 0 {
		o = past(o)
	}
	if h.encrypt {
		o.Keys.Old = []*Key{testKey(1), testKey(2)}
		o.Keys.Current = []*Key{nil, testKey(1), testKey(2), testKey(2)}[h.rng.IntN(4)]
	}
	if h.compress {
		o.Compression, o.compressRate = Zstd, -1
	}
	if h.rng.IntN(4) == 0 {
		o.BallastBytes = 32 << 10
	}
	return o
}

// round works on the log for some lives, and looks at what is left.
func (h *history) round() {
	lives := 1 + h.rng.IntN(3)
	if h.aging {
		lives = 1 // a look after each keeps the ledger of what may have expired
	}
	for range lives {
		if h.life(); h.t.Failed() {
			return
		}
	}
	e := errfs.New(h.fs, nil)
	found := h.dump()
	l, err := Open(crashDir, h.options(e))
	if err != nil {
		h.t.Errorf("open after the crash: %v", err)
		return
	}
	h.settle(l)
	h.verify(l)
	if h.t.Failed() {
		h.t.Log("found after the crash:\n" + found)
	}
	if err := l.Close(); err != nil {
		h.t.Errorf("close: %v", err)
	}
	if h.rng.IntN(4) == 0 {
		// All of it was closed cleanly and must survive without another write.
		h.fs = h.fs.Crash(h.rng)
	}
}

// life opens the log and works on it until the process is killed, or the power
// is cut.
func (h *history) life() {
	cut := int64(h.rng.IntN(400))
	if h.rng.IntN(10) == 0 {
		cut = int64(h.rng.IntN(30)) // within the start
	}
	var changes atomic.Int64
	e := errfs.New(h.fs, func(op errfs.Op) error {
		if op.Kind.Changes() {
			changes.Add(1)
		}
		if changes.Load() > cut {
			return syscall.EIO
		}
		return nil
	})
	l, err := Open(crashDir, h.options(e))
	if err == nil {
		h.settle(l)
		h.work(l)
		if l.Close() == nil {
			h.keep() // it ended cleanly
		}
	} else if !errors.Is(err, syscall.EIO) {
		h.t.Errorf("open: %v", err)
		return
	}
	if h.rng.IntN(3) > 0 { // else it is killed, and what was not synced may only be lost later
		h.cut = true
		h.fs = h.fs.Crash(h.rng)
	}
}

// keep notes that nothing that was acknowledged may be lost.
func (h *history) keep() {
	for _, sl := range h.ledger.streams {
		for at, r := range sl.loose {
			sl.acked[at] = r.record
		}
		clear(sl.loose)
	}
}

// synced notes that nothing may be lost that a worker got acknowledged before.
func (h *history) synced(w int) {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	for _, sl := range h.ledger.streams {
		for at, r := range sl.loose {
			if r.worker == w {
				sl.acked[at] = r.record
				delete(sl.loose, at)
			}
		}
	}
}

// settle compares a log that was just opened with what was acknowledged without
// a sync: of each shard a first part is there. All that is there must stay.
func (h *history) settle(l *Log) {
	for name, sl := range h.ledger.streams {
		if !sl.relaxed {
			continue
		}
		info, err := l.Describe(name)
		if err != nil {
			if sl.exists {
				h.t.Errorf("describe %s: %v", name, err)
			}
			continue
		}
		next := map[streams.ShardID]streams.Sequence{}
		for _, s := range info.Shards {
			next[s.ID] = s.Next
		}
		for at, r := range sl.loose {
			if n, ok := next[at.shard]; !ok || at.seq < n { // or the shard has expired
				sl.acked[at] = r.record
			} else if !h.cut {
				h.t.Errorf("%s %v: acknowledged, and lost without a loss of power", name, at)
			}
		}
		clear(sl.loose)
		for at := range sl.placed {
			if n, ok := next[at.shard]; ok && at.seq >= n {
				delete(sl.placed, at) // it may be given again
			}
		}
	}
	h.cut = false
}

// dump lists the files for the report of a failure.
func (h *history) dump() string {
	var b strings.Builder
	var walk func(dir string)
	walk = func(dir string) {
		list, _ := h.fs.ReadDir(dir) // an unreadable one is reported as empty
		for _, e := range list {
			path := dir + "/" + e.Name()
			if e.IsDir() {
				walk(path)
				continue
			}
			i, _ := e.Info()
			fmt.Fprintln(&b, path, i.Size())
		}
	}
	walk(crashDir)
	return b.String()
}

func (h *history) work(l *Log) {
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	workers := 1 + h.rng.IntN(3)
	var wg sync.WaitGroup
	for w := range workers {
		rng := rand.New(rand.NewPCG(h.rng.Uint64(), 2))
		wg.Go(func() {
			for range 60 {
				if !h.step(ctx, l, w, rng) {
					return
				}
			}
		})
	}
	readers := sync.WaitGroup{}
	for _, name := range []string{"shared", "late-interval", "late-none"} {
		readers.Go(func() { h.follow(ctx, l, name) })
	}
	wg.Wait()
	cancel()
	readers.Wait()
}

// step does one random thing, and reports whether the log still works.
func (h *history) step(ctx context.Context, l *Log, w int, rng *rand.Rand) bool {
	own := fmt.Sprintf("own-%d", w)
	stream := "shared"
	switch rng.IntN(6) {
	case 0, 1:
		stream = own
	case 2:
		stream = "late-interval"
	case 3:
		stream = "late-none"
	}
	h.clock.advance(time.Duration(rng.IntN(1000)) * time.Millisecond)
	switch n := rng.IntN(100); {
	case h.aging && n >= 97:
		// Past the age at which a segment rolls, and in some steps past retention.
		h.clock.advance(time.Duration(rng.IntN(13*60)) * time.Minute)
		l.retain()
		return true
	case n < 3:
		err := l.checkpoint()
		if err == nil {
			h.synced(w)
		}
		return h.check(err)
	case n < 8:
		return h.reshape(ctx, l, stream, rng)
	case n < 10:
		return h.remove(ctx, l, own)
	case n < 12:
		_, err := l.Create(ctx, streams.StreamSpec{Name: fmt.Sprintf("more-%d-%d", w, rng.IntN(3)), Shards: 1})
		return h.check(err)
	}
	return h.append(ctx, l, stream, w, rng)
}

// check reports whether the log goes on after err.
func (h *history) check(err error) bool {
	switch {
	case err == nil, errors.Is(err, streams.ErrExists), errors.Is(err, streams.ErrNotFound), errors.Is(err, streams.ErrInvalid):
		return true
	case errors.Is(err, streams.ErrReadOnly), errors.Is(err, syscall.EIO):
		return false
	}
	h.t.Errorf("unexpected error: %v", err)
	return false
}

func (h *history) ensure(ctx context.Context, l *Log, name string, rng *rand.Rand) bool {
	h.ledger.mu.Lock()
	sl := h.ledger.streams[name]
	if sl == nil {
		sl = newStreamLedger()
		sl.relaxed = strings.HasPrefix(name, "late-")
		h.ledger.streams[name] = sl
	}
	exists := sl.exists
	if !exists {
		sl.maybe = true
	}
	h.ledger.mu.Unlock()
	if exists {
		return true
	}
	spec := streams.StreamSpec{Name: name, Shards: 1 + rng.IntN(4)}
	if d, ok := strings.CutPrefix(name, "late-"); ok {
		spec.Durability = streams.Durability(d)
	}
	info, err := l.Create(ctx, spec)
	if err != nil && !errors.Is(err, streams.ErrExists) {
		return h.check(err)
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	sl.exists, sl.maybe = true, false
	for i := range info.Shards {
		h.seen(sl, &info.Shards[i])
	}
	return true
}

func (h *history) append(ctx context.Context, l *Log, stream string, w int, rng *rand.Rand) bool {
	if !h.ensure(ctx, l, stream, rng) {
		return false
	}
	number := int(h.number.Add(1))
	name := fmt.Sprintf("%d.%d", w, number)
	b := new(streams.Batch)
	relaxed := strings.HasPrefix(stream, "late-")
	if !relaxed || rng.IntN(4) == 0 { // with state it is synced
		b.State = []streams.StateUpdate{{Key: stateKey(stream, w), Value: fmt.Append(nil, number)}}
	}
	for i := range 1 + rng.IntN(12) {
		size := rng.IntN(300)
		if rng.IntN(20) == 0 {
			size = rng.IntN(12_000)
		}
		r := streams.NewRecord{PartitionKey: fmt.Sprint(rng.IntN(1000)), Data: payload(name, i, size)}
		if rng.IntN(5) == 0 {
			r.Explicit, r.HashKey = true, streams.HashKey{Hi: rng.Uint64(), Lo: rng.Uint64()}
		}
		b.Records = append(b.Records, r)
	}
	h.ledger.mu.Lock()
	sl := h.ledger.streams[stream]
	try := &tried{records: len(b.Records), state: len(b.State) > 0, worker: w, number: number}
	sl.batches[name] = try
	h.ledger.mu.Unlock()
	res, err := l.Append(ctx, stream, b)
	if err != nil {
		return h.check(err)
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	try.acked = true
	for i, p := range res.Placed {
		at := place{p.Shard, p.Sequence}
		rec := record{b.Records[i].PartitionKey, string(b.Records[i].Data), res.Arrival.UnixMilli()}
		if seen, ok := sl.acked[at]; sl.placed[at] || (ok && seen != rec) {
			h.t.Errorf("%s %v was given twice: %.200v, %.200v", stream, at, seen, rec)
		}
		if seen, ok := sl.loose[at]; ok && seen.record != rec {
			h.t.Errorf("%s %v: read as %.200v, acknowledged as %.200v", stream, at, seen.record, rec)
		}
		sl.placed[at] = true
		if relaxed {
			sl.loose[at] = unsynced{rec, w}
		} else {
			sl.acked[at] = rec
		}
	}
	if try.state {
		h.ledger.mu.Unlock()
		h.synced(w) // the lock is taken again by the deferred call
		h.ledger.mu.Lock()
	}
	return true
}

func stateKey(stream string, w int) string { return fmt.Sprintf("%s/%d", stream, w) }

// payload names its batch and is otherwise fixed by it.
func payload(name string, i, size int) []byte {
	b := fmt.Appendf(nil, "%s|%d|%d|", name, i, size)
	return append(b, bytes.Repeat([]byte{byte('a' + i)}, size)...)
}

func (h *history) reshape(ctx context.Context, l *Log, stream string, rng *rand.Rand) bool {
	info, err := l.Describe(stream)
	if err != nil {
		return h.check(err)
	}
	var open []streams.ShardInfo
	for _, s := range info.Shards {
		if !s.Closed {
			open = append(open, s)
		}
	}
	slices.SortFunc(open, func(a, b streams.ShardInfo) int { return a.Range.Start.Compare(b.Range.Start) })
	i := rng.IntN(len(open))
	if rng.IntN(3) == 0 {
		err = l.Reshard(ctx, stream, 1+rng.IntN(6))
	} else if rng.IntN(2) == 0 && i+1 < len(open) {
		err = l.Merge(ctx, stream, open[i].ID, open[i+1].ID)
	} else if len(open) < 8 {
		mid := open[i].Range.Start
		mid.Hi += (open[i].Range.End.Hi - mid.Hi) / 2
		mid.Lo++
		err = l.Split(ctx, stream, open[i].ID, mid)
	}
	if err != nil {
		return h.check(err)
	}
	info, err = l.Describe(stream)
	if err != nil {
		return h.check(err)
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	for i := range info.Shards {
		h.seen(h.ledger.streams[stream], &info.Shards[i])
	}
	return true
}

func (h *history) remove(ctx context.Context, l *Log, stream string) bool {
	h.ledger.mu.Lock()
	sl := h.ledger.streams[stream]
	if sl == nil || !sl.exists {
		h.ledger.mu.Unlock()
		return true
	}
	sl.maybe = true
	h.ledger.mu.Unlock()
	if err := l.Delete(ctx, stream); err != nil {
		return h.check(err)
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	h.drop(stream)
	return true
}

// drop forgets a deleted stream; none of its batches may come back.
func (h *history) drop(stream string) {
	for name := range h.ledger.streams[stream].batches {
		h.ledger.dropped[name] = true
	}
	delete(h.ledger.streams, stream)
}

// follow reads the shared stream as it grows. What a reader was shown must be
// there after a crash, too.
func (h *history) follow(ctx context.Context, l *Log, name string) {
	next := map[streams.ShardID]streams.Sequence{}
	for ctx.Err() == nil {
		info, err := l.Describe(name)
		if err != nil {
			if !errors.Is(err, streams.ErrNotFound) {
				return
			}
			info.Shards = nil
			runtime.Gosched()
		}
		for _, s := range info.Shards {
			p, err := l.Read(ctx, streams.ShardRef{Stream: name, Shard: s.ID},
				streams.Position{Kind: streams.At, Seq: next[s.ID]}, streams.Limit{Records: 50})
			if err != nil {
				if errors.Is(err, streams.ErrNotFound) && h.aging {
					continue // the shard has expired
				}
				if !errors.Is(err, syscall.EIO) && !isUnreadableDamage(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, streams.ErrReadOnly) {
					h.t.Errorf("read while appending: %v", err)
				}
				return
			}
			next[s.ID] = p.Next
			h.ledger.mu.Lock()
			sl := h.ledger.streams[name]
			for _, r := range p.Records {
				at := place{s.ID, r.Sequence}
				got := record{r.PartitionKey, string(r.Data), r.Arrival.UnixMilli()}
				want, ok := sl.acked[at]
				late, isLate := sl.loose[at]
				if (ok && want != got) || (isLate && late.record != got) {
					h.t.Errorf("read %v: %+v, acknowledged %+v %+v", at, got, want, late)
				}
				switch {
				case !sl.relaxed:
					sl.acked[at] = got
				case !ok && !isLate:
					sl.loose[at] = unsynced{got, -1}
				}
			}
			h.ledger.mu.Unlock()
		}
		id := streams.ShardID(h.number.Load() % int64(len(info.Shards)+1)) //nolint:gosec // Small.
		i := slices.IndexFunc(info.Shards, func(s streams.ShardInfo) bool { return s.ID == id })
		if i < 0 || info.Shards[i].Closed { // asks, and is told at once
			err = l.Wait(ctx, streams.ShardRef{Stream: name, Shard: id}, next[id])
			i = slices.IndexFunc(info.Shards, func(s streams.ShardInfo) bool { return !s.Closed })
		}
		if i >= 0 && (err == nil || errors.Is(err, streams.ErrNotFound)) {
			id = info.Shards[i].ID
			err = l.Wait(ctx, streams.ShardRef{Stream: name, Shard: id}, next[id])
		}
		if err != nil && !errors.Is(err, streams.ErrNotFound) {
			return
		}
	}
}

// verify compares the log with the ledger, and then takes the log as the new
// ledger: what was found once must stay.
func (h *history) verify(l *Log) {
	t := h.t
	for name, sl := range maps.All(maps.Clone(h.ledger.streams)) {
		info, err := l.Describe(name)
		if errors.Is(err, streams.ErrNotFound) {
			if sl.exists && !sl.maybe {
				t.Errorf("stream %s is lost", name)
			}
			h.drop(name)
			continue
		}
		if err != nil {
			t.Errorf("describe %s: %v", name, err)
			continue
		}
		h.verifyStream(l, name, sl, info)
	}
	for _, info := range l.List() {
		if h.ledger.streams[info.Name] == nil && !strings.HasPrefix(info.Name, "more-") {
			t.Errorf("stream %s came back", info.Name)
		}
	}
	if st := l.Stats(); st.Damaged != 0 {
		t.Errorf("%d shards are called damaged", st.Damaged)
	}
	if list, err := h.fs.ReadDir(crashDir + "/" + foundDir); err == nil && len(list) > 0 {
		t.Errorf("lost+found has %v", list)
	}
}

func (h *history) verifyStream(l *Log, name string, sl *streamLedger, info streams.StreamInfo) {
	t := h.t
	checkTiled(t, info)
	cut := h.now() - info.Retention.Milliseconds()
	found := map[place]record{}
	parts := map[string]map[int]bool{} // batch -> indexes
	for _, s := range info.Shards {
		delete(sl.shards, s.ID)
		recs, err := readShard(t, l, name, s.ID)
		if err != nil {
			t.Errorf("read %s %s: %v", name, s.ID, err)
			continue
		}
		last := map[string]int{}
		for i, r := range recs {
			if first := recs[0].Sequence; r.Sequence != first+streams.Sequence(i) || (!h.aging && first != 1) {
				t.Errorf("%s %s: record %d has sequence %d, the first %d", name, s.ID, i, r.Sequence, first)
				return
			}
			if r.Arrival.UnixMilli() < cut {
				t.Errorf("%s %s %d: it arrived at %v and has expired", name, s.ID, r.Sequence, r.Arrival)
			}
			var w, number, index, size int
			if _, err := fmt.Sscanf(string(r.Data), "%d.%d|%d|%d|", &w, &number, &index, &size); err != nil ||
				!bytes.Equal(r.Data, payload(fmt.Sprintf("%d.%d", w, number), index, size)) {
				t.Errorf("%s %s %d: data is altered: %.60q", name, s.ID, r.Sequence, r.Data)
				return
			}
			b := fmt.Sprintf("%d.%d", w, number)
			if parts[b] == nil {
				parts[b] = map[int]bool{}
			}
			if parts[b][index] {
				t.Errorf("%s: record %d of batch %s is there twice", name, index, b)
			}
			parts[b][index] = true
			if k := fmt.Sprint(w); last[k] > number {
				t.Errorf("%s %s: batch %d of worker %d after %d", name, s.ID, number, w, last[k])
			} else {
				last[k] = number
			}
			found[place{s.ID, r.Sequence}] = record{r.PartitionKey, string(r.Data), r.Arrival.UnixMilli()}
		}
	}
	maps.DeleteFunc(sl.shards, func(_ streams.ShardID, at int64) bool { return at < cut })
	if len(sl.shards) > 0 && !sl.maybe {
		t.Errorf("%s: acknowledged shards %v are lost", name, slices.Collect(maps.Keys(sl.shards)))
	}
	if !sl.maybe { // else it may be another stream of that name
		for at, want := range sl.acked {
			if got, ok := found[at]; want.arrival >= cut && (!ok || got != want) {
				t.Errorf("%s %v: acknowledged %.200v, found %.200v (%v); it arrived at %v, what did before %v has expired; %+v",
					name, at, want, got, ok, msTime(want.arrival), msTime(cut), info)
				return
			}
		}
	}
	newest := map[int]int{}
	for b, idx := range parts {
		try := sl.batches[b]
		if try == nil {
			t.Errorf("%s: batch %s was never asked for here (deleted before: %v)", name, b, h.ledger.dropped[b])
			continue
		}
		if len(idx) != try.records {
			t.Errorf("%s: batch %s has %d of %d records", name, b, len(idx), try.records)
		}
		if try.state {
			newest[try.worker] = max(newest[try.worker], try.number)
		}
	}
	for w, number := range newest {
		// The batch that set the state last may have expired.
		if got, err := strconv.Atoi(string(l.State(stateKey(name, w)))); err != nil || got < number || (!h.aging && got != number) {
			t.Errorf("%s: state of worker %d is %d (%v), its newest batch %d", name, w, got, err, number)
		}
	}
	placed := map[place]bool{}
	for at, r := range sl.acked {
		if r.arrival < cut && !sl.maybe {
			placed[at] = true // expired, but its sequence is never given again
		}
	}
	for at := range found {
		placed[at] = true
	}
	sl.exists, sl.maybe, sl.acked, sl.placed = true, false, found, placed
	for b := range sl.batches {
		if parts[b] == nil {
			delete(sl.batches, b) // refused, or not acknowledged and lost
			h.ledger.dropped[b] = true
		}
	}
	for i := range info.Shards {
		h.seen(sl, &info.Shards[i])
	}
}
