package harness

import (
	"strings"
	"testing"
)

var testTable = Table{Name: "t", Steps: []string{"put", "get"}}

const testDocument = `# Title
<!-- begin table t -->
| Client | Version | Protocol | put | get | Notes |
|---|---|---|---|---|---|
| other | 1.0 | JSON | ✓ | ✓ |  |
<!-- end table t -->
behind
`

func outcome(client string, lines ...Line) Outcome {
	o := Outcome{Row: Row{client, "JSON"}, Version: "2.0", Steps: map[string]Line{}}
	for _, l := range lines {
		o.Steps[l.Step] = l
	}
	return o
}

func TestTableMerge(t *testing.T) {
	unavailable := Outcome{Row: Row{"gone", "CBOR"}, Notes: []string{"not in | a registry"}}
	for _, tt := range []struct {
		name     string
		outcomes []Outcome
		want     []string // rows
	}{
		{"nothing ran", nil, []string{"| other | 1.0 | JSON | ✓ | ✓ |  |"}},
		{"sorted", []Outcome{outcome("Zed", Line{Step: "put", OK: true}, Line{Step: "get", Skip: "no such call"}), outcome("a", Line{Step: "put", OK: true}, Line{Step: "get"})}, []string{
			"| a | 2.0 | JSON | ✓ | ✗ |  |", "| other | 1.0 | JSON | ✓ | ✓ |  |", "| Zed | 2.0 | JSON | ✓ | – | get: no such call |",
		}},
		{"replaced", []Outcome{outcome("other", Line{Step: "put", OK: true}, Line{Step: "get", OK: true})}, []string{"| other | 2.0 | JSON | ✓ | ✓ |  |"}},
		{"cannot be had", []Outcome{unavailable}, []string{"| gone | – | CBOR | – | – | not in / a registry |", "| other | 1.0 | JSON | ✓ | ✓ |  |"}},
		{"not here", []Outcome{{Row: Row{"other", "JSON"}, Missing: "no such program"}}, []string{"| other | 1.0 | JSON | ✓ | ✓ |  |"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := testTable.merge(testDocument, tt.outcomes)
			if err != nil {
				t.Fatal(err)
			}
			want := "# Title\n<!-- begin table t -->\n" + testTable.header() + strings.Join(tt.want, "\n") + "\n<!-- end table t -->\nbehind\n"
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if again, err := testTable.merge(got, tt.outcomes); err != nil || again != got {
				t.Errorf("the second time: %v\n%s", err, again)
			}
		})
	}
	complete := testTable
	complete.Complete = true
	if got, err := complete.merge(testDocument, []Outcome{unavailable}); err != nil || strings.Contains(got, "| other |") || !strings.Contains(got, "| gone |") {
		t.Errorf("a row that nothing stands for any more: %v\n%s", err, got)
	}
	if _, err := testTable.merge("no markers", nil); err == nil {
		t.Error("a document without the markers is accepted")
	}
}

func TestTableProblems(t *testing.T) {
	ok := []Line{{Step: "put", OK: true}, {Step: "get", OK: true}}
	for _, tt := range []struct {
		name string
		o    Outcome
		want int
	}{
		{"all is well", outcome("a", ok...), 0},
		{"a step cannot be done", outcome("a", ok[0], Line{Step: "get", Skip: "why"}), 0},
		{"a step failed", outcome("a", ok[0], Line{Step: "get", Detail: "timeout"}), 1},
		{"a step is missing", outcome("a", ok[0]), 1},
		{"nothing was reported", outcome("a"), 2},
		{"an unknown step", outcome("a", ok[0], ok[1], Line{Step: "x", OK: true}), 1},
		{"cannot be had", Outcome{Row: Row{"a", "b"}, Notes: []string{"why"}}, 0},
	} {
		if got := testTable.problems(tt.o); len(got) != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestDriverLines(t *testing.T) {
	row := Row{"a", "JSON"}
	for _, tt := range []struct {
		name, lines string
		failed, bad bool
	}{
		{"one step", `{"client":"a","version":"1","protocol":"JSON","step":"put","ok":true,"detail":"x"}`, false, false},
		{"empty lines", "\n\n", false, false},
		{"a step that failed", `{"client":"a","version":"1","protocol":"JSON","step":"put","ok":false}`, true, false},
		{"a step that cannot be done", `{"client":"a","version":"1","protocol":"JSON","step":"put","skip":"why"}`, false, false},
		{"another client", `{"client":"b","version":"1","protocol":"JSON","step":"put","ok":true}`, false, true},
		{"no JSON", `Hello`, false, true},
		{"unknown member", `{"client":"a","protocol":"JSON","step":"put","okay":true}`, false, true},
		{"twice", strings.Repeat(`{"client":"a","protocol":"JSON","step":"put","ok":true}`+"\n", 2), false, true},
	} {
		outcomes := []Outcome{{Row: row, Steps: map[string]Line{}}}
		failed, err := readLines(strings.NewReader(tt.lines), outcomes)
		if failed != tt.failed || (err != nil) != tt.bad {
			t.Errorf("%s: failed %v, error %v", tt.name, failed, err)
		}
	}
}
