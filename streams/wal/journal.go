package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/firehosed/firehosed/internal/vfs"
)

const (
	journalMagic = "FHJOURNL"
	// firstJournalBytes is the size of a file that is made while somebody
	// waits for it; the next ones are made ahead of need.
	firstJournalBytes = 1 << 20
	zeroChunk         = 1 << 20
)

// fileHead is the first block of a journal file. A file that was only filled
// with zeros has generation 0.
type fileHead struct {
	logID      [16]byte
	generation uint32
	start      uint64 // LSN of the first group, which lies at offset 4,096
	key        KeyID  // of the master key of the groups, zero if they are not encrypted
}

func (h *fileHead) put(b []byte, seed uint32) {
	b = b[:block]
	clear(b)
	copy(b, journalMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], h.generation)
	copy(b[16:32], h.logID[:])
	le.PutUint64(b[32:], h.start)
	copy(b[40:48], h.key[:])
	le.PutUint32(b[60:], checksum(seed, b[:60]))
}

func parseFileHead(b []byte, seed uint32) (h fileHead, ok bool) {
	if len(b) < 64 || string(b[:8]) != journalMagic {
		return h, false
	}
	le := binary.LittleEndian
	if le.Uint32(b[60:]) != checksum(seed, b[:60]) || le.Uint32(b[8:]) != formatVersion {
		return h, false
	}
	h = fileHead{generation: le.Uint32(b[12:]), start: le.Uint64(b[32:])}
	copy(h.logID[:], b[16:32])
	copy(h.key[:], b[40:48])
	return h, true
}

// journalFile is one file of the journal.
type journalFile struct {
	name    string // in the journal directory
	size    int64
	head    fileHead
	damaged bool // bytes in it did not match: it is never used again
	foreign bool // its first group is encrypted otherwise than the head says
	// left is a spare file that was found at the start: what the process before
	// wrote may be in the page cache only.
	left bool
}

func journalName(id uint64) string { return fmt.Sprintf("%016x.journal", id) }

func journalID(name string) (uint64, bool) {
	s, ok := strings.CutSuffix(name, ".journal")
	if !ok || len(s) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 16, 64)
	return id, err == nil
}

// journal writes groups, one after the other, to files that were written in
// full before. write is for one goroutine; the rest may be called from any.
type journal struct {
	fsys  vfs.FS
	dir   string
	seed  uint32
	logID [16]byte
	key   KeyID // of the master key for new files, zero if they are not encrypted
	bytes int64 // size of a file
	// maxSpares is how many written files are kept for use again: as many as a
	// busy log goes through until the next checkpoint lets go of the oldest. With
	// fewer, files would be removed and filled with zeros again all the time.
	maxSpares int

	// Of the writing goroutine.
	active     vfs.File
	off        int64 // where the next group goes; 0 before the file's head is written
	size       int64
	generation uint32
	lsn        uint64 // of the next group
	syncedTo   uint64 // LSN below which all is on the disk
	vec        [][]byte
	failed     error // of a write or sync: what is on the disk is not known, and no sync is tried again

	unsynced atomic.Int64 // bytes of groups that were written and not synced; changed by the writing goroutine

	mu     sync.Mutex
	nextID uint64
	used   []journalFile // by start, the active one last
	spares []journalFile
}

func (j *journal) path(name string) string { return filepath.Join(j.dir, name) }

// errNoSpace is a write that found the disk full. Nothing before it is in
// doubt.
var errNoSpace = errors.New("disk is full")

// write writes a group, and makes it and all before it durable if sync is set.
// The first group of a file always is, and the head of the file with it: the
// generation must not be given to another file once groups have it. A group with
// records leaves the reserve behind it, or is refused with errNoSpace.
func (j *journal) write(y *layout, g *groupInfo, now int64, records, sync bool) error {
	total := y.size()
	reserve := int64(0)
	if records {
		reserve = min(reserveBytes, j.bytes/8)
	}
	if j.active == nil || (j.off > 0 && j.off+total+reserve > j.size) {
		if err := j.advance(j.active == nil, total+reserve); err != nil {
			return err
		}
	}
	if records {
		if err := j.extend(max(j.off, block) + total + reserve); err != nil {
			return err
		}
	}
	g.lsn, g.generation, g.synced = j.lsn, j.generation, j.syncedTo
	y.seal(g, now, j.seed)
	first := j.off == 0
	if first {
		h := fileHead{logID: j.logID, generation: j.generation, start: j.lsn, key: j.key}
		h.put(y.buf, j.seed)
	}
	if err := j.writeAll(y, first); err != nil {
		if isNoSpace(err) {
			// Nothing vouches for these bytes, and the next group overwrites them.
			return fmt.Errorf("%w: %w", errNoSpace, err)
		}
		j.failed = err
		return err
	}
	j.off = max(j.off, block) + total
	j.size = max(j.size, j.off)
	j.lsn += uint64(total) //nolint:gosec // Positive.
	j.unsynced.Add(total)
	if !sync && !first {
		return nil
	}
	return j.sync()
}

// sync makes all groups durable that were written.
func (j *journal) sync() error {
	if j.failed != nil {
		return j.failed
	}
	if err := j.active.Sync(); err != nil {
		j.failed = syncFailed(err)
		return j.failed
	}
	j.syncedTo = j.lsn
	j.unsynced.Store(0)
	return nil
}

// writeAll writes a group with one operation, with the file's head if it is the
// first.
func (j *journal) writeAll(y *layout, first bool) (err error) {
	j.vec = y.pieces(j.vec[:0], first)
	if len(j.vec) == 1 {
		_, err = j.active.WriteAt(j.vec[0], j.off)
	} else {
		_, err = vfs.WriteVecAt(j.active, j.vec, j.off)
	}
	clear(j.vec)
	return err
}

// reserveBytes of written file are kept free of records. When the disk is full
// to the last byte they still hold changes of state, so that deliveries go on.
const reserveBytes = 256 << 10

// extend fills the active file with zeros up to a size, and somewhat further,
// if it is not as large yet: it had no successor in time.
func (j *journal) extend(size int64) error {
	for j.size < size {
		n, err := j.active.WriteAt(vfs.Aligned(reserveBytes), j.size)
		j.size += int64(n)
		if isNoSpace(err) {
			return fmt.Errorf("%w: %w", errNoSpace, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// advance takes a spare file into use. Without one the active file just grows,
// unless must is set: then a small file is made.
func (j *journal) advance(must bool, need int64) error {
	j.mu.Lock()
	var next journalFile
	if n := len(j.spares); n > 0 {
		next, j.spares = j.spares[n-1], j.spares[:n-1]
		j.mu.Unlock()
	} else {
		j.mu.Unlock()
		if !must {
			return nil
		}
		size := min(firstJournalBytes, j.bytes)
		for size < need+block {
			size *= 2
		}
		var err error
		if next, err = j.create(size, nil); err != nil {
			return err
		}
	}
	// Past the page cache: what is written here is read at a start only, and
	// copies of it would push out what consumers read.
	f, err := vfs.OpenDirect(j.fsys, j.path(next.name), os.O_RDWR, 0)
	if err != nil {
		j.mu.Lock()
		j.spares = append(j.spares, next)
		j.mu.Unlock()
		return err
	}
	if next.left {
		// Else a power cut during the first write could leave the group and no
		// head at all, which looks like damage.
		if err := f.Sync(); err != nil {
			return errors.Join(syncFailed(err), f.Close())
		}
		next.left = false
	}
	if j.active != nil {
		// That there is a later file proves that all before it is durable.
		if j.unsynced.Load() > 0 {
			if err := j.sync(); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if err := j.active.Close(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	j.active, j.off, j.size = f, 0, next.size
	j.generation++
	next.head = fileHead{logID: j.logID, generation: j.generation, start: j.lsn, key: j.key}
	j.mu.Lock()
	j.used = append(j.used, next)
	j.mu.Unlock()
	return nil
}

// create makes a file of zeros that the disk holds in full. stop, if closed,
// ends it early with fs.ErrClosed.
func (j *journal) create(size int64, stop <-chan struct{}) (journalFile, error) {
	j.mu.Lock()
	name := journalName(j.nextID)
	j.nextID++
	j.mu.Unlock()
	f, err := vfs.OpenDirect(j.fsys, j.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return journalFile{}, wrapNoSpace(err)
	}
	err = j.fill(f, size, stop)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = j.fsys.SyncDir(j.dir)
	}
	if err != nil {
		if rerr := j.fsys.Remove(j.path(name)); rerr != nil {
			err = errors.Join(err, rerr)
		}
		return journalFile{}, wrapNoSpace(err)
	}
	return journalFile{name: name, size: size}, nil
}

func (j *journal) fill(f vfs.File, size int64, stop <-chan struct{}) error {
	zeros := vfs.Aligned(int(min(zeroChunk, size)))
	for off := int64(0); off < size; {
		select {
		case <-stop:
			return fs.ErrClosed
		default:
		}
		n := min(int64(len(zeros)), size-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		// In pieces, so that the syncs of the active file never wait behind
		// the whole of this one.
		if off += n; off%(8*zeroChunk) == 0 || off == size {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	// A head with generation 0 says that the zeros are complete.
	head := vfs.Aligned(block)
	h := fileHead{logID: j.logID}
	h.put(head, j.seed)
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	return f.Sync()
}

// wantsSpare reports whether a file should be made ahead of need.
func (j *journal) wantsSpare() bool {
	j.mu.Lock()
	n := len(j.spares)
	j.mu.Unlock()
	return n == 0 && j.active != nil && j.off > j.size/2
}

// prepare makes one spare file.
func (j *journal) prepare(stop <-chan struct{}) error {
	f, err := j.create(j.bytes, stop)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.spares = append(j.spares, f)
	j.mu.Unlock()
	return nil
}

// release gives back the files that end at or before lsn. Damaged ones go to
// the directory of things found.
func (j *journal) release(lsn uint64, found func(path string) error) error {
	j.mu.Lock()
	var free []journalFile
	for len(j.used) > 1 && j.used[1].head.start <= lsn {
		free = append(free, j.used[0])
		j.used = j.used[1:]
	}
	var drop []journalFile
	for _, f := range free {
		// One that is not encrypted is not kept for encrypted groups: what it held
		// would stay on the disk for long.
		readable := (f.foreign || f.head.key.none()) && !j.key.none()
		if !f.damaged && !readable && f.size == j.bytes && len(j.spares) < j.maxSpares {
			j.spares = append(j.spares, f)
		} else {
			drop = append(drop, f)
		}
	}
	j.mu.Unlock()
	var errs []error
	for _, f := range drop {
		if f.damaged {
			errs = append(errs, found(j.path(f.name)))
		} else {
			errs = append(errs, j.fsys.Remove(j.path(f.name)))
		}
	}
	return errors.Join(errs...)
}

// close ends the use of the active file; all of it was synced, unless that
// failed.
func (j *journal) close() error {
	if j.active == nil {
		return nil
	}
	return j.active.Close()
}
