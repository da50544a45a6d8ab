package dir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/firehosed/firehosed/sinks"
)

const (
	maxNameBytes = 255 // of one part of a path, on all usual file systems
	tempIDBytes  = 16
	tempSuffix   = ".tmp"
)

// CheckKey tests that a key names a file below the root: besides what
// sinks.CheckKey asks, it is relative, no part of it is empty or longer than
// 255 bytes, and none looks like one of our temporary files. Its error is of
// class Refuse with the code InvalidKey.
func CheckKey(key string) error {
	if err := sinks.CheckKey(key); err != nil {
		return err
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "":
			return refuse(key, "has an empty part")
		case len(part) > maxNameBytes:
			return refuse(key, fmt.Sprintf("has a part of %d bytes; the limit is %d", len(part), maxNameBytes))
		case isTempName(part):
			return refuse(key, "has a part that looks like a temporary file of this sink")
		}
	}
	// What the operating system takes for special: drive letters, NUL and the
	// like on Windows.
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return refuse(key, "does not name a file below the root folder")
	}
	return nil
}

func refuse(key, why string) error {
	return &sinks.Error{Class: sinks.Refuse, Code: "InvalidKey", Err: fmt.Errorf("key %q %s", key, why)}
}

// tempName returns the temporary name of a file: ".NAME.ID.tmp", where ID is
// 32 hexadecimal digits made from id, so that a second try of the same object
// finds the remains of the first. A long name is cut.
func tempName(name, id string) string {
	sum := sha256.Sum256([]byte(id))
	if most := maxNameBytes - len("..") - 2*tempIDBytes - len(tempSuffix); len(name) > most {
		for most > 0 && !utf8.RuneStart(name[most]) {
			most--
		}
		name = name[:most]
	}
	return "." + name + "." + hex.EncodeToString(sum[:tempIDBytes]) + tempSuffix
}

// isTempName tells whether tempName could have made a name.
func isTempName(name string) bool {
	rest, ok := strings.CutSuffix(name, tempSuffix)
	if !ok || !strings.HasPrefix(rest, ".") {
		return false
	}
	dot := strings.LastIndexByte(rest, '.')
	id := rest[dot+1:]
	return dot > 1 && len(id) == 2*tempIDBytes && strings.Trim(id, "0123456789abcdef") == ""
}
