package main

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestForgetInit lets go of pages of the program, and the program goes on.
func TestForgetInit(t *testing.T) {
	mapped := func() (kb int) {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(b), "RssFile:")
		if !ok {
			t.Skip("this kernel does not tell pages of files apart")
		}
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			t.Fatal(err)
		}
		return kb
	}
	touchProgram(t)
	before := mapped()
	if err := forgetInit(); err != nil {
		t.Fatal(err)
	}
	if after := mapped(); after > before/2 {
		t.Errorf("%d KiB of the program are mapped, %d before", after, before)
	}
}

// touchProgram makes the system map every page of the program, whatever was
// needed of it and forgotten so far.
func touchProgram(t *testing.T) {
	t.Helper()
	list, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for _, m := range programMappings(list, program) {
		if _, err := io.Copy(io.Discard, io.NewSectionReader(mem, int64(m.from), int64(m.to-m.from))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProgramMappings(t *testing.T) {
	part := func(head, anonymous string) string {
		return head + "\nSize:               1216 kB\nRss:                1216 kB\nAnonymous:           " + anonymous + " kB\nVmFlags: rd ex mr mw me sd \n"
	}
	smaps := part("00400000-00530000 r-xp 00000000 fe:00 11 /usr/bin/fire hosed", "0") +
		part("00530000-00541000 r--p 00130000 fe:00 11 /usr/bin/fire hosed", "0") +
		part("00541000-00551000 r--p 00141000 fe:00 11 /usr/bin/fire hosed", "8") + // relocated, then protected
		part("00551000-00561000 rw-p 00151000 fe:00 11 /usr/bin/fire hosed", "0") +
		part("00561000-00571000 rw-p 00000000 00:00 0 ", "4") +
		part("00571000-00581000 r--s 00151000 fe:00 11 /usr/bin/fire hosed", "0") +
		part("7f0000000000-7f0000010000 r-xp 00000000 fe:00 12 /lib/libc.so.6", "0") +
		part("7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0 [vdso]", "0") +
		"what is this\n00571000-00581000 r a b c /usr/bin/fire hosed\n"
	want := []mapping{{0x400000, 0x530000}, {0x530000, 0x541000}}
	if got := programMappings([]byte(smaps), "/usr/bin/fire hosed"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := programMappings([]byte(smaps), "/usr/bin/other"); got != nil {
		t.Errorf("got %x of another program", got)
	}
	for i := range smaps { // cut anywhere
		programMappings([]byte(smaps[:i]), "/usr/bin/fire hosed")
	}
}
