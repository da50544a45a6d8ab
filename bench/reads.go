package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

// The bytes that are read again and again: as much as surely stays in memory,
// and several segments.
const (
	readMemory = 24 << 20
	readFiles  = 192 << 20
)

// readCases are the rows of the reads' table, and what each is compared with.
var readCases = []struct{ name, floor string }{
	{"floor: bytes copied once, 1 MiB at a time", "floor: bytes copied once, 1 MiB at a time"},
	{"memory, appended 500 at a time", "floor: bytes copied once, 1 MiB at a time"},
	{"memory, appended one at a time", "floor: bytes copied once, 1 MiB at a time"},
	{"floor: pread of the segments, 1 MiB at a time", "floor: pread of the segments, 1 MiB at a time"},
	{"page cache, appended 500 at a time", "floor: pread of the segments, 1 MiB at a time"},
	{"page cache, appended one at a time", "floor: pread of the segments, 1 MiB at a time"},
}

// reads measures one reader that follows a shard, in pages of 1 MiB.
func (b *bench) reads(ctx context.Context) (*table, error) {
	b.sayf("reads")
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, b.self, roleReads, "-dir", dir, "-rounds", strconv.Itoa(b.logRepeats), "-for", (b.phase / 2).String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", roleReads, err)
	}
	var got map[string][]usage
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, fmt.Errorf("role %s: %w", roleReads, err)
	}
	t := &table{
		Name: "reads", Title: "The log as a library: reads of a shard, records of 1 KiB",
		Note: fmt.Sprintf("One reader takes pages of 1 MiB from the oldest record to the tip, again and again: %d MiB that are only in memory, or %d MiB of segments in the page cache "+
			"after the log was closed and opened again. The ratio is of processor time, which covers the whole process with its garbage collector.", readMemory>>20, readFiles>>20),
	}
	for _, c := range readCases {
		var wall, cpu, ratio []float64
		for i, u := range got[c.name] {
			wall, cpu = append(wall, u.perSecond()), append(cpu, u.perCPUSecond())
			ratio = append(ratio, u.perCPUSecond()/got[c.floor][i].perCPUSecond())
		}
		t.Rows = append(t.Rows, row{Name: c.name, Values: []value{
			measured("MB/s", wall), measured("MB per CPU s", cpu), measured("of its floor", ratio),
		}})
	}
	return t, nil
}

// readsRole is the process that reads.
func readsRole(args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet(roleReads, flag.ExitOnError)
	dir := flags.String("dir", "", "folder for the logs")
	rounds := flags.Int("rounds", 1, "turns of each case")
	d := flags.Duration("for", time.Second, "length of a turn")
	inMemory := flags.Int64("memory", readMemory, "bytes of the logs in memory")
	inFiles := flags.Int64("files", readFiles, "bytes of the logs in segments")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var cases []func() (int64, error) // one pass each, in the order of readCases
	for _, total := range []int64{*inMemory, *inFiles} {
		buf := make([]byte, 1<<20)
		if total == *inMemory {
			from := make([]byte, total)
			cases = append(cases, func() (int64, error) {
				for at := 0; at < len(from); at += len(buf) {
					copy(buf, from[at:])
				}
				return total, nil
			})
		}
		for _, records := range []int{batchSize, 1} {
			l, err := readableLog(filepath.Join(*dir, fmt.Sprint(total, records)), total, records, total == *inFiles)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			if total == *inFiles && records == batchSize {
				segments := filesBelow(filepath.Join(*dir, fmt.Sprint(total, records), "shards"))
				cases = append(cases, func() (int64, error) { return readPlain(segments, buf) })
			}
			cases = append(cases, func() (int64, error) { return readThrough(l, total) })
		}
	}
	got := map[string][]usage{}
	for range *rounds {
		for i, pass := range cases {
			u, err := repeat(pass, *d)
			if err != nil {
				return fmt.Errorf("%s: %w", readCases[i].name, err)
			}
			got[readCases[i].name] = append(got[readCases[i].name], u)
		}
	}
	return json.NewEncoder(out).Encode(got)
}

// repeat makes passes for about d.
func repeat(pass func() (int64, error), d time.Duration) (u usage, err error) {
	runtime.GC() // of what the case before left
	cpu, start := turns.ProcessorTime(), time.Now()
	for u.Wall < d {
		n, err := pass()
		if err != nil {
			return u, err
		}
		u.Bytes += n
		u.Wall = time.Since(start)
	}
	u.CPU = turns.ProcessorTime() - cpu
	return u, nil
}

// readableLog makes a log of one shard. Its records are in segments only, or
// stay in memory if they are not too many.
func readableLog(dir string, total int64, records int, segments bool) (*wal.Log, error) {
	opt := wal.Options{MinFreeBytes: -1, CheckpointInterval: time.Hour}
	l, err := wal.Open(dir, opt)
	if err != nil {
		return nil, err
	}
	if _, err := l.Create(context.Background(), streams.StreamSpec{Name: benchStream, Shards: 1}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	store := &walStore{log: l, data: turns.NewData()}
	var running sync.WaitGroup
	writers := 64
	errs := make([]error, writers)
	for w := range writers {
		add, err := store.Writer(w, records)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		running.Go(func() {
			for i := w; int64(i)*int64(records)*recordBytes < total && errs[w] == nil; i += writers {
				errs[w] = add(context.Background(), i)
			}
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if !segments {
		return l, nil
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return wal.Open(dir, opt)
}

// readThrough reads a shard from end to end.
func readThrough(l *wal.Log, want int64) (n int64, err error) {
	for at := (streams.Position{Kind: streams.Horizon}); ; {
		p, err := l.Read(context.Background(), streams.ShardRef{Stream: benchStream}, at, streams.Limit{Bytes: 1 << 20})
		if err != nil {
			return n, err
		}
		if len(p.Records) == 0 {
			if n < want {
				return n, fmt.Errorf("%d bytes of %d were there", n, want)
			}
			return n, nil
		}
		for i := range p.Records {
			n += int64(len(p.Records[i].Data))
		}
		at = streams.Position{Kind: streams.At, Seq: p.Next}
	}
}

// readPlain reads files from end to end.
func readPlain(names []string, buf []byte) (n int64, err error) {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return n, err
		}
		var at int64
		for err == nil {
			var k int
			k, err = f.ReadAt(buf, at)
			at += int64(k)
		}
		if cerr := f.Close(); cerr != nil || !errors.Is(err, io.EOF) {
			return n, errors.Join(err, cerr)
		}
		n += at
	}
	return n, nil
}
