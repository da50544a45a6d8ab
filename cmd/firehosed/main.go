// Command firehosed is a self-hosted streaming and delivery daemon that speaks
// the Amazon Kinesis and Firehose APIs. This package is subcommands and wiring;
// the rules of the domain are in the rooms it imports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "devel"

// cli is the command line.
type cli struct {
	Run         runCmd         `cmd:"" help:"Run the daemon."`
	Check       checkCmd       `cmd:"" help:"Check a configuration and name every problem in it."`
	Put         putCmd         `cmd:"" help:"Put lines as records into a stream or a delivery stream."`
	Tail        tailCmd        `cmd:"" help:"Print the records of a stream as they arrive."`
	Streams     streamsCmd     `cmd:"" help:"List streams and delivery streams."`
	Dump        dumpCmd        `cmd:"" help:"Show what a file of the log holds. Reads only, also while a daemon runs."`
	Repair      repairCmd      `cmd:"" help:"Tell what a damaged log has lost, and make it usable again."`
	Cert        certCmd        `cmd:"" help:"Make a local certificate authority and a certificate for TLS, and print how clients trust it."`
	Healthcheck healthcheckCmd `cmd:"" help:"Exit 0 if the daemon is ready, else 1."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// output is where commands write, and how.
type output struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], output{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.LookupEnv})
	stop()
	os.Exit(code)
}

// execute runs one command line and returns the exit code: 0 for success, 1
// for a failure, 2 for a command line or configuration that cannot be right.
func execute(ctx context.Context, args []string, out output) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("firehosed"),
		kong.Description("A self-hosted streaming and delivery daemon that speaks the Amazon Kinesis and Firehose APIs."),
		kong.Writers(out.stdout, out.stderr), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(out))
	if err != nil {
		fmt.Fprintln(out.stderr, "firehosed:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exit >= 0 {
		return exit // help was asked for
	}
	if err != nil {
		fmt.Fprintf(out.stderr, "firehosed: %v\nsee firehosed --help\n", err)
		return 2
	}
	err = k.Run()
	var coded *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		if coded.err != nil {
			fmt.Fprintln(out.stderr, coded.err)
		}
		return coded.code
	}
	fmt.Fprintln(out.stderr, "firehosed:", err)
	return 1
}

// exitError is an error with an exit code of its own. It is printed as it is.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

type versionCmd struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
}

// Run prints the version.
func (v *versionCmd) Run(out output) error {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	if v.Output == "json" {
		return printJSON(out.stdout, map[string]string{
			"version": version, "revision": revision, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		})
	}
	fmt.Fprintf(out.stdout, "firehosed %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
