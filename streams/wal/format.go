package wal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const formatHead = "firehosed log"

// errNewer is an ErrFormat: the directory was written by a newer version.
var errNewer = fmt.Errorf("%w: it was written by a newer version", ErrFormat)

// errNoFormat means that the format file is missing.
var errNoFormat = fmt.Errorf("%w: the file is missing", ErrFormat)

func formatText(id [16]byte) []byte {
	return fmt.Appendf(nil, "%s\nformat %d\nid %s\n", formatHead, formatVersion, hex.EncodeToString(id[:]))
}

// parseFormat returns the id of the log that the text of a format file names.
func parseFormat(b []byte, path string) (id [16]byte, err error) {
	var version int
	var digits string
	if _, err := fmt.Sscanf(string(b), formatHead+"\nformat %d\nid %s\n", &version, &digits); err != nil {
		return id, fmt.Errorf("%w: %s does not say %q, a format and an id. Is this the data directory of something else? If not, firehosed repair writes that file again from what others say",
			ErrFormat, path, formatHead)
	}
	if version > formatVersion {
		return id, fmt.Errorf("%w: %s says format %d; this version reads format %d. Start the newer version again, or restore a backup", errNewer, path, version, formatVersion)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(id) || version != formatVersion {
		return id, fmt.Errorf("%w: %s is damaged; firehosed repair writes it again from what other files say", ErrFormat, path)
	}
	return [16]byte(raw), nil
}

// readFormat reads the format file, which names the version of everything
// else, or begins a new log. A repair compares it with the other files.
func (l *Log) readFormat() error {
	path := filepath.Join(l.dir, formatFile)
	id, err := l.readID(path)
	switch {
	case l.opt.repairing:
		return l.proveFormat(path, id, err)
	case errors.Is(err, errNoFormat):
		return l.begin(path)
	case err == nil:
		l.setID(id)
	}
	return err
}

func (l *Log) readID(path string) (id [16]byte, err error) {
	b, err := readFile(l.opt.FS, path, 4096)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return id, errNoFormat
	case errors.Is(err, errContent):
		b = nil // that much this program never wrote there
	case err != nil:
		return id, fmt.Errorf("format: %w", err)
	}
	return parseFormat(b, path)
}

// unbegun returns an error unless nothing was ever acknowledged in a directory
// without a format file, which is written last when a log is made.
func (l *Log) unbegun(path string) error {
	for _, d := range []string{shardsDir, journalDir, metaDir} {
		list, err := l.opt.FS.ReadDir(filepath.Join(l.dir, d))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range list {
			if d == metaDir {
				if n, ok := snapshotNumber(e.Name()); !ok || n == 1 {
					continue // from a beginning that was cut short
				}
			}
			return fmt.Errorf("%w: %s is missing, yet there is data under %s; firehosed repair writes it again from what other files say", ErrFormat, path, d)
		}
	}
	return nil
}

// begin makes an empty log. The format file comes last: without it nothing was
// acknowledged yet.
func (l *Log) begin(path string) error {
	if err := l.unbegun(path); err != nil {
		return err
	}
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return err
	}
	l.setID(id)
	for _, d := range []string{journalDir, metaDir, shardsDir} {
		if err := l.opt.FS.MkdirAll(filepath.Join(l.dir, d), 0o700); err != nil {
			return err
		}
	}
	l.mu.Lock()
	snap := l.capture()
	l.mu.Unlock()
	b, err := snap.encode(l.seed, l.keys)
	if err != nil {
		return err
	}
	if err := writeFile(l.opt.FS, filepath.Join(l.dir, metaDir, snapshotName(snap.Number)), b); err != nil {
		return err
	}
	if err := l.syncPath(); err != nil {
		return err
	}
	return writeFile(l.opt.FS, path, formatText(l.id))
}
