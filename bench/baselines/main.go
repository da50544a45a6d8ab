// Command baselines holds one store of another library for the benchmark,
// which loads it in turns with firehosed (see package turns): KIND -dir FOLDER.
// It is a module of its own, so that these libraries are no dependencies of the
// daemon.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

var kinds = map[string]func(dir string) (turns.Store, error){
	"nats":    openNATS,
	"raftwal": openRaftWAL,
	"bbolt":   openBbolt,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "baselines:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || kinds[args[0]] == nil {
		return fmt.Errorf("no known kind of store in %q", args)
	}
	flags := flag.NewFlagSet("baselines", flag.ExitOnError)
	dir := flags.String("dir", "", "folder for the files")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	// The end of the input is what ends this process.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	store, err := kinds[args[0]](*dir)
	if err != nil {
		return err
	}
	return turns.Serve(context.Background(), os.Stdin, os.Stdout, store)
}
