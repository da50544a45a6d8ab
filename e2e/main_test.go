// Package e2e holds the acceptance tests: the built program, real clients and
// real servers.
package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/harness"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0 draws one")

func TestMain(m *testing.M) {
	flag.Parse()
	if err := harness.Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// random makes the source of a test's random choices and prints its seed. What
// is chosen can be repeated, when it happens cannot.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -run %s -args -seed=%d", seed, t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// number is a whole number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number above 0", name, text)
	}
	return n
}

// duration is a time from the environment, such as 10m.
func duration(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q is no duration above 0", name, text)
	}
	return d
}

const mib = 1 << 20
