package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/e2e/servers"
)

// UpdateEnv names the environment variable that, set to 1, lets the tests write
// the tables of docs/compatibility.md instead of comparing with them.
const UpdateEnv = "E2E_UPDATE"

// Cells of a table.
const (
	cellOK     = "✓"
	cellFailed = "✗"
	cellNone   = "–"
)

// Table is a part of docs/compatibility.md that tests write, between two
// comments with its name. Its rows are sorted by client and protocol.
type Table struct {
	Name  string
	Steps []string
	// Complete means that the outcomes are of all its rows: others go.
	Complete bool
}

// recording is held from reading the document to writing it.
var recording sync.Mutex

// Record compares the rows with the document, or with update writes them into
// it; rows that are not among the outcomes, or did not run on this machine, stay
// as they are. A step that failed, or was not reported, fails the test, and is
// not written.
func (table Table) Record(t testing.TB, update bool, outcomes []Outcome) {
	t.Helper()
	recording.Lock() // tests of several tables run beside each other
	defer recording.Unlock()
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(root), "docs", "compatibility.md")
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sound := true
	for _, o := range outcomes {
		if o.Missing != "" {
			t.Logf("%s, %s did not run: %s", o.Client, o.Protocol, o.Missing)
			continue
		}
		for _, problem := range table.problems(o) {
			sound = false
			t.Errorf("%s, %s: %s", o.Client, o.Protocol, problem)
		}
	}
	got, err := table.merge(string(document), outcomes)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	switch {
	case got == string(document):
	case !sound:
		t.Log("the table is not written: steps failed")
	case update:
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("table %s of %s is written", table.Name, file)
	default:
		t.Errorf("table %s of docs/compatibility.md is not what this run found; with %s=1 it is written:\n%s",
			table.Name, UpdateEnv, differing(string(document), got))
	}
}

// problems are the steps of a row that failed or are missing.
func (table Table) problems(o Outcome) []string {
	if len(o.Steps) == 0 && len(o.Notes) > 0 {
		return nil // cannot be had
	}
	var all []string
	for _, step := range table.Steps {
		line, ok := o.Steps[step]
		switch {
		case !ok:
			all = append(all, fmt.Sprintf("step %s was not reported", step))
		case line.Skip == "" && !line.OK:
			all = append(all, fmt.Sprintf("step %s failed: %s", step, line.Detail))
		}
	}
	for step := range o.Steps {
		if !slices.Contains(table.Steps, step) {
			all = append(all, fmt.Sprintf("step %s is none of %v", step, table.Steps))
		}
	}
	return all
}

// merge puts the rows into the part of the document that belongs to the table.
func (table Table) merge(document string, outcomes []Outcome) (string, error) {
	begin, end := "<!-- begin table "+table.Name+" -->\n", "<!-- end table "+table.Name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("no line %q", begin)
	}
	old, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no %q behind %q", end, begin)
	}
	rows := map[Row]string{}
	gone := func(row Row) bool {
		return table.Complete && !slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Row == row })
	}
	header := table.header()
	// The rows of a table with other columns are of no use.
	if kept, ok := strings.CutPrefix(old, header); ok {
		for line := range strings.Lines(kept) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if len(cells) < 3 {
				return "", fmt.Errorf("no row of table %s: %q", table.Name, line)
			}
			if row := (Row{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[2])}); !gone(row) {
				rows[row] = line
			}
		}
	}
	for _, o := range outcomes {
		if o.Missing == "" {
			rows[o.Row] = table.row(o)
		}
	}
	var b strings.Builder
	b.WriteString(before + begin + header)
	keys := make([]Row, 0, len(rows))
	for row := range rows {
		keys = append(keys, row)
	}
	slices.SortFunc(keys, func(a, b Row) int {
		if c := strings.Compare(strings.ToLower(a.Client), strings.ToLower(b.Client)); c != 0 {
			return c
		}
		return strings.Compare(a.Protocol, b.Protocol)
	})
	for _, row := range keys {
		b.WriteString(rows[row])
	}
	b.WriteString(end + after)
	return b.String(), nil
}

func (table Table) header() string {
	return "| Client | Version | Protocol | " + strings.Join(table.Steps, " | ") + " | Notes |\n" +
		strings.Repeat("|---", len(table.Steps)+4) + "|\n"
}

func (table Table) row(o Outcome) string {
	cells := []string{o.Client, o.Version, o.Protocol}
	if o.Version == "" {
		cells[1] = cellNone
	}
	notes := slices.Clone(o.Notes)
	for _, step := range table.Steps {
		line, ok := o.Steps[step]
		switch {
		case line.Skip != "":
			cells = append(cells, cellNone)
			notes = append(notes, step+": "+line.Skip)
		case !ok && len(o.Steps) == 0:
			cells = append(cells, cellNone)
		case line.OK:
			cells = append(cells, cellOK)
		default:
			cells = append(cells, cellFailed)
		}
	}
	cells = append(cells, strings.Join(notes, "; "))
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.Join(strings.Fields(cell), " "), "|", "/")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// differing are the lines that only one of two texts has.
func differing(a, b string) string {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	var d strings.Builder
	for _, side := range []struct {
		mark        string
		lines, less []string
	}{{"-", first, second}, {"+", second, first}} {
		for _, line := range side.lines {
			if !slices.Contains(side.less, line) {
				d.WriteString(side.mark + line + "\n")
			}
		}
	}
	return d.String()
}
