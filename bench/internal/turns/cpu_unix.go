//go:build unix

package turns

import (
	"syscall"
	"time"
)

// ProcessorTime is what this process has used, to the microsecond.
func ProcessorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
