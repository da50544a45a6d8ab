package memfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, m *memfs.FS, name string) vfs.File {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	return f
}

func read(m *memfs.FS, name string) ([]byte, error) {
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// outcomes crashes many times and returns how often each content of a file was
// seen; "-" stands for no file.
func outcomes(m *memfs.FS, name string) map[string]int {
	seen := map[string]int{}
	for seed := range uint64(300) {
		b, err := read(m.Crash(rand.New(rand.NewPCG(seed, 0))), name)
		if errors.Is(err, fs.ErrNotExist) {
			seen["-"]++
			continue
		}
		seen[string(b)]++
	}
	return seen
}

func TestSyncedSurvives(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d", 0o700))
	must(t, m.SyncDir("/"))
	f := create(t, m, "/d/a")
	_, err := f.Write([]byte("old"))
	must(t, err)
	must(t, f.Sync())
	if seen := outcomes(m, "/d/a"); seen["-"] == 0 || seen["old"] == 0 {
		t.Fatalf("a name that was not synced: %v", seen)
	}
	must(t, m.SyncDir("/d"))
	if seen := outcomes(m, "/d/a"); len(seen) != 1 || seen["old"] == 0 {
		t.Fatalf("synced: %v", seen)
	}
	_, err = f.WriteAt([]byte("new"), 0)
	must(t, err)
	if seen := outcomes(m, "/d/a"); len(seen) != 2 || seen["old"] == 0 || seen["new"] == 0 {
		t.Fatalf("overwritten, not synced: %v", seen)
	}
}

func TestTornWrite(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "/a")
	_, err := f.Write(bytes.Repeat([]byte{'o'}, 3*512))
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err = f.WriteAt(bytes.Repeat([]byte{'n'}, 3*512), 0)
	must(t, err)
	kinds := map[string]bool{}
	for content := range outcomes(m, "/a") {
		k := ""
		for at := 0; at < len(content); at += 512 {
			if content[at:at+512] != string(bytes.Repeat([]byte{content[at]}, 512)) {
				t.Fatalf("a sector is torn")
			}
			k += content[at : at+1]
		}
		kinds[k] = true
	}
	for _, k := range []string{"ooo", "nnn", "ono", "non"} {
		if !kinds[k] {
			t.Errorf("%s was never seen, only %v", k, kinds)
		}
	}
}

func TestRenameIsWhole(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "/a")
	_, err := f.Write([]byte("x"))
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, m.Rename("/a", "/b"))
	both := map[[2]bool]int{}
	for seed := range uint64(200) {
		c := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		_, errA := c.Stat("/a")
		_, errB := c.Stat("/b")
		both[[2]bool{errA == nil, errB == nil}]++
	}
	if len(both) != 2 || both[[2]bool{true, false}] == 0 || both[[2]bool{false, true}] == 0 {
		t.Fatalf("old and new name: %v", both)
	}
}

func TestUnsyncedSize(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "/a")
	_, err := f.Write(bytes.Repeat([]byte{1}, 2048))
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, f.Truncate(100))
	must(t, f.Truncate(4096))
	for content := range outcomes(m, "/a") {
		if len(content) < 2048 || len(content) > 4096 {
			t.Fatalf("size %d", len(content))
		}
		for i, b := range []byte(content[:100]) {
			if b != 1 {
				t.Fatalf("byte %d was never cut, and is %d", i, b)
			}
		}
	}
	must(t, f.Sync())
	if seen := outcomes(m, "/a"); len(seen) != 1 {
		t.Fatalf("synced: %d outcomes", len(seen))
	}
}

func TestKill(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d", 0o700))
	lock, err := m.Lock("/d/lock")
	must(t, err)
	f := create(t, m, "/d/a")
	_, err = f.Write([]byte("written"))
	must(t, err)
	left := m.Kill()
	_, err = f.WriteAt([]byte("again"), 0)
	must(t, err)
	must(t, m.Remove("/d/a"))
	if seen := outcomes(left, "/d/a"); len(seen) != 1 || seen["written"] == 0 {
		t.Fatalf("left by the process: %v", seen)
	}
	if left.Used() != 7 || m.Used() != 0 {
		t.Fatalf("%d bytes are used in the copy, %d in the original", left.Used(), m.Used())
	}
	other, err := left.Lock("/d/lock")
	must(t, err)
	must(t, errors.Join(other.Close(), lock.Close()))
}

func TestCapacity(t *testing.T) {
	m := memfs.New()
	m.SetCapacity(100)
	f := create(t, m, "/a")
	n, err := f.Write(make([]byte, 150))
	if n != 100 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write: %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatalf("overwriting needs no space: %v", err)
	}
	if free, total, _ := m.Space("/"); free != 0 || total != 100 {
		t.Fatalf("space %d of %d", free, total)
	}
	must(t, m.Remove("/a"))
	if free, _, _ := m.Space("/"); free != 100 {
		t.Fatalf("free after removal: %d", free)
	}
}

func TestNamesAndLocks(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/x/y", 0o700))
	create(t, m, "/x/y/f")
	if _, err := m.OpenFile("/x/y/f", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive: %v", err)
	}
	if _, err := m.OpenFile("/none/f", os.O_CREATE|os.O_RDWR, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := m.Remove("/x/y"); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("remove a full directory: %v", err)
	}
	must(t, m.Rename("/x/y", "/x/z"))
	if list, err := m.ReadDir("/x/z"); err != nil || len(list) != 1 || list[0].Name() != "f" {
		t.Errorf("list %v, %v", list, err)
	}
	l, err := m.Lock("/x/LOCK")
	must(t, err)
	if _, err := m.Lock("/x/LOCK"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if _, err := m.Crash(rand.New(rand.NewPCG(1, 1))).Lock("/LOCK"); err != nil {
		t.Errorf("lock after a crash: %v", err)
	}
	must(t, l.Close())
	if _, err := m.Lock("/x/LOCK"); err != nil {
		t.Errorf("lock after release: %v", err)
	}
}
