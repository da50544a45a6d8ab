package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// worker is a process that holds one store and is loaded in turns with others.
type worker struct {
	process
	in  io.WriteCloser
	out *bufio.Reader
}

// startStore runs a store of this program, see stores.go.
func (b *bench) startStore(ctx context.Context, kind string, args ...string) (*worker, error) {
	return b.startWorker(ctx, kind, b.self, append([]string{roleStore, kind}, args...)...)
}

// startWorker runs a program that speaks as turns.Serve does. It gets the
// folder for its files by -dir.
func (b *bench) startWorker(ctx context.Context, name, program string, args ...string) (*worker, error) {
	p, err := b.newProcess(name)
	if err != nil {
		return nil, err
	}
	w := &worker{process: process{name: p.name, dir: p.dir}}
	w.cmd = exec.CommandContext(ctx, program, append(args, "-dir", w.dir)...)
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	w.pid = strconv.Itoa(w.cmd.Process.Pid)
	if line, err := w.out.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, fmt.Errorf("%s did not start: it said %q: %w", name, line, errors.Join(err, w.stop()))
	}
	return w, nil
}

// do has the worker do one turn.
func (w *worker) do(j turns.Job) (r turns.Result, err error) {
	line, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return r, fmt.Errorf("%s: %w", w.name, err)
	}
	answer, err := w.out.ReadBytes('\n')
	if err != nil {
		return r, fmt.Errorf("%s ended in the middle of a turn: %w", w.name, err)
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return r, fmt.Errorf("%s answered %q: %w", w.name, answer, err)
	}
	if r.Err != "" {
		return r, fmt.Errorf("%s: %s", w.name, r.Err)
	}
	return r, nil
}

// stop ends the process by the end of its input and removes its files.
func (w *worker) stop() error {
	err := w.in.Close()
	if werr := w.cmd.Wait(); werr != nil {
		err = fmt.Errorf("%s: %w", w.name, werr)
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
