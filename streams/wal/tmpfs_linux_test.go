package wal

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/firehosed/firehosed/internal/vfs"
)

// TestBallastTmpfs fills a real file system to the last byte. It mounts a small
// one of its own, which needs root.
func TestBallastTmpfs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	o := small(vfs.OS())
	o.FS = nil
	o.BallastBytes = 4 << 20
	diskFull(t, vfs.OS(), filepath.Join(dir, "data"), o)
}
