package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

const (
	startShards = 1000
	// loadedAgain is appended between two kills: more than what a checkpoint
	// leaves to replay.
	loadedAgain = 400 << 20
)

// opened is how long a log took to start, from the call of Open on.
type opened struct {
	Open, Read, Append time.Duration // until it returned, a page was read, a record was durable
	Memory             int64         // the most the process held until then
}

// starts measures how soon a log of many shards reads and takes records again.
func (b *bench) starts(ctx context.Context) (t *table, err error) {
	b.sayf("starts: making a log of %d MB", b.startBytes>>20)
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := b.openLog(ctx, dir, b.startBytes, true); err != nil {
		return nil, err
	}
	rows := []struct {
		name   string
		before func() error // brings the log into the state it is opened in
		got    []opened
	}{
		{name: "after SIGKILL under load, files in the page cache", before: func() error {
			_, err := b.openLog(ctx, dir, loadedAgain, true)
			return err
		}},
		{name: "after SIGKILL under load, nothing in the page cache", before: func() error {
			_, err := b.openLog(ctx, dir, loadedAgain, true)
			return errors.Join(err, forgetFiles(dir))
		}},
		{name: "after a clean stop, files in the page cache", before: func() error { return nil }},
		{name: "after a clean stop, nothing in the page cache", before: func() error { return forgetFiles(dir) }},
	}
	for n := range b.opens {
		b.sayf("starts, round %d of %d", n+1, b.opens)
		for i := range rows {
			r := &rows[i]
			if err := r.before(); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			took, err := b.openLog(ctx, dir, 0, false)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			r.got = append(r.got, took)
		}
	}
	t = &table{
		Name: "starts", Title: "The log as a library: start",
		Note: fmt.Sprintf("A log of %d shards with %.1f GB of records of 1 KiB and %d segment files, %s on the disk; journal files of %s. "+
			"From the call of Open until it returned, until the first page was read, and until one more record was durable. "+
			"\"Under load\" means that %d MB were appended by 8 writers since the last start. Floor: every byte of the journal's files read once.",
			startShards, float64(b.startBytes)/1e9, len(filesBelow(filepath.Join(dir, "shards"))), gigabytes(dir), gigabytes(filepath.Join(dir, "journal")), loadedAgain/1_000_000),
	}
	for _, cold := range []bool{false, true} {
		var took []float64
		for range b.opens {
			d, err := readJournal(dir, cold)
			if err != nil {
				return nil, err
			}
			took = append(took, d.Seconds())
		}
		name := "floor: the journal read, in the page cache"
		if cold {
			name = "floor: the journal read, not in the page cache"
		}
		v := measured("", took)
		line := row{Name: name}
		for _, c := range []string{"open s", "first read s", "first append s"} {
			v.Name = c
			line.Values = append(line.Values, v)
		}
		line.Values = append(line.Values, measured("peak RSS MB", nil))
		t.Rows = append(t.Rows, line)
	}
	for _, r := range rows {
		var open, read, add, memory []float64
		for _, o := range r.got {
			open, read, add = append(open, o.Open.Seconds()), append(read, o.Read.Seconds()), append(add, o.Append.Seconds())
			memory = append(memory, float64(o.Memory)/1e6)
		}
		t.Rows = append(t.Rows, row{Name: r.name, Values: []value{
			measured("open s", open), measured("first read s", read), measured("first append s", add), measured("peak RSS MB", memory),
		}})
	}
	return t, nil
}

// openLog opens the log in a process of its own, and has it append so many
// bytes. Then the process is killed in the middle of more appends, or stops.
func (b *bench) openLog(ctx context.Context, dir string, bytes int64, kill bool) (o opened, err error) {
	cmd := exec.CommandContext(ctx, b.self, roleOpen, "-dir", dir, "-bytes", strconv.FormatInt(bytes, 10))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return o, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return o, err
	}
	if err := cmd.Start(); err != nil {
		return o, err
	}
	lines := bufio.NewScanner(out)
	ended := func() error { return errors.Join(lines.Err(), in.Close(), cmd.Wait()) }
	if !lines.Scan() {
		return o, fmt.Errorf("log was not opened: %w", ended())
	}
	if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
		return o, errors.Join(err, ended())
	}
	if bytes > 0 && !lines.Scan() {
		return o, fmt.Errorf("log was not filled: %w", ended())
	}
	if !kill {
		return o, ended()
	}
	err = cmd.Process.Kill()
	_ = ended() // the kill
	return o, err
}

// openRole is the process that opens a log, and makes it if it is not there.
func openRole(args []string, in io.Reader, out io.Writer) (err error) {
	flags := flag.NewFlagSet(roleOpen, flag.ExitOnError)
	dir := flags.String("dir", "", "of the log")
	bytes := flags.Int64("bytes", 0, "to append, and then more until the process is killed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx := context.Background()
	var o opened
	start := time.Now()
	l, err := wal.Open(*dir, wal.Options{MinFreeBytes: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	o.Open = time.Since(start)
	_, err = l.Describe(benchStream)
	if errors.Is(err, streams.ErrNotFound) {
		_, err = l.Create(ctx, streams.StreamSpec{Name: benchStream, Shards: startShards})
	}
	if err != nil {
		return err
	}
	shard := streams.ShardRef{Stream: benchStream, Shard: startShards / 2}
	if _, err := l.Read(ctx, shard, streams.Position{Kind: streams.Horizon}, streams.Limit{}); err != nil {
		return err
	}
	o.Read = time.Since(start)
	store := &walStore{log: l, data: turns.NewData()}
	one, err := store.Writer(0, 1)
	if err != nil {
		return err
	}
	between := time.Now() // the data for the append is not the log's work
	if err := one(ctx, 0); err != nil {
		return err
	}
	o.Append = o.Read + time.Since(between)
	if o.Memory, err = memory("self", "VmHWM"); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(o); err != nil {
		return err
	}
	if *bytes == 0 {
		_, err := io.Copy(io.Discard, in)
		return err
	}
	return fillLog(ctx, store, *bytes, in, out)
}

// fillLog appends so many bytes, says so, and goes on until in ends.
func fillLog(ctx context.Context, store *walStore, bytes int64, in io.Reader, out io.Writer) error {
	const writers = 8
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	full := make(chan struct{}, writers)
	for w := range writers {
		add, err := store.Writer(w, batchSize)
		if err != nil {
			return err
		}
		running.Go(func() {
			for i, left := w, bytes/writers; ctx.Err() == nil; i, left = i+writers, left-batchSize*recordBytes {
				if left <= 0 && left > -batchSize*recordBytes {
					full <- struct{}{}
				}
				if err := add(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for range writers {
		select {
		case <-full:
		case <-ctx.Done():
			running.Wait()
			return context.Cause(ctx)
		}
	}
	if _, err := fmt.Fprintln(out, "full"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	cancel(nil)
	running.Wait()
	return err
}

// forgetFiles has everything below dir on the disk and nothing in the page
// cache.
func forgetFiles(dir string) error {
	for _, name := range filesBelow(dir) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), forget(f), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func readJournal(dir string, cold bool) (time.Duration, error) {
	dir = filepath.Join(dir, "journal")
	buf := make([]byte, 1<<20)
	before := forgetFiles
	if !cold {
		before = func(dir string) error {
			_, err := readPlain(filesBelow(dir), buf)
			return err
		}
	}
	if err := before(dir); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err := readPlain(filesBelow(dir), buf)
	return time.Since(start), err
}

func gigabytes(dir string) string {
	var sum int64
	for _, name := range filesBelow(dir) {
		if st, err := os.Stat(name); err == nil {
			sum += st.Size()
		}
	}
	return strconv.FormatFloat(float64(sum)/1e9, 'f', 1, 64) + " GB"
}
