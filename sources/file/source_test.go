package file

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firehosed/firehosed/streams"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

// memory is an Appender whose batches are whole or not at all, as an engine's
// are after a crash.
type memory struct {
	mu    sync.Mutex
	lines []string
	keys  []string
	state map[string][]byte
	added chan struct{}
	fail  func() (before, after error)
}

func newMemory() *memory {
	return &memory{state: map[string][]byte{}, added: make(chan struct{}, 1)}
}

func (m *memory) Append(ctx context.Context, _ string, b *streams.Batch) (streams.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var after error
	if m.fail != nil {
		var before error
		if before, after = m.fail(); before != nil {
			return streams.Result{}, before
		}
	}
	for _, r := range b.Records {
		m.lines = append(m.lines, string(r.Data))
		m.keys = append(m.keys, r.PartitionKey)
	}
	for _, u := range b.State {
		if u.Value == nil {
			delete(m.state, u.Key)
		} else {
			m.state[u.Key] = slices.Clone(u.Value)
		}
	}
	select {
	case m.added <- struct{}{}:
	default:
	}
	return streams.Result{}, errors.Join(after, ctx.Err())
}

func (m *memory) StateAll(prefix string) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := maps.Clone(m.state)
	maps.DeleteFunc(out, func(k string, _ []byte) bool { return !strings.HasPrefix(k, prefix) })
	return out
}

func (m *memory) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lines)
}

// until waits for a condition that appends bring about.
func (m *memory) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-m.added:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s did not come about; got %d lines: %.500q", what, len(m.got()), m.got())
		}
	}
}

func (m *memory) wait(t *testing.T, want ...string) {
	t.Helper()
	m.until(t, fmt.Sprintf("%q", want), func() bool { return len(m.got()) >= len(want) })
	if got := m.got(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// clock is moved by hand.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// follow runs a source until the returned function is called.
func follow(t *testing.T, opt Options) (*Source, func()) {
	t.Helper()
	opt.Name, opt.Stream = "test", "lines"
	if opt.Poll == 0 {
		opt.Poll = 10 * time.Millisecond
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestLinesArriveAsTheyAreWritten(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one\ntwo\n")
	follow(t, Options{Log: m, Include: []string{dir + "/*.log"}})
	m.wait(t, "one", "two")
	write(t, path, "thr")
	write(t, path, "ee\n")
	m.wait(t, "one", "two", "three")
	write(t, filepath.Join(dir, "b.log"), "four\n")
	m.wait(t, "one", "two", "three", "four")
	if m.keys[0] != path {
		t.Errorf("partition key %q, want the path", m.keys[0])
	}
}

func TestFoldersBelow(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	follow(t, Options{Log: m, Include: []string{dir + "/**/*.log"}, Exclude: []string{dir + "/**/debug*.log"}})
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "x", "y", "debug.log"), "no\n")
	write(t, filepath.Join(dir, "x", "y", "old.log.gz"), "no\n")
	write(t, filepath.Join(dir, "x", "y", "app.log"), "yes\n")
	m.wait(t, "yes")
}

func TestRotationByRename(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one\n")
	c := newClock()
	s, _ := follow(t, Options{Log: m, Include: []string{dir + "/*.log"}, Clock: c.now})
	m.wait(t, "one")
	rename(t, path, path+".1")
	write(t, path+".1", "late line of the old file\n")
	m.wait(t, "one", "late line of the old file")
	write(t, path, "new\n")
	m.wait(t, "one", "late line of the old file", "new")
	write(t, path+".1", "no newline at the end")
	m.until(t, "the end of the old file", func() bool { c.advance(time.Minute); return len(m.got()) >= 4 })
	m.wait(t, "one", "late line of the old file", "new", "no newline at the end")
	m.until(t, "closing of the old file", func() bool { c.advance(time.Minute); return s.Metrics().Open.Load() == 1 })
	m.until(t, "only the position of the file that is there", func() bool { return len(m.StateAll("source/test/file/")) == 1 })
}

// A file that was quiet for long is renamed or removed, and only then written
// to, as by a program that has not opened the next one yet; or it is written to
// while the source is stopped and the time to close it passes.
func TestQuietFileLeaves(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"renamed": func(path string) error { return os.Rename(path, path+".1") },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir, m, c := t.TempDir(), newMemory(), newClock()
			path := filepath.Join(dir, "a.log")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := New(withName(Options{Log: m, Include: []string{dir + "/*.log"}, CloseAfter: time.Minute, Clock: c.now}))
			if err != nil {
				t.Fatal(err)
			}
			w, err := s.newWatch()
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			defer s.closeAll()
			look := func() {
				t.Helper()
				if err := s.scan(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if err := s.drain(t.Context(), w); err != nil {
					t.Fatal(err)
				}
			}
			say := func(line string) {
				t.Helper()
				if _, err := f.WriteString(line + "\n"); err != nil {
					t.Fatal(err)
				}
			}
			say("one")
			look()
			c.advance(time.Hour)
			look()
			if err := leave(path); err != nil {
				t.Fatal(err)
			}
			look()
			say("two")
			look()
			c.advance(time.Hour)
			say("three")
			look()
			c.advance(time.Minute - 1)
			look()
			if got, want := m.got(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if n := s.Metrics().Open.Load(); n != 1 {
				t.Errorf("%d files open before it is time to close", n)
			}
			c.advance(1)
			look()
			if open, positions := s.Metrics().Open.Load(), len(m.StateAll("source/test/file/")); open != 0 || positions != 0 {
				t.Errorf("%d files open and %d positions kept of a file that is gone", open, positions)
			}
		})
	}
}

func TestRemovedFileIsReadToItsEnd(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one\n")
	c := newClock()
	s, _ := follow(t, Options{Log: m, Include: []string{dir + "/*.log"}, Clock: c.now})
	m.wait(t, "one")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("two\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "one", "two")
	m.until(t, "closing", func() bool { c.advance(time.Minute); return s.Metrics().Open.Load() == 0 })
}

func TestCopyTruncate(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one\ntwo\n")
	s, _ := follow(t, Options{Log: m, Include: []string{dir + "/*.log"}})
	m.wait(t, "one", "two")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, path, "x\n") // shorter than what was read
	m.wait(t, "one", "two", "x")
	// Truncated and longer than before by the time anybody looks.
	if err := os.WriteFile(path, []byte("another beginning\nand more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "one", "two", "x", "another beginning", "and more")
	if n := s.Metrics().Truncated.Load(); n != 2 {
		t.Errorf("%d truncations counted, want 2", n)
	}
}

func TestRestart(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	c := newClock()
	opt := Options{Log: m, Include: []string{dir + "/*.log"}, Clock: c.now}
	write(t, path, "one\ntw")
	_, stop := follow(t, opt)
	m.wait(t, "one")
	stop()
	// While nobody looks: the line is completed, the file rotated, another begun.
	write(t, path, "o\n")
	rename(t, path, filepath.Join(dir, "a.log.1"))
	write(t, path, "three\n")
	s, stop := follow(t, opt)
	m.until(t, "all lines", func() bool { return len(m.got()) >= 3 })
	if got := m.got(); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Fatalf("got %q", got)
	}
	m.until(t, "closing of the rotated file", func() bool { c.advance(time.Minute); return s.Metrics().Open.Load() == 1 })
	stop()
	_, stop = follow(t, opt)
	write(t, path, "four\n")
	m.wait(t, "one", "two", "three", "four")
	stop()
}

func TestAnotherFileInItsPlace(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	opt := Options{Log: m, Include: []string{dir + "/*.log"}}
	write(t, path, "first file\n")
	_, stop := follow(t, opt)
	m.wait(t, "first file")
	stop()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "second file, longer than the first\n") // often gets the same inode
	follow(t, opt)
	m.wait(t, "first file", "second file, longer than the first")
}

func TestFromEnd(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	opt := Options{Log: m, Include: []string{dir + "/*.log"}, FromEnd: true}
	write(t, path, "old\n")
	_, stop := follow(t, opt)
	m.until(t, "start", func() bool { return len(m.StateAll("source/test/started")) == 1 })
	stop()
	write(t, path, "written while nobody looked\n")
	write(t, filepath.Join(dir, "b.log"), "a new file is read from its start\n")
	follow(t, opt)
	m.wait(t, "written while nobody looked", "a new file is read from its start")
}

func TestLongLinesAndManyShortOnes(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	long := strings.Repeat("x", 5000)
	var want []string
	var text strings.Builder
	for i := range 25_000 { // more than a batch takes
		want = append(want, fmt.Sprint(i))
		fmt.Fprintln(&text, i)
	}
	want = append(want, long[:1000], "after")
	write(t, path, text.String()+long+"\nafter\n")
	s, _ := follow(t, Options{Log: m, Include: []string{path}, MaxLine: 1000})
	m.until(t, "all lines", func() bool { return len(m.got()) >= len(want) })
	if got := m.got(); !slices.Equal(got, want) {
		t.Fatalf("%d lines, want %d; the last are %.80q", len(got), len(want), got[len(got)-2:])
	}
	if n := s.Metrics().Cut.Load(); n != 1 {
		t.Errorf("%d lines counted as cut, want 1", n)
	}
}

func TestMultiline(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	write(t, path, "[1] error\n at a\n at b\n[2] ok\n")
	follow(t, Options{Log: m, Include: []string{path}, Multiline: &Multiline{Start: regexp.MustCompile(`^\[`), Timeout: 30 * time.Millisecond}})
	m.wait(t, "[1] error\n at a\n at b", "[2] ok")
}

func TestMaxFiles(t *testing.T) {
	dir, m := t.TempDir(), newMemory()
	var want []string
	for i := range 20 {
		line := fmt.Sprintf("line %02d", i)
		write(t, filepath.Join(dir, fmt.Sprintf("%02d.log", i)), line+"\n")
		want = append(want, line)
	}
	s, _ := follow(t, Options{Log: m, Include: []string{dir + "/*.log"}, MaxFiles: 3, CloseAfter: time.Millisecond})
	m.until(t, "all files", func() bool { return len(m.got()) >= len(want) })
	got := m.got()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	if n := s.Metrics().Open.Load(); n > 3 {
		t.Errorf("%d files open, want at most 3", n)
	}
}

// The thread of the test loses the right to read the file, as a daemon of
// another user would lack it.
func TestUnreadableFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, m := t.TempDir(), newMemory()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil && d == dir {
			t.Fatal(err)
		}
		if strings.HasSuffix(filepath.Dir(d), "tmp") {
			break
		}
	}
	write(t, filepath.Join(dir, "secret.log"), "no\n")
	if err := os.Chmod(filepath.Join(dir, "secret.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "open.log"), "yes\n")
	s, err := New(Options{Name: "test", Stream: "lines", Log: m, Include: []string{dir + "/*.log"}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.newWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	defer s.closeAll()
	runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() { // the folder is removed by this thread
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
	}()
	if err := s.scan(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := s.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.got(); !slices.Equal(got, []string{"yes"}) {
		t.Errorf("got %q, want the file that can be read", got)
	}
	if why := s.unread[filepath.Join(dir, "secret.log")]; !strings.Contains(why, "permission denied") {
		t.Errorf("said of the unreadable file: %q", why)
	}
	if n := s.Metrics().Unread.Load(); n != 1 {
		t.Errorf("%d unreadable files counted, want 1", n)
	}
}

// A source that is killed between any two appends, or whose append becomes
// durable without an answer, neither loses nor repeats a line, while the file
// grows and is rotated.
func TestKillAnywhere(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir, m := t.TempDir(), newMemory()
	path := filepath.Join(dir, "a.log")
	// The pattern matches rotated names too: a file that came and was renamed
	// while nobody looked cannot be told otherwise.
	opt := Options{Log: m, Include: []string{dir + "/*.log*"}, MaxLine: 64, MaxBatch: 200, CloseAfter: time.Hour}
	died := errors.New("killed")
	var want []string
	for round := range 60 {
		for range rng.IntN(30) {
			line := fmt.Sprintf("%d %s", len(want), strings.Repeat("z", rng.IntN(40)))
			want = append(want, line)
			write(t, path, line+"\n")
			if rng.IntN(20) == 0 {
				rename(t, path, fmt.Sprintf("%s.%d", path, round*100+len(want)))
				write(t, path, "")
			}
		}
		s, err := New(withName(opt))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		w, err := s.newWatch()
		if err != nil {
			t.Fatal(err)
		}
		left := rng.IntN(8)
		m.fail = func() (before, after error) {
			if left--; left > 0 {
				return nil, nil
			}
			if rng.IntN(2) == 0 {
				return died, nil
			}
			return nil, died // durable, but nobody heard of it
		}
		if round == 59 {
			m.fail = nil
		}
		err = s.scan(t.Context(), w)
		for more := true; more && err == nil; {
			more, err = s.turn(t.Context())
		}
		if err != nil && !errors.Is(err, died) {
			t.Fatal(err)
		}
		w.close()
		s.closeAll()
	}
	got := m.got()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		missing, extra := minus(want, got), minus(got, want)
		t.Fatalf("seed %d: %d lines, want %d; %d missing, %d too many; the first: %.3q %.3q", seed, len(got), len(want), len(missing), len(extra), missing[:min(3, len(missing))], extra[:min(3, len(extra))])
	}
}

func withName(o Options) Options {
	o.Name, o.Stream = "test", "lines"
	o.Include = slices.Clone(o.Include)
	return o
}

func minus(a, b []string) (out []string) {
	n := map[string]int{}
	for _, s := range b {
		n[s]++
	}
	for _, s := range a {
		if n[s]--; n[s] < 0 {
			out = append(out, s)
		}
	}
	return out
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"v":1,"dev":1,"ino":2,"path":"/a","prefix":3,"hash":"","offset":4}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCursor(b)
		if err != nil {
			return
		}
		if again, err := decodeCursor(c.encode()); err != nil || again != c {
			t.Fatalf("%+v came back as %+v, %v", c, again, err)
		}
	})
}
