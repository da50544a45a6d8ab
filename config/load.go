package config

import (
	"fmt"
	"os"
	"reflect"
)

// Load reads the configuration file at path. getenv and readFile serve
// ${env:...}, ${file:...} and the file itself; nil means os.LookupEnv and
// ReadFile. Relative paths, there and in the values, start at the working
// directory of the process.
//
// The error is a *Problems with everything that is wrong in the file, or that
// of readFile.
func Load(path string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, error) {
	if getenv == nil {
		getenv = os.LookupEnv
	}
	if readFile == nil {
		readFile = ReadFile
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	problems := newCollector()
	c := &Config{file: path, places: map[string]place{}}
	root := parseTree(path, data, problems)
	if root == nil {
		return nil, problems.err()
	}
	d := &decoder{
		file:     path,
		problems: problems,
		resolver: &resolver{getenv: getenv, readFile: readFile, files: map[string]fileText{}},
		places:   c.places,
	}
	d.section(table(), root, reflect.ValueOf(c).Elem(), "", place{line: root.line, col: root.col})
	c.complete()
	k := &checker{c: c, problems: problems}
	k.all()
	if err := problems.err(); err != nil {
		return nil, err
	}
	sortProblems(c.notes)
	return c, nil
}
