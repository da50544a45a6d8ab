package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/uuid"

	"github.com/firehosed/firehosed/streams"
)

// scan brings the open files up to date with what lies in the folders: it
// opens new files, notices renames, and closes files that are done with.
func (s *Source) scan(ctx context.Context, w *watch) error {
	for _, f := range s.files {
		f.matched = false
	}
	paths := s.match(w)
	opened := map[[2]uint64]*followed{}
	for _, f := range s.files {
		opened[[2]uint64{f.Dev, f.Ino}] = f
	}
	present := map[string]bool{}
	for _, path := range paths {
		present[path] = true
		st, err := os.Stat(path)
		if err != nil || !st.Mode().IsRegular() {
			continue // gone since it was listed, or no file to follow
		}
		// An inode that is open cannot be given to another file.
		if f := opened[inode(st)]; f != nil {
			if f.Path != path && !f.matched {
				s.log.Info("file was renamed", "from", f.Path, "to", path)
				f.Path, f.saved = path, false
			}
			f.matched = true
			continue
		}
		f, err := s.open(path, st)
		if err != nil {
			s.complain(path, err)
			continue
		}
		if f != nil {
			f.matched = true
			opened[inode(st)] = f
		}
	}
	for path := range s.unread {
		if !present[path] {
			delete(s.unread, path)
		}
	}
	s.findRenamed(opened)
	for _, f := range s.files {
		switch {
		case f.matched:
			f.left = time.Time{}
		case f.left.IsZero():
			f.left = s.opt.Clock()
		}
	}
	// What was renamed away is older than what took its place.
	slices.SortStableFunc(s.files, func(a, b *followed) int {
		switch {
		case a.matched == b.matched:
			return 0
		case b.matched:
			return -1
		}
		return 1
	})
	s.stats.Open.Store(int64(len(s.files)))
	if err := s.saveNew(ctx); err != nil {
		return err
	}
	return s.retire(ctx)
}

// saveNew makes the positions of new files durable before their first line is:
// should the file be renamed while nobody looks, it is found again.
func (s *Source) saveNew(ctx context.Context) error {
	b := &streams.Batch{}
	for _, f := range s.files {
		if !f.saved {
			if err := s.extendPrefix(f); err != nil {
				s.complain(f.Path, err)
				continue
			}
			b.State = append(b.State, streams.StateUpdate{Key: f.key, Value: f.encode()})
		}
	}
	if s.first {
		b.State = append(b.State, streams.StateUpdate{Key: s.startedKey(), Value: []byte("1")})
	}
	if len(b.State) == 0 {
		return nil
	}
	if _, err := s.opt.Log.Append(ctx, "", b); err != nil {
		return err
	}
	for _, f := range s.files {
		f.saved = f.saved || slices.ContainsFunc(b.State, func(u streams.StateUpdate) bool { return u.Key == f.key })
	}
	s.first = false
	return nil
}

// match lists the paths that the patterns match, oldest file first, and
// watches their folders.
func (s *Source) match(w *watch) []string {
	var paths []string
	seen := map[string]bool{}
	for _, pattern := range s.opt.Include {
		base, _ := doublestar.SplitPattern(filepath.ToSlash(pattern))
		w.add(base)
		found, err := doublestar.FilepathGlob(pattern, doublestar.WithFilesOnly())
		if err != nil {
			s.complain(pattern, err)
			continue
		}
		for _, path := range found {
			if !seen[path] && !s.excluded(path) {
				seen[path] = true
				w.add(filepath.Dir(path))
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

func (s *Source) excluded(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".gz", ".zst", ".bz2", ".xz", ".zip":
		return true
	}
	for _, pattern := range s.opt.Exclude {
		if ok, err := doublestar.PathMatch(pattern, path); ok && err == nil {
			return true
		}
	}
	return false
}

func inode(st os.FileInfo) [2]uint64 {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]uint64{}
	}
	return [2]uint64{uint64(sys.Dev), sys.Ino} //nolint:unconvert // Dev is narrower on other systems
}

// open begins to follow a path. It returns nil if there is no room for the
// file now.
func (s *Source) open(path string, st os.FileInfo) (*followed, error) {
	if len(s.files) >= s.opt.MaxFiles {
		at := inode(st)
		for _, c := range s.known {
			if c.Dev == at[0] && c.Ino == at[1] && c.Offset == st.Size() {
				return nil, nil //nolint:nilnil // nothing new in it, and no room
			}
		}
		if !s.makeRoom() {
			return nil, nil //nolint:nilnil // it waits for its turn
		}
	}
	fd, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := s.adopt(fd, path)
	if err != nil {
		_ = fd.Close() // was only read
		return nil, err
	}
	return f, nil
}

// adopt finds the position of an open file among those known, or gives it a
// new one.
func (s *Source) adopt(fd *os.File, path string) (*followed, error) {
	id, _, size, err := identify(fd)
	if err != nil {
		return nil, err
	}
	f := &followed{f: fd, size: size, grown: s.opt.Clock()}
	for key, c := range s.known {
		if !c.same(id) {
			continue
		}
		ok, err := c.matches(fd)
		if err != nil {
			return nil, err
		}
		if ok && size >= c.Offset {
			f.key, f.cursor, f.saved = key, c, c.Path == path
			break
		}
		s.log.Info("another file has the inode of one that was followed, or it was rewritten", "path", path, "was", c.Path)
	}
	if f.key == "" {
		f.key = s.cursorPrefix() + uuid.NewString()
		f.cursor = cursor{Version: cursorVersion, identity: id}
		if s.first && s.opt.FromEnd {
			f.Offset = size
		}
	} else {
		delete(s.known, f.key)
	}
	f.Path, f.Birth = path, id.Birth
	if f.prefix, err = readPrefix(fd, f.Prefix); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	s.files = append(s.files, f)
	s.log.Info("file is followed", "path", path, "offset", f.Offset, "size", size)
	return f, nil
}

// makeRoom closes the matched file that has been quiet for longest, if one
// has been read to its end. Its position is kept.
func (s *Source) makeRoom() bool {
	var quiet *followed
	for _, f := range s.files {
		if (quiet == nil || f.grown.Before(quiet.grown)) && s.spent(f) {
			quiet = f
		}
	}
	if quiet == nil {
		s.log.Warn("more files match than may be open; the others wait", "max_files", s.opt.MaxFiles)
		return false
	}
	s.close(quiet)
	return true
}

// findRenamed looks for files that were followed by an earlier run and are not
// where they were: a rotation while nobody looked. What is left of them is in
// the same folder under another name.
func (s *Source) findRenamed(opened map[[2]uint64]*followed) {
	for key, c := range s.known {
		if opened[[2]uint64{c.Dev, c.Ino}] != nil || s.exists(c) {
			continue
		}
		entries, err := os.ReadDir(filepath.Dir(c.Path))
		if err != nil {
			continue
		}
		for _, e := range entries {
			st, err := e.Info()
			if err != nil || !st.Mode().IsRegular() || inode(st) != [2]uint64{c.Dev, c.Ino} {
				continue
			}
			path := filepath.Join(filepath.Dir(c.Path), e.Name())
			fd, err := os.Open(path)
			if err != nil {
				s.complain(path, err)
				continue
			}
			ok, err := c.matches(fd)
			if err == nil && ok && st.Size() >= c.Offset {
				if f, err := s.adopt(fd, path); err == nil && f.key == key {
					opened[inode(st)] = f
					break
				}
			}
			_ = fd.Close() // was only read
		}
	}
}

// retire closes files that are gone or renamed away and were read to their
// end, and forgets positions that no file has.
func (s *Source) retire(ctx context.Context) error {
	var gone []streams.StateUpdate
	for _, f := range slices.Clone(s.files) {
		if f.matched || !s.spent(f) {
			continue
		}
		s.log.Info("file is done with", "path", f.Path, "offset", f.Offset)
		s.close(f)
		delete(s.known, f.key)
		gone = append(gone, streams.StateUpdate{Key: f.key})
	}
	for key, c := range s.known {
		if s.exists(c) {
			continue
		}
		s.stats.Vanished.Add(1)
		s.log.Warn("file is gone; whether its end was read cannot be known", "path", c.Path, "read", c.Offset)
		delete(s.known, key)
		gone = append(gone, streams.StateUpdate{Key: key})
	}
	if len(gone) == 0 {
		return nil
	}
	_, err := s.opt.Log.Append(ctx, "", &streams.Batch{State: gone})
	return err
}

// exists reports whether the file of a position is still where it was seen.
func (s *Source) exists(c cursor) bool {
	st, err := os.Stat(c.Path)
	return err == nil && inode(st) == [2]uint64{c.Dev, c.Ino}
}
