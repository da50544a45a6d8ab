package main

import (
	"bytes"
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
	// Half of what a load needs is garbage then, and half is in pools.
	load := func() {
		all := make([][]byte, 16) // in use at one time: a collection meanwhile finds none of it free
		for i := range all {
			all[i] = bytes.Repeat([]byte{1}, 4<<20)
		}
		for _, b := range all[:8] {
			pool.Put(&b)
		}
	}
	// The runtime keeps a few free megabytes of the first load.
	load()
	runtime.GC()
	debug.FreeOSMemory()
	before := held()
	load()
	runtime.GC()
	if n := held() - before; n < 32<<20 {
		t.Fatalf("only %d bytes more are held under load", n)
	}
	var s spare
	s.giveBack()
	if after := held(); after > before+idleGarbage {
		t.Errorf("%d bytes are held after the load, %d before", after, before)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n := m.NumGC
	s.giveBack()
	runtime.ReadMemStats(&m)
	if m.NumGC != n {
		t.Error("collected again with nothing to give back")
	}
}

// TestGiveBackInVain leaves gaps between small objects that are in use: nobody
// can give them back, and it is not tried again until there is more.
func TestGiveBackInVain(t *testing.T) {
	all := make([][]byte, 64<<10)
	for i := range all {
		all[i] = make([]byte, 1<<10)
	}
	for i := range all {
		if i%16 != 0 {
			all[i] = nil
		}
	}
	runtime.GC() // one that began before may take them for in use
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumGC
	}
	var s spare
	s.giveBack()
	if n := unused(); n < 2*idleGarbage {
		t.Fatalf("only %d bytes could not be given back", n)
	}
	before := collections()
	s.giveBack()
	if n := collections(); n != before {
		t.Errorf("collected %d times more", n-before)
	}
	more := make([]byte, 2*idleGarbage)
	more[0] = 1
	s.giveBack()
	if n := collections(); n == before {
		t.Error("did not collect what is new")
	}
	runtime.KeepAlive(all)
}
