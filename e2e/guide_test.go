package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// TestClientsGuide runs the snippets of docs/guide/clients.md one after the other
// against one daemon, each as it stands there, and looks for what they print.
func TestClientsGuide(t *testing.T) {
	tools := servers.Require(t, servers.Python, servers.AWSCLI, servers.NodeModules)
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(filepath.Dir(root), "docs", "guide", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	d := harness.Run(t, harness.Settings{})
	env := append(os.Environ(), d.Environment()...)
	env = append(env, "PATH="+filepath.Dir(tools[1])+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"NODE_PATH="+tools[2], "AWS_PAGER=")
	dir := t.TempDir()
	for _, c := range []struct{ language, file, program, prints string }{
		{"bash", "snippet.sh", "bash", `{"n": 1}`},
		{"python", "snippet.py", tools[0], `b'\x00\xff'`},
		{"js", "snippet.cjs", "node", "shardId-000000000000"},
	} {
		_, rest, found := strings.Cut(string(guide), "\n```"+c.language+"\n")
		snippet, _, closed := strings.Cut(rest, "\n```\n")
		if !found || !closed || strings.Contains(rest[len(snippet):], "\n```"+c.language+"\n") {
			t.Fatalf("clients.md has not exactly one snippet of %s", c.language)
		}
		file := filepath.Join(dir, c.file)
		if err := os.WriteFile(file, []byte(snippet+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{file}
		if c.language == "bash" {
			args = []string{"-eu", "-o", "pipefail", file}
		}
		cmd := exec.CommandContext(t.Context(), c.program, args...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.prints) {
			t.Errorf("snippet of %s: %v, want %q in\n%s", c.language, err, c.prints, out)
		}
	}
}
