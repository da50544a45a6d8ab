// Package promises holds no code but the test that what documents promise is held by tests that exist.
package promises

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var (
	declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	named       = regexp.MustCompile(`(?:\b(e2e) |\W|^)((?:Test|Fuzz|Benchmark)[A-Z]\w*)(\*?)`)
	// cases are parts of a test by name: of the contract of engines, and scripts.
	cases  = regexp.MustCompile(`(enginetest|cmd/firehosed) "[^|;]*`)
	quoted = regexp.MustCompile(`"([^"]+)"`)
)

// declared returns the directories of all tests of the repository, also of its other modules.
func declared(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return skip(err)
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		dir := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, root+string(os.PathSeparator))))
		for _, m := range declaration.FindAllStringSubmatch(string(b), -1) {
			out[m[1]] = append(out[m[1]], dir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func skip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// part reports whether a contract or a script has a part of that name.
func part(place, name string) bool {
	if place == "cmd/firehosed" {
		_, err := os.Stat(filepath.Join(root, place, "testdata/script", name+".txtar"))
		return err == nil
	}
	b, err := os.ReadFile(filepath.Join(root, "streams/enginetest/enginetest.go"))
	return err == nil && strings.Contains(string(b), fmt.Sprintf("\t{%q, test", name))
}

// problems lists the tests that a document names and that are not there, and rows of the table of faults that name none.
func problems(doc, text string, tests map[string][]string, part func(place, name string) bool) (out []string) {
	section := ""
	for i, line := range strings.Split(text, "\n") {
		say := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("%s:%d: ", doc, i+1)+fmt.Sprintf(format, args...))
		}
		if s, ok := strings.CutPrefix(line, "## "); ok {
			section = s
		}
		found := 0
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			dirs, ok := tests[m[2]]
			switch {
			case m[3] != "" && anyWith(tests, m[2]):
			case !ok:
				say("there is no %s", m[2])
			case m[1] == "e2e" && !slices.Contains(dirs, "e2e"):
				say("%s is in %s, not in e2e", m[2], strings.Join(dirs, ", "))
			}
			found++
		}
		for _, m := range cases.FindAllStringSubmatch(line, -1) {
			for _, q := range quoted.FindAllStringSubmatch(m[0], -1) {
				if !part(m[1], q[1]) {
					say("%s has no %q", m[1], q[1])
				}
				found++
			}
		}
		row := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| fault ")
		if row && strings.HasPrefix(section, "Faults") && found == 0 {
			say("no test holds this")
		}
	}
	return out
}

func anyWith(tests map[string][]string, prefix string) bool {
	for name := range tests {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// TestNamedTestsExist looks for each test that a document names.
func TestNamedTestsExist(t *testing.T) {
	tests := declared(t)
	names := 0
	for _, dir := range []string{"docs", "e2e", "README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, p := range problems(strings.TrimPrefix(path, root+"/"), string(b), tests, part) {
				t.Error(p)
			}
			names += len(named.FindAllString(string(b), -1))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if names < 100 {
		t.Errorf("only %d tests are named", names)
	}
}

func TestProblems(t *testing.T) {
	tests := map[string][]string{"TestHere": {"streams/wal"}, "TestThere": {"e2e"}}
	has := func(_, name string) bool { return name == "known" }
	for _, tt := range []struct {
		name, text string
		want       string // part of the only message; empty: none
	}{
		{"prose", "TestHere and TestThere, Testing and testdata", ""},
		{"prose, gone", "as TestGone shows", "doc.md:1: there is no TestGone"},
		{"first word", "TestGone shows", "there is no TestGone"},
		{"in brackets", "shown (`TestHere`, TestGone)", "there is no TestGone"},
		{"pattern", "`TestThe*` want more", ""},
		{"pattern, gone", "`TestGo*` want more", "there is no TestGo"},
		{"row", "## Faults\n| fault | test |\n|---|---|\n| fire | TestHere, e2e TestThere |", ""},
		{"row, other place", "## Faults\n| fire | e2e TestHere |", "doc.md:2: TestHere is in streams/wal, not in e2e"},
		{"row, none", "## Faults\n| fire | we hope |", "doc.md:2: no test holds this"},
		{"row of another table", "## Recovery\n| fire | extinguished |", ""},
		{"part", `## Faults` + "\n" + `| fire | enginetest "known" |`, ""},
		{"second part, gone", `## Faults` + "\n" + `| fire | enginetest "known", "gone" |`, `enginetest has no "gone"`},
		{"script, gone", `TestHere; cmd/firehosed "gone"`, `cmd/firehosed has no "gone"`},
	} {
		got := problems("doc.md", tt.text, tests, has)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
