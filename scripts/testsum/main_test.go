package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestFollow(t *testing.T) {
	events := strings.Join([]string{
		`{"Action":"start","Package":"m/a"}`,
		`{"Action":"run","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"output","Package":"m/a","Test":"TestBad","Output":"    a_test.go:7: got 1, want 2\n"}`,
		`{"Action":"fail","Package":"m/a","Test":"TestBad"}`,
		`{"Action":"output","Package":"m/a","Test":"TestLater","Output":"=== RUN   TestLater\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestLater","Output":"    a_test.go:9: no server here\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestLater","Output":"--- SKIP: TestLater (0.00s)\n"}`,
		`{"Action":"skip","Package":"m/a","Test":"TestLater"}`,
		`{"Action":"output","Package":"m/a","Output":"FAIL\n"}`,
		`{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}`,
		`{"Action":"fail","Package":"m/a"}`,
		`{"ImportPath":"m/b","Action":"build-output","Output":"b.go:1: syntax error\n"}`,
		`{"ImportPath":"m/b","Action":"build-fail"}`,
		`{"Action":"fail","Package":"m/b","FailedBuild":"m/b"}`,
		`{"Action":"skip","Package":"m/c"}`,
		`plain words`,
	}, "\n")
	var totals, out bytes.Buffer
	if err := follow(strings.NewReader(events), &totals, &out); err != nil {
		t.Fatal(err)
	}
	wantOut := "    a_test.go:7: got 1, want 2\n" +
		"SKIP m/a TestLater: a_test.go:9: no server here\n" +
		"FAIL\tm/a\t0.1s\n" +
		"b.go:1: syntax error\n" +
		"plain words"
	if out.String() != wantOut {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), wantOut)
	}
	out.Reset()
	if err := report(&totals, &out); err != nil {
		t.Fatal(err)
	}
	wantOut = "SKIP m/a TestLater: a_test.go:9: no server here\n" +
		"FAIL m/a TestBad\n" +
		"FAIL m/b\n" +
		"1 passed, 2 failed, 1 skipped\n"
	if out.String() != wantOut {
		t.Errorf("reported\n%s\nwant\n%s", out.String(), wantOut)
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []string // package test action
		want string   // the closing line
	}{
		{"nothing", nil, "0 passed, 0 failed"},
		{"the same test in two runs counts once", []string{"p A pass", "p A pass"}, "1 passed, 0 failed"},
		{"the worse of two runs counts", []string{"p A pass", "p A fail"}, "0 passed, 1 failed"},
		{"skipped in one run and run in another", []string{"p A skip", "p A pass"}, "1 passed, 0 failed"},
		{"a parent counts through its subtests", []string{"p A/x pass", "p A/y/z pass", "p A/y pass", "p A pass"}, "2 passed, 0 failed"},
		{"a failed subtest is one failure", []string{"p A/x fail", "p A fail"}, "0 passed, 1 failed"},
		{"a parent that fails by itself", []string{"p A/x pass", "p A fail"}, "1 passed, 1 failed"},
		{"slashes in the package are no subtests", []string{"m/p A pass", "m/p B pass"}, "2 passed, 0 failed"},
		{"a skipped subtest", []string{"p A/x skip", "p A pass"}, "0 passed, 0 failed, 1 skipped"},
		{"one name in two packages", []string{"p A pass", "q A pass"}, "2 passed, 0 failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var totals strings.Builder
			for _, line := range tt.in {
				f := strings.Fields(line)
				totals.WriteString(`{"package":"` + f[0] + `","test":"` + f[1] + `","action":"` + f[2] + `"}` + "\n")
			}
			var out bytes.Buffer
			if err := report(strings.NewReader(totals.String()), &out); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if got := lines[len(lines)-1]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
