package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/firehosed/firehosed/config"
)

type runCmd struct {
	Config string `short:"c" default:"/etc/firehosed/config.yaml" help:"Configuration file." placeholder:"FILE"`
}

// Run runs the daemon until ctx ends.
func (r *runCmd) Run(ctx context.Context, out output) error {
	cfg, err := loadConfig(r.Config, out)
	if err != nil {
		return err
	}
	logger := newLogger(cfg.Log, out.stderr)
	for _, n := range cfg.Notes() {
		logger.Info("note on the configuration", "note", n.Error())
	}
	keys, err := masterKeys(ctx, cfg, logger, out)
	if err != nil {
		return err
	}
	plan, err := planAll(ctx, cfg, logger)
	if err != nil {
		return &exitError{code: 2, err: err}
	}
	moreProcs(out)
	return runDaemon(ctx, cfg, plan, keys, logger)
}

// moreProcs lets twice as many goroutines run as there are processors, unless
// the environment says how many. The goroutine that writes the journal comes
// back from each sync and would wait behind requests that are being parsed;
// everybody waits for it. The kernel lets a thread that slept go first.
func moreProcs(out output) {
	if _, set := out.getenv("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}

type checkCmd struct {
	Config string `short:"c" default:"/etc/firehosed/config.yaml" help:"Configuration file." placeholder:"FILE"`
	Live   bool   `help:"Also ask every destination whether it is there and lets us in, and read the keys of the log."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
}

// Run checks a configuration without starting anything.
func (c *checkCmd) Run(ctx context.Context, out output) error {
	cfg, err := loadConfig(c.Config, out)
	if err != nil {
		return c.report(out, err)
	}
	plan, err := planAll(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return c.report(out, err)
	}
	defer plan.close()
	if c.Live {
		if _, err := masterKeys(ctx, cfg, slog.New(slog.DiscardHandler), out); err != nil {
			return c.report(out, err)
		}
		if err := plan.checkLive(ctx, cfg); err != nil {
			return c.report(out, err)
		}
	}
	if c.Output == "json" {
		return printJSON(out.stdout, map[string]any{"ok": true, "file": cfg.File(), "notes": cfg.Notes()})
	}
	for _, n := range cfg.Notes() {
		fmt.Fprintln(out.stdout, "note:", n.Error())
	}
	fmt.Fprintf(out.stdout, "%s: ok, %d streams and %d delivery streams\n", cfg.File(), len(cfg.Streams), len(cfg.DeliveryStreams))
	return nil
}

func (c *checkCmd) report(out output, err error) error {
	var problems *config.Problems
	if c.Output != "json" || !errors.As(err, &problems) {
		var exit *exitError
		if errors.As(err, &exit) {
			return err
		}
		return &exitError{code: 2, err: err}
	}
	if err := printJSON(out.stdout, map[string]any{"ok": false, "problems": problems.List}); err != nil {
		return err
	}
	return &exitError{code: 2}
}

func loadConfig(path string, out output) (*config.Config, error) {
	cfg, err := config.Load(path, out.getenv, config.ReadFile)
	if err != nil {
		return nil, &exitError{code: 2, err: err}
	}
	return cfg, nil
}

// newLogger writes text to a terminal and JSON elsewhere, unless told which.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // config knows the words
	text := c.Format == "text"
	if c.Format == "auto" {
		if f, ok := w.(*os.File); ok {
			if st, err := f.Stat(); err == nil {
				text = st.Mode()&os.ModeCharDevice != 0
			}
		}
	}
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // JSON would show nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if text {
		return slog.New(slog.NewTextHandler(w, opt))
	}
	return slog.New(slog.NewJSONHandler(w, opt))
}
