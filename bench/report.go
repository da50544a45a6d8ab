package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what one run found.
type report struct {
	Machine    string    `json:"machine"`
	Started    time.Time `json:"started"`
	Took       string    `json:"took"`
	Short      bool      `json:"short"`
	LoadBefore string    `json:"load_before"` // average of the minute before
	LoadAfter  string    `json:"load_after"`
	Tables     []*table  `json:"tables"`
}

type table struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Note  string `json:"note"`
	Rows  []row  `json:"rows"` // all with the same columns
}

type row struct {
	Name   string  `json:"name"`
	Values []value `json:"values"`
}

// value is the median of repeated measures, and their range.
type value struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// None means that this was not measured in this row.
	None bool `json:"none,omitempty"`
}

// measured sums up measures. Without any the cell stays empty.
func measured(name string, all []float64) value {
	if len(all) == 0 {
		return value{Name: name, None: true}
	}
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return value{Name: name, Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

func (v value) String() string {
	if v.None {
		return ""
	}
	if v.Min == v.Max {
		return number(v.Median)
	}
	return number(v.Median) + " (" + number(v.Min) + "–" + number(v.Max) + ")"
}

// number writes three digits of those that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// percentile of samples, which it sorts.
func percentile(samples []time.Duration, p float64) time.Duration {
	slices.Sort(samples)
	return samples[min(int(float64(len(samples))*p/100), len(samples)-1)]
}

// markdown is how a run is shown, on a terminal and in the documentation.
func (r *report) markdown() string {
	var b strings.Builder
	size := "full"
	if r.Short {
		size = "short"
	}
	fmt.Fprintf(&b, "%s. A %s run of %s. Load average %s before and %s after.\n", r.Machine, size, r.Took, r.LoadBefore, r.LoadAfter)
	if load, err := strconv.ParseFloat(r.LoadBefore, 64); err == nil && load > 0.5 {
		b.WriteString("**Other programs were running on this machine: only the ratios mean anything, and of those the median.**\n")
	}
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", t.Title, t.Note)
		t.markdown(&b)
	}
	return b.String()
}

func (t *table) markdown(b *strings.Builder) {
	cells := [][]string{{""}}
	for _, v := range t.Rows[0].Values {
		cells[0] = append(cells[0], v.Name)
	}
	for _, r := range t.Rows {
		line := []string{r.Name}
		for _, v := range r.Values {
			line = append(line, v.String())
		}
		cells = append(cells, line)
	}
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for n, line := range cells {
		for i, c := range line {
			pad := strings.Repeat(" ", width[i]-len([]rune(c)))
			if i == 0 {
				b.WriteString("| " + c + pad)
			} else {
				b.WriteString(" | " + pad + c)
			}
		}
		b.WriteString(" |\n")
		if n > 0 {
			continue
		}
		for i, w := range width {
			if i == 0 {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
}

// Markers between which the tables stand in the documentation.
const (
	markBegin = "<!-- bench: begin -->\n"
	markEnd   = "<!-- bench: end -->"
)

// rewrite puts the tables of a run between the markers of a file. Without a
// run it only checks that the markers are there.
func rewrite(name string, r *report) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, ok1 := bytes.Cut(old, []byte(markBegin))
	_, tail, ok2 := bytes.Cut(rest, []byte(markEnd))
	if !ok1 || !ok2 {
		return fmt.Errorf("%s: %w", name, errMarkers)
	}
	if r == nil {
		return nil
	}
	text := slices.Concat(head, []byte(markBegin+r.markdown()+markEnd), tail)
	return os.WriteFile(name, text, 0o644)
}

var errMarkers = errors.New("there is no line " + strings.TrimSpace(markBegin) + " with a line " + markEnd + " after it")
