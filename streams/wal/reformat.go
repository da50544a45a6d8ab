package wal

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// reformat tells that a repair has to write the format file, and why.
type reformat struct {
	why   string
	there bool // there is a file, to be kept
}

// witnesses are the files of a directory that tell for themselves which log they
// are of: their heads, or all of a snapshot, match a checksum that begins with
// the id in them.
type witnesses struct {
	logs  map[[16]byte]*witness
	newer string // a file that a newer version wrote
}

type witness struct {
	file  string // one of them
	files int
}

// proveFormat is readFormat of a repair. What stands in the format file, or why
// it could not be understood, is compared with what all other files say. If they
// are of one log, they are right. Nothing is written yet: what comes later may
// still refuse this log.
func (l *Log) proveFormat(path string, id [16]byte, bad error) error {
	if bad != nil && !errors.Is(bad, ErrFormat) {
		return bad
	}
	missing := errors.Is(bad, errNoFormat)
	if missing && l.unbegun(path) == nil {
		return fmt.Errorf("%w: %s is missing and so are records: nothing was ever acknowledged here, and a start begins a log", ErrNoLog, path)
	}
	w, err := l.witnesses()
	if err != nil {
		return err
	}
	if bad == nil && (len(w.logs) == 0 || w.logs[id] != nil) {
		l.setID(id)
		return nil
	}
	if errors.Is(bad, errNewer) {
		if len(w.logs) == 1 && w.newer == "" {
			bad = fmt.Errorf("%w. All other files are of format %d: if it is sure that no newer version was used here, move %s away and repair again", bad, formatVersion, path)
		}
		return bad
	}
	if missing {
		bad = fmt.Errorf("%w: %s is missing", ErrFormat, path)
	}
	switch {
	case w.newer != "":
		return fmt.Errorf("%w: %s. %w", errNewer, w.newer, orOther(bad, path, id))
	case len(w.logs) == 0:
		return fmt.Errorf("%w. No other file tells which log this is either; restore %s from a backup", bad, path)
	case len(w.logs) > 1:
		return fmt.Errorf("%w. Other files are of several logs, so it cannot be told which this is (%s); move those away that are not of this one", orOther(bad, path, id), w)
	}
	for log := range w.logs {
		l.setID(log)
	}
	why := fmt.Sprintf("%v; %s", orOther(bad, path, id), w)
	l.reformat = &reformat{why: strings.TrimPrefix(why, ErrFormat.Error()+": "), there: !missing}
	l.opt.Logger.Warn("format: the file is not right, and is to be written again", "file", path, "reason", l.reformat.why)
	return nil
}

// orOther is bad, or the error that a format file names a log that no other file
// is of.
func orOther(bad error, path string, id [16]byte) error {
	if bad != nil {
		return bad
	}
	return fmt.Errorf("%w: %s names log %x, of which no other file is", ErrFormat, path, id)
}

// otherLog is an error if the format file names a log that no file is of, and
// files are of another one. All of them would look damaged.
func (l *Log) otherLog() error {
	w, err := l.witnesses()
	if err != nil || len(w.logs) == 0 || w.logs[l.id] != nil {
		return err
	}
	return fmt.Errorf("%w (%s). Nothing was changed; if they are right, firehosed repair writes that file again", orOther(nil, filepath.Join(l.dir, formatFile), l.id), w)
}

func (w *witnesses) String() string {
	var all []string
	for id, x := range w.logs {
		all = append(all, fmt.Sprintf("%d are of log %x, one of them %s", x.files, id, x.file))
	}
	slices.Sort(all)
	return "of the other files " + strings.Join(all, ", ")
}

func (w *witnesses) add(path string, id [16]byte, version uint32) {
	switch {
	case version > formatVersion:
		w.newer = fmt.Sprintf("%s has format %d", path, version)
	case version == formatVersion && w.logs[id] == nil:
		w.logs[id] = &witness{path, 1}
	case version == formatVersion:
		w.logs[id].files++
	}
}

// witnesses asks all journal files, segments and snapshots. It changes nothing.
func (l *Log) witnesses() (*witnesses, error) {
	w := &witnesses{logs: map[[16]byte]*witness{}}
	names := func(dir string) ([]string, error) {
		list, err := l.opt.FS.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		out := make([]string, len(list))
		for i, e := range list {
			out[i] = e.Name()
		}
		return out, nil
	}
	ask := func(dir string, which func(name string) bool, read func(path string) error) error {
		list, err := names(dir)
		for _, name := range list {
			if err == nil && which(name) {
				err = read(filepath.Join(dir, name))
			}
		}
		return err
	}
	err := ask(filepath.Join(l.dir, journalDir), func(name string) bool { _, ok := journalID(name); return ok }, func(path string) error {
		return l.askHead(w, path, journalMagic, 60)
	})
	if err != nil {
		return nil, err
	}
	err = ask(filepath.Join(l.dir, metaDir), func(name string) bool { _, ok := snapshotNumber(name); return ok }, func(path string) error {
		b, err := readFile(l.opt.FS, path, maxSnapshot)
		if err != nil {
			return silent(err)
		}
		if id, version, ok := snapshotWitness(b); ok {
			w.add(path, id, version)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	root := filepath.Join(l.dir, shardsDir)
	dirs, err := names(root)
	for _, d := range dirs {
		if _, ok := parseStreamDir(d); !ok || err != nil {
			continue
		}
		err = ask(filepath.Join(root, d), func(name string) bool { _, ok := parseSegmentName(name); return ok }, func(path string) error {
			return l.askHead(w, path, segmentMagic, segmentHead-4)
		})
	}
	return w, err
}

func (l *Log) askHead(w *witnesses, path, magic string, sum int) error {
	f, err := l.opt.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return silent(err)
	}
	b := make([]byte, sum+4)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return silent(err)
	}
	if id, version, ok := headWitness(b[:n], magic, sum); ok {
		w.add(path, id, version)
	}
	return nil
}

// silent is nil for a file that says nothing because it is gone, too large to be
// what its name says, or cannot be read.
func silent(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errContent) || isUnreadable(err) {
		return nil
	}
	return err
}

// headWitness returns the log that the head of a file names, whose checksum is
// at sum.
func headWitness(b []byte, magic string, sum int) (id [16]byte, version uint32, ok bool) {
	if len(b) < sum+4 || string(b[:8]) != magic {
		return id, 0, false
	}
	copy(id[:], b[16:32])
	return id, binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[sum:]) == checksum(seedOf(id), b[:sum])
}

// snapshotWitness is headWitness for a snapshot, encrypted or not.
func snapshotWitness(b []byte) (id [16]byte, version uint32, ok bool) {
	if len(b) < snapshotTail {
		return id, 0, false
	}
	body, tail := b[:len(b)-snapshotTail], b[len(b)-snapshotTail:]
	var head struct {
		Format uint32 `json:"format"`
		Log    string `json:"log"`
	}
	if json.Unmarshal(body, &head) != nil {
		return id, 0, false
	}
	raw, err := hex.DecodeString(head.Log)
	if err != nil || len(raw) != len(id) {
		return id, 0, false
	}
	id = [16]byte(raw)
	return id, head.Format, string(tail) == fmt.Sprintf("crc32c %08x\n", checksum(seedOf(id), body))
}

// reformat writes the format file again, if that has to be. The one that was
// there is kept.
func (r *repairer) reformat() error {
	l := r.l
	if l.reformat == nil {
		return nil
	}
	r.out.Format = l.reformat.why
	fsys, path := l.opt.FS, filepath.Join(l.dir, formatFile)
	if l.reformat.there {
		dir := filepath.Join(l.dir, foundDir)
		if err := fsys.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		to, err := r.free(formatFile)
		if err != nil {
			return err
		}
		// Cut off right here, the file is missing, which the next repair mends.
		if err := fsys.Rename(path, to); err != nil {
			return err
		}
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
		r.out.Moved = append(r.out.Moved, to)
	}
	return writeFile(fsys, path, formatText(l.id))
}
