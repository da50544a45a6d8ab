package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Files are the files below a folder, in the order of their paths; none if
// there is no such folder. With patterns, only those whose name matches one.
func Files(t testing.TB, root string, patterns ...string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return nil // removed while it was looked at
			}
			return err
		}
		if e.IsDir() {
			return nil
		}
		wanted := len(patterns) == 0
		for _, p := range patterns {
			ok, err := filepath.Match(p, e.Name())
			if err != nil {
				return err
			}
			wanted = wanted || ok
		}
		if wanted {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
