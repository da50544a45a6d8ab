package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// TestGiveBack lets pools and garbage of a load go, and leaves a process alone
// that holds little more than it uses.
func TestGiveBack(t *testing.T) {
	var pool sync.Pool
	held := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys - m.HeapReleased
	}
	debug.FreeOSMemory()
	before := held()
	for range 16 {
		b := make([]byte, 4<<20)
		for i := range b {
			b[i] = 1
		}
		pool.Put(&b)
	}
	runtime.GC()
	if n := held() - before; n < 32<<20 {
		t.Fatalf("only %d bytes more are held under load", n)
	}
	giveBack()
	if after := held(); after > before+idleGarbage {
		t.Errorf("%d bytes are held after the load, %d before", after, before)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n := m.NumGC
	giveBack()
	runtime.ReadMemStats(&m)
	if m.NumGC != n {
		t.Error("collected again with nothing to give back")
	}
}
