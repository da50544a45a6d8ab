package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeThrough has writes to a file return when their data is durable.
const writeThrough = unix.O_DSYNC

// syncFileSystem flushes all of the file system that f is on.
func syncFileSystem(f *os.File) error { return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))) }

func dataSync(f *os.File) error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) }

// forget has the kernel drop the clean pages of a file from its cache.
func forget(f *os.File) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}
