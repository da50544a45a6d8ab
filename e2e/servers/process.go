package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits that apply when a [Spec] does not say otherwise.
const (
	DefaultStartTimeout = 3 * time.Minute
	DefaultStopTimeout  = time.Minute

	pollEvery   = 25 * time.Millisecond
	logTailSize = 4 << 10
)

// ErrRunning means that a process was asked to start while it runs.
var ErrRunning = errors.New("process is running")

// ErrNotRunning means that a process was asked for something that only a
// running one can give.
var ErrNotRunning = errors.New("process is not running")

// ErrClosed means that a process was used after Close.
var ErrClosed = errors.New("process is closed")

// Spec says how to run a program. Path and LogFile are required.
type Spec struct {
	Name string   // what error messages call it; default: the last element of Path
	Path string   // the program, absolute or relative to the working directory of the test
	Args []string // without the program's own name
	Env  []string // the complete environment as KEY=value; nil gives the child the parent's
	Dir  string   // working directory; default: the test's own

	// LogFile gets standard output and standard error. It is appended to, so
	// that it tells the story of all starts.
	LogFile string

	// Ready is asked again and again after a start until it returns nil. It
	// should put a real request to the program and give up when ctx ends.
	// nil: ready as soon as it has been started.
	Ready func(ctx context.Context) error

	StartTimeout time.Duration // until Ready must hold; default DefaultStartTimeout
	StopTimeout  time.Duration // between SIGTERM and SIGKILL; default DefaultStopTimeout
}

func (s Spec) withDefaults() Spec {
	if s.Name == "" {
		s.Name = filepath.Base(s.Path)
	}
	if s.StartTimeout == 0 {
		s.StartTimeout = DefaultStartTimeout
	}
	if s.StopTimeout == 0 {
		s.StopTimeout = DefaultStopTimeout
	}
	return s
}

// Process is a program that can be started and stopped repeatedly. Its methods
// may be called from several goroutines; starts and stops run one at a time.
type Process struct {
	spec Spec

	transition sync.Mutex // held for the length of a start or a stop

	mu     sync.Mutex
	closed bool
	run    *running // the current or the last run; nil before the first
}

// running is one life of the program.
type running struct {
	pid  int
	done chan struct{} // closed when the program has ended and its group is gone
	err  error         // how it ended; read it only after done
}

// Launch starts a program and waits until it is ready. ctx bounds the start,
// not the life of the program: the caller ends that with Close.
func Launch(ctx context.Context, spec Spec) (*Process, error) {
	p, err := New(spec)
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// New makes a process that does not run yet.
func New(spec Spec) (*Process, error) {
	if spec.Path == "" {
		return nil, errors.New("process: no path")
	}
	if spec.LogFile == "" {
		return nil, fmt.Errorf("process %s: no log file", spec.Path)
	}
	return &Process{spec: spec.withDefaults()}, nil
}

// Start runs the program and waits until it is ready. A program that ends
// before it is ready, or is not ready in time, is an error that carries the end
// of the log; nothing of it runs on then.
func (p *Process) Start(ctx context.Context) error {
	p.transition.Lock()
	defer p.transition.Unlock()

	r, err := p.begin()
	if err != nil {
		return err
	}
	if err := p.awaitReady(ctx, r); err != nil {
		// The group is killed in any case, so its own error adds nothing.
		p.kill(r)
		return fmt.Errorf("%s: start: %w; end of %s:\n%s", p.spec.Name, err, p.spec.LogFile, p.LogTail())
	}
	return nil
}

// begin starts the program and the goroutine that reaps it.
func (p *Process) begin() (*running, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%s: start: %w", p.spec.Name, ErrClosed)
	}
	if p.run != nil && !p.run.ended() {
		return nil, fmt.Errorf("%s: start: %w as pid %d", p.spec.Name, ErrRunning, p.run.pid)
	}
	out, err := os.OpenFile(p.spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: log: %w", p.spec.Name, err)
	}
	defer out.Close() // the child has its own descriptor

	// Stop and Kill end it; no context does.
	cmd := exec.Command(p.spec.Path, p.spec.Args...) //nolint:noctx // see above
	cmd.Env = p.spec.Env
	cmd.Dir = p.spec.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()

	r := &running{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel's death signal belongs to the thread that started the
		// child, so that thread stays ours until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		r.pid = cmd.Process.Pid
		started <- nil
		r.err = cmd.Wait()
		// What the program itself left behind in its group goes with it.
		_ = syscall.Kill(-r.pid, syscall.SIGKILL)
		close(r.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	p.run = r
	return r, nil
}

func (p *Process) awaitReady(ctx context.Context, r *running) error {
	if p.spec.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.spec.StartTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		if last = p.spec.Ready(ctx); last == nil {
			// Another program on the same port may have answered.
			if r.ended() {
				return fmt.Errorf("ended while something else answered for it (%w)", r.err)
			}
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("ended before it was ready (%w)", r.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w; last answer: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// Stop asks the program to end with SIGTERM and waits. One that is still there
// after Spec.StopTimeout, or when ctx ends, is killed, and that is an error. So
// is a program that was not running. How the program exited is no error here:
// ask ExitError.
func (p *Process) Stop(ctx context.Context) error {
	p.transition.Lock()
	defer p.transition.Unlock()
	r := p.current()
	if r == nil || r.ended() {
		return fmt.Errorf("%s: stop: %w", p.spec.Name, ErrNotRunning)
	}
	if err := syscall.Kill(r.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: stop: %w", p.spec.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.spec.StopTimeout)
	defer cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		p.kill(r)
		return fmt.Errorf("%s: stop: still running after SIGTERM, killed: %w", p.spec.Name, ctx.Err())
	}
}

// Kill ends the program and its whole process group with SIGKILL and waits
// until it is gone. A program that was not running is an error.
func (p *Process) Kill() error {
	p.transition.Lock()
	defer p.transition.Unlock()
	r := p.current()
	if r == nil || r.ended() {
		return fmt.Errorf("%s: kill: %w", p.spec.Name, ErrNotRunning)
	}
	p.kill(r)
	return nil
}

// kill is harmless on a run that has ended: its pid is signalled no more.
func (p *Process) kill(r *running) {
	if !r.ended() {
		_ = syscall.Kill(-r.pid, syscall.SIGKILL)
	}
	<-r.done
}

// Pause freezes the program and its group with SIGSTOP: its port still takes
// connections, and nothing answers. On Linux it returns when every thread of the
// program stands still. Resume, Kill and Close end the pause.
func (p *Process) Pause() error {
	if err := p.signalGroup("pause", syscall.SIGSTOP); err != nil {
		return err
	}
	r := p.current()
	deadline := time.NewTimer(p.spec.StopTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		// The signal is on its way when kill returns; threads on other cores may
		// still run.
		if still, err := stopped(r.pid); err != nil || still {
			return err
		}
		select {
		case <-tick.C:
		case <-r.done:
			return fmt.Errorf("%s: pause: %w", p.spec.Name, ErrNotRunning)
		case <-deadline.C:
			return fmt.Errorf("%s: pause: still running %v after SIGSTOP", p.spec.Name, p.spec.StopTimeout)
		}
	}
}

// Resume lets a paused program go on.
func (p *Process) Resume() error { return p.signalGroup("resume", syscall.SIGCONT) }

func (p *Process) signalGroup(verb string, sig syscall.Signal) error {
	r := p.current()
	if r == nil || r.ended() {
		return fmt.Errorf("%s: %s: %w", p.spec.Name, verb, ErrNotRunning)
	}
	if err := syscall.Kill(-r.pid, sig); err != nil {
		return fmt.Errorf("%s: %s: %w", p.spec.Name, verb, err)
	}
	return nil
}

// Close kills the program if it runs and makes every later Start an error. It
// may be called more than once.
func (p *Process) Close() error {
	p.transition.Lock()
	defer p.transition.Unlock()
	p.mu.Lock()
	p.closed = true
	r := p.run
	p.mu.Unlock()
	if r != nil {
		p.kill(r)
	}
	return nil
}

func (p *Process) current() *running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Pid is the process id of the current or the last run, 0 before the first.
func (p *Process) Pid() int {
	if r := p.current(); r != nil {
		return r.pid
	}
	return 0
}

// Running reports whether the program has been started and has not ended.
func (p *Process) Running() bool {
	r := p.current()
	return r != nil && !r.ended()
}

// Done is closed when the current run ends. Before the first start it is nil.
func (p *Process) Done() <-chan struct{} {
	if r := p.current(); r != nil {
		return r.done
	}
	return nil
}

// ExitError tells how the last run ended: nil for exit status 0, otherwise the
// [exec.ExitError]. While the program runs it is ErrRunning.
func (p *Process) ExitError() error {
	switch r := p.current(); {
	case r == nil:
		return ErrNotRunning
	case !r.ended():
		return ErrRunning
	default:
		return r.err
	}
}

// LogFile is where the program's output goes.
func (p *Process) LogFile() string { return p.spec.LogFile }

// LogTail gives at most the last 4 KiB of the log, for messages.
func (p *Process) LogTail() string {
	f, err := os.Open(p.spec.LogFile)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, min(info.Size(), logTailSize))
	n, _ := f.ReadAt(buf, info.Size()-int64(len(buf))) // a log that shrank meanwhile gives less
	return strings.TrimRight(string(buf[:n]), "\n")
}
