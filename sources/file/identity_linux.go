package file

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func statFile(f *os.File) (id identity, links uint64, size int64, err error) {
	var st unix.Statx_t
	const want = unix.STATX_INO | unix.STATX_NLINK | unix.STATX_SIZE | unix.STATX_BTIME
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, want, &st); err != nil {
		return identity{}, 0, 0, fmt.Errorf("statx %s: %w", f.Name(), err)
	}
	id = identity{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, uint64(st.Nlink), int64(st.Size), nil
}
