package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

// Names in the data directory.
const (
	lockFile   = "LOCK"
	formatFile = "FORMAT"
	failedFile = "SYNC-FAILED"
	journalDir = "journal"
	metaDir    = "meta"
	shardsDir  = "shards"
	foundDir   = "lost+found"
)

// Log is a streams.Engine on the files of one directory.
type Log struct {
	opt   Options
	dir   string
	id    [16]byte
	seed  uint32
	keys  *keyring // nil without encryption, now and before
	lock  io.Closer
	stats counters

	journal journal
	files   files
	pages   pageCache
	slabs   slabs
	indexes indexes
	state   keyed
	losses  losses
	space   space
	ballast ballast
	clock   retentionClock
	late    lateSync

	removals removals

	journalDamage []*streams.DamageError // met by this start
	rebuilt       *rebuilt               // if no snapshot could be read
	reformat      *reformat              // if a repair found FORMAT wrong
	codec         decompressor

	compressed compressions

	replacing    sync.Mutex   // held while a sealed segment gets other bytes
	reshape      sync.Mutex   // one change of streams at a time
	checkpointMu sync.Mutex   // one checkpoint at a time
	expires      int64        // Unix ms of what retention lets go next, -1 for nothing; guarded by checkpointMu
	removing     sync.RWMutex // held to write segments, and alone to remove directories

	// Scratch. It holds channels, so it is the log's own: one of a test with a
	// clock of its own must not get to another.
	plans, groups, stagings sync.Pool

	tailBytes atomic.Int64 // durable bytes that wait for their segments
	armed     atomic.Bool  // a checkpoint is due when the interval is over
	sealedNew atomic.Bool  // segments were sealed since the compressor was told
	started   time.Time

	mu              sync.RWMutex
	byName          map[string]*stream
	byID            map[uint64]*stream
	nextStream      uint64
	deleting        []uint64 // deleted streams whose directories are still there
	unlink          []string // segment files to remove after the next checkpoint, see removals
	cur             *group   // fills while the one before is written
	groupNumber     uint64
	journalKey      *dataKey // for new groups, nil without encryption
	freeBufs        [][]byte
	room            chan struct{} // closed when a group or memory has room again; nil if nobody waits for that
	touched         []*shard      // have data the last checkpoint has not
	flushQueue      []*shard      // have a tail, the oldest first
	durable         uint64        // LSN
	released        uint64        // LSN of the last snapshot
	sinceCheckpoint int64
	snapNumber      uint64
	changed         bool // something but records changed since the last checkpoint
	closed          bool
	failed          error
	damagedShards   int

	dirMu     sync.Mutex
	dirs      map[string]struct{} // stream directories that exist
	dirtyDirs map[string]struct{} // directories to sync

	work, flush, arm, checkpointNow, retainNow, removeMore, compressNow, ballastNow chan struct{}

	failedC    chan struct{} // closed with failed
	stop       chan struct{} // closed by Close, when nothing is appended any more
	stopCommit chan struct{}
	preparing  atomic.Bool
	unprepared atomic.Bool // the last try to make a spare journal file found no room, and that was said
	running    sync.WaitGroup
}

var _ streams.Engine = (*Log)(nil)

// ErrFormat means that a directory cannot be used: it belongs to a newer
// version, or to something else.
var ErrFormat = errors.New("data directory is not usable")

// ErrLocked means that a data directory is in use.
var ErrLocked = vfs.ErrLocked

// Open opens the log in dir, and makes an empty one if there is none. It
// returns when everything that was acknowledged can be read, and when nothing
// it will show can be lost any more.
//
// An error wraps ErrLocked if the directory is in use, by another process or by
// a Log of this one, and ErrFormat if this version must not use it.
func Open(dir string, opt Options) (*Log, error) {
	l, err := openIdle(dir, opt)
	if err != nil {
		return nil, err
	}
	l.running.Add(3)
	go l.commitLoop()
	go l.flushLoop()
	go l.keepLoop()
	if l.opt.ScrubBytesPerSecond > 0 {
		l.running.Add(1)
		go l.scrubLoop()
	}
	if l.opt.Compression != NoCompression {
		l.running.Add(1)
		go l.compressLoop()
	}
	l.mu.RLock()
	replayed := len(l.touched) > 0 || l.changed
	l.mu.RUnlock()
	if replayed {
		signal(l.checkpointNow)
	}
	return l, nil
}

// openIdle opens a log as Open does, without what goes on in the background:
// nothing can be appended, and nothing changes but by calls. On a disk without
// any space it takes that of the ballast.
func openIdle(dir string, opt Options) (*Log, error) {
	l, err := openOnce(dir, opt)
	if errors.Is(err, errBallast) {
		return openOnce(dir, opt)
	}
	return l, err
}

func openOnce(dir string, opt Options) (*Log, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l := &Log{
		opt: opt, dir: filepath.Clean(dir), started: time.Now(),
		byName: make(map[string]*stream), byID: make(map[uint64]*stream),
		nextStream: 1,
		dirs:       make(map[string]struct{}), dirtyDirs: make(map[string]struct{}),
		work: make(chan struct{}, 1), flush: make(chan struct{}, 1), arm: make(chan struct{}, 1),
		checkpointNow: make(chan struct{}, 1), retainNow: make(chan struct{}, 1),
		removeMore: make(chan struct{}, 1), compressNow: make(chan struct{}, 1), ballastNow: make(chan struct{}, 1),
		late:    newLateSync(),
		failedC: make(chan struct{}), stop: make(chan struct{}), stopCommit: make(chan struct{}),
	}
	l.files = files{fsys: opt.FS, max: opt.MaxOpenFiles, open: make(map[*segment]*handle), failed: func(err error) {
		l.fail(fmt.Errorf("segment: %w", err))
	}}
	l.plans.New, l.groups.New, l.stagings.New = newPlan, func() any { return new(group) }, newStaging
	l.indexes.limit = opt.IndexBytes
	l.pages.limit = opt.CacheBytes
	l.clock.wall, l.clock.mono, l.clock.log = opt.Clock, opt.Monotonic, opt.Logger
	l.clock.start()
	l.slabs.limit = opt.TailBytes / 2
	if err := opt.FS.MkdirAll(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := opt.FS.Lock(filepath.Join(l.dir, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("open log %s: another process uses this data directory; stop it, or choose another directory: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.lock = lock
	l.mu.Lock()
	l.cur = l.newGroup()
	l.mu.Unlock()
	if err := l.start(); err != nil {
		l.files.closeAll()
		if isNoSpace(err) && l.dropBallast() {
			err = errors.Join(err, errBallast)
		}
		return nil, fmt.Errorf("open log %s: %w", dir, errors.Join(err, l.journal.close(), lock.Close()))
	}
	return l, nil
}

// start brings the log from its files to where it can go on.
func (l *Log) start() error {
	if err := l.readFormat(); err != nil {
		return err
	}
	l.journal = journal{
		fsys: l.opt.FS, dir: filepath.Join(l.dir, journalDir), seed: l.seed, logID: l.id, key: l.keys.newFiles(), bytes: l.opt.JournalBytes,
		maxSpares: int(min(2*l.opt.CheckpointBytes/l.opt.JournalBytes+1, 64)),
	}
	if err := l.findBallast(); err != nil {
		return err
	}
	err := l.recover()
	if isUnreadable(err) {
		err = fmt.Errorf("%w. The disk does not give these bytes; firehosed repair tells what that costs", err)
	}
	return err
}

// setID derives what depends on the id of the log.
func (l *Log) setID(id [16]byte) {
	l.id, l.seed, l.keys = id, seedOf(id), newKeyring(id, l.opt.Keys)
}

// syncPath makes the directory of the log durable, and the way to it: a process
// that made some of it, this one or one that was killed, may not have synced it.
func (l *Log) syncPath() error {
	for d := l.dir; ; d = filepath.Dir(d) {
		if err := l.opt.FS.SyncDir(d); err != nil && (d == l.dir || !isForeign(err)) {
			return err
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// isForeign reports whether a sync failed because the directory is none that
// this program could have made something in: it may not be read, or it is part
// of an image that is only read and holds a mount point.
func isForeign(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS) || errors.Is(err, errors.ErrUnsupported)
}

// monotonic is a clock for durations.
func (l *Log) monotonic() time.Duration {
	if l.opt.Monotonic != nil {
		return l.opt.Monotonic()
	}
	return time.Since(l.started)
}

func (l *Log) generation() uint32 {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	if n := len(l.journal.used); n > 0 {
		return l.journal.used[n-1].head.generation
	}
	return 0
}

// Failed is closed when a failed write or sync made the log read-only. The
// process should end then, and be started again: only a start can tell what is
// on the disk.
func (l *Log) Failed() <-chan struct{} { return l.failedC }

// Err tells why the log is read-only, or nil.
func (l *Log) Err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// fail makes the log read-only. What waits for the disk gets ErrReadOnly.
func (l *Log) fail(err error) {
	l.mu.Lock()
	if l.failed != nil {
		l.mu.Unlock()
		return
	}
	l.failed = err
	g := l.cur
	l.cur = l.newGroup()
	l.wakeForRoom()
	l.mu.Unlock()
	g.finish(fmt.Errorf("%w: %w", streams.ErrReadOnly, err))
	l.opt.Logger.Error("log: a write or sync failed; the log is read-only until the process is started again", "error", err)
	// For whoever looks at the directory; a start does not depend on it.
	note := fmt.Sprintf("%s %v\n", l.now().Format(time.RFC3339Nano), err)
	if werr := writeFile(l.opt.FS, filepath.Join(l.dir, failedFile), []byte(note)); werr != nil {
		l.opt.Logger.Warn("log: the note of the failure could not be written", "error", werr)
	}
	close(l.failedC)
}

// prepareSpare makes a journal file ahead of need.
func (l *Log) prepareSpare() {
	if !l.preparing.CompareAndSwap(false, true) {
		return
	}
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		defer l.preparing.Store(false)
		err := l.journal.prepare(l.stop)
		switch {
		case err == nil:
			l.unprepared.Store(false)
		case errors.Is(err, os.ErrClosed):
		case l.unprepared.CompareAndSwap(false, true): // said once, tried at each append
			// Not fatal: the active file grows instead, only slower.
			l.opt.Logger.Warn("journal: a file could not be prepared", "error", err)
		}
	}()
}

// Close implements streams.Engine. After it everything is in the segments and
// the snapshot, so that the next Open has nothing to replay.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.wakeForRoom()
	l.mu.Unlock()
	close(l.stopCommit)
	close(l.stop)
	l.running.Wait()
	l.mu.RLock()
	// A clock that is waited for has been steady for some time more.
	dirty := l.failed == nil && (len(l.touched) > 0 || l.changed || l.sinceCheckpoint > 0 || l.clock.jumped.Load() || l.clock.moved.Load())
	failed := l.failed
	l.mu.RUnlock()
	var errs []error
	if dirty {
		if err := l.checkpoint(); err != nil {
			errs = append(errs, err) // the journal has it all
		}
	}
	if failed != nil {
		errs = append(errs, fmt.Errorf("%w: %w", streams.ErrReadOnly, failed))
	}
	l.mu.RLock()
	for _, st := range l.byID {
		for _, s := range st.shards {
			s.mu.Lock()
			s.wake()
			s.mu.Unlock()
		}
	}
	l.mu.RUnlock()
	l.files.closeAll()
	l.codec.close()
	errs = append(errs, l.journal.close(), l.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close log %s: %w", l.dir, err)
	}
	return nil
}
