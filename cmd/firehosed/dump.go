package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/firehosed/firehosed/streams/wal"
)

type dumpCmd struct {
	Path    string `arg:"" placeholder:"PATH" help:"A data directory, or one file of its log."`
	Records bool   `help:"Also list the records, the state and the changes of streams."`
	LogID   string `name:"log-id" placeholder:"HEX" help:"Id of the log, for a file that lies alone and is damaged at its beginning."`
	Config  string `short:"c" placeholder:"FILE" help:"Configuration file, for the keys of a log that is encrypted."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json, one object a line."`
}

// Run shows what files of the log hold.
func (d *dumpCmd) Run(ctx context.Context, out output) error {
	keys, err := keysOf(ctx, d.Config, out)
	if err != nil {
		return err
	}
	err = wal.Dump(ctx, out.stdout, d.Path, wal.DumpOptions{JSON: d.Output == "json", Records: d.Records, LogID: d.LogID, Keys: keys})
	if errors.Is(err, wal.ErrNoLogID) {
		return fmt.Errorf("%w with --log-id (it stands in the file FORMAT and in every snapshot)", err)
	}
	return err
}
