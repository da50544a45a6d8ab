package wal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// syncers is how many segments are written and synced at the same time. A file
// system puts the syncs that wait for it into one commit of its own, so many
// small files take far less time together than one after the other.
const syncers = 16

// dirty arranges for a checkpoint: at once, or when the interval is over. An
// idle log has no timer running.
func (l *Log) dirty(now bool) {
	if now {
		signal(l.checkpointNow)
		return
	}
	if l.armed.CompareAndSwap(false, true) {
		signal(l.arm)
	}
}

// keepLoop makes checkpoints and removes what retention lets go.
func (l *Log) keepLoop() {
	defer l.running.Done()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	retain := time.NewTimer(time.Hour)
	retain.Stop()
	defer retain.Stop()
	idle := time.NewTimer(time.Hour)
	idle.Stop()
	defer idle.Stop()
	next := func(expiry time.Duration) {
		retain.Stop()
		if expiry > 0 {
			retain.Reset(expiry)
		}
	}
	next(l.retain())
	l.makeBallast()
	l.mu.Lock()
	_ = l.space.check(l) // for whoever asks before the first append
	l.mu.Unlock()
	for {
		select {
		case <-l.arm:
			timer.Reset(l.opt.CheckpointInterval)
			continue
		case <-l.checkpointNow:
		case <-timer.C:
		case <-retain.C:
			next(l.retainDue())
			continue
		case <-l.retainNow:
			next(l.retain())
			continue
		case <-l.ballastNow:
			l.makeBallast()
			continue
		case <-l.removeMore:
			if more, _ := l.removeSome(); more { // an error ends the log
				signal(l.removeMore)
			}
			continue
		case <-idle.C:
			l.rest()
			continue
		case <-l.stop:
			return
		}
		timer.Stop()
		idle.Reset(idleAfter)
		l.armed.Store(false)
		if err := l.checkpoint(); err != nil {
			l.dirty(false) // try again after the interval
		}
		next(l.retainDue())
	}
}

// idleAfter is how long after a checkpoint nothing must have been appended for
// the log to count as idle.
const idleAfter = time.Second

// rest gives back what only a log in use needs, unless it is in use again.
func (l *Log) rest() {
	if l.armed.Load() || len(l.checkpointNow) > 0 {
		return // the next checkpoint comes back to it
	}
	l.mu.Lock()
	l.freeBufs = nil
	if len(l.cur.units) == 0 {
		l.cur.layout = layout{used: groupHead}
	}
	l.mu.Unlock()
	l.slabs.clear()
	if l.opt.OnIdle != nil {
		l.opt.OnIdle()
	}
}

// checkpoint brings everything that is durable in the journal to the segments
// and a new snapshot, and gives the journal files before it back.
func (l *Log) checkpoint() error {
	err := l.checkpointOnce()
	if isNoSpace(err) && l.dropBallast() {
		err = l.checkpointOnce()
	}
	switch {
	case err == nil:
		l.stats.checkpointed(l.monotonic())
		if l.sealedNew.Swap(false) {
			signal(l.compressNow)
		}
	case errors.Is(err, streams.ErrReadOnly):
	case isNoSpace(err):
		l.segmentError(err)
		l.makeRoom(l.opt.TailBytes) // whoever waits for it is refused instead
	default:
		l.fail(fmt.Errorf("checkpoint: %w", err))
	}
	return err
}

func (l *Log) checkpointOnce() error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	l.mu.Lock()
	if l.failed != nil {
		l.mu.Unlock()
		return streams.ErrReadOnly
	}
	snap := l.capture()
	touched := l.touched
	l.touched = nil
	for _, s := range touched {
		s.touched = false
	}
	since, unlink := l.sinceCheckpoint, l.unlink
	l.unlink = nil
	l.changed = false
	l.mu.Unlock()

	err := l.bringToSegments(touched)
	if err == nil {
		l.makeRoom(l.opt.TailBytes)
		snap.place()
		// No segment holds more for sure than the journal: after a loss of power
		// everything ends at one moment, and no batch is there in part.
		err = l.syncJournal()
	}
	if err == nil {
		err = l.writeSnapshot(snap)
	}
	if err != nil {
		l.mu.Lock()
		for _, s := range touched {
			l.touch(s)
		}
		l.unlink = append(unlink, l.unlink...)
		l.changed = true
		l.mu.Unlock()
		return err
	}
	l.willExpire(touched)
	l.mu.Lock()
	l.sinceCheckpoint -= since
	release := l.released
	l.released = snap.LSN
	l.mu.Unlock()
	l.makeRoom(l.opt.TailBytes)
	// The journal stays from the snapshot before on, in case this one cannot
	// be read some day.
	if err := l.journal.release(release, l.found); err != nil {
		return err
	}
	l.removeLater(snap, unlink)
	if more, err := l.removeBatch(); err != nil || !more {
		return err
	}
	signal(l.removeMore)
	return nil
}

// bringToSegments flushes and syncs shards, and notes what they then hold.
func (l *Log) bringToSegments(touched []*shard) error {
	at := make([]position, len(touched))
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, min(syncers, len(touched)))
	for w := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(touched)) && !failed.Load(); i = next.Add(1) - 1 {
				if at[i], errs[w] = l.bringToSegment(touched[i]); errs[w] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.syncDirs(); err != nil {
		return err
	}
	for i, s := range touched {
		s.mu.Lock()
		if !s.gone {
			s.position = at[i]
		}
		s.mu.Unlock()
	}
	return nil
}

// bringToSegment flushes and syncs one shard, and returns what is then in its
// segments for sure.
func (l *Log) bringToSegment(s *shard) (position, error) {
	if _, err := l.flushShard(s, math.MaxInt64); err != nil {
		return position{}, err
	}
	var full []*segment
	var open *segment
	var path string
	s.mu.Lock()
	at := s.positionNow()
	for _, seg := range s.segs {
		switch {
		case seg.sealed:
		case seg.full:
			full = append(full, seg)
		case seg.created:
			open, path = seg, seg.path()
		}
	}
	s.mu.Unlock()
	if len(full) > 0 {
		if err := l.syncJournal(); err != nil {
			return position{}, err
		}
	}
	for _, seg := range full {
		if err := l.sealSegment(s, seg); err != nil {
			return position{}, err
		}
	}
	if open != nil {
		if err := l.syncSegment(s, open, path); err != nil {
			return position{}, err
		}
	}
	return at, nil
}

func (l *Log) syncSegment(s *shard, seg *segment, path string) error {
	h, err := l.files.acquire(seg, path, os.O_RDWR)
	if err != nil {
		s.mu.Lock()
		gone := s.gone
		s.mu.Unlock()
		if gone && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	defer l.files.release(h)
	return l.files.sync(h)
}

// positionNow is what the segments hold at this moment. s.mu is held.
func (s *shard) positionNow() position {
	p := position{oldest: s.oldest(), next: s.tailNext(), last: s.position.last}
	for _, seg := range slices.Backward(s.segs) {
		if seg.next == seg.base {
			continue // its first write is on the way
		}
		p.next, p.last = seg.next, seg.last
		if seg == s.active() {
			p.base, p.bytes = seg.base, seg.size
		}
		break
	}
	return p
}

func (l *Log) writeSnapshot(n *snapshot) error {
	n.Generation = l.generation()
	b, err := n.encode(l.seed, l.keys)
	if err != nil {
		return err
	}
	dir := filepath.Join(l.dir, metaDir)
	if err := writeFile(l.opt.FS, filepath.Join(dir, snapshotName(n.Number)), b); err != nil {
		return err
	}
	l.mu.Lock()
	l.snapNumber = n.Number
	l.mu.Unlock()
	// The one before stays.
	if n.Number > 2 {
		if err := l.opt.FS.Remove(filepath.Join(dir, snapshotName(n.Number-2))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// found moves something that nobody knows out of the way, never away.
func (l *Log) found(path string) error {
	dir := filepath.Join(l.dir, foundDir)
	if err := l.opt.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	rel, err := filepath.Rel(l.dir, path)
	if err != nil {
		rel = filepath.Base(path)
	}
	to := filepath.Join(dir, fmt.Sprintf("%d-%s", l.now().UnixMilli(), flat(rel)))
	for n := 1; ; n++ {
		if _, err := l.opt.FS.Stat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = filepath.Join(dir, fmt.Sprintf("%d-%d-%s", l.now().UnixMilli(), n, flat(rel)))
	}
	if err := l.opt.FS.Rename(path, to); err != nil {
		return err
	}
	l.opt.Logger.Warn("moved a file that the log does not know, or must not use, to lost+found", "file", path, "to", to)
	return l.opt.FS.SyncDir(dir)
}

func flat(rel string) string {
	b := []byte(rel)
	for i := range b {
		if b[i] == filepath.Separator {
			b[i] = '_'
		}
	}
	return string(b)
}
