package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/e2e/harness"
)

// TestBadConfiguration starts the program on files that cannot be right: check
// and run name the place and the way out, end with status 2, and touch nothing.
func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		whole      bool     // body is the whole file
		want       []string // each somewhere in the output
	}{
		{
			"misspelled key", "streams: { clicks: { shrads: 2 } }\n", false,
			[]string{`config\.yaml:\d+:\d+: .*shrads`, "did you mean `shards`"},
		},
		{
			"wrong unit", "streams: { clicks: { retention: 24hours } }\n", false,
			[]string{`config\.yaml:\d+:\d+: .*24hours`},
		},
		{
			"wrong size", "memory: { buffers: 64mb8 }\n", false,
			[]string{`config\.yaml:\d+:\d+: .*64mb8`},
		},
		{
			"all problems at once", "regoin: x\nstreams: { a: { shards: none } }\ndelivery_streams: { b: { source: { direct_put: {} } } }\n", false,
			[]string{"regoin", "did you mean `region`", "shards", `delivery_streams\.b.*destination|destination.*required`},
		},
		{"two deliveries into one directory", `delivery_streams:
  one: { source: { direct_put: {} }, destination: { dir: { path: ./out } } }
  two: { source: { direct_put: {} }, destination: { dir: { path: ./out/../out } } }
`, false, []string{`config\.yaml:\d+:\d+: .*one`, `writes to the same place as delivery_streams\.one.* in line 7`}},
		{
			"open to everybody by accident", "data_dir: ./data\nhttp: { listen: 0.0.0.0:0 }\n", true,
			[]string{`config\.yaml:2:\d+: .*0\.0\.0\.0`, "auth: none"},
		},
		{"bad expression", `delivery_streams:
  one: { source: { direct_put: {} }, transforms: [{ filter: { expr: "status >" } }, { jq: { query: ".a |" } }], destination: { dir: { path: ./out } } }
`, false, []string{`config\.yaml:\d+:\d+: .*(filter|expr)`, `config\.yaml:\d+:\d+: .*(jq|query)`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := harness.New(t, harness.Settings{Body: tt.body})
			if tt.whole {
				if err := os.WriteFile(d.ConfigFile(), []byte(tt.body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, command := range []string{"check", "run"} {
				status, out := d.Exec(t, command, "-c", d.ConfigFile())
				if status != 2 {
					t.Errorf("%s: exit status %d, want 2", command, status)
				}
				for _, want := range tt.want {
					if !regexp.MustCompile(want).MatchString(out) {
						t.Errorf("%s does not say %q:\n%s", command, want, out)
					}
				}
				if command == "check" {
					t.Logf("%s", strings.TrimSpace(strings.ReplaceAll(out, d.Dir+"/", "")))
				}
			}
			if left := harness.Files(t, d.DataDir); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// TestDataDirectory shows that a data directory belongs to one daemon and one
// version at a time, and that refusing the others loses nothing.
func TestDataDirectory(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	settings := harness.Settings{Body: fmt.Sprintf(
		"delivery_streams:\n  one: { source: { direct_put: {} }, buffer: { interval: 10m }, destination: { dir: { path: %q } } }\n", out)}
	d := harness.Run(t, settings)
	var lines []string
	for n := range 100 {
		lines = append(lines, fmt.Sprintf(`{"n":%d}`, n))
	}
	putBatch(t, d, "one", lines...)

	// A second daemon with another port, on the same directory.
	settings.DataDir = d.DataDir
	second := harness.New(t, settings)
	status, text := second.Exec(t, "run", "-c", second.ConfigFile())
	t.Logf("a second daemon, status %d: %s", status, strings.TrimSpace(text))
	if status != 1 || !strings.Contains(text, "lock") || !strings.Contains(text, d.DataDir) {
		t.Errorf("a second daemon on the same directory: status %d\n%s", status, text)
	}
	if h := d.Health(t); h.Code != 200 {
		t.Errorf("the first one is not ready any more: %+v", h)
	}
	putBatch(t, d, "one", `{"n":100}`)
	lines = append(lines, `{"n":100}`)
	d.MustStop(t)

	// The directory of a version that does not exist yet.
	marker := formatFile(t, d.DataDir)
	original, err := os.ReadFile(marker)
	if err != nil {
		t.Fatal(err)
	}
	newer := regexp.MustCompile(`format \d+`).ReplaceAll(original, []byte("format 99"))
	if err := os.WriteFile(marker, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, d.DataDir)
	status, text = d.Exec(t, "run", "-c", d.ConfigFile())
	t.Logf("a newer directory, status %d: %s", status, strings.TrimSpace(text))
	if status != 1 || !strings.Contains(text, "newer version") || !strings.Contains(text, "99") {
		t.Errorf("a directory of a newer version: status %d\n%s", status, text)
	}
	for file, content := range snapshot(t, d.DataDir) {
		if !bytes.Equal(before[file], content) {
			t.Errorf("it wrote to %s", file)
		}
	}
	if err := os.WriteFile(marker, original, 0o600); err != nil {
		t.Fatal(err)
	}
	// Everything that was acknowledged is there, and goes out now.
	d.Configure(t, harness.Settings{Body: strings.Replace(settings.Body, "interval: 10m", "interval: 300ms", 1)})
	d.MustStart(t)
	d.AwaitDrained(t, harness.Patience, "one")
	arrived(t, "afterwards", nil, out, lines, "--format=ndjson")
}

// formatFile is the file that names the version of the log.
func formatFile(t *testing.T, dir string) string {
	t.Helper()
	for _, file := range harness.Files(t, dir) {
		if content, err := os.ReadFile(file); err == nil && bytes.HasPrefix(content, []byte("firehosed log\n")) {
			return file
		}
	}
	t.Fatal("no file of the data directory names its version")
	return ""
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, file := range harness.Files(t, dir) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = content
	}
	return files
}
