//go:build !unix

package turns

import "time"

// ProcessorTime is not told here; the benchmark needs Linux anyway.
func ProcessorTime() time.Duration { return 0 }
