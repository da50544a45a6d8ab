package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

const (
	driverTimeout = 15 * time.Minute // Terraform takes two to four on a machine with two cores
	maxLine       = 1 << 20
	driverTail    = 6 << 10 // bytes of a driver's standard error that a failed test shows
)

// Driver is a program that takes a real client through a scenario and says on
// its standard output, one JSON document a line, how each step went.
type Driver struct {
	// Name stands in messages, and chooses drivers.
	Name string
	// Table has the rows, and the steps that they report; without a name it is
	// the one that the test takes for most drivers.
	Table Table
	// Rows are the clients, or ways to use one, that the program reports on.
	Rows []Row
	// Command makes the program, without its environment, or says why it cannot
	// run on this machine. It is not called for a client that cannot be had.
	Command func(t testing.TB) (cmd *exec.Cmd, missing string)
	// Unavailable is why nobody can have the client.
	Unavailable string
}

// Row names one row of a table in the documentation.
type Row struct{ Client, Protocol string }

// Line is one line of a driver.
type Line struct {
	Client   string `json:"client"`
	Version  string `json:"version"`
	Protocol string `json:"protocol"`
	Step     string `json:"step"`
	OK       bool   `json:"ok"`
	Skip     string `json:"skip,omitempty"`   // why the client cannot do the step
	Detail   string `json:"detail,omitempty"` // the error, or what the step says
}

// Outcome is how the steps of a row went.
type Outcome struct {
	Row
	Version string
	Steps   map[string]Line // by step
	Missing string          // why it did not run on this machine
	Notes   []string
}

// RunDriver runs a driver to its end and gives an outcome for each of its rows.
// The environment of the caller is passed on, but for its AWS settings, with env
// added. Lines that it does not understand, rows it was not to report, and an
// exit status that does not fit its lines are errors.
func RunDriver(t testing.TB, d Driver, env []string) ([]Outcome, error) {
	outcomes := make([]Outcome, len(d.Rows))
	for i, row := range d.Rows {
		outcomes[i] = Outcome{Row: row, Steps: map[string]Line{}}
	}
	if d.Unavailable != "" {
		for i := range outcomes {
			outcomes[i].Notes = []string{d.Unavailable}
		}
		return outcomes, nil
	}
	cmd, missing := d.Command(t)
	if missing != "" {
		for i := range outcomes {
			outcomes[i].Missing = missing
		}
		return outcomes, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), Within(t, driverTimeout))
	defer cancel()
	bound := exec.CommandContext(ctx, cmd.Path)
	bound.Args, bound.Dir = cmd.Args, cmd.Dir
	bound.Env = append(append(withoutAWS(os.Environ()), cmd.Env...), env...)
	var stderr bytes.Buffer
	bound.Stderr = &stderr
	// A driver that has programs of its own to end is asked first.
	bound.Cancel = func() error { return bound.Process.Signal(syscall.SIGTERM) }
	bound.WaitDelay = 20 * time.Second
	stdout, err := bound.StdoutPipe()
	if err != nil {
		return outcomes, err
	}
	if err := bound.Start(); err != nil {
		return outcomes, fmt.Errorf("%s: %w", d.Name, err)
	}
	failed, linesErr := readLines(stdout, outcomes)
	waitErr := bound.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: not done after %v", d.Name, time.Since(began).Round(time.Second))
	case linesErr != nil:
		err = fmt.Errorf("%s: %w", d.Name, linesErr)
	case errors.As(waitErr, &exit) && failed:
		// It has said so.
	case waitErr != nil:
		err = fmt.Errorf("%s: %w", d.Name, waitErr)
	case failed:
		err = fmt.Errorf("%s: exit status 0 after a step that failed", d.Name)
	}
	if err != nil || failed {
		text := stderr.Bytes()
		t.Logf("%s, standard error:\n%s", d.Name, text[max(0, len(text)-driverTail):])
	}
	return outcomes, err
}

// readLines sorts the lines of a driver to the rows, and tells whether a step failed.
func readLines(r io.Reader, outcomes []Outcome) (failed bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		raw := bytes.TrimSpace(lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		var line Line
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if jsonErr := decoder.Decode(&line); jsonErr != nil {
			err = errors.Join(err, fmt.Errorf("line %.300q: %w", raw, jsonErr))
			continue
		}
		i := slices.IndexFunc(outcomes, func(o Outcome) bool { return o.Row == Row{line.Client, line.Protocol} })
		if i < 0 {
			err = errors.Join(err, fmt.Errorf("line %.300q: the driver was not to report client %q, protocol %q", raw, line.Client, line.Protocol))
			continue
		}
		o := &outcomes[i]
		if _, twice := o.Steps[line.Step]; twice {
			err = errors.Join(err, fmt.Errorf("line %.300q: step %s for the second time", raw, line.Step))
		}
		o.Steps[line.Step] = line
		o.Version = line.Version
		failed = failed || !line.OK && line.Skip == ""
	}
	return failed, errors.Join(err, lines.Err())
}
