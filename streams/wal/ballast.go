package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/firehosed/firehosed/internal/vfs"
)

const (
	ballastFile = "BALLAST"
	// ballastBytes is the usual size, ballastShare the largest part of the disk
	// that it may be.
	ballastBytes = 64 << 20
	ballastShare = 32
)

// ballast is a file that takes space of the disk and holds nothing. When a write
// finds no room it is removed: state, checkpoints and a start go on with its
// space, while records are refused until there is room to make it again.
type ballast struct {
	size  int64 // 0: none is wanted
	mu    sync.Mutex
	there atomic.Bool
	said  bool // that it could not be made; guarded by mu
}

// missing is how much must be free beyond the minimum to make the file again,
// and somewhat more: a disk that stays full must not have it made and removed
// all the time.
func (b *ballast) missing() int64 {
	if b.there.Load() {
		return 0
	}
	return b.size + b.size/4
}

// has is how much space the file holds.
func (b *ballast) has() int64 {
	if b.there.Load() {
		return b.size
	}
	return 0
}

func (l *Log) ballastPath() string { return filepath.Join(l.dir, ballastFile) }

// findBallast looks for the file of an earlier process.
func (l *Log) findBallast() error {
	b := &l.ballast
	switch {
	case l.opt.BallastBytes > 0:
		b.size = l.opt.BallastBytes
	case l.opt.BallastBytes == 0:
		b.size = ballastBytes
		if _, total, err := l.opt.FS.Space(l.dir); err == nil {
			b.size = min(b.size, total/ballastShare)
		}
	}
	if err := l.opt.FS.Remove(l.ballastPath() + ".tmp"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	i, err := l.opt.FS.Stat(l.ballastPath())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case b.size == 0 || i.Size() < b.size:
		return l.opt.FS.Remove(l.ballastPath()) // of another size
	}
	b.there.Store(true)
	return nil
}

// makeBallast makes the file if there is room for it beside the space that must
// be free.
func (l *Log) makeBallast() {
	b := &l.ballast
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missing() == 0 {
		return
	}
	free, total, err := l.opt.FS.Space(l.dir)
	if err != nil || free < l.minFree(total)+b.missing() {
		return
	}
	err = l.fillBallast()
	switch {
	case err == nil:
		b.there.Store(true)
		b.said = false
		l.opt.Logger.Debug("ballast: the file is there", "bytes", b.size)
	case errors.Is(err, os.ErrClosed):
	case !b.said:
		b.said = true
		l.opt.Logger.Warn("ballast: the file could not be made", "error", err)
	}
}

func (l *Log) fillBallast() (err error) {
	tmp := l.ballastPath() + ".tmp"
	f, err := l.opt.FS.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.opt.FS.Remove(tmp))
		}
	}()
	err = vfs.Allocate(f, l.ballast.size)
	if errors.Is(err, errors.ErrUnsupported) {
		err = l.writeBallast(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := l.opt.FS.Rename(tmp, l.ballastPath()); err != nil {
		return err
	}
	return l.opt.FS.SyncDir(l.dir)
}

// writeBallast fills the file with what no file system can store in less space.
func (l *Log) writeBallast(f vfs.File) error {
	var seed [32]byte
	copy(seed[:], l.id[:])
	rng := rand.NewChaCha8(seed)
	chunk := make([]byte, min(l.ballast.size, 1<<20))
	for off := int64(0); off < l.ballast.size; {
		select {
		case <-l.stop:
			return os.ErrClosed
		default:
		}
		n := min(int64(len(chunk)), l.ballast.size-off)
		_, _ = rng.Read(chunk[:n]) // never fails
		if _, err := f.WriteAt(chunk[:n], off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// dropBallast gives the space of the file back, and reports whether there was
// some to give. From then on records are refused until it is there again.
func (l *Log) dropBallast() bool {
	b := &l.ballast
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.has() == 0 {
		return false
	}
	err := l.opt.FS.Remove(l.ballastPath())
	if err == nil {
		// A file system may give space back only when the removal is durable.
		err = l.opt.FS.SyncDir(l.dir)
	}
	if err != nil {
		l.opt.Logger.Error("ballast: the file could not be removed", "error", err)
		return false
	}
	b.there.Store(false)
	l.opt.Logger.Error("ballast: the disk is full; the file was removed so that state and deliveries go on", "bytes", b.size)
	return true
}

// errBallast is a start that found no room, and removed the ballast. It is to
// be tried again.
var errBallast = fmt.Errorf("the ballast was removed to make room")
