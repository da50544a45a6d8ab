package dir_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/dir"
)

var seed = flag.Uint64("seed", 0, "run TestCrash with this seed only")

// TestCrash cuts the power before every operation of some Puts: what Put
// confirmed is whole afterwards, what can be seen is whole, and the same Puts
// again end well.
func TestCrash(t *testing.T) {
	from, to := uint64(1), uint64(40)
	if *seed != 0 {
		from, to = *seed, *seed
	}
	for n := from; n <= to; n++ {
		if testCrash(t, rand.New(rand.NewPCG(n, 0))); t.Failed() {
			t.Fatalf("repeat with -seed=%d", n)
		}
	}
}

func testCrash(t *testing.T, rng *rand.Rand) {
	keys := []string{"top", "a/b/one", "a/b/two", "a/c/three", "a/b/one"}
	content := map[string]string{}
	for _, k := range keys {
		content[k] = strings.Repeat(k+"\n", 1+rng.IntN(3000))
	}
	disk := memfs.New()
	confirmed := map[string]bool{}
	crashes := 0
	fsys := errfs.New(disk, func(errfs.Op) error {
		crashes++
		check(t, disk.Crash(rng), confirmed, content)
		return nil
	})
	putAll(t, fsys, keys, content, func(key string) {
		confirmed[key] = true
		check(t, disk.Crash(rng), confirmed, content)
	})
	if crashes < 30 {
		t.Errorf("only %d crashes", crashes)
	}
	after := disk.Crash(rng)
	again := map[string]bool{}
	putAll(t, errfs.New(after, nil), keys, content, func(key string) { again[key] = true })
	check(t, after.Crash(rng), again, content)
}

func putAll(t *testing.T, fsys *errfs.FS, keys []string, content map[string]string, done func(string)) {
	t.Helper()
	s, err := dir.New(dir.Options{FS: fsys, Path: "/made/root"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		_, err := s.Put(t.Context(), sinks.Object{Key: key, ID: "plan-" + key, Write: func(w io.Writer) error {
			_, err := io.WriteString(w, content[key])
			return err
		}})
		if err != nil {
			t.Fatalf("put %s: %v", key, err)
		}
		done(key)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// check reads what a crash left.
func check(t *testing.T, fsys *memfs.FS, confirmed map[string]bool, content map[string]string) {
	t.Helper()
	for key, want := range content {
		f, err := fsys.OpenFile("/made/root/"+key, os.O_RDONLY, 0)
		if err != nil {
			if confirmed[key] {
				t.Errorf("%s was confirmed and is gone: %v", key, err)
			}
			continue
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != want {
			t.Errorf("%s can be seen with %d of %d bytes, %v", key, len(got), len(want), err)
		}
		_ = f.Close()
	}
}
