// Command gen writes docs/configuration.md and docs/config.schema.json from the
// types of package config: from their tags through config.Table, and from their
// comments, which it reads from the source. Run it with go generate ./config or
// go run ./config/gen anywhere in the module.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/firehosed/firehosed/config"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the generated files by their path below the module root.
func generate(root string) (map[string][]byte, error) {
	comments, err := readComments(filepath.Join(root, "config"))
	if err != nil {
		return nil, err
	}
	sections := collect(config.Table(), comments)
	schema, err := jsonSchema(sections)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"docs/configuration.md":   markdown(sections),
		"docs/config.schema.json": schema,
	}, nil
}

// moduleRoot finds the folder of go.mod at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod here or above")
		}
		dir = up
	}
}
