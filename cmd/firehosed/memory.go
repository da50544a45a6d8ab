package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// idleGarbage is how much memory beyond what is in use an idle daemon keeps. A
// collection of the few megabytes that are left costs a few milliseconds.
const idleGarbage = 8 << 20

// giveBack returns the memory to the system that was only needed for load that
// is over. The runtime would take minutes for it, and keep twice of what is in
// use.
func giveBack() {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	held := s[1].Value.Uint64() + s[2].Value.Uint64() + s[3].Value.Uint64()
	if held < s[0].Value.Uint64()+idleGarbage {
		return
	}
	runtime.GC() // what pools hold lives through one collection
	debug.FreeOSMemory()
}
