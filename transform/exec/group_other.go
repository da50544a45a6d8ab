//go:build !unix

package exec

import "os/exec"

func ownGroup(*exec.Cmd) {}

// Without process groups only the program itself ends. An error means that it
// has ended already.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
func termGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
