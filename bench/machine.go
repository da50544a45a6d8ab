package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc, the same on all Linux systems
// that Go runs on.
const tick = 10 * time.Millisecond

// processorTime is what a process has used so far, user and system together.
// pid is a number or "self".
func processorTime(pid string) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%s/stat: %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("/proc/%s/stat: %w", pid, err)
	}
	return time.Duration(user+system) * tick, nil
}

// memory is a line of /proc/PID/status, in bytes: VmRSS is what a process
// holds, VmHWM the most it ever held.
func memory(pid, line string) (int64, error) {
	name := "/proc/" + pid + "/status"
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %s: %w", name, line, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no %s", name, line)
}

// resetPeak makes VmHWM count from here.
func resetPeak(pid string) error { return os.WriteFile("/proc/"+pid+"/clear_refs", []byte("5"), 0) }

// loadAverage is that of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	if f := strings.Fields(string(b)); len(f) > 3 {
		return f[0]
	}
	return "unknown"
}

// describeMachine tells what the figures depend on.
func describeMachine(dir string) string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d cores of %s, Linux %s, files on %s, %s",
		runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), fileSystem(dir), runtime.Version())
}

// fileSystem is the type of the file system that dir is on.
func fileSystem(dir string) string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "an unknown file system"
	}
	best, kind, device := "", "an unknown file system", ""
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 3 {
			continue
		}
		rel, err := filepath.Rel(f[1], dir)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") && len(f[1]) >= len(best) {
			best, kind, device = f[1], f[2], filepath.Base(f[0])
		}
	}
	// One without a journal syncs growing files sooner.
	if journals, err := filepath.Glob("/proc/fs/jbd2/" + device + "-*"); kind == "ext4" && err == nil && len(journals) == 0 {
		kind += " without a journal"
	}
	return kind
}
