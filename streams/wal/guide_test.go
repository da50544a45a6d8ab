package wal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLibraryGuide holds the code of the guide to that of the examples, which
// the compiler and their outputs hold to the truth.
func TestLibraryGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/library.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := unindented(string(examples))
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 5 {
		t.Errorf("the guide has %d blocks of code", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(code, unindented(b[1])) {
			t.Errorf("this code of docs/guide/library.md is not in example_test.go:\n%s", b[1])
		}
	}
}

func unindented(s string) string { return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(s, "") }
