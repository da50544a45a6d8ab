//go:build !race

package vfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
)

// The log calls these for every group it writes, and for every flush.
func TestWritesAllocateNothing(t *testing.T) {
	f, err := vfs.OpenDirect(vfs.OS(), filepath.Join(t.TempDir(), "x"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bufs := [][]byte{vfs.Aligned(vfs.BlockBytes), vfs.Aligned(3 * vfs.BlockBytes), vfs.Aligned(vfs.BlockBytes)}
	for name, call := range map[string]func() error{
		"WriteVecAt": func() error { _, err := vfs.WriteVecAt(f, bufs, vfs.BlockBytes); return err },
		"WriteAt":    func() error { _, err := f.WriteAt(bufs[0], 0); return err },
		"Sync":       f.Sync,
		"StartWriteback": func() error {
			f.(vfs.WritebackStarter).StartWriteback(0, vfs.BlockBytes) //nolint:forcetypeassert // The system's does.
			return nil
		},
		"DropCache": func() error { vfs.DropCache(f, 0, vfs.BlockBytes); return nil },
	} {
		var failed error
		if n := testing.AllocsPerRun(100, func() {
			if err := call(); err != nil {
				failed = err
			}
		}); n != 0 || failed != nil {
			t.Errorf("%s: %v allocations, %v; want none", name, n, failed)
		}
	}
}
