package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownerEnv makes the test binary act as the owner of a process instead of
// running tests: see TestProcessDiesWithItsOwner.
const ownerEnv = "SERVERS_TEST_OWNER_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(ownerEnv); log != "" {
		own(log)
		return
	}
	os.Exit(m.Run())
}

func own(log string) {
	p, err := Launch(context.Background(), Spec{Path: "/bin/sh", Args: []string{"-c", "exec sleep 600"}, LogFile: log})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	<-p.Done()
}

// shell makes a process that runs a script, closed with the test.
func shell(t *testing.T, script string, change func(*Spec)) *Process {
	t.Helper()
	spec := Spec{
		Name: "script", Path: "/bin/sh", Args: []string{"-c", script},
		Dir: t.TempDir(), LogFile: filepath.Join(t.TempDir(), "log"),
	}
	if change != nil {
		change(&spec)
	}
	p, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// said is a Ready that holds when the log has a line.
func said(p *Spec, line string) func(context.Context) error {
	return func(context.Context) error {
		b, err := os.ReadFile(p.LogFile)
		if err != nil {
			return err
		}
		for l := range strings.Lines(string(b)) {
			if strings.TrimSpace(l) == line {
				return nil
			}
		}
		return fmt.Errorf("log says %q", b)
	}
}

// gone waits until a pid is no more, or is a zombie that its new parent has
// not collected.
func gone(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("process %d is still there", pid)
		case <-tick.C:
		}
	}
}

func TestProcessStartStopStart(t *testing.T) {
	ctx := t.Context()
	p := shell(t, `trap 'rm up; echo stopped; exit 3' TERM; echo started; touch up; while :; do sleep 600 & wait; done`, func(s *Spec) {
		s.Ready = func(context.Context) error {
			_, err := os.Stat(filepath.Join(s.Dir, "up"))
			return err
		}
	})
	if err := p.Stop(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stop before start: %v", err)
	}
	if p.Pid() != 0 || p.Running() || p.Done() != nil {
		t.Error("a process that never ran says it did")
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	first := p.Pid()
	if err := p.Start(ctx); !errors.Is(err, ErrRunning) {
		t.Errorf("start while running: %v", err)
	}
	if rss, err := p.RSS(); err != nil || rss < 4<<10 {
		t.Errorf("memory is %d, %v", rss, err)
	}
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.ExitError(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit: %v, want status 3 of the trap", err)
	}
	if _, err := p.RSS(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("memory of a stopped process: %v", err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if p.Pid() == first {
		t.Error("the same pid twice")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("kill of a killed process: %v", err)
	}
	if got := strings.Fields(p.LogTail()); strings.Join(got, " ") != "started stopped started" {
		t.Errorf("log is %q, want that of all runs", got)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if err := p.Start(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("start after close: %v", err)
	}
}

func TestProcessStopKillsWhatIgnoresTERM(t *testing.T) {
	p := shell(t, `trap '' TERM; echo deaf; while :; do sleep 600; done`, func(s *Spec) {
		s.Ready = said(s, "deaf")
		s.StopTimeout = 50 * time.Millisecond
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v, want the deadline", err)
	}
	if p.Running() {
		t.Error("still running")
	}
}

func TestProcessEndsBeforeReady(t *testing.T) {
	p := shell(t, `echo port taken >&2; exit 7`, func(s *Spec) {
		s.Ready = func(context.Context) error { return errors.New("no answer") }
	})
	err := p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "port taken") {
		t.Errorf("start: %v, want the exit status and the log", err)
	}
}

func TestProcessNeverReady(t *testing.T) {
	p := shell(t, `echo thinking; sleep 600`, func(s *Spec) {
		s.Ready = func(context.Context) error { return errors.New("not yet") }
		s.StartTimeout = 50 * time.Millisecond
	})
	err := p.Start(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("start: %v, want the deadline and the last answer", err)
	}
	if p.Running() {
		t.Error("still running after a start that did not succeed")
	}
}

// Somebody else on the port must not be taken for a server that died.
func TestProcessIsNotReadyByAnothersAnswer(t *testing.T) {
	var p *Process
	p = shell(t, `exit 1`, func(s *Spec) {
		s.Ready = func(context.Context) error {
			<-p.Done()
			return nil
		}
	})
	if err := p.Start(t.Context()); err == nil {
		t.Error("ready though it has ended")
	}
}

func TestProcessTakesItsGroupAlong(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		end          func(*Process) error
	}{
		{"kill", `sleep 600 & echo $!; echo ready; wait`, (*Process).Kill},
		{"close", `sleep 600 & echo $!; echo ready; wait`, (*Process).Close},
		{"stop", `trap 'exit 0' TERM; sleep 600 & echo $!; echo ready; wait`, func(p *Process) error { return p.Stop(t.Context()) }},
		{"its own end", `sleep 600 & echo $!; echo ready; exit 0`, func(p *Process) error { <-p.Done(); return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := shell(t, tt.script, nil)
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Ready is not used here: the last script ends at once.
			ready := said(&p.spec, "ready")
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ready(t.Context()) != nil {
				select {
				case <-t.Context().Done():
					t.Fatal(t.Context().Err())
				case <-tick.C:
				}
			}
			grandchild, err := strconv.Atoi(strings.Fields(p.LogTail())[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.end(p); err != nil {
				t.Fatal(err)
			}
			gone(t, grandchild)
		})
	}
}

func TestProcessDiesWithItsOwner(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux ends a child whose parent was killed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.CommandContext(t.Context(), self)
	owner.Env = append(os.Environ(), ownerEnv+"="+filepath.Join(t.TempDir(), "log"))
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the process is not there while its owner lives: %v", err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // ends by the signal
	gone(t, pid)
}

func TestProcessPause(t *testing.T) {
	p := shell(t, `echo ready; exec sleep 600`, func(s *Spec) { s.Ready = said(s, "ready") })
	if err := p.Pause(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("pause before start: %v", err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Pause(), p.Resume(), p.Pause()); err != nil {
		t.Fatal(err)
	}
	if still, err := stopped(p.Pid()); err != nil || !still {
		t.Errorf("stopped: %v, %v", still, err)
	}
	// Close must end a paused program too.
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p.Running() {
		t.Error("still running")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{LogFile: "log"}, "no path"},
		{Spec{Path: "/bin/sh"}, "no log file"},
	} {
		if _, err := New(tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): %v, want %q", tt.spec, err, tt.want)
		}
	}
	dir := t.TempDir()
	if _, err := Launch(t.Context(), Spec{Path: filepath.Join(dir, "none"), LogFile: filepath.Join(dir, "log")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	if _, err := Launch(t.Context(), Spec{Path: "/bin/sh", LogFile: filepath.Join(dir, "no", "log")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log in a folder that is not there: %v", err)
	}
}

func TestLogTailIsBounded(t *testing.T) {
	p := shell(t, "", nil)
	if err := os.WriteFile(p.LogFile(), []byte("start"+strings.Repeat("x", 3*logTailSize)+"end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if tail := p.LogTail(); len(tail) > logTailSize || !strings.HasSuffix(tail, "xend") {
		t.Errorf("tail has %d bytes and ends in %q", len(tail), tail[len(tail)-4:])
	}
}

func TestFreePort(t *testing.T) {
	for range 20 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port < lowestPort || port > highestPort {
			t.Errorf("port %d is outside %d-%d", port, lowestPort, highestPort)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCachedNamesTheScript(t *testing.T) {
	_, err := Cached("bin/nothing")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "e2e/setup.sh") {
		t.Errorf("Cached: %v, want the name of the script", err)
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Errorf("root is %s: %v", root, err)
	}
}
