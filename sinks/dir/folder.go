package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/firehosed/firehosed/sinks"
)

// makeFolder makes the folder rel below the root ("" is the root itself), makes
// each new name on the way durable, and refuses to leave the root.
//
// A folder is synced into its parent once in the life of the sink even if it
// was there: an earlier process may have made it and not lived to sync it.
func (s *Sink) makeFolder(rel string) error {
	if err := s.stayInside(rel); err != nil {
		return err
	}
	folder := filepath.Join(s.root, filepath.FromSlash(rel))
	s.folderMu.Lock()
	defer s.folderMu.Unlock()
	if _, ok := s.known[folder]; ok {
		return nil
	}
	made, err := s.missing(folder)
	if err != nil {
		return err
	}
	if err := s.fs.MkdirAll(folder, s.opt.DirMode); err != nil {
		return err
	}
	below := []string{folder} // folder and what is above it, down from the root
	for d := folder; d != s.root; {
		d = filepath.Dir(d)
		below = append(below, d)
	}
	for _, d := range below {
		if _, ok := s.known[d]; ok {
			continue
		}
		err := s.fs.SyncDir(filepath.Dir(d))
		// We need not be allowed to read the parent of a root that was there.
		if err != nil && (d != s.root || made[d] || !errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	for d := range made { // folders above the root
		if len(d) < len(s.root) {
			if err := s.fs.SyncDir(filepath.Dir(d)); err != nil {
				return err
			}
		}
	}
	s.removeLeftovers(folder)
	if len(s.known)+len(below) > maxKnown {
		clear(s.known)
	}
	for _, d := range below {
		// Only the folder itself was swept; the others are swept when they are
		// used, which costs one more sync.
		if d == folder {
			s.known[d] = struct{}{}
		}
	}
	return nil
}

// missing returns the folders on the way to folder that are not there yet.
func (s *Sink) missing(folder string) (map[string]bool, error) {
	made := map[string]bool{}
	for d := folder; ; d = filepath.Dir(d) {
		_, err := s.fs.Stat(d)
		if err == nil {
			return made, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made[d] = true
		if d == filepath.Dir(d) {
			return made, nil
		}
	}
}

// forget drops what is known of folders.
func (s *Sink) forget() {
	s.folderMu.Lock()
	defer s.folderMu.Unlock()
	clear(s.known)
}

// stayInside returns an error if a folder on the way from the root to rel is
// there and is a symbolic link that leads elsewhere.
//
// The operating system is asked where ".." of each folder is: of a real folder,
// also of a mount point, that is the folder above it. The root itself may be a
// link. Between this test and the use of the path somebody who may write below
// the root can still swap a folder for a link; whoever may do that can write
// there anyway.
func (s *Sink) stayInside(rel string) error {
	if rel == "" {
		return nil
	}
	above, err := s.fs.Stat(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !os.SameFile(above, above) {
		return nil // a file system in memory, which has no links
	}
	const sep = string(filepath.Separator)
	path := s.root
	for part := range strings.SplitSeq(rel, "/") {
		path += sep + part
		here, err := s.fs.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !here.IsDir() {
			return &sinks.Error{
				Class: sinks.Fix, Code: "ENOTDIR",
				Err: fmt.Errorf("%s is a file; a folder is needed there", path),
			}
		}
		// Not filepath.Join, which would take the ".." out of the path.
		up, err := s.fs.Stat(path + sep + "..")
		if err != nil {
			return err
		}
		if !os.SameFile(above, up) {
			return &sinks.Error{
				Class: sinks.Fix, Code: "LeavesRoot",
				Err: fmt.Errorf("%s is a symbolic link that leads out of its folder; nothing is written through it", path),
			}
		}
		above = here
	}
	return nil
}

// removeLeftovers removes temporary files in a folder that no living process
// can be writing. Errors are logged only: the folder may still take objects.
func (s *Sink) removeLeftovers(folder string) {
	list, err := s.fs.ReadDir(folder)
	if err != nil {
		s.log.Warn("folder not searched for temporary files", "folder", folder, "error", err)
		return
	}
	before := s.opt.Now().Add(-s.opt.TempAge)
	for _, e := range list {
		if !isTempName(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		name := filepath.Join(folder, e.Name())
		s.mu.Lock()
		_, busy := s.temps[name]
		s.mu.Unlock()
		if busy {
			continue
		}
		if err := s.fs.Remove(name); err != nil {
			s.log.Warn("temporary file of an earlier run not removed", "file", name, "error", err)
			continue
		}
		s.log.Info("temporary file of an earlier run removed", "file", name, "bytes", info.Size())
	}
}
