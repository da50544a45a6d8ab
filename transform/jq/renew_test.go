package jq

import (
	"testing"

	"github.com/firehosed/firehosed/transform"
)

// TestRenew guards that regular expressions taken from records do not pile up.
func TestRenew(t *testing.T) {
	for query, want := range map[string]bool{`.p as $p | "x" | test($p)`: true, `.p`: false} {
		j, err := New(Options{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		before := j.code
		in := make([]transform.Record, renewRecords+1)
		if _, err := j.program(in[:renewRecords]); err != nil {
			t.Fatal(err)
		}
		if j.code != before {
			t.Errorf("%s: compiled anew after %d records", query, renewRecords)
		}
		if _, err := j.program(in[:1]); err != nil {
			t.Fatal(err)
		}
		if got := j.code != before; got != want {
			t.Errorf("%s: compiled anew: %v, want %v", query, got, want)
		}
	}
}
