// Package python holds the independent readers of delivered objects, and here
// the tests that show that they, and the real clients, work with the real
// servers.
package python

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/e2e/servers"
	"github.com/firehosed/firehosed/e2e/servers/opensearch"
	"github.com/firehosed/firehosed/e2e/servers/versity"
)

// run gives what a program prints to standard output, and fails the test when
// its exit status is not the wanted one.
func run(t *testing.T, env []string, status int, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(withoutAWS(os.Environ()), env...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		t.Fatalf("%s %s: %v, want status %d\n%s%s", filepath.Base(name), strings.Join(args, " "), err, status, &out, &errs)
	}
	return out.String()
}

// withoutAWS drops what a user of the aws CLI has set.
func withoutAWS(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, kv := range env {
		if !strings.HasPrefix(kv, "AWS_") {
			kept = append(kept, kv)
		}
	}
	return append(kept, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}

func TestReaders(t *testing.T) {
	python := servers.Require(t, servers.Python)[0]
	cmd := exec.CommandContext(t.Context(), python, "-B", "-W", "error", "-m", "unittest", "test_readback")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else if !bytes.Contains(out, []byte("OK")) || bytes.Contains(out, []byte("Ran 0 tests")) {
		t.Fatalf("no test ran\n%s", out)
	}
}

// result is what compare.py prints.
type result struct {
	Expected, Found, Missing, Duplicates, Unexpected int
}

func parse(t *testing.T, text string) result {
	t.Helper()
	var r result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return r
}

func TestClientsAndReadersWithS3(t *testing.T) {
	found := servers.Require(t, servers.Python, servers.AWSCLI)
	python, aws := found[0], found[1]
	s := versity.Run(t)
	ctx := t.Context()
	if err := s.CreateBucket(ctx, "lake"); err != nil {
		t.Fatal(err)
	}
	env := s.Environment(s.Root)
	dir := t.TempDir()
	const n = 1500
	var lines, first, second strings.Builder
	for i := range n {
		line := fmt.Sprintf(`{"i":%d,"m":"line %d"}`+"\n", i, i)
		lines.WriteString(line)
		if i < 1000 {
			first.WriteString(line)
		}
		if i >= 900 && i < n-3 { // 100 twice, 3 never
			second.WriteString(line)
		}
	}
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	expected := write("expected", lines.String())

	// The aws CLI writes, boto3 reads.
	run(t, env, 0, aws, "s3", "cp", "--no-progress", write("first", first.String()), "s3://lake/logs/1.ndjson")
	run(t, env, 0, aws, "s3", "cp", "--no-progress", write("second", second.String()), "s3://lake/logs/2.ndjson")
	run(t, env, 0, aws, "s3", "cp", "--no-progress", write("third", "not JSON"), "s3://lake/other/3.ndjson")
	got := parse(t, run(t, env, 1, python, "compare.py", expected, "s3://lake/logs/", "--format=ndjson"))
	if want := (result{Expected: n, Found: n + 100 - 3, Missing: 3, Duplicates: 100}); got != want {
		t.Errorf("compared: %+v, want %+v", got, want)
	}
	if got := run(t, env, 0, aws, "s3", "cp", "s3://lake/logs/1.ndjson", "-"); got != first.String() {
		t.Errorf("the aws CLI reads %d bytes, want %d", len(got), first.Len())
	}
	count := run(t, env, 0, python, "readback.py", "s3://lake/logs/", "--format=ndjson", "--count", "--suffix=2.ndjson")
	if want := fmt.Sprintf(`{"objects": 1, "bytes": %d, "rows": 597}`+"\n", second.Len()); count != want {
		t.Errorf("count %s, want %s", count, want)
	}
	run(t, env, 2, python, "readback.py", "s3://lake/other/", "--format=ndjson")
	run(t, env, 2, python, "readback.py", "s3://no-lake/", "--format=ndjson")

	// A Parquet file that one reader wrote to S3 is read by the other.
	write("make.py", `import sys, duckdb
duckdb.sql(f"COPY (SELECT * FROM read_json('{sys.argv[1]}')) TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd)")`)
	parquet := filepath.Join(dir, "rows.parquet")
	run(t, nil, 0, python, filepath.Join(dir, "make.py"), expected, parquet)
	run(t, env, 0, aws, "s3", "cp", "--no-progress", parquet, "s3://lake/parquet/dt=2015-05-17/rows.parquet")
	for _, reader := range []string{"pyarrow", "duckdb"} {
		got := parse(t, run(t, env, 0, python, "compare.py", expected, "s3://lake/parquet/", "--format=parquet", "--reader="+reader, "--exactly-once"))
		if want := (result{Expected: n, Found: n}); got != want {
			t.Errorf("%s: %+v, want %+v", reader, got, want)
		}
	}
}

func TestReadersWithOpenSearch(t *testing.T) {
	python := servers.Require(t, servers.Python)[0]
	s := opensearch.Run(t)
	ctx := t.Context()
	const n = 1200 // more than one page of a scroll
	var bulk, expected bytes.Buffer
	for i := range n {
		fmt.Fprintf(&bulk, "{\"index\":{\"_id\":\"%d\"}}\n{\"m\":\"line %d\"}\n", i, i)
		fmt.Fprintf(&expected, "line %d\n", i)
	}
	if err := s.Call(ctx, "POST", "/logs/_bulk", bulk.Bytes(), nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expected")
	if err := os.WriteFile(file, expected.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got := parse(t, run(t, nil, 0, python, "compare.py", file, s.URL+"/logs", "--format=opensearch", "--column=m", "--exactly-once"))
	if want := (result{Expected: n, Found: n}); got != want {
		t.Errorf("compared: %+v, want %+v", got, want)
	}
	run(t, nil, 2, python, "readback.py", s.URL+"/none", "--format=opensearch")
}
