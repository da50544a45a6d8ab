//go:build !linux

package servers

import (
	"errors"
	"syscall"
)

// childAttributes puts the child into a group of its own. Without a death
// signal, a test binary that is killed leaves its servers behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// RSS is known on Linux only.
func (p *Process) RSS() (int64, error) { return 0, errors.ErrUnsupported }

// PeakRSS is known on Linux only.
func (p *Process) PeakRSS() (int64, error) { return 0, errors.ErrUnsupported }

// stopped cannot be told here.
func stopped(int) (bool, error) { return true, nil }
