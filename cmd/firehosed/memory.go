package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// idleGarbage is how much memory beyond what is in use an idle daemon keeps. A
// collection of the few megabytes that are left costs a few milliseconds.
const idleGarbage = 8 << 20

// spare is the memory that was only needed for load that is over. Its methods
// may be called concurrently.
type spare struct {
	// kept is what could not be given back the last time, in bytes: parts of spans
	// that are in use, and some free megabytes that the runtime keeps whatever it is
	// told. It is not asked for them again and again.
	kept atomic.Int64
}

// giveBack returns the memory to the system. The runtime would take minutes for
// it, and keep twice of what is in use.
func (s *spare) giveBack() {
	now := unused()
	if now < s.kept.Load()+idleGarbage {
		s.kept.Store(min(s.kept.Load(), now))
		return
	}
	runtime.GC() // what pools hold lives through one collection
	debug.FreeOSMemory()
	s.kept.Store(unused())
}

// unused returns how many bytes of the heap the process holds beyond those that
// the last collection found in use.
func unused() int64 {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	held := s[1].Value.Uint64() + s[2].Value.Uint64() + s[3].Value.Uint64()
	return max(0, int64(held)-int64(s[0].Value.Uint64()))
}
