package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/firehosed/firehosed/transform/contract"
)

func baseName(command string) string { return filepath.Base(command) }

// worker is a place for one program at a time. It is used by one call at a
// time.
type worker struct {
	opt    *Options
	log    *slog.Logger
	child  *child // nil if none runs
	failed int    // programs in a row that ended without an answer
}

// call writes a request and waits for the line that answers it. life ends with
// the step.
func (w *worker) call(ctx, life context.Context, request []byte, accept func([]byte) bool) error {
	c, err := w.ready(ctx, life)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, w.opt.Timeout)
	defer cancel()
	line, err := c.ask(timed, life, request)
	if err == nil && accept(line) {
		w.failed = 0
		return nil
	}
	// From here on nobody knows what the program will say next.
	if err == nil {
		w.drop("its answer does not fit the request")
		return nil
	}
	code, exit := w.drop(err.Error())
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case life.Err() != nil:
		return ErrClosed
	case timed.Err() != nil:
		return &contract.Fault{Class: contract.Again, Code: contract.FunctionTimeout, Message: fmt.Sprintf("%s did not answer within %v", w.opt.Name, w.opt.Timeout)}
	case errors.Is(err, errLongLine):
		return &contract.Fault{Class: contract.Refused, Code: contract.FunctionError, Message: fmt.Sprintf("%s answers with a line of more than %d bytes; a smaller batch_size gives shorter ones", w.opt.Name, w.opt.MaxResponse)}
	case code == 126 || code == 127:
		// What a shell says when there is no such program, or no right to run it.
		return fmt.Errorf("start of %s: %s", w.opt.Name, exit)
	}
	return &contract.Fault{Class: contract.Again, Code: contract.FunctionError, Message: fmt.Sprintf("%s: %v (%s)", w.opt.Name, err, exit)}
}

// ready returns the program, started if it does not run.
func (w *worker) ready(ctx, life context.Context) (*child, error) {
	if w.child != nil {
		why := w.child.stale()
		if why == "" {
			return w.child, nil
		}
		w.drop(why)
	}
	if w.failed > 0 {
		t := time.NewTimer(w.opt.Restart.Pause(w.failed, nil))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-life.Done():
			return nil, ErrClosed
		}
	}
	c, err := start(w.opt, w.log)
	if err != nil {
		w.failed++
		return nil, fmt.Errorf("start of %s: %w", w.opt.Name, err)
	}
	w.child = c
	return c, nil
}

// drop kills the program and says how it ended.
func (w *worker) drop(why string) (code int, exit string) {
	exit = w.child.kill()
	code = w.child.cmd.ProcessState.ExitCode()
	w.child = nil
	w.failed++
	w.log.Warn("program ended, it is started again when records come", "why", why, "exit", exit, "failed", w.failed)
	return code, exit
}

func (w *worker) close() {
	if w.child == nil {
		return
	}
	exit := w.child.close(w.opt.Grace)
	w.child = nil
	w.log.Info("program ended", "exit", exit)
}
