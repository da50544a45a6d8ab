//go:build !linux

package file

import (
	"fmt"
	"os"
	"syscall"
)

func statFile(f *os.File) (id identity, links uint64, size int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return identity{}, 0, 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, 0, 0, fmt.Errorf("%s: this system does not tell files apart", f.Name())
	}
	return identity{Dev: uint64(sys.Dev), Ino: sys.Ino}, uint64(sys.Nlink), st.Size(), nil
}
