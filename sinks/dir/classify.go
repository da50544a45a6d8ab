package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/firehosed/firehosed/sinks"
)

// faults tells what each error of the operating system asks for. All others
// are tried again.
var faults = []struct {
	errno  error
	class  sinks.Class
	code   string
	advice string
}{
	{syscall.ENOSPC, sinks.Fix, "ENOSPC", "the disk is full: free space or move the folder"},
	{syscall.EDQUOT, sinks.Fix, "EDQUOT", "the disk quota is used up: raise it or free space"},
	{syscall.EROFS, sinks.Fix, "EROFS", "the file system is read-only: remount it for writing"},
	{syscall.EACCES, sinks.Fix, "EACCES", "no permission: let the user of the daemon write there"},
	{syscall.EPERM, sinks.Fix, "EPERM", "not permitted: look at the owner, mode and attributes"},
	{syscall.ENOTDIR, sinks.Fix, "ENOTDIR", "a file stands where a folder is needed"},
	{syscall.EISDIR, sinks.Fix, "EISDIR", "a folder stands where the file is to go"},
	{syscall.ENOTEMPTY, sinks.Fix, "ENOTEMPTY", "a folder stands where the file is to go"},
	{syscall.EEXIST, sinks.Fix, "EEXIST", "something stands where the file is to go"},
	{syscall.ELOOP, sinks.Fix, "ELOOP", "too many symbolic links"},
	{syscall.EIO, sinks.Fix, "EIO", "the disk reports a fault: look at the kernel's log"},
	{syscall.ENXIO, sinks.Fix, "ENXIO", "the device is gone"},
	{syscall.ENODEV, sinks.Fix, "ENODEV", "the device is gone"},
	{syscall.EFBIG, sinks.Fix, "EFBIG", "the file system or a limit does not take files of this size"},
	{syscall.ENAMETOOLONG, sinks.Refuse, "ENAMETOOLONG", "the name is too long for this file system"},
	{fs.ErrPermission, sinks.Fix, "EACCES", "no permission: let the user of the daemon write there"},
}

// classify turns an error of the file system into one that says what to do.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var known *sinks.Error
	if errors.As(err, &known) {
		return err
	}
	for _, f := range faults {
		if errors.Is(err, f.errno) {
			return &sinks.Error{Class: f.class, Code: f.code, Err: fmt.Errorf("%s (%w)", f.advice, err)}
		}
	}
	return &sinks.Error{Class: sinks.Retry, Err: err}
}
