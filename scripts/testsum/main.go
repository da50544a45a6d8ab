// Command testsum runs "go test -json" commands, prints what a reader of a build log wants to see of them (one line a
// package, everything of a failing test, the reason of a skipped one), and adds up the results of several such runs.
//
//	testsum run -totals FILE -- go test -json ./...
//	testsum report FILE
//
// run appends one line for each finished test to FILE and ends with the exit status of its command. report reads FILE and
// closes with "N passed, N failed" or "N passed, N failed, N skipped".
//
// It counts tests, not runs: a test seen in two runs (with and without the race detector, say) counts once, by its worst
// result. A test that has subtests is counted through them, unless it fails by itself.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// maxOutput bounds the output kept of one running test, in bytes; of a longer one the end is kept.
const maxOutput = 256 << 10

func main() {
	if err := command(os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	usage := errors.New("usage: testsum run -totals FILE -- go test -json ... | testsum report FILE")
	if len(args) == 2 && args[0] == "report" {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		return report(f, os.Stdout)
	}
	if len(args) == 0 || args[0] != "run" {
		return usage
	}
	flags := flag.NewFlagSet("testsum run", flag.ContinueOnError)
	totals := flags.String("totals", "", "file to append the results to")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *totals == "" || flags.NArg() == 0 {
		return usage
	}
	f, err := os.OpenFile(*totals, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(run(flags.Args(), f, os.Stdout), f.Close())
}

// run starts the command, follows its events and returns the error it ended with.
func run(argv []string, totals, out io.Writer) error {
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // ends with the command; the caller's timeout ends both
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	followErr := follow(events, totals, out)
	_, _ = io.Copy(io.Discard, events) // so that the command never blocks on a pipe that nobody reads
	return errors.Join(cmd.Wait(), followErr)
}

// event is one line of go test -json (see "go doc test2json").
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// result is one line of the totals file.
type result struct {
	Package string `json:"package"`
	Test    string `json:"test"` // empty: the package itself, for one that failed in no test of its own
	Action  string `json:"action"`
	Reason  string `json:"reason,omitempty"`
}

// follow reads events until their end, prints the interesting part to out and writes each result to totals.
func follow(events io.Reader, totals, out io.Writer) error {
	type key struct{ pkg, test string }
	output := map[key]string{}
	failedTests := map[string]int{} // by package
	enc := json.NewEncoder(totals)
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
			fmt.Fprint(out, line) // not an event: pass it on as it is
			continue
		}
		k := key{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "output" && e.Test == "":
			if quiet := strings.TrimSpace(e.Output); quiet != "PASS" && quiet != "FAIL" {
				fmt.Fprint(out, e.Output)
			}
		case e.Action == "output":
			kept := output[k] + e.Output
			if len(kept) > maxOutput {
				kept = kept[len(kept)-maxOutput:]
			}
			output[k] = kept
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			r := result{Package: e.Package, Test: e.Test, Action: e.Action}
			if e.Test == "" {
				if e.Action != "fail" || failedTests[e.Package] > 0 {
					continue
				}
			} else if e.Action == "fail" {
				failedTests[e.Package]++
				fmt.Fprint(out, output[k])
			} else if e.Action == "skip" {
				r.Reason = reason(output[k])
				fmt.Fprintf(out, "SKIP %s %s: %s\n", e.Package, e.Test, r.Reason)
			}
			delete(output, k)
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
	}
}

// reason takes what a skipped test said out of its output.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// report adds up a totals file: one line a skipped test, one a failed test, and the closing line.
func report(totals io.Reader, out io.Writer) error {
	rank := map[string]int{"skip": 1, "pass": 2, "fail": 3} // skipped once and run once is run
	worst := map[string]result{}
	dec := json.NewDecoder(totals)
	for {
		var r result
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("totals file: %w", err)
		}
		name := r.Package + " " + r.Test
		if rank[r.Action] > rank[worst[name].Action] {
			worst[name] = r
		}
	}
	// A test with subtests counts through them, unless it failed and none of them did.
	parents := map[string]bool{}
	for name, r := range worst {
		for i := range name {
			if name[i] == '/' && i > len(r.Package) {
				if parent := name[:i]; r.Action == "fail" || worst[parent].Action != "fail" {
					parents[parent] = true
				}
			}
		}
	}
	count := map[string]int{}
	var skipped, failed []string
	for name, r := range worst {
		if parents[name] {
			continue
		}
		count[r.Action]++
		switch r.Action {
		case "skip":
			skipped = append(skipped, fmt.Sprintf("SKIP %s: %s", name, r.Reason))
		case "fail":
			failed = append(failed, "FAIL "+strings.TrimSpace(name))
		}
	}
	sort.Strings(skipped)
	sort.Strings(failed)
	for _, line := range append(skipped, failed...) {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "%d passed, %d failed", count["pass"], count["fail"])
	if count["skip"] > 0 {
		fmt.Fprintf(out, ", %d skipped", count["skip"])
	}
	fmt.Fprintln(out)
	return nil
}
