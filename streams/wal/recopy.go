package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/firehosed/firehosed/internal/vfs"
)

// copySuffix is of a journal file that is not complete yet. A start removes it:
// the groups in it are also in the files it is made from.
const copySuffix = ".copy"

func isJournalCopy(name string) bool {
	id, ok := strings.CutSuffix(name, copySuffix)
	if !ok {
		return false
	}
	_, ok = journalID(id)
	return ok
}

// syncFailedBefore reports whether the process before ended because a write or
// sync failed. What the page cache has of its files may not be on the disk: the
// kernel drops what it could not write and calls the pages clean.
func (l *Log) syncFailedBefore() bool {
	_, err := l.opt.FS.Stat(filepath.Join(l.dir, failedFile))
	return err == nil
}

// foundGroup is where replay found a whole group.
type foundGroup struct {
	in  *scanned
	lsn uint64
}

// copyTail writes the groups that no checkpoint has covered, after the last
// damage, again to a file of their own, makes them durable there and goes on in
// it. The file gets its name when it is complete: until then the next start
// reads the same groups from where they are.
func (p *replayer) copyTail(groups []foundGroup, end uint64) error {
	j := &p.l.journal
	name := journalName(j.nextID)
	j.nextID++
	next := journalFile{name: name, head: fileHead{logID: j.logID, generation: j.generation + 1, start: groups[0].lsn, key: j.key}}
	next.size = int64(end-next.head.start) + block //nolint:gosec // What a checkpoint bounds.
	tmp := j.path(name) + copySuffix
	f, err := vfs.OpenDirect(j.fsys, tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = p.copyGroups(f, groups, &next)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close() // the error before says more
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := j.fsys.Rename(tmp, j.path(name)); err != nil {
		return err
	}
	if err := j.fsys.SyncDir(j.dir); err != nil {
		return err
	}
	if f, err = vfs.OpenDirect(j.fsys, j.path(name), os.O_RDWR, 0); err != nil {
		return err
	}
	j.active, j.off, j.size, j.lsn = f, next.size, next.size, end
	j.generation = next.head.generation
	j.used = append(j.used, next)
	p.l.opt.Logger.Warn("journal: what no checkpoint had covered was read from the disk and written again, since a sync failed before",
		"groups", len(groups), "bytes", next.size-block, "file", j.path(name))
	return nil
}

// copyGroups writes the head of a file and groups.
func (p *replayer) copyGroups(f vfs.File, groups []foundGroup, to *journalFile) error {
	b := vfs.Aligned(block)
	to.head.put(b, p.l.seed)
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	off := int64(block)
	for i := range groups {
		g, frames, raw, ok, err := p.read(groups[i].in, groups[i].lsn)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("journal %s: the group at %d could be read a moment ago and cannot now", groups[i].in.name, groups[i].lsn)
		}
		h, _ := parseHeader(raw, p.l.seed)
		y := layout{buf: vfs.Aligned(block + len(raw)), used: groupHead}
		copy(y.buf[block:], raw)
		for k := range frames {
			y.used += len(frames[k].raw)
		}
		g.generation = to.head.generation
		to.foreign = to.foreign || g.key != to.head.key
		y.seal(&g, h.time, p.l.seed)
		if _, err := f.WriteAt(y.buf[block:block+int(g.total)], off); err != nil {
			return err
		}
		off += int64(g.total)
	}
	return nil
}
