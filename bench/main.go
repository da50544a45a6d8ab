// Command bench measures firehosed and prints every figure beside its floor:
// the least that any program doing the same job would have to do, measured in
// the same run, in turns with it. A figure without its floor says more about
// the machine than about firehosed.
//
// It builds the daemon, runs it and the floor's server as processes of their
// own with files on the same file system, and loads both with one generator.
// It judges nothing: there is no threshold in here. It needs Linux, whose /proc
// tells processor time and memory. See docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
)

// freeWanted is the disk space a full run may need at its peak.
const freeWanted = 20 << 30

// Roles that the program takes when it starts itself again.
const (
	roleFloor   = "floor-server"
	roleConvert = "convert"
	roleStore   = "store"
	roleReads   = "reads"
	roleOpen    = "open"
	roleWait    = "wait"
)

// settings are the command line.
type settings struct {
	short  bool
	json   bool
	only   string
	dir    string
	daemon string
	update string
}

// size is how long and how often things are measured.
type size struct {
	repeats   int           // of each pair of floor and firehosed
	warm      int64         // bytes stored before anything is measured
	phase     time.Duration // of load on one side
	sustained time.Duration // of the one long row; 0 leaves it out
	samples   int           // of latency
	lines     int           // of the log file; a multiple of objects

	logRepeats int           // of the tables of the log
	tries      int           // of each policy of the experiment
	warmLog    int64         // bytes appended to each store before anything is measured
	stretch    time.Duration // of one policy of the experiment
	startBytes int64         // of records in the log that is started
	opens      int           // of that log in each state
	rest       time.Duration // that an idle daemon is watched
}

var (
	fullSize = size{
		repeats: 7, warm: 1 << 30, phase: time.Second, sustained: 12 * time.Second, samples: 2000, lines: 160_000,
		logRepeats: 5, warmLog: 640 << 20, tries: 3, stretch: 1500 * time.Millisecond,
		startBytes: 10 << 30, opens: 3, rest: 8 * time.Second,
	}
	shortSize = size{
		repeats: 3, warm: 384 << 20, phase: 300 * time.Millisecond, samples: 200, lines: 40_000,
		logRepeats: 2, warmLog: 256 << 20, tries: 2, stretch: 700 * time.Millisecond,
		startBytes: 1 << 30, opens: 2, rest: 3 * time.Second,
	}
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleFloor:
			return serveFloor(os.Args[2:])
		case roleConvert:
			return convertRole(os.Args[2:], os.Stdout)
		case roleStore:
			return serveStore(os.Args[2:])
		case roleReads:
			return readsRole(os.Args[2:], os.Stdout)
		case roleOpen:
			return openRole(os.Args[2:], os.Stdin, os.Stdout)
		case roleWait:
			return waitRole(os.Args[2:], os.Stdin, os.Stdout)
		}
	}
	var s settings
	flag.BoolVar(&s.short, "short", false, "measure less: within a minute, with wider ranges")
	flag.BoolVar(&s.json, "json", false, "print JSON instead of tables")
	flag.StringVar(&s.only, "only", "", "measure only one table: "+tableNames)
	flag.StringVar(&s.dir, "dir", "out", "folder for the files of both sides, on the disk to measure; made if missing")
	flag.StringVar(&s.daemon, "daemon", "", "measure this program instead of building ./cmd/firehosed")
	flag.StringVar(&s.update, "update", "", "also write the tables into this Markdown file, between its two markers")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; see -help", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, s, os.Stdout, os.Stderr)
}

// bench is one run.
type bench struct {
	size
	dir      string // removed at the end
	daemon   string // the program
	self     string // this program
	progress io.Writer
}

func run(ctx context.Context, s settings, out, progress io.Writer) (err error) {
	if _, err := processorTime("self"); err != nil {
		return fmt.Errorf("processor time: %w (the benchmark needs Linux)", err)
	}
	if s.update != "" { // a wrong path is told before the minutes of work
		if err := rewrite(s.update, nil); err != nil {
			return err
		}
	}
	b := &bench{size: fullSize, daemon: s.daemon, progress: progress}
	if s.short {
		b.size = shortSize
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(s.dir, "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	free, _, err := vfs.OS().Space(b.dir)
	if err != nil {
		return err
	}
	if free < freeWanted && !s.short {
		return fmt.Errorf("folder %s: %d MB are free and a full run may need %d: give another with -dir, or -short",
			s.dir, free>>20, int64(freeWanted)>>20)
	}
	if b.daemon == "" {
		if b.daemon, err = b.build(ctx); err != nil {
			return err
		}
	}

	report := &report{Machine: describeMachine(b.dir), Short: s.short, Started: time.Now().UTC().Truncate(time.Second)}
	report.LoadBefore = loadAverage()
	b.sayf("load average %s on %d cores", report.LoadBefore, runtime.NumCPU())
	known := false
	for _, p := range b.parts() {
		if s.only != "" && s.only != p.name && s.only != p.part {
			continue
		}
		known = true
		t, err := p.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		report.Tables = append(report.Tables, t)
	}
	if !known {
		return fmt.Errorf("there is no table %q; there are %s", s.only, tableNames)
	}
	report.LoadAfter = loadAverage()
	report.Took = time.Since(report.Started).Round(time.Second).String()

	if s.update != "" {
		if err := rewrite(s.update, report); err != nil {
			return err
		}
	}
	if s.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	_, err = io.WriteString(out, report.markdown())
	return err
}

// tableNames are those that -only takes.
const tableNames = "ingest, gets, latency, formats, endtoend, experiment, fanout, which is push and subscribers, and log, which is appends, reads, starts and idle"

// part makes one table.
type part struct {
	part, name string // the first is that of several tables together
	measure    func(context.Context) (*table, error)
}

// parts are all tables, in their order.
func (b *bench) parts() []part {
	return []part{
		{"", "ingest", b.ingest},
		{"", "gets", b.gets},
		{"", "latency", b.latency},
		{"fanout", "push", b.push},
		{"fanout", "subscribers", b.idleSubscribers},
		{"log", "appends", b.appends},
		{"log", "reads", b.reads},
		{"log", "starts", b.starts},
		{"log", "idle", b.idle},
		{"", "experiment", b.experiment},
		{"", "formats", b.formats},
		{"", "endtoend", b.endToEnd},
	}
}

func (b *bench) sayf(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}
