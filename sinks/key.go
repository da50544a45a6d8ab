package sinks

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrClosed is what the methods of a sink return after Close.
var ErrClosed = errors.New("sink is closed")

// MaxKeyBytes bounds the key of an object; it is the limit of Amazon S3.
const MaxKeyBytes = 1024

// CheckKey tests that a key is one that every destination can take and that
// cannot point outside the root of a sink: valid UTF-8 without control
// characters, 1 to MaxKeyBytes bytes, no part of it "." or "..". Its error is
// of class Refuse with the code InvalidKey, and quotes the key.
func CheckKey(key string) error {
	switch {
	case key == "":
		return refuseKey(key, "is empty")
	case len(key) > MaxKeyBytes:
		return refuseKey(key, fmt.Sprintf("is %d bytes long; the limit is %d", len(key), MaxKeyBytes))
	case !utf8.ValidString(key):
		return refuseKey(key, "is not valid UTF-8")
	case strings.ContainsFunc(key, unicode.IsControl):
		return refuseKey(key, "has a control character")
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "." || part == ".." {
			return refuseKey(key, fmt.Sprintf("has the part %q", part))
		}
	}
	return nil
}

func refuseKey(key, why string) error {
	const shown = 200
	if len(key) > shown {
		key = key[:shown] + "..."
	}
	return &Error{Class: Refuse, Code: "InvalidKey", Err: fmt.Errorf("key %q %s", key, why)}
}
