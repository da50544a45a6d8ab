package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// side is one row whose store is loaded in turns with the others'.
type side struct {
	name  string
	store string // key in the set of workers
	job   turns.Job
	floor string // name of the row it is compared with
	to    string // what that is called, if not by its letter
	each  bool   // by appends, not by bytes
}

// Names of rows that others refer to.
const (
	rowF      = "F: 64 KiB written, fdatasync"
	rowD      = "D: 1 MiB written with O_DSYNC"
	rowG      = "G: 256 writers, 1 KiB, one write and one fdatasync for a group"
	rowOne    = "firehosed, 1 writer, 1 KiB, 1 shard"
	rowMany   = "firehosed, 256 writers, 1 KiB, 1 shard"
	rowSpread = "firehosed, 256 writers, 1 KiB, 1,000 shards"
	rowBatch  = "firehosed, 8 writers, 500 x 1 KiB, 1 shard"
)

// appendSides are the rows of the appends' table.
func appendSides() []side {
	small, batches := turns.Job{Writers: 256, Records: 1}, turns.Job{Writers: 8, Records: batchSize}
	sides := []side{
		{name: rowF, store: "sync", job: turns.Job{Writers: 1, Records: syncBytes / turns.RecordBytes}},
		{name: rowD, store: "dsync", job: turns.Job{Writers: 1, Records: (1 << 20) / turns.RecordBytes}},
		{name: rowG, store: "group", job: small},
		{name: rowOne, store: "wal 1", job: turns.Job{Writers: 1, Records: 1}, floor: rowF, each: true},
		{name: rowMany, store: "wal 1", job: small, floor: rowG},
		{name: rowSpread, store: "wal 1000", job: small, floor: rowMany, to: "1 shard"},
		{name: "firehosed, 1 writer, 500 x 1 KiB, 1 shard", store: "wal 1", job: turns.Job{Writers: 1, Records: batchSize}, floor: rowD},
		{name: rowBatch, store: "wal 1", job: batches, floor: rowD},
		{name: "firehosed, 8 writers, 500 x 1 KiB, 1,000 shards", store: "wal 1000", job: batches, floor: rowD},
	}
	const plain = "no encryption"
	sides = append(sides,
		side{name: "firehosed, encrypted, 256 writers, 1 KiB, 1 shard", store: "encrypted 1", job: small, floor: rowMany, to: plain},
		side{name: "firehosed, encrypted, 8 writers, 500 x 1 KiB, 1 shard", store: "encrypted 1", job: batches, floor: rowBatch, to: plain})
	for _, d := range []string{"interval", "none"} { // acknowledged before they are durable
		sides = append(sides,
			side{name: "firehosed, durability " + d + ", 256 writers, 1 KiB, 1 shard", store: d + " 1", job: small, floor: rowMany, to: "fsync"},
			side{name: "firehosed, durability " + d + ", 8 writers, 500 x 1 KiB, 1 shard", store: d + " 1", job: batches, floor: rowBatch, to: "fsync"})
	}
	for _, l := range libraries {
		sides = append(sides,
			side{name: l.name + ", 256 writers, 1 KiB", store: l.kind, job: small, floor: rowG},
			side{name: l.name + ", 8 writers, 500 x 1 KiB", store: l.kind, job: batches, floor: rowD})
	}
	return sides
}

// library is a store of somebody else, see the module baselines.
type library struct{ kind, name string }

var libraries = []library{
	{"nats", "NATS JetStream"},
	{"raftwal", "hashicorp/raft-wal"},
	{"bbolt", "bbolt"},
}

// appends measures the log as a library: what one process appends until it is
// durable.
func (b *bench) appends(ctx context.Context) (t *table, err error) {
	t = &table{
		Name: "appends", Title: "The log as a library: appends",
		Note: "Durable when they return, but for the rows with another durability. Each store in a process of its own, loaded in turns by the same loop, whose time and keys are part of all rows. F, D and G are the floors. " +
			"G is the floor of the table above without HTTP. A ratio is to the row named behind the name; it compares appends for one writer, and bytes elsewhere. " +
			"CPU and allocations are those of the whole process, without the settling after a turn. " + baselineNote,
	}
	w := &workers{bench: b, open: map[string]*worker{}}
	defer func() { err = errors.Join(err, w.stop()) }()
	if w.baselines, err = b.buildBaselines(ctx); err != nil {
		b.sayf("no library baselines: %v", err)
		t.Note += " **The module of the baselines could not be built, so their rows are missing.**"
	}
	sides := appendSides()
	if w.baselines == "" {
		sides = sides[:len(sides)-2*len(libraries)]
	}
	got := map[string][]turns.Result{}
	for n := range b.logRepeats {
		b.sayf("appends, round %d of %d", n+1, b.logRepeats)
		for _, s := range sides {
			r, err := w.turn(ctx, s.store, s.job, b.phase)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			got[s.name] = append(got[s.name], r)
		}
	}
	for _, s := range sides {
		t.Rows = append(t.Rows, appendRow(s, got))
	}
	return t, nil
}

const baselineNote = "The libraries append the same records: NATS JetStream (file store, `sync_interval: always`) over connections within the process, one publish a record " +
	"and an atomic batch for 500; raft-wal one StoreLogs and bbolt one Update for all appends that came while the last one ran, as neither takes concurrent writers."

// appendRow sums up the turns of one side.
func appendRow(s side, got map[string][]turns.Result) row {
	var rate, mb, ratio, p50, p99, cpu, allocs []float64
	for i, r := range got[s.name] {
		seconds := r.Took.Seconds()
		rate, mb = append(rate, r.Rate()), append(mb, float64(r.Bytes())/1e6/seconds)
		of := 1.0
		if s.floor != "" {
			f := got[s.floor][i]
			of = (float64(r.Bytes()) / seconds) / (float64(f.Bytes()) / f.Took.Seconds())
			if s.each {
				of = (float64(r.Appends) / seconds) / (float64(f.Appends) / f.Took.Seconds())
			}
		}
		ratio = append(ratio, of)
		p50, p99 = append(p50, ms(r.P50)), append(p99, ms(r.P99))
		cpu = append(cpu, float64(r.CPU.Microseconds())/float64(max(r.Records, 1)))
		allocs = append(allocs, float64(r.Allocs)/float64(max(r.Appends, 1)))
	}
	name := s.name
	switch {
	case s.to != "":
		name += " (to " + s.to + ")"
	case s.floor != "":
		name += " (to " + s.floor[:1] + ")"
	}
	return row{Name: name, Values: []value{
		measured("records/s", rate), measured("MB/s", mb), measured("ratio", ratio),
		measured("p50 ms", p50), measured("p99 ms", p99), measured("CPU µs/record", cpu), measured("allocations/append", allocs),
	}}
}

// logKinds are the stores that are the log under test.
var logKinds = []string{"wal", "encrypted", "interval", "none"}

// workers are the stores of a table, started when they are first needed.
type workers struct {
	*bench
	baselines  string        // program, or ""
	checkpoint time.Duration // of logs; 0 for their default
	open       map[string]*worker
}

// turn has one store do a job for d, and what it leaves behind done.
func (w *workers) turn(ctx context.Context, store string, j turns.Job, d time.Duration) (turns.Result, error) {
	s, err := w.get(ctx, store)
	if err != nil {
		return turns.Result{}, err
	}
	j.For = d
	r, err := s.do(j)
	if err != nil {
		return r, err
	}
	return r, s.settle(ctx)
}

func (w *workers) get(ctx context.Context, store string) (s *worker, err error) {
	if s := w.open[store]; s != nil {
		return s, nil
	}
	var kind string
	shards := 1
	if _, err := fmt.Sscan(store, &kind, &shards); err != nil && kind == "" {
		return nil, fmt.Errorf("store %q: %w", store, err)
	}
	if stores[kind] != nil {
		s, err = w.startStore(ctx, kind, "-shards", strconv.Itoa(shards), "-checkpoint", w.checkpoint.String())
	} else {
		s, err = w.startWorker(ctx, kind, w.baselines, kind)
	}
	if err != nil {
		return nil, err
	}
	w.open[store] = s
	// Files that are used again exist only after a while; the code is warm too.
	warm := turns.Job{For: w.phase / 4, Writers: 1, Records: syncBytes / turns.RecordBytes}
	if slices.Contains(logKinds, kind) {
		warm = turns.Job{For: time.Minute, Bytes: w.warmLog, Writers: 8, Records: batchSize}
	}
	if _, err := s.do(warm); err != nil {
		return nil, err
	}
	return s, s.settle(ctx)
}

func (w *workers) stop() error {
	var errs []error
	for _, s := range w.open {
		errs = append(errs, s.stop())
	}
	clear(w.open)
	return errors.Join(errs...)
}

// buildBaselines makes the program of the module baselines. Its modules may
// not be there to be had.
func (b *bench) buildBaselines(ctx context.Context) (string, error) {
	name := filepath.Join(b.dir, "baselines")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", name, ".")
	cmd.Dir = filepath.Join("bench", "baselines")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build in %s: %w\n%s", cmd.Dir, err, out)
	}
	return name, nil
}
