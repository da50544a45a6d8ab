package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime is how long a process may take until it serves.
const startTime = 30 * time.Second

// process is a server under load, in a process of its own.
type process struct {
	name string
	url  string
	pid  string
	dir  string // of its files

	cmd    *exec.Cmd
	output sync.WaitGroup
	mu     sync.Mutex
	last   []string // lines of its standard error, for messages
}

// build makes the daemon as "make build" does, without its version.
func (b *bench) build(ctx context.Context) (string, error) {
	b.sayf("building ./cmd/firehosed")
	name := filepath.Join(b.dir, "firehosed")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, "./cmd/firehosed")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/firehosed: %w\n%s", err, out)
	}
	return name, nil
}

// startDaemon runs firehosed on a fresh data directory. config is the part of
// its configuration that the caller needs; %s in it is the directory.
func (b *bench) startDaemon(ctx context.Context, config string) (*process, error) {
	p, err := b.newProcess("firehosed")
	if err != nil {
		return nil, err
	}
	return p, b.startDaemonIn(ctx, p, config)
}

func (b *bench) startDaemonIn(ctx context.Context, p *process, config string) error {
	text := "data_dir: " + strconv.Quote(filepath.Join(p.dir, "data")) + "\n" +
		"http: {listen: \"127.0.0.1:0\"}\nlog: {level: info, format: json}\n" +
		strings.ReplaceAll(config, "%s", p.dir)
	file := filepath.Join(p.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	p.cmd = exec.CommandContext(ctx, b.daemon, "run", "-c", file)
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	return p.start(pipe, func(line []byte) string {
		var l struct{ Msg, Address string }
		if json.Unmarshal(line, &l) != nil || l.Msg != "ready" {
			return ""
		}
		return "http://" + l.Address
	})
}

// startFloor runs the server of the floor, see floor.go.
func (b *bench) startFloor(ctx context.Context) (*process, error) {
	p, err := b.newProcess("floor")
	if err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, b.self, roleFloor, "-file", filepath.Join(p.dir, "file"))
	p.cmd.Stderr = os.Stderr
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return p, p.start(pipe, func(line []byte) string { return strings.TrimSpace(string(line)) })
}

func (b *bench) newProcess(name string) (*process, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	return &process{name: name, dir: dir}, err
}

// start runs the command until it has told its address.
func (p *process) start(out io.Reader, address func(line []byte) string) error {
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.pid = strconv.Itoa(p.cmd.Process.Pid)
	found := make(chan string, 1)
	p.output.Go(func() {
		defer close(found)
		told := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if !told {
				if a := address(lines.Bytes()); a != "" {
					told = true
					found <- a
				}
			}
			p.mu.Lock()
			if p.last = append(p.last, lines.Text()); len(p.last) > 10 {
				p.last = p.last[1:]
			}
			p.mu.Unlock()
		}
		_, _ = io.Copy(io.Discard, out) // a line beyond the scanner's limit must not block it
	})
	deadline := time.NewTimer(startTime)
	defer deadline.Stop()
	select {
	case p.url = <-found:
	case <-deadline.C:
	}
	if p.url == "" {
		err := p.stop()
		return fmt.Errorf("%s did not start: %w", p.name, errors.Join(err, p.said()))
	}
	return nil
}

// said is what the process last wrote.
func (p *process) said() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.New(strings.Join(p.last, "\n"))
}

// stop ends the process and removes its files.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	p.output.Wait() // before Wait, which closes the pipe
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%w", p.name, exit, p.said())
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// settle waits until the process has nothing left to do in the background and
// its files are on the disk, so that the side that is measured next does not
// pay for it.
func (p *process) settle(ctx context.Context) error {
	used, err := processorTime(p.pid)
	if err != nil {
		return err
	}
	for range 30 {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		now, err := processorTime(p.pid)
		if err != nil {
			return err
		}
		if now == used {
			break
		}
		used = now
	}
	return filepath.WalkDir(p.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // Files come and go while the daemon lives.
		}
		f, err := os.Open(name)
		if err != nil {
			return nil //nolint:nilerr // As above.
		}
		defer f.Close()
		return f.Sync()
	})
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// convert runs a conversion in a process of its own, see convert.go.
func (b *bench) convert(ctx context.Context, args ...string) (usage, error) {
	var u usage
	cmd := exec.CommandContext(ctx, b.self, append([]string{roleConvert}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return u, json.Unmarshal(out, &u)
}
