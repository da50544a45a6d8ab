package main

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// forgetInit lets go of the pages of the program itself that are mapped: most of
// them only the start needed, to initialize tables of packages. They stay in the
// system's page cache, from where those that are used again come back.
func forgetInit() error {
	list, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	for _, m := range programMappings(list, program) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return nil
}

type mapping struct{ from, to uintptr }

// programMappings finds the parts of a program in the text of /proc/self/smaps
// that can be read from its file again: they cannot be written, and nothing was
// written to them before they became so, as a loader does that relocates
// addresses.
func programMappings(smaps []byte, program string) (out []mapping) {
	var m mapping
	ours := false
	for line := range bytes.Lines(smaps) {
		f := bytes.Fields(line)
		if len(f) >= 5 && !bytes.HasSuffix(f[0], []byte(":")) {
			ours = false
			if len(f) < 6 || len(f[1]) != 4 || string(bytes.Join(f[5:], []byte(" "))) != program || f[1][1] != '-' || f[1][3] != 'p' {
				continue
			}
			n, err := fmt.Sscanf(string(f[0]), "%x-%x", &m.from, &m.to)
			ours = err == nil && n == 2
			continue
		}
		if ours && len(f) == 3 && string(f[0]) == "Anonymous:" {
			if string(f[1]) == "0" {
				out = append(out, m)
			}
			ours = false
		}
	}
	return out
}
