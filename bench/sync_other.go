//go:build !linux

package main

import (
	"errors"
	"os"
)

const writeThrough = os.O_SYNC

func syncFileSystem(*os.File) error { return errors.ErrUnsupported }

func dataSync(f *os.File) error { return f.Sync() }

func forget(*os.File) error { return errors.ErrUnsupported }
