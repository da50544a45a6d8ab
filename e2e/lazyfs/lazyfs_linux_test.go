package lazyfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// mounted makes a disk appear in a folder, and takes it away with cut.
func mounted(t *testing.T, d *Disk, opt Options) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	end, err := d.Mount(dir, opt)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, os.ErrNotExist) {
		t.Skipf("%v: run as root where /dev/fuse is", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	unmount = func() {
		if !ended {
			ended = true
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
}

// TestPowerCut writes files with and without syncs and cuts the power: what was
// synced is there, and of the rest now this, now that.
func TestPowerCut(t *testing.T) {
	for _, opt := range []Options{{}, {RefuseDirect: true}, {Uncached: true}} {
		seen := map[string]bool{}
		for seed := range uint64(40) {
			d := New()
			dir, unmount := mounted(t, d, opt)
			f, err := os.Create(filepath.Join(dir, "synced"))
			must(t, err)
			old := bytes.Repeat([]byte("o"), 4*sector)
			_, err = f.WriteAt(old, 0)
			must(t, err)
			must(t, errors.Join(f.Sync(), os.WriteFile(filepath.Join(dir, "removed"), []byte("r"), 0o600)))
			syncDir(t, dir)
			_, err = f.WriteAt(bytes.Repeat([]byte("n"), 4*sector), 2*sector)
			must(t, err)
			must(t, errors.Join(
				os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o600),
				os.Remove(filepath.Join(dir, "removed"))))
			d.PowerOff()
			if _, err := f.WriteAt(old, 0); !errors.Is(err, syscall.EIO) {
				t.Fatalf("write without power: %v, want EIO", err)
			}
			_ = f.Close() // fails without power, or not
			unmount()

			d.PowerOn(rand.New(rand.NewPCG(seed, 0)))
			dir, unmount = mounted(t, d, opt)
			got, err := os.ReadFile(filepath.Join(dir, "synced"))
			must(t, err)
			if len(got) < len(old) || !bytes.Equal(got[:2*sector], old[:2*sector]) {
				t.Fatalf("seed %d: synced bytes are lost: %d are there", seed, len(got))
			}
			for i, b := range got[2*sector:] {
				if b != got[2*sector+i/sector*sector] {
					t.Fatalf("seed %d: a sector is torn at %d", seed, i)
				}
			}
			seen["data "+string(got[2*sector])] = true
			_, err = os.Stat(filepath.Join(dir, "new"))
			seen["new is lost "+map[bool]string{true: "yes", false: "no"}[os.IsNotExist(err)]] = true
			_, err = os.Stat(filepath.Join(dir, "removed"))
			seen["removed is back "+map[bool]string{true: "no", false: "yes"}[os.IsNotExist(err)]] = true
			unmount()
		}
		if len(seen) != 6 {
			t.Errorf("%+v: 40 power cuts have these outcomes only: %v", opt, seen)
		}
	}
}

// TestDirectories makes, renames and removes what a program sees at once and a
// power cut after a sync keeps.
func TestDirectories(t *testing.T) {
	d := New()
	dir, unmount := mounted(t, d, Options{})
	sub := filepath.Join(dir, "a", "b")
	must(t, os.MkdirAll(sub, 0o700))
	must(t, os.WriteFile(filepath.Join(sub, "x"), []byte("data"), 0o600))
	must(t, os.WriteFile(filepath.Join(sub, "y"), []byte("old"), 0o600))
	must(t, os.Rename(filepath.Join(sub, "x"), filepath.Join(sub, "y")))
	must(t, os.Truncate(filepath.Join(sub, "y"), 2))
	if err := os.Remove(sub); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("remove of a full directory: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(sub, "y"), os.O_RDWR, 0)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
	for _, dir := range []string{dir, filepath.Dir(sub), sub} {
		syncDir(t, dir)
	}
	d.PowerOff()
	unmount()
	d.PowerOn(rand.New(rand.NewPCG(1, 0)))
	dir, unmount = mounted(t, d, Options{})
	defer unmount()
	list, err := os.ReadDir(filepath.Join(dir, "a", "b"))
	must(t, err)
	if len(list) != 1 || list[0].Name() != "y" {
		t.Fatalf("found %v, want y", list)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", "b", "y")); err != nil || string(got) != "da" {
		t.Errorf("y has %q, %v", got, err)
	}
}

// TestFailSync fails one sync as a kernel does: the data stays readable until
// the power is cut, and the next sync succeeds without it.
func TestFailSync(t *testing.T) {
	d := New()
	dir, unmount := mounted(t, d, Options{})
	f, err := os.Create(filepath.Join(dir, "x"))
	must(t, err)
	must(t, errors.Join(f.Truncate(8*sector), f.Sync()))
	syncDir(t, dir)
	d.FailSync(2)
	write := func(text string, off int64) {
		_, err := f.WriteAt([]byte(text), off)
		must(t, err)
	}
	write("aa", 0)
	must(t, f.Sync())
	write("bb", sector)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) || !d.SyncFailed() {
		t.Fatalf("second sync: %v, want EIO", err)
	}
	write("cc", 2*sector)
	must(t, f.Sync())
	read := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "x"))
		must(t, err)
		return string(bytes.Trim(bytes.ReplaceAll(b, make([]byte, 64), nil), "\x00"))
	}
	if got := read(); !bytes.Contains([]byte(got), []byte("bb")) {
		t.Errorf("before the power cut %q is there", got)
	}
	must(t, f.Close())
	d.PowerOff()
	unmount()
	d.PowerOn(rand.New(rand.NewPCG(1, 0)))
	dir, unmount = mounted(t, d, Options{})
	defer unmount()
	if got := read(); !bytes.Contains([]byte(got), []byte("aa")) || bytes.Contains([]byte(got), []byte("bb")) || !bytes.Contains([]byte(got), []byte("cc")) {
		t.Errorf("after the power cut %q is there, want aa and cc", got)
	}
}
