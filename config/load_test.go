package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the wanted messages at the head of testdata/*.yaml")

// testEnv and testFiles are what ${env:...} and ${file:...} see in tests.
var testEnv = map[string]string{
	"REGION_NAME":   "eu-west-1",
	"SIZE":          "256MiB",
	"SHARDS":        "3",
	"TRUE":          "true",
	"EMPTY":         "",
	"SECRET_WORD":   "hunter2",
	"SECRET_NUMBER": "8675309",
	"YAML":          "{ a: { shards: 2 } }",
}

var testFiles = map[string]string{
	"secret.txt": "correct horse\n",
	"large.txt":  strings.Repeat("x", maxResolvedValue+1),
	"binary.txt": "\xff\xfe",
}

func getenv(name string) (string, bool) {
	v, ok := testEnv[name]
	return v, ok
}

// loadBytes loads a configuration from memory.
func loadBytes(name string, data []byte) (*Config, error) {
	return Load(name, getenv, func(path string) ([]byte, error) {
		if path == name {
			return data, nil
		}
		if text, ok := testFiles[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	})
}

// Each file in testdata begins with what Load says about it: a line
// "# want: ..." for each problem of a *.bad.yaml, "# note: ..." for each note
// of a *.good.yaml. Lines and columns count without these lines.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, body := splitWanted(data)
			var got []string
			c, err := loadBytes(name, body)
			if err != nil {
				problems, ok := errors.AsType[*Problems](err)
				if !ok {
					t.Fatalf("error is a %T: %v", err, err)
				}
				for _, line := range strings.Split(problems.Error(), "\n") {
					got = append(got, "# want: "+strings.TrimPrefix(line, name+":"))
				}
			} else {
				for _, n := range c.Notes() {
					got = append(got, "# note: "+strings.TrimPrefix(n.Error(), name+":"))
				}
			}
			if strings.HasSuffix(name, ".bad.yaml") {
				bad++
				if err == nil {
					t.Error("Load took it")
				}
			} else if err != nil {
				t.Errorf("Load did not take it: %v", err)
			}
			for _, secret := range []string{"hunter2", "8675309", "correct horse", "topsecret"} {
				for _, line := range got {
					if strings.Contains(line, secret) {
						t.Errorf("a message shows a secret: %s", line)
					}
				}
			}
			if *update {
				head := ""
				if len(got) > 0 {
					head = strings.Join(got, "\n") + "\n"
				}
				if err := os.WriteFile(file, append([]byte(head), body...), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
				t.Errorf("got\n%s\nwant\n%s", g, w)
			}
		})
	}
	if bad < 40 {
		t.Errorf("%d bad files, want at least 40", bad)
	}
}

func splitWanted(data []byte) (want []string, body []byte) {
	for bytes.HasPrefix(data, []byte("# want: ")) || bytes.HasPrefix(data, []byte("# note: ")) {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		want = append(want, string(line))
		data = rest
	}
	return want, data
}

func ExampleLoad() {
	file := func(string) ([]byte, error) {
		return []byte("streams:\n  clicks: { shrads: 2, retention: 7 days }\n"), nil
	}
	_, err := Load("firehosed.yaml", nil, file)
	fmt.Println(err)
	// Output:
	// firehosed.yaml:2:13: unknown key `shrads` in streams.clicks; did you mean `shards`?
	// firehosed.yaml:2:35: streams.clicks.retention: `7 days` is not a duration; write 7d
}
