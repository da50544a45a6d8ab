//go:build !linux

package vfs

import "errors"

func (f *osFile) syncData() error { return f.File.Sync() }

// startWriteback is a hint that these systems have no call for.
func (f *osFile) startWriteback(int64, int64) {}

// dropCache is a hint as well.
func (f *osFile) dropCache(int64, int64) {}

// allocate is for Linux only.
func (f *osFile) allocate(int64) error { return errors.ErrUnsupported }

// setDirect is for Linux only.
func (f *osFile) setDirect(bool) bool { return false }
