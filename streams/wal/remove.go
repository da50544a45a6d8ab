package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/firehosed/firehosed/streams"
)

// removeBatch is how many files are removed in one go. A checkpoint that is due
// waits for no more than that.
const removeBatch = 256

// removals is what is left to be removed: files and directories that the
// snapshot on disk speaks of no more. After a crash a start finds them again.
// checkpointMu guards it.
type removals struct {
	files   []string
	streams []uint64 // deleted ones, whose directories go when files is empty
	listed  uint64   // the stream whose files were put into files last
}

// removeLater adds what a snapshot that is on disk has let go. checkpointMu is
// held.
func (l *Log) removeLater(snap *snapshot, files []string) {
	r := &l.removals
	r.files = append(r.files, files...)
	for _, id := range snap.Deleting {
		if !slices.Contains(r.streams, id) {
			r.streams = append(r.streams, id)
		}
	}
}

// removeSome removes a batch of files, and reports whether there is more to do.
func (l *Log) removeSome() (more bool, err error) {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	more, err = l.removeBatch()
	switch {
	case err == nil:
	case errors.Is(err, streams.ErrReadOnly):
	default:
		l.fail(fmt.Errorf("remove: %w", err))
	}
	return more && err == nil, err
}

// removeBatch is removeSome with checkpointMu held.
func (l *Log) removeBatch() (more bool, err error) {
	r := &l.removals
	for range removeBatch {
		switch {
		case len(r.files) > 0:
			if err := l.opt.FS.Remove(r.files[0]); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, err // it stays on the list: its directory is not empty
			}
			if r.files = r.files[1:]; len(r.files) == 0 {
				r.files = nil
			}
		case len(r.streams) == 0:
			return false, nil
		case r.listed != r.streams[0]:
			if err := l.listStream(r.streams[0]); err != nil {
				return false, err
			}
		default:
			if err := l.forgetStream(r.streams[0]); err != nil {
				return false, err
			}
			r.streams = r.streams[1:]
		}
	}
	return true, nil
}

// listStream puts the files of a deleted stream on the list.
func (l *Log) listStream(id uint64) error {
	l.removing.Lock()   // whoever was in the middle of writing there has ended
	l.removing.Unlock() //nolint:staticcheck // Nobody begins any more: the shards are gone.
	dir := l.segmentDir(id)
	list, err := l.opt.FS.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if _, ok := parseSegmentName(e.Name()); ok {
			l.removals.files = append(l.removals.files, path)
		} else if err := l.found(path); err != nil {
			return err
		}
	}
	l.removals.listed = id
	return nil
}

// forgetStream removes the empty directory of a deleted stream. The next
// snapshot does not name it; what came back then would be taken for unknown, so
// it must be gone for good.
func (l *Log) forgetStream(id uint64) error {
	dir := l.segmentDir(id)
	if err := l.opt.FS.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.opt.FS.SyncDir(filepath.Join(l.dir, shardsDir)); err != nil {
		return syncFailed(err)
	}
	l.dirMu.Lock()
	delete(l.dirs, dir)
	l.dirMu.Unlock()
	l.mu.Lock()
	l.deleting = slices.DeleteFunc(slices.Clone(l.deleting), func(d uint64) bool { return d == id })
	l.changed = true
	l.mu.Unlock()
	return nil
}
