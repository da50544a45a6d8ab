package scenario

import (
	"slices"
	"testing"
)

// TestRecords holds what the drivers rely on: different data that names its
// number, explicit hash keys below 2^128, and a digest without order.
func TestRecords(t *testing.T) {
	seen := map[string]int{}
	for n := range Renewed.To {
		r := RecordAt(n)
		if before, ok := seen[string(r.Data)]; ok {
			t.Errorf("records %d and %d have the same data", before, n)
		}
		seen[string(r.Data)] = n
		if got := Number(r.Data); got != n {
			t.Errorf("record %d has the data of %d", n, got)
		}
		if len(r.ExplicitHashKey) > 39 || r.ExplicitHashKey > "340282366920938463463374607431768211455" && len(r.ExplicitHashKey) == 39 {
			t.Errorf("record %d: explicit hash key %s is over 2^128-1", n, r.ExplicitHashKey)
		}
	}
	if Number([]byte{0, 0, 0, 5, 1}) != -1 {
		t.Error("other data has a number")
	}
	records := Put.Records()
	want := Digest(records)
	slices.Reverse(records)
	if got := Digest(records); got != want {
		t.Errorf("another order changes the digest: %s, %s", got, want)
	}
	if Digest(records[1:]) == want {
		t.Error("a missing record does not change the digest")
	}
	// Drivers in other languages have this number too.
	if want := "1aaa9cd12f9811efbe93095a75c8baa071d71aa152eaf8ab0e2d31b1e13ffc79"; Digest(Drained.Records()) != want {
		t.Errorf("digest of %v: %s, want %s", Drained, Digest(Drained.Records()), want)
	}
}
