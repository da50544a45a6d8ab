package harness

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// repeating is a test that knows its errors.
type repeating struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

// Repeat returns t with errors that are logged once more when the test ends,
// behind what later cleanups log: the log of a daemon is long, and a report of
// many tests shows the end of what a failed one printed.
func Repeat(t testing.TB) testing.TB {
	t.Helper()
	r := &repeating{TB: t}
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.said) > 0 {
			t.Logf("the errors once more:\n%s", strings.Join(r.said, "\n"))
		}
	})
	return r
}

// Deadline is that of the test, none if it has none: [Within] asks for it.
func (r *repeating) Deadline() (time.Time, bool) {
	if bound, ok := r.TB.(interface{ Deadline() (time.Time, bool) }); ok {
		return bound.Deadline()
	}
	return time.Time{}, false
}

func (r *repeating) Error(args ...any) {
	r.Helper()
	r.TB.Error(args...)
	r.note(strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

func (r *repeating) Errorf(format string, args ...any) {
	r.Helper()
	r.TB.Errorf(format, args...)
	r.note(fmt.Sprintf(format, args...))
}

// note keeps the first bytes of an error.
func (r *repeating) note(text string) {
	const most = 1000
	if len(text) > most {
		text = text[:most] + " ..."
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
}
