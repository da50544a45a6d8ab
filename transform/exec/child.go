package exec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxLogLine = 4 << 10 // bytes of a line of standard error; the rest is cut
	logBurst   = 100     // lines of standard error at once ...
	logRate    = 20      // ... and a second

	lastWords = time.Second // to read what a program wrote before it ended
)

var (
	errLongLine = errors.New("line is too long")
	errOutput   = errors.New("it closed its output")
	errEnded    = errors.New("it ended")
)

// child is a program that runs. Three goroutines belong to it, for standard
// output, for standard error and for its end; kill and close wait for them.
type child struct {
	cmd    *exec.Cmd
	stdin  *os.File
	lines  chan []byte   // standard output, without line breaks
	broken chan struct{} // closed when no more lines come; why is in readErr
	quit   chan struct{} // closed when nobody wants more lines
	exited chan struct{} // closed when it has ended
	group  sync.WaitGroup

	readErr error // set before broken is closed
	exit    string
	pipes   []*os.File // our ends of its output
	spent   bool       // its input is closed
	once    sync.Once
}

func start(opt *Options, log *slog.Logger) (*child, error) {
	c := &child{
		// Its life is that of the step, not of one batch: Close ends it.
		cmd: exec.Command( //nolint:noctx // see above
			opt.Command[0], opt.Command[1:]...),
		// One line may wait: the answer, or one that nobody asked for.
		lines: make(chan []byte, 1), broken: make(chan struct{}), quit: make(chan struct{}), exited: make(chan struct{}),
	}
	if opt.Dir != "" {
		// Otherwise it is the program that seems to be missing.
		if _, err := os.Stat(opt.Dir); err != nil {
			return nil, fmt.Errorf("directory: %w", err)
		}
	}
	c.cmd.Dir = opt.Dir
	c.cmd.Env = append(os.Environ(), opt.Env...)
	ownGroup(c.cmd)
	var theirs []*os.File
	closeAll := func(fs []*os.File) {
		for _, f := range fs {
			_ = f.Close() // pipes; there is nothing to lose
		}
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, inR)
	outR, outW, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{inR, inW})
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{inR, inW, outR, outW})
		return nil, err
	}
	theirs = append(theirs, outW, errW)
	c.stdin, c.pipes = inW, []*os.File{outR, errR}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = inR, outW, errW
	err = c.cmd.Start()
	closeAll(theirs)
	if err != nil {
		closeAll(append(c.pipes, inW))
		return nil, err
	}
	log.Info("program started", "pid", c.cmd.Process.Pid)
	c.group.Go(func() { c.readOutput(outR, opt.MaxResponse) })
	c.group.Go(func() { readLog(errR, log) })
	c.group.Go(func() {
		_ = c.cmd.Wait() // the state says it
		c.exit = c.cmd.ProcessState.String()
		close(c.exited)
	})
	return c, nil
}

// ask writes a request and returns the line that comes back.
func (c *child) ask(ctx, life context.Context, request []byte) ([]byte, error) {
	// Closing our end wakes a write that the program does not take.
	unblock := func() { _ = c.stdin.Close() }
	stop1 := context.AfterFunc(ctx, unblock)
	stop2 := context.AfterFunc(life, unblock)
	defer func() {
		in1, in2 := stop1(), stop2()
		c.spent = !in1 || !in2
	}()
	if _, err := c.stdin.Write(append(request, '\n')); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("it does not read its input: %w", err)
	}
	select {
	case line := <-c.lines:
		return line, nil
	case <-c.broken:
	case <-c.exited:
		// What it wrote is read in a moment. More does not come, even if a child
		// of its own keeps the output open.
		t := time.NewTimer(lastWords)
		defer t.Stop()
		select {
		case line := <-c.lines:
			return line, nil
		case <-c.broken:
		case <-t.C:
			return nil, errEnded
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-life.Done():
		return nil, ErrClosed
	}
	select {
	case line := <-c.lines:
		return line, nil
	default:
		return nil, c.readErr
	}
}

// stale says why the program cannot take a request, or nothing.
func (c *child) stale() string {
	if c.spent {
		return "the time of its last batch was over"
	}
	select {
	case <-c.exited:
		return "it ended"
	case <-c.broken:
		return c.readErr.Error()
	case <-c.lines:
		return "it wrote a line that was not asked for"
	default:
		return ""
	}
}

func (c *child) readOutput(r io.Reader, limit int) {
	defer close(c.broken)
	b := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(line)+len(part) > limit+1 {
			c.readErr = errLongLine
			return
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			c.readErr = errOutput
			return
		}
		select {
		case c.lines <- line[:len(line)-1]:
			line = nil
		case <-c.quit:
			c.readErr = errOutput
			return
		}
	}
}

// readLog passes lines on, but neither long nor many.
func readLog(r io.Reader, log *slog.Logger) {
	b := bufio.NewReaderSize(r, maxLogLine)
	limit := rate.NewLimiter(logRate, logBurst)
	skipped, cut := 0, false
	for {
		part, err := b.ReadSlice('\n')
		if len(part) > 0 && !cut {
			switch {
			case !limit.Allow():
				skipped++
			case skipped > 0:
				log.Warn("program wrote more to standard error than is logged", "lines_skipped", skipped)
				skipped = 0
				fallthrough
			default:
				log.Info("program says", "stderr", strings.ToValidUTF8(strings.TrimRight(string(part), "\r\n"), "\ufffd"))
			}
		}
		cut = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut {
			if skipped > 0 {
				log.Warn("program wrote more to standard error than is logged", "lines_skipped", skipped)
			}
			return
		}
	}
}

// kill ends the program and its children at once and says how it ended.
func (c *child) kill() string {
	killGroup(c.cmd)
	<-c.exited
	c.release()
	return c.exit
}

// close lets the program end, for grace after the end of its input and as long
// after SIGTERM.
func (c *child) close(grace time.Duration) string {
	_ = c.stdin.Close() // it may be closed already
	if !c.within(grace) {
		termGroup(c.cmd)
		c.within(grace)
	}
	return c.kill()
}

func (c *child) within(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.exited:
		return true
	case <-t.C:
		return false
	}
}

// release closes pipes and waits for the goroutines. A grandchild that left the
// process group may still hold the other ends; it finds them closed.
func (c *child) release() {
	c.once.Do(func() {
		close(c.quit)
		_ = c.stdin.Close()
		for _, p := range c.pipes {
			_ = p.Close()
		}
		c.group.Wait()
	})
}
