package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// RequiredEnv names the environment variable that, set to 1, turns "not set up"
// from a skipped test into a failed one. CI sets it.
const RequiredEnv = "E2E_REQUIRED"

// Programs that setup.sh puts into the cache, by path inside it.
const (
	VersityBinary  = "bin/versitygw"
	OpenSearchDir  = "opensearch"
	OpenSearchMark = "opensearch/stamp"
	Python         = "venv/bin/python"
	AWSCLI         = "venv/bin/aws"
	NodeModules    = "node/node_modules"
)

// Root is the folder of this module, as an absolute path.
func Root() (string, error) {
	// From the source file's own path when it is one, else upwards from the
	// working directory: go test -trimpath replaces the former.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(file)), nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("root of the e2e module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "setup.sh")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("root of the e2e module: no setup.sh here or above")
		}
		dir = up
	}
}

// Cached is the absolute path of something that setup.sh made. The error for
// one that is not there says which script makes it.
func Cached(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	file := filepath.Join(root, ".cache", filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("e2e/.cache/%s is not there: run e2e/setup.sh first (%w)", name, err)
	}
	return file, nil
}

// Require returns the absolute paths of things that setup.sh made, in the order
// of names. When one is missing it skips the test, or fails it if
// E2E_REQUIRED=1 is set.
func Require(t testing.TB, names ...string) []string {
	t.Helper()
	files := make([]string, 0, len(names))
	var missing []string
	for _, name := range names {
		file, err := Cached(name)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		files = append(files, file)
	}
	if len(missing) == 0 {
		return files
	}
	if os.Getenv(RequiredEnv) == "1" {
		t.Fatalf("%s=1, but %s", RequiredEnv, strings.Join(missing, "; "))
	}
	t.Skipf("%s", strings.Join(missing, "; "))
	return nil
}
