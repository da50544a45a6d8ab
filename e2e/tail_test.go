package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
	"github.com/firehosed/firehosed/e2e/servers/versity"
)

// dataEnv names a folder with real input that is not part of the repository.
const dataEnv = "FIREHOSED_TEST_DATA"

const (
	tailKills   = 10
	linesARound = 40 // lines of one burst
	burstPause  = 60 * time.Millisecond
	rotateAfter = 900 // lines, so that about ten files come into being
)

// realLog is the path of a log that a real web server wrote for real clients.
func realLog(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(dataEnv); dir != "" {
		return filepath.Join(dir, "apache_combined.log")
	}
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(filepath.Dir(root), "testdata", "logs", "access.log")
}

// logWriter appends lines to a file as a web server does and rotates it by
// renaming, as logrotate does: access.log becomes access.log.1, that .2, ...
type logWriter struct {
	path  string
	file  *os.File
	files int
	lines int // in the current file
	rng   *rand.Rand

	written atomic.Int64 // lines
}

func (w *logWriter) open() (err error) {
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	w.lines = 0
	return err
}

func (w *logWriter) rotate() error {
	for i := w.files; i > 0; i-- {
		if err := os.Rename(w.path+"."+strconv.Itoa(i), w.path+"."+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		return err
	}
	w.files++
	// A server goes on with its descriptor until it is told: the renamed file
	// grows by some lines more, and only then is there a new one.
	return nil
}

// write appends one line; some come in two pieces, as from a full buffer.
func (w *logWriter) write(line []byte) error {
	parts := [][]byte{line}
	if cut := w.rng.IntN(20 * len(line)); cut > 0 && cut < len(line) {
		parts = [][]byte{line[:cut], line[cut:]}
	}
	for _, p := range parts {
		if _, err := w.file.Write(p); err != nil {
			return err
		}
	}
	w.written.Add(1)
	w.lines++
	return nil
}

// run writes all lines in bursts. Before each line that is a key of gates it
// waits for that gate.
func (w *logWriter) run(t *testing.T, lines [][]byte, gates map[int]<-chan struct{}) error {
	if err := w.open(); err != nil {
		return err
	}
	reopen := -1 // lines until the renamed file is left
	for i, line := range lines {
		if gate := gates[i]; gate != nil {
			select {
			case <-gate:
			case <-t.Context().Done():
				return t.Context().Err()
			}
		}
		if err := w.write(line); err != nil {
			return err
		}
		if reopen--; reopen == 0 || reopen < 0 && w.lines >= 2*rotateAfter {
			if err := errors.Join(w.file.Close(), w.open()); err != nil {
				return err
			}
		} else if reopen < 0 && w.lines == rotateAfter {
			if err := w.rotate(); err != nil {
				return err
			}
			reopen = 1 + w.rng.IntN(30)
		}
		if i%linesARound == linesARound-1 && !harness.Pause(t.Context(), burstPause) {
			return t.Context().Err()
		}
	}
	return w.file.Close()
}

// TestTailKillParquet follows real log files that grow and rotate while the
// daemon is killed again and again, delivers them to a directory and to S3 as
// Parquet, and compares the rows that independent readers find with the lines.
func TestTailKillParquet(t *testing.T) {
	servers.Require(t, servers.Python, servers.VersityBinary)
	source := realLog(t)
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	}
	rng := random(t)
	s3 := versity.Run(t)
	if err := s3.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	logs, out := t.TempDir(), t.TempDir()
	delivery := func(destination, errors string) string {
		return fmt.Sprintf(`
    source: { file: { include: [%q], poll: 200ms } }
    transforms: [{ parse: { format: apache_combined, raw_field: line } }]
    buffer: { interval: 300ms }
    format: { parquet: { compression: zstd, schema: inferred } }
    destination: %s
    errors: { dir: { path: %q } }
    retry: { initial: 100ms, max: 1s }
`, filepath.Join(logs, "access.log*"), destination, errors)
	}
	d := harness.Run(t, harness.Settings{Body: "delivery_streams:\n" +
		"  shelf:" + delivery(fmt.Sprintf("{ dir: { path: %q } }", filepath.Join(out, "shelf")), filepath.Join(out, "errors")) +
		"  lake:" + delivery("{ s3: "+bucket(s3, s3.Root, "lake", "logs/dt=!{timestamp:yyyy-MM-dd}/")+" }", filepath.Join(out, "errors"))})

	w := &logWriter{path: filepath.Join(logs, "access.log"), rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	began := time.Now()
	killWhileWriting(t, d, w, lines, rng)
	took := time.Since(began)

	streams := []string{"shelf", "lake"}
	d.AwaitFilesRead(t, harness.Patience, streams...)
	d.AwaitDrained(t, harness.Patience, streams...)
	for _, c := range []struct {
		name, source, reader string
	}{
		{"directory by pyarrow", filepath.Join(out, "shelf"), "pyarrow"},
		{"directory by duckdb", filepath.Join(out, "shelf"), "duckdb"},
		{"S3 by pyarrow", "s3://lake/logs/", "pyarrow"},
		{"S3 by duckdb", "s3://lake/logs/", "duckdb"},
	} {
		got := harness.Compare(t, s3.Environment(s3.Root), source, c.source, "--format=parquet", "--column=line", "--reader="+c.reader)
		t.Logf("%s: %d lines, %d rows, %d missing, %d duplicates, %d unexpected", c.name, got.Expected, got.Found, got.Missing, got.Duplicates, got.Unexpected)
		if got.Expected != len(lines) {
			t.Errorf("%s: compared with %d lines, written were %d", c.name, got.Expected, len(lines))
		}
		if got.Missing != 0 || got.Duplicates != 0 || got.Unexpected != 0 {
			t.Errorf("%s: rows are not the lines: %+v", c.name, got)
		}
	}
	if n := len(lines) / 5; n > 0 {
		objects, err := s3.List(t.Context(), "lake", "logs/")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d kills in %v, %d rotations, %d objects in S3", tailKills, took.Round(time.Millisecond), w.files, len(objects))
		if len(objects) < tailKills {
			t.Errorf("%d objects in S3: the kills did not fall between deliveries", len(objects))
		}
	}
	if left := harness.Files(t, filepath.Join(out, "errors")); len(left) > 0 {
		t.Errorf("error output has %v", left)
	}
	d.MustStop(t)
	if left := harness.Files(t, filepath.Join(out, "shelf"), ".*"); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// killWhileWriting writes the lines and kills the daemon tailKills times, each
// time at a random line. The writer goes on while the daemon is down, but not
// past the part of the lines that belongs to one kill. The daemon runs when it
// returns.
func killWhileWriting(t *testing.T, d *harness.Daemon, w *logWriter, lines [][]byte, rng *rand.Rand) {
	t.Helper()
	part := len(lines) / (tailKills + 1)
	gates := map[int]<-chan struct{}{}
	open := make([]chan struct{}, tailKills+1)
	for i := range open {
		open[i] = make(chan struct{})
		gates[i*part] = open[i]
	}
	done := make(chan error, 1)
	go func() { done <- w.run(t, lines, gates) }()
	for k := range tailKills {
		close(open[k])
		at := int64(k*part + rng.IntN(part/2))
		harness.Eventually(t, harness.Patience, "writing of the log", func() error {
			if n := w.written.Load(); n < at {
				return fmt.Errorf("%d of %d lines", n, at)
			}
			return nil
		})
		// Somewhere in the rounds of the daemon, not at the same point of each.
		harness.Pause(t.Context(), time.Duration(rng.IntN(700))*time.Millisecond)
		d.MustKill(t)
		// It is also down for a while, long enough for a rotation or two.
		harness.Pause(t.Context(), time.Duration(rng.IntN(500))*time.Millisecond)
		d.MustStart(t)
	}
	close(open[tailKills])
	if err := <-done; err != nil {
		t.Fatalf("writer of the log: %v", err)
	}
}
