package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/e2e/servers"
)

// BinaryEnv names the environment variable with the path of a program that is
// built already; make e2e sets it. Without it the program is built.
const BinaryEnv = "FIREHOSED_BIN"

var binary = sync.OnceValues(build)

// Binary is the absolute path of the program under test.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Prepare builds the program, so that no test's figures hold the compiler.
func Prepare() error {
	_, err := binary()
	return err
}

func build() (string, error) {
	if path := os.Getenv(BinaryEnv); path != "" {
		path, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", BinaryEnv, err)
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", BinaryEnv, err)
		}
		return path, nil
	}
	root, err := servers.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, ".cache", "bin", "firehosed")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", path, "./cmd/firehosed")
	cmd.Dir = filepath.Dir(root)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build firehosed: %w\n%s", err, out)
	}
	return path, nil
}
