package e2e

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/lazyfs"
	"github.com/firehosed/firehosed/e2e/servers"
)

// lazyDisk is a lazyfs.Disk that is mounted for a test.
type lazyDisk struct {
	*lazyfs.Disk
	dir     string
	opt     lazyfs.Options
	unmount func() error // nil if it is not mounted
}

func newLazyDisk(t *testing.T, opt lazyfs.Options) *lazyDisk {
	t.Helper()
	l := &lazyDisk{Disk: lazyfs.New(), dir: t.TempDir(), opt: opt}
	t.Cleanup(func() {
		if l.unmount == nil {
			return
		}
		if err := l.unmount(); err != nil {
			t.Error(err)
		}
	})
	l.mount(t)
	return l
}

func (l *lazyDisk) mount(t *testing.T) {
	t.Helper()
	unmount, err := l.Mount(l.dir, l.opt)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, os.ErrNotExist) {
		if os.Getenv(servers.RequiredEnv) == "1" {
			t.Fatalf("%s=1, but %v", servers.RequiredEnv, err)
		}
		t.Skipf("%v: run as root where /dev/fuse is", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.unmount = unmount
}

// cut cuts the power under a daemon that may be in the middle of anything, and
// gives back what survived.
func (l *lazyDisk) cut(t *testing.T, d *harness.Daemon, rng *rand.Rand) string {
	t.Helper()
	l.PowerOff()
	if err := d.Kill(); err != nil && !errors.Is(err, servers.ErrNotRunning) {
		t.Fatal(err)
	}
	err := l.unmount()
	l.unmount = nil
	if err != nil {
		t.Fatal(err)
	}
	how := l.PowerOn(rng)
	l.mount(t)
	return how
}

// lazyDaemon is a daemon on such a disk: small files make it roll, checkpoint
// and use journal files again.
func lazyDaemon(t *testing.T, l *lazyDisk, storage string) *harness.Daemon {
	t.Helper()
	return harness.New(t, harness.Settings{
		DataDir: filepath.Join(l.dir, "data"), Body: "streams:\n  first: { shards: 2 }\n",
		Storage: ", segment_size: 1MiB, journal_size: 4MiB" + storage,
	})
}

// TestLazyFS cuts the power of the disk under the daemon again and again, in the
// middle of everything, and reads back what producers were told: nothing is
// missing, changed or repeated.
func TestLazyFS(t *testing.T) {
	cuts := number(t, "E2E_POWER_CUTS", 5)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{3, 8, 1, 6}, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		opt     lazyfs.Options
		storage string
	}{
		{"page cache", lazyfs.Options{}, ""},
		{"O_DIRECT refused", lazyfs.Options{RefuseDirect: true}, ""},
		{"uncached", lazyfs.Options{Uncached: true}, ""},
		{"encrypted and compressed", lazyfs.Options{}, ", compression: zstd, encryption: { key: { file: " + key + " } }"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := random(t)
			disk := newLazyDisk(t, tt.opt)
			d := lazyDaemon(t, disk, tt.storage)
			c := newCrew(d, rng, 4, "first")
			var slowest time.Duration
			for n := range cuts {
				began := time.Now()
				d.MustStart(t)
				slowest = max(slowest, time.Since(began))
				how := ""
				c.work(t, func() {
					c.busy(t, time.Duration(50+rng.IntN(500))*time.Millisecond)
					if rng.IntN(5) == 0 {
						// Killed before, and started again: what a start found is
						// not on the disk for that.
						d.MustKill(t)
						d.MustStart(t)
					}
					how = disk.cut(t, d, rng)
				})
				t.Logf("cut %d: %s; %d records acknowledged so far", n+1, how, c.acknowledged())
			}
			d.MustStart(t)
			check := c.check(t, "at the end")
			t.Logf("%d power cuts, slowest start %v; %d creates, %d splits, %d merges acknowledged",
				cuts, slowest.Round(time.Millisecond), c.shaper.creates.Load(), c.shaper.splits.Load(), c.shaper.merges.Load())
			if len(check.ledger) < 10*cuts {
				t.Error("too little happened between the cuts")
			}
			if damaged := d.Metrics(t).Log(t, "damaged_shards"); damaged != 0 {
				t.Errorf("%.0f shards are called damaged", damaged)
			}
			d.MustStop(t)
		})
	}
}

// TestSyncFails fails one sync of the disk as Linux does: the data is thrown
// away, reads still show it, and the next sync would succeed. The daemon refuses
// what follows, ends by itself with an error, and after a start and a power cut
// everything acknowledged is there.
func TestSyncFails(t *testing.T) {
	rounds := number(t, "E2E_FAILED_SYNCS", 3)
	rng := random(t)
	disk := newLazyDisk(t, lazyfs.Options{})
	d := lazyDaemon(t, disk, "")
	c := newCrew(d, rng, 4, "first")
	for n := range rounds {
		d.MustStart(t)
		disk.FailSync(1 + rng.IntN(60))
		c.workUntilEnd(t, func() {
			// A journal file that is made ahead is given up when its sync fails:
			// nothing depends on it.
			if disk.SyncFailed() {
				disk.FailSync(1 + rng.IntN(10))
			}
		})
		if t.Failed() {
			t.FailNow()
		}
		refused := c.refusals()
		if err := d.ExitError(); err == nil {
			t.Error("the daemon ended with status 0 after a failed sync")
		}
		t.Logf("round %d: ended with %v; refused %v", n+1, d.ExitError(), refused)
		for code := range refused {
			if code != noCode && code != "InternalFailureException" {
				t.Errorf("refused with %s, want InternalFailureException, which clients retry", code)
			}
		}
		// The page cache shows the group whose sync failed. A start must not take
		// it for durable as it is.
		if rng.IntN(4) > 0 {
			d.MustStart(t)
		}
		how := disk.cut(t, d, rng)
		d.MustStart(t)
		c.check(t, how)
		d.MustKill(t)
	}
	d.MustStart(t)
	c.check(t, "at the end")
	d.MustStop(t)
}
