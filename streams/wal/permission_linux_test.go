package wal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

const (
	permissionDir = "FIREHOSED_TEST_PERMISSION_DIR"
	nobody        = 65534
)

// TestPermissionLost takes the right to write its directories from a real process
// that appends. It stops with the name of what it may not write, also when it is
// started again, and all it acknowledged is there when it has the right again.
func TestPermissionLost(t *testing.T) {
	if dir := os.Getenv(permissionDir); dir != "" {
		losePermission(t, dir)
		return
	}
	dir := tempDir(t)
	must(t, os.Mkdir(dir, 0o700))
	program := filepath.Join(filepath.Dir(dir), "wal.test") // go test's own place is not for others
	self, err := os.Executable()
	must(t, err)
	b, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(program, b, 0o755)) //nolint:gosec // It is run by another user.
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestPermissionLost$")
	cmd.Env = append(os.Environ(), permissionDir+"="+dir)
	cmd.Dir = "/"
	if os.Geteuid() == 0 { // whom no permission binds
		must(t, os.Chown(dir, nobody, nobody))
		// The directories of a test are its user's alone.
		for _, d := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
			must(t, os.Chmod(d, 0o711)) //nolint:gosec // It holds nothing else.
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); errors.Is(err, fs.ErrPermission) {
		t.Skipf("no other user may run a program below %s", os.TempDir())
	} else if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var acked []string
	stopped := 0
	for lines.Scan() {
		what, text, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "ready":
			chmodDirs(t, dir, 0o500)
			_, err := io.WriteString(in, "go on\n")
			must(t, err)
		case "acked":
			acked = append(acked, text)
		case "stopped":
			stopped++
			if !strings.Contains(text, "permission denied") || !strings.Contains(text, dir) {
				t.Errorf("without permission it said %q", text)
			}
		default:
			t.Log(lines.Text())
		}
	}
	must(t, lines.Err())
	err = cmd.Wait()
	chmodDirs(t, dir, 0o700)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if len(acked) < 10 || stopped != 2 {
		t.Errorf("%d records were acknowledged, it stopped %d times", len(acked), stopped)
	}
	l := open(t, dir, small(nil))
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	// What got no answer when it stopped may be there, whole.
	if extra := len(recs) - len(acked); extra < 0 || extra > stopped {
		t.Errorf("%d records, %d were acknowledged", len(recs), len(acked))
	}
	for _, r := range recs {
		text, _, _ := strings.Cut(string(r.Data), " ")
		if len(acked) > 0 && text == acked[0] {
			acked = acked[1:]
		}
	}
	if len(acked) > 0 {
		t.Errorf("%s was acknowledged and is not there", acked[0])
	}
	if l.Stats().Damaged > 0 {
		t.Error("called damaged")
	}
	appendAll(t, l, "s", "new")
	must(t, l.Close())
}

func chmodDirs(t *testing.T, root string, mode fs.FileMode) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, mode)
		}
		return err
	}))
}

// losePermission is the process: it appends until it cannot, and starts again, as
// a service manager would have it do.
func losePermission(t *testing.T, dir string) {
	t.Helper()
	appendUntil := func(l *Log, name string, each func(i int)) error {
		for i := range 1000 { // many files full
			each(i)
			text := fmt.Sprintf("%s%d", name, i)
			_, err := l.Append(t.Context(), "s", batch(fmt.Sprintf("%s %700d", text, 0)))
			if err != nil {
				return err
			}
			fmt.Println("acked", text)
		}
		return errors.New("it never needed the permission")
	}
	l, err := Open(dir, small(nil))
	must(t, err)
	create(t, l, "s", 1)
	err = appendUntil(l, "a", func(i int) {
		if i == 10 {
			fmt.Println("ready")
			_, err := bufio.NewReader(os.Stdin).ReadString('\n')
			must(t, err)
		}
	})
	fmt.Println("stopped", err)
	if !errors.Is(err, streams.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	fmt.Println("closed with", l.Close())

	l, err = Open(dir, small(nil))
	if err == nil { // what it has open may do for a while
		err = appendUntil(l, "b", func(int) {})
		fmt.Println("closed with", l.Close())
	}
	fmt.Println("stopped", err)
}
