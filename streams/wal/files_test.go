package wal

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/memfs"
)

// TestRetiredFileIsClosed does not keep the file of a segment open that is out of
// use, however late somebody opens it who looked for it before.
func TestRetiredFileIsClosed(t *testing.T) {
	fsys := memfs.New()
	writeAll(t, fsys, "/a", []byte("x"))
	c := files{fsys: fsys, max: 4, open: map[*segment]*handle{}, failed: func(err error) { t.Error(err) }}
	seg := &segment{}
	acquire := func() *handle {
		h, err := c.acquire(seg, "/a", os.O_RDWR)
		must(t, err)
		return h
	}
	closed := func(h *handle) bool {
		_, err := h.ReadAt(make([]byte, 1), 0)
		return errors.Is(err, fs.ErrClosed)
	}
	kept := acquire()
	c.release(kept)
	if again := acquire(); again != kept || closed(kept) {
		t.Error("a file in use is not kept open")
	}
	c.retire(seg) // while it is used
	if closed(kept) {
		t.Error("closed under its user")
	}
	late := acquire()
	c.release(kept)
	c.release(late)
	if late == kept || !closed(kept) || !closed(late) || len(c.open) > 0 || c.order.Len() > 0 {
		t.Errorf("closed: %v, %v; %d are open", closed(kept), closed(late), len(c.open))
	}
}
