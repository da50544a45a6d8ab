package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/fsnotify/fsnotify"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/streams"
)

// Appender is the part of streams.Engine that sources need.
type Appender interface {
	Append(ctx context.Context, stream string, b *streams.Batch) (streams.Result, error)
	StateAll(prefix string) map[string][]byte
}

// Options describe what to follow. Name, Stream, Include and Log are required.
type Options struct {
	// Name tells the positions of this source from those of others.
	Name string
	// Stream is where the lines go.
	Stream string
	Log    Appender
	// Include and Exclude are patterns of paths; ** stands for any folders. Names
	// of compressed files (.gz, .zst, .bz2, .xz, .zip) never match.
	Include, Exclude []string
	// FromEnd begins at the end of files that are there when the source runs for
	// the first time.
	FromEnd bool
	// MaxLine is the most bytes of a record; longer lines are cut. 0 means 1 MiB.
	MaxLine int
	// Poll is how often to look for new files and new lines where the system
	// does not tell of them. 0 means 1 s.
	Poll time.Duration
	// CloseAfter is how long a file that was renamed or removed is kept open
	// after that and after its last line. 0 means 1 min.
	CloseAfter time.Duration
	// MaxBatch is the most bytes in one append. 0 means 1 MiB.
	MaxBatch int
	// MaxFiles is the most files open at once. 0 means 1,000.
	MaxFiles int
	// Multiline, if set, joins lines to records.
	Multiline *Multiline
	// Clock returns the present time; nil means time.Now. It must not block.
	Clock  func() time.Time
	Logger *slog.Logger // default: discard
}

// Multiline joins lines: a line that matches Start begins a record.
type Multiline struct {
	Start    *regexp.Regexp
	MaxLines int           // 0 means 1,000
	Timeout  time.Duration // a record ends when no line came for this long; 0 means 1 s
}

// Metrics count since the start of the process. They may be read at any time.
type Metrics struct {
	Records   atomic.Int64
	Bytes     atomic.Int64 // of records
	Cut       atomic.Int64 // lines that were longer than MaxLine
	Truncated atomic.Int64 // files found shorter than they were, or rewritten
	Vanished  atomic.Int64 // files that were gone before their end was read
	Unread    atomic.Int64 // files that could not be opened or read, now
	Open      atomic.Int64 // files open now
	Behind    atomic.Int64 // bytes of open files that are not read yet, now
}

// Source follows files. Run may be called once.
type Source struct {
	opt   Options
	log   *slog.Logger
	sp    splitter
	stats Metrics

	files  []*followed // open, in the order they are read
	known  map[string]cursor
	unread map[string]string // path -> what was wrong, said once
	first  bool              // nothing was ever read by this source
	buf    []byte
}

// New checks the options. It opens nothing.
func New(opt Options) (*Source, error) {
	fail := func(err error) (*Source, error) { return nil, fmt.Errorf("file source %s: %w", opt.Name, err) }
	switch {
	case opt.Name == "" || opt.Stream == "" || opt.Log == nil:
		return fail(errors.New("a name, a stream and a log are needed"))
	case len(opt.Include) == 0:
		return fail(errors.New("nothing to include"))
	}
	for _, list := range [][]string{opt.Include, opt.Exclude} {
		for i, p := range list {
			if !doublestar.ValidatePathPattern(p) {
				return fail(fmt.Errorf("pattern %q is malformed", p))
			}
			abs, err := filepath.Abs(p)
			if err != nil {
				return fail(err)
			}
			list[i] = abs
		}
	}
	set(&opt.MaxLine, 1<<20)
	set(&opt.MaxBatch, 1<<20)
	set(&opt.MaxFiles, 1000)
	set(&opt.Poll, time.Second)
	set(&opt.CloseAfter, time.Minute)
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.MaxLine > streams.MaxRecordBytes {
		return fail(fmt.Errorf("longest line is %d bytes, more than a record of %d", opt.MaxLine, streams.MaxRecordBytes))
	}
	s := &Source{opt: opt, log: opt.Logger, known: map[string]cursor{}, unread: map[string]string{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("source", opt.Name)
	s.sp = splitter{maxLine: opt.MaxLine}
	if m := opt.Multiline; m != nil {
		if m.Start == nil {
			return fail(errors.New("joining lines needs a start pattern"))
		}
		s.sp.start, s.sp.maxLines = m.Start, m.MaxLines
		set(&s.sp.maxLines, 1000)
	}
	s.buf = make([]byte, opt.MaxBatch+s.sp.window())
	return s, nil
}

func set[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Metrics returns the counters of the source.
func (s *Source) Metrics() *Metrics { return &s.stats }

// Run follows the files until ctx ends and returns nil then. It returns an
// error when the log takes nothing more.
func (s *Source) Run(ctx context.Context) error {
	defer s.closeAll()
	if err := s.load(); err != nil {
		return fmt.Errorf("file source %s: %w", s.opt.Name, err)
	}
	watch, err := s.newWatch()
	if err != nil {
		return fmt.Errorf("file source %s: %w", s.opt.Name, err)
	}
	defer watch.close()
	failed := 0
	for ctx.Err() == nil {
		err := s.scan(ctx, watch)
		if err == nil {
			err = s.drain(ctx, watch)
			if err == nil {
				failed = 0
				watch.wait(ctx, s.pause())
				continue
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, streams.ErrReadOnly), errors.Is(err, streams.ErrClosed):
			return fmt.Errorf("file source %s: %w", s.opt.Name, err)
		}
		failed++
		s.log.Warn("lines wait in their files: the log does not take them", "error", err)
		pause(ctx, backoff.Policy{Max: 30 * time.Second}.Pause(failed, nil))
	}
	return nil
}

// drain reads until no file has anything new. New files are looked for in
// between, so that a busy file does not hide a rotation.
func (s *Source) drain(ctx context.Context, watch *watch) error {
	last := time.Now()
	for ctx.Err() == nil {
		more, err := s.turn(ctx)
		if err != nil || !more {
			return err
		}
		if watch.changed() || time.Since(last) >= s.opt.Poll {
			if err := s.scan(ctx, watch); err != nil {
				return err
			}
			last = time.Now()
		}
	}
	return ctx.Err()
}

// pause returns how long to wait for events at most.
func (s *Source) pause() time.Duration {
	d := s.opt.Poll
	if m := s.opt.Multiline; m != nil && m.Timeout > 0 {
		d = min(d, m.Timeout)
	}
	return d
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Keys of the log's state.
func (s *Source) cursorPrefix() string { return "source/" + s.opt.Name + "/file/" }
func (s *Source) startedKey() string   { return "source/" + s.opt.Name + "/started" }

// load reads the positions of earlier runs.
func (s *Source) load() error {
	all := s.opt.Log.StateAll("source/" + s.opt.Name + "/")
	s.first = all[s.startedKey()] == nil
	for key, value := range all {
		if !strings.HasPrefix(key, s.cursorPrefix()) {
			continue
		}
		c, err := decodeCursor(value)
		if err != nil {
			return err
		}
		s.known[key] = c
	}
	return nil
}

// watch tells of changes in folders. Where the system cannot tell, the poll
// finds them.
type watch struct {
	log     *slog.Logger
	notify  *fsnotify.Watcher
	folders map[string]bool
	limit   int
	dirty   bool
}

// maxFolders bounds the folders that are watched; the poll finds changes in
// the others.
const maxFolders = 1000

func (s *Source) newWatch() (*watch, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch folders: %w", err)
	}
	return &watch{log: s.log, notify: n, folders: map[string]bool{}, limit: maxFolders}, nil
}

// add watches a folder.
func (w *watch) add(folder string) {
	if w.folders[folder] || len(w.folders) >= w.limit {
		return
	}
	if err := w.notify.Add(folder); err != nil {
		w.log.Debug("folder cannot be watched, it is polled", "folder", folder, "error", err)
		return
	}
	w.folders[folder] = true
}

// changed reports whether files came, went or were renamed since the last call.
func (w *watch) changed() bool {
	for {
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return w.dirty
			}
			w.note(e)
		case err := <-w.notify.Errors:
			w.missed(err)
		default:
			d := w.dirty
			w.dirty = false
			return d
		}
	}
}

func (w *watch) note(e fsnotify.Event) {
	if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
		w.dirty = true
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(w.folders, e.Name) // if it was a folder, it has to be added again
	}
}

// missed is told that events were lost: only a look around helps.
func (w *watch) missed(err error) {
	w.log.Debug("events of folders were lost", "error", err)
	w.dirty = true
}

// wait returns when something changed, a time has passed, or ctx ends.
func (w *watch) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case e, ok := <-w.notify.Events:
		if !ok {
			pause(ctx, d)
			return
		}
		w.note(e)
	case err := <-w.notify.Errors:
		w.missed(err)
	}
}

func (w *watch) close() { _ = w.notify.Close() } // nothing of it is needed any more
