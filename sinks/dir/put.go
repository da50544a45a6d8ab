package dir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/sinks"
)

// writeBuffer is the size of the writes that reach the file.
const writeBuffer = 256 << 10

// Put stores one object as the file of its key; see the package for how. Two
// Puts of the same key wait for each other.
func (s *Sink) Put(ctx context.Context, o sinks.Object) (sinks.Stored, error) {
	if err := s.ready(ctx); err != nil {
		return sinks.Stored{}, err
	}
	if err := CheckKey(o.Key); err != nil {
		return sinks.Stored{}, err
	}
	name := filepath.Join(s.root, filepath.FromSlash(o.Key))
	release, err := s.hold(ctx, name)
	if err != nil {
		return sinks.Stored{}, err
	}
	defer release()

	folder := parent(o.Key)
	st, err := s.put(ctx, folder, name, o)
	if errors.Is(err, errFolderGone) {
		// Somebody removed the folder behind our back. Object.Write was not
		// called yet, so there is one more try.
		s.forget()
		st, err = s.put(ctx, folder, name, o)
	}
	return st, err
}

// errFolderGone means that a folder we made is not there any more.
var errFolderGone = errors.New("folder is gone")

func (s *Sink) put(ctx context.Context, folder, name string, o sinks.Object) (sinks.Stored, error) {
	if err := s.makeFolder(folder); err != nil {
		return sinks.Stored{}, classify(err)
	}
	temp := filepath.Join(filepath.Dir(name), tempName(filepath.Base(name), o.Key+"\x00"+o.ID))
	s.busy(temp, true)
	defer s.busy(temp, false)
	f, err := s.create(temp)
	if errors.Is(err, fs.ErrNotExist) {
		return sinks.Stored{}, fmt.Errorf("%w: %w", errFolderGone, classify(err))
	}
	if err != nil {
		return sinks.Stored{}, classify(err)
	}
	n, err := s.fill(ctx, f, o)
	if err == nil {
		// The bytes are durable before the name appears: a file under its name
		// is always whole.
		err = classify(s.fs.Rename(temp, name))
	}
	if err != nil {
		if rerr := s.fs.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			s.log.Warn("temporary file not removed", "file", temp, "error", rerr)
		}
		return sinks.Stored{}, err
	}
	// The promise of Put: after this the name survives a power cut too. If it
	// fails the file can be seen already, and a second try replaces it.
	if err := s.fs.SyncDir(filepath.Dir(name)); err != nil {
		return sinks.Stored{}, classify(err)
	}
	return sinks.Stored{Bytes: n}, nil
}

// fill writes the object to f, makes it durable and closes f.
func (s *Sink) fill(ctx context.Context, f vfs.File, o sinks.Object) (n int64, err error) {
	w := &fileWriter{ctx: ctx, f: f}
	buf := bufio.NewWriterSize(w, writeBuffer)
	err = o.Write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if w.err != nil { // also if Object.Write hid it
		err = w.err
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = classify(f.Sync())
	}
	if cerr := f.Close(); err == nil {
		err = classify(cerr)
	}
	return w.n, err
}

// fileWriter counts, remembers the first error, and stops when ctx ends.
type fileWriter struct {
	ctx context.Context //nolint:containedctx // Lives as long as one Put.
	f   vfs.File
	n   int64
	err error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.err = w.ctx.Err(); w.err != nil {
		return 0, w.err
	}
	n, err := w.f.Write(p)
	w.n += int64(n)
	w.err = classify(err)
	return n, w.err
}

// hold waits until no other Put writes the file name, and takes it.
func (s *Sink) hold(ctx context.Context, name string) (release func(), err error) {
	for {
		s.mu.Lock()
		other, busy := s.active[name]
		if !busy {
			mine := make(chan struct{})
			s.active[name] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.active, name)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.closed:
			return nil, sinks.ErrClosed
		}
	}
}

// busy notes that a temporary file is being written, or is not any more.
func (s *Sink) busy(temp string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yes {
		s.temps[temp] = struct{}{}
	} else {
		delete(s.temps, temp)
	}
}

// parent returns the folder part of a key, "" if it has none.
func parent(key string) string {
	i := strings.LastIndexByte(key, '/')
	return key[:max(i, 0)]
}
