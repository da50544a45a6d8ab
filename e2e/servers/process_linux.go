package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// childAttributes puts the child into a group of its own and ties its life to
// the thread that starts it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// RSS is the resident memory of the program itself in bytes, without its
// children. PeakRSS is the highest value of the current run.
func (p *Process) RSS() (int64, error) { return p.statusBytes("VmRSS:") }

// PeakRSS is the highest resident memory of the current run in bytes.
func (p *Process) PeakRSS() (int64, error) { return p.statusBytes("VmHWM:") }

func (p *Process) statusBytes(field string) (int64, error) {
	r := p.current()
	if r == nil || r.ended() {
		return 0, fmt.Errorf("%s: memory: %w", p.spec.Name, ErrNotRunning)
	}
	file := fmt.Sprintf("/proc/%d/status", r.pid)
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("%s: memory: %w", p.spec.Name, err)
	}
	for line := range bytes.Lines(raw) {
		rest, found := bytes.CutPrefix(line, []byte(field))
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: memory: %s: %s %w", p.spec.Name, file, field, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("%s: memory: %s has no %s (the process is ending)", p.spec.Name, file, field)
}

// stopped reports whether every thread of a process is stopped by a signal.
func stopped(pid int) (bool, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		return false, err
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return false, nil // the thread has ended: look again
		}
		if err != nil {
			return false, err
		}
		// The state follows the name, which is in parentheses and may hold any.
		after := bytes.LastIndexByte(stat, ')') + len(") ")
		if after >= len(stat) || stat[after] != 'T' {
			return false, nil
		}
	}
	return true, nil
}
