package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/servers"
)

// Compared is what compare.py found.
type Compared struct {
	Expected, Found, Missing, Duplicates, Unexpected int
	Examples                                         map[string][]string
}

// Compare runs the independent reader over a source (a folder, s3://bucket/x,
// http://host:port/index) and compares it with the lines of a file. env reaches
// an S3 server.
func Compare(t testing.TB, env []string, expected, source string, options ...string) Compared {
	t.Helper()
	var c Compared
	out := python(t, env, []int{0, 1}, append([]string{"compare.py", expected, source}, options...)...)
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatalf("compare.py: %v in %q", err, out)
	}
	return c
}

// Rows reads a source with the independent reader, one JSON document a row.
func Rows(t testing.TB, env []string, source string, options ...string) []json.RawMessage {
	t.Helper()
	out := python(t, env, []int{0}, append([]string{"readback.py", source}, options...)...)
	var rows []json.RawMessage
	for line := range bytes.Lines(out) {
		rows = append(rows, json.RawMessage(bytes.TrimSpace(line)))
	}
	return rows
}

// python runs a reader and accepts the exit statuses.
func python(t testing.TB, env []string, ok []int, args ...string) []byte {
	t.Helper()
	return RunProgram(t, env, ok, servers.Require(t, servers.Python)[0], args...)
}

// RunProgram runs a program of e2e in e2e/python and gives what it prints to
// standard output. Any exit status but those of ok fails the test. AWS settings
// of the caller are dropped, env is added.
func RunProgram(t testing.TB, env []string, ok []int, path string, args ...string) []byte {
	t.Helper()
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = filepath.Join(root, "python")
	cmd.Env = append(withoutAWS(os.Environ()), env...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1", "AWS_PAGER=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", path, err)
	}
	for _, code := range ok {
		if cmd.ProcessState.ExitCode() == code {
			return out.Bytes()
		}
	}
	t.Fatalf("%s %s: %v\n%.4000s%.4000s", filepath.Base(path), strings.Join(args, " "), err, &out, &errs)
	return nil
}
