package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// identity is what the system says of a file. Birth is the time the file was
// made in ns since 1970, 0 where the file system does not tell.
type identity struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	Birth int64  `json:"birth,omitempty"`
}

// same reports whether two identities can be those of one file.
func (a identity) same(b identity) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && (a.Birth == b.Birth || a.Birth == 0 || b.Birth == 0)
}

// maxPrefix is how many of a file's first bytes tell it from another file that
// got its inode.
const maxPrefix = 1024

// cursor is how far a file was read. It is what the log's state holds.
type cursor struct {
	Version int `json:"v"`
	identity
	// Path is where the file was last seen.
	Path string `json:"path"`
	// Prefix is how many first bytes Hash (SHA-256, hexadecimal) is over.
	Prefix int    `json:"prefix"`
	Hash   string `json:"hash,omitempty"`
	// Offset is the first byte that no record has.
	Offset int64 `json:"offset"`
	// Skip is true in the middle of a line whose beginning was taken already.
	Skip bool `json:"skip,omitempty"`
}

const cursorVersion = 1

func (c cursor) encode() []byte {
	b, _ := json.Marshal(c) // plain values: cannot fail
	return b
}

func decodeCursor(b []byte) (cursor, error) {
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("file position: %w", err)
	}
	switch {
	case c.Version > cursorVersion:
		return c, fmt.Errorf("file position of %s was written by a newer version of firehosed", c.Path)
	case c.Offset < 0 || c.Prefix < 0 || c.Prefix > maxPrefix:
		return c, fmt.Errorf("file position of %s is out of range", c.Path)
	}
	return c, nil
}

// prefix holds the first bytes of an open file.
type prefix []byte

// readPrefix reads up to n first bytes.
func readPrefix(f io.ReaderAt, n int) (prefix, error) {
	buf := make([]byte, n)
	got, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return buf[:got], nil
}

func (p prefix) hash() string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// matches reports whether a file still begins with what it began with when
// the cursor was written.
func (c cursor) matches(f io.ReaderAt) (bool, error) {
	if c.Prefix == 0 {
		return true, nil
	}
	p, err := readPrefix(f, c.Prefix)
	if err != nil {
		return false, err
	}
	return len(p) == c.Prefix && p.hash() == c.Hash, nil
}

// unchanged reports whether an open file still begins with p.
func (p prefix) unchanged(f io.ReaderAt) (bool, error) {
	now, err := readPrefix(f, len(p))
	return bytes.Equal(now, p), err
}

// identify asks the system about an open file; links is how many names it has.
func identify(f *os.File) (id identity, links uint64, size int64, err error) {
	return statFile(f)
}
