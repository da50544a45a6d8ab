package harness

import (
	"fmt"
	"strings"
	"testing"
)

// recorder is a test that fails without failing this one.
type recorder struct {
	testing.TB
	cleanups []func()
	out      []string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any)                 { r.out = append(r.out, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.Logf(format, args...) }
func (r *recorder) Logf(format string, args ...any) {
	r.out = append(r.out, fmt.Sprintf(format, args...))
}

func TestRepeat(t *testing.T) {
	var r recorder
	repeating := Repeat(&r)
	repeating.Cleanup(func() { repeating.Logf("a long log") })
	repeating.Error("broken")
	repeating.Errorf("step %d: %s", 3, strings.Repeat("x", 2000))
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	got := strings.Join(r.out, "\n")
	log, again := strings.Index(got, "a long log"), strings.LastIndex(got, "broken\nstep 3: xxx")
	if log < 0 || again < log || len(got) > 4000 {
		t.Errorf("%s", got)
	}
	quiet := recorder{}
	Repeat(&quiet)
	quiet.cleanups[0]()
	if len(quiet.out) > 0 {
		t.Errorf("without an error: %q", quiet.out)
	}
}
