package wal

import (
	"errors"
	"syscall"
)

// isUnreadable reports whether a read failed because the disk, or the file
// system, does not have the bytes.
func isUnreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG) || errors.Is(err, syscall.ENODATA)
}
