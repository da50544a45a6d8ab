package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// policies are what the experiment of decision 7 compares.
var policies = []struct{ kind, name string }{
	{"wal", "journal, segments written later"},
	{"syncfs", "all files written, one syncfs"},
	{"fdatasync", "all files written, fdatasync of each, 64 at a time"},
}

// experiment measures three ways to make many shards durable, see
// docs/decisions/0007-journal-or-syncfs.md and direct.go.
func (b *bench) experiment(ctx context.Context) (*table, error) {
	t := &table{
		Name: "experiment", Title: "A journal, or the files of the shards themselves",
		Note: "The log as it is against small logs without a journal (bench/direct.go), which keep nothing in memory and make no index. Groups form in the same way. " +
			"256 writers append 1 KiB each, or 8 writers 500 KiB each, spread over the shards. \"All done\" counts the time until everything is in the segments, indexed and synced, " +
			"which the journal leaves for later, at most a second here instead of ten: it is what can be kept up. Written is what the process had the kernel write to the disk, for each byte of data, until all was done, " +
			"without the file system's own journal.",
	}
	loads := []struct {
		name string
		job  turns.Job
	}{
		{"256 x 1 KiB", turns.Job{Writers: 256, Records: 1, Settle: true}},
		{"8 x 500 KiB", turns.Job{Writers: 8, Records: batchSize, Settle: true}},
	}
	for _, shards := range []int{1, 100, 1000} {
		got := map[string][]turns.Result{}
		if err := b.experimentWith(ctx, shards, func(w *workers) error {
			for n := range b.tries {
				b.sayf("experiment, %d shards, round %d of %d", shards, n+1, b.tries)
				for _, l := range loads {
					for _, p := range policies {
						r, err := w.turn(ctx, fmt.Sprintf("%s %d", p.kind, shards), l.job, b.stretch)
						if err != nil {
							return fmt.Errorf("%s: %w", p.name, err)
						}
						got[l.name+p.kind] = append(got[l.name+p.kind], r)
					}
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
		for _, l := range loads {
			for _, p := range policies {
				name := fmt.Sprintf("%d shards, %s: %s", shards, l.name, p.name)
				t.Rows = append(t.Rows, experimentRow(name, got[l.name+p.kind], got[l.name+policies[0].kind]))
			}
		}
	}
	return t, nil
}

func (b *bench) experimentWith(ctx context.Context, shards int, measure func(*workers) error) (err error) {
	w := &workers{bench: b, checkpoint: time.Second, open: map[string]*worker{}}
	defer func() { err = errors.Join(err, w.stop()) }()
	return measure(w)
}

func experimentRow(name string, got, journal []turns.Result) row {
	var rate, done, ratio, p50, p99, cpu, written []float64
	all := func(r turns.Result) float64 { return float64(r.Records) / (r.Took + r.Settled).Seconds() }
	for i, r := range got {
		rate, done = append(rate, r.Rate()), append(done, all(r))
		ratio = append(ratio, all(r)/all(journal[i]))
		p50, p99 = append(p50, ms(r.P50)), append(p99, ms(r.P99))
		cpu = append(cpu, float64(r.CPU.Microseconds())/float64(max(r.Records, 1)))
		written = append(written, float64(r.Written)/float64(max(r.Bytes(), 1)))
	}
	return row{Name: name, Values: []value{
		measured("records/s", rate), measured("all done, records/s", done), measured("of the journal", ratio),
		measured("p50 ms", p50), measured("p99 ms", p99), measured("CPU µs/record", cpu), measured("written", written),
	}}
}
