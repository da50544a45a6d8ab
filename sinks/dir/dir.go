// Package dir stores objects as files below one folder.
//
// A Put writes to a temporary name in the folder of the object, makes the
// bytes durable, gives the file its name, and makes the name durable: readers
// see whole files only, and a file that can be seen survives a power cut. The
// same object put again replaces the file by the same bytes; files keep no
// object ID, so another object under the same key replaces it too. Keys never
// lead out of the root folder, also not through symbolic links found there.
//
// The package does not choose keys, does not compress, and does not remove
// files other than the temporary ones it made.
package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/sinks"
)

// Options configure a Sink.
type Options struct {
	FS   vfs.FS // default: vfs.OS()
	Path string // the root folder; made, with its parents, if it is not there
	// FileMode and DirMode are the permissions of new files and folders before
	// the umask; defaults 0o644 and 0o755.
	FileMode, DirMode fs.FileMode
	// TempAge is how long ago a temporary file that was left behind must have
	// been written before it is removed; default 1 h. Another process that
	// writes below the same root is safe as long as it writes more often.
	TempAge time.Duration
	Now     func() time.Time // default: time.Now; compared with the times of files
	Logger  *slog.Logger     // default: discard
}

// Sink is a folder. It is safe for concurrent use.
type Sink struct {
	fs     vfs.FS
	root   string
	opt    Options
	log    *slog.Logger
	closed chan struct{}

	folderMu sync.Mutex // held while folders are made and synced
	known    map[string]struct{}

	mu     sync.Mutex
	shut   bool
	active map[string]chan struct{} // by final name; closed when the Put is over
	temps  map[string]struct{}      // temporary files being written
}

var _ sinks.ObjectSink = (*Sink)(nil)

// maxKnown bounds the set of folders known to be durable.
const maxKnown = 4096

// New returns a sink for the folder opt.Path. It does not touch the folder.
func New(opt Options) (*Sink, error) {
	if opt.Path == "" {
		return nil, errors.New("dir sink: path is empty")
	}
	if opt.FS == nil {
		opt.FS = vfs.OS()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	opt.FileMode = cmp.Or(opt.FileMode, 0o644)
	opt.DirMode = cmp.Or(opt.DirMode, 0o755)
	opt.TempAge = cmp.Or(opt.TempAge, time.Hour)
	root := filepath.Clean(opt.Path)
	return &Sink{
		fs:     opt.FS,
		root:   root,
		opt:    opt,
		log:    opt.Logger.With("sink", "dir:"+root),
		closed: make(chan struct{}),
		known:  map[string]struct{}{},
		active: map[string]chan struct{}{},
		temps:  map[string]struct{}{},
	}, nil
}

// String returns "dir:" and the root folder.
func (s *Sink) String() string { return "dir:" + s.root }

// Close makes later calls return sinks.ErrClosed. Puts that run go on to
// their end.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		s.shut = true
		close(s.closed)
	}
	return nil
}

// Check makes the root folder if it is not there and tests that a file can be
// written in it, made durable and removed. Temporary files left in the root
// folder are removed.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.makeFolder(""); err != nil {
		return classify(err)
	}
	name := filepath.Join(s.root, tempName("check", fmt.Sprintf("check %d %p", os.Getpid(), s)))
	f, err := s.create(name)
	if err != nil {
		return classify(err)
	}
	_, err = f.Write([]byte("firehosed tests that it can write here\n"))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if rerr := s.fs.Remove(name); err == nil {
		err = rerr
	}
	return classify(err)
}

func (s *Sink) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return sinks.ErrClosed
	default:
		return nil
	}
}

// create opens a new temporary file. One left over under the same name by an
// earlier try is removed first: opening it could follow a link.
func (s *Sink) create(name string) (vfs.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := s.fs.OpenFile(name, flags, s.opt.FileMode)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := s.fs.Remove(name); err != nil {
		return nil, err
	}
	return s.fs.OpenFile(name, flags, s.opt.FileMode)
}
