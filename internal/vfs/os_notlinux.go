//go:build !linux

package vfs

import (
	"errors"
	"os"
)

func syncFile(f *os.File) error { return f.Sync() }

// startWriteback is a hint that these systems have no call for.
func startWriteback(*os.File, int64, int64) {}

// dropCache is a hint as well.
func dropCache(*os.File, int64, int64) {}

// allocate is for Linux only.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }

// setDirect is for Linux only.
func setDirect(*os.File, bool) bool { return false }
