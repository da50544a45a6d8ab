package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

// TestStreamsComeAndGo creates, fills, splits and deletes a thousand streams under
// checkpoints: neither files nor open ones are left of them. (TestMain looks for
// goroutines.)
func TestStreamsComeAndGo(t *testing.T) {
	const rounds, atATime = 20, 50
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // what is looked at here are files, not syncs
	}
	dir := tempDir(t)
	o := small(nil)
	o.MaxOpenFiles = 16
	l := open(t, dir, o)
	comeAndGo := func(ctx context.Context, name string, checkpoint bool) error {
		_, err := l.Create(ctx, streams.StreamSpec{Name: name, Shards: 1})
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := l.Append(ctx, name, batch(strings.Repeat("x", 3000))); err != nil {
				return err
			}
		}
		if err := l.Split(ctx, name, 0, streams.HashKey{Hi: 1 << 63}); err != nil {
			return err
		}
		if _, err := l.Append(ctx, name, batch("y")); err != nil {
			return err
		}
		if checkpoint {
			if err := l.checkpoint(); err != nil {
				return err
			}
		}
		p, err := l.Read(ctx, streams.ShardRef{Stream: name}, streams.Position{Kind: streams.Horizon}, streams.Limit{Records: 10})
		if err == nil && len(p.Records) != 3 {
			err = fmt.Errorf("%s: %d records", name, len(p.Records))
		}
		return errors.Join(err, l.Delete(ctx, name))
	}
	left := func() (files []string, opened int) {
		must(t, l.checkpoint())
		for more := true; more; {
			var err error
			more, err = l.removeSome()
			must(t, err)
		}
		must(t, l.checkpoint())
		l.checkpointMu.Lock() // another one may be due, and would write a third snapshot
		defer l.checkpointMu.Unlock()
		list, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		for _, path := range allFiles(t, vfs.OS(), dir) {
			if !strings.HasPrefix(path, filepath.Join(dir, journalDir)) { // as many as the load asked for
				files = append(files, path)
			}
		}
		dirs, err := os.ReadDir(filepath.Join(dir, shardsDir))
		must(t, err)
		for _, d := range dirs {
			files = append(files, d.Name())
		}
		return files, len(list)
	}
	_, before := left()
	for round := range rounds {
		var g errgroup.Group
		for i := range atATime {
			g.Go(func() error { return comeAndGo(t.Context(), fmt.Sprintf("s%d-%d", round, i), i%25 == 0) })
		}
		must(t, g.Wait())
	}
	files, opened := left()
	// FORMAT, LOCK and two snapshots.
	if s := l.Stats(); len(files) != 4 || s.OpenFiles != 0 || opened > before+4 {
		t.Errorf("left are %q; %d open segments; %d open files, %d before", files, s.OpenFiles, opened, before)
	}
	if n := len(l.List()); n > 0 {
		t.Errorf("%d streams are left", n)
	}
	must(t, l.Close())
}
