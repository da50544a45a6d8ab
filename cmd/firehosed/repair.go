package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"text/tabwriter"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams/wal"
)

type repairCmd struct {
	Dir    string `arg:"" placeholder:"DIR" help:"The data directory of a daemon that does not run."`
	Apply  bool   `help:"Give up what is lost: reads then pass over it, and every shard takes records again. Without it nothing is changed."`
	Config string `short:"c" placeholder:"FILE" help:"Configuration file, for the keys of a log that is encrypted."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
}

// errDamaged is the outcome of a repair that only told of damage.
var errDamaged = errors.New("damage was found and nothing was changed; --apply gives up what is lost and keeps the rest")

// Run tells what is lost, and with --apply makes it explicit.
func (r *repairCmd) Run(ctx context.Context, out output) error {
	level := slog.LevelError + 1 // the report says it
	if r.Apply {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(out.stderr, &slog.HandlerOptions{Level: level}))
	keys, err := keysOf(ctx, r.Config, out)
	if err != nil {
		return err
	}
	rep, err := wal.Repair(ctx, wal.LogDir(vfs.OS(), r.Dir), wal.RepairOptions{Options: wal.Options{Logger: logger, Keys: keys}, Apply: r.Apply})
	if err != nil {
		return err
	}
	if r.Output == "json" {
		err = printJSON(out.stdout, rep)
	} else {
		err = printRepair(out.stdout, rep)
	}
	if err == nil && !rep.Applied && !rep.Clean() {
		err = errDamaged
	}
	return err
}

func printRepair(w io.Writer, rep *wal.Repaired) error {
	if rep.Clean() {
		_, err := fmt.Fprintln(w, "nothing to repair: every record can be read")
		return err
	}
	if rep.Format != "" {
		fmt.Fprintln(w, rep.Format)
	}
	if rep.Rebuilt != "" {
		fmt.Fprintln(w, rep.Rebuilt)
	}
	for _, s := range rep.Streams {
		fmt.Fprintln(w, "stream", s)
	}
	if len(rep.Losses) > 0 {
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "STREAM\tSHARD\tFROM\tTO\tRECORDS\tBYTES\tFILE\tREASON")
		for _, d := range rep.Losses {
			records := strconv.FormatInt(d.Records, 10)
			if d.AtMost {
				records = "at most " + records
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\n", d.Stream, d.Shard, d.From, d.To-1, records, d.Bytes, d.File, d.Reason)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, d := range rep.Journal {
		fmt.Fprintf(w, "%s: bytes %d to %d: %s; state and changes of streams in them are lost too\n", d.File, d.From, d.To, d.Reason)
	}
	for _, d := range rep.Files {
		fmt.Fprintf(w, "%s: bytes %d to %d: %s; its records are whole, and it is written again\n", d.File, d.From, d.To, d.Reason)
	}
	for _, d := range rep.Unreadable {
		fmt.Fprintf(w, "%s: bytes %d to %d: %s\n", d.File, d.From, d.To, d.Reason)
	}
	for _, path := range rep.Moved {
		fmt.Fprintln(w, "kept", path)
	}
	last := "nothing was changed"
	if rep.Applied {
		last = "repaired: reads pass over what is lost, every shard takes records"
	}
	_, err := fmt.Fprintln(w, last)
	return err
}
