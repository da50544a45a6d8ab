package kcl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccounts holds that an account sees what must not be.
func TestAccounts(t *testing.T) {
	const good = "1\tinitialize\ts0\t1\n" +
		"2\trecord\ts0\t1\t10\t0\tk\tk:0\n2\trecord\ts0\t1\t11\t0\tk\tk:1\n" +
		"3\tended\ts0\t1\n4\trecord\ts1\t2\t20\t0\tk\tk:2\n"
	for name, test := range map[string]struct {
		lines   string
		keys    int // of key k
		twice   int
		problem string
	}{
		"good":             {good, 3, 0, ""},
		"torn":             {good + "9\trecord\ts1\t2\t21\t0\tk\tk:", 3, 0, ""},
		"again":            {good + "5\trecord\ts1\t3\t20\t0\tk\tk:2\n", 3, 1, ""},
		"gap":              {good + "5\trecord\ts1\t2\t22\t0\tk\tk:4\n", 3, 0, ""},
		"backwards":        {good + "5\trecord\ts1\t2\t21\t0\tk\tk:1\n", 3, 1, "record 1 of k behind 2"},
		"late":             {good + "5\trecord\ts1\t3\t21\t0\tk\tk:4\n6\trecord\ts1\t4\t21\t1\tk\tk:3\n", 5, 0, "record 4 of k was processed first 1 ms before record 3"},
		"same number":      {good + "5\trecord\ts1\t3\t20\t0\tj\tj:0\n", 3, 0, "once k:2, once j:0"},
		"of two aggregate": {good + "5\trecord\ts1\t3\t20\t1\tj\tj:0\n", 3, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(file, []byte(test.lines), 0o600); err != nil {
				t.Fatal(err)
			}
			events, err := Events("w", file)
			if err != nil {
				t.Fatal(err)
			}
			a := Accounts(events)
			if a.Keys["k"] != test.keys || a.Duplicates != test.twice {
				t.Errorf("%d of k, %d twice, want %d and %d", a.Keys["k"], a.Duplicates, test.keys, test.twice)
			}
			if got := strings.Join(a.Problems, "; "); test.problem == "" && got != "" || !strings.Contains(got, test.problem) {
				t.Errorf("problems %q, want %q", got, test.problem)
			}
			if s := a.Shards["s0"]; s == nil || s.Ended != 3 || s.Last != "11" || s.FirstRecord != 2 || !s.Workers["w"] {
				t.Errorf("shard s0: %+v", s)
			}
		})
	}
	if _, err := parse(strings.Split("1\trecord\ts0\t1\t10\t0\tk\tj:0", "\t")); err == nil {
		t.Error("data of another key is taken")
	}
	if events, err := Events("w", filepath.Join(t.TempDir(), "none")); err != nil || events != nil {
		t.Errorf("no file: %v, %v", events, err)
	}
}
