package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

const (
	idleShards  = 10_000
	subscribers = 10_000
	// checkpointTime is longer than data rests in the journal only.
	checkpointTime = 11 * time.Second
)

// atRest is what a process holds and uses while nobody asks it for anything.
type atRest struct {
	memory  int64
	program int64 // of that, pages of the program's file
	files   int
	cpu     float64 // of one core
}

// idle measures the daemon with nothing to do.
func (b *bench) idle(ctx context.Context) (*table, error) {
	t := &table{
		Name: "idle", Title: "Nothing to do",
		Note: fmt.Sprintf("The daemon with its streams and no clients, watched for %v once it had come to rest. \"With records\" means that nearly every shard holds some, "+
			"put over HTTP, and that they reached their segments. The last rows are the library alone, without and with %d goroutines in Wait, ten for each of 1,000 shards; "+
			"after them one record was put into every shard, and all waiters woke within the time that is told. RSS is that at the end.", b.rest, subscribers),
	}
	add := func(name string, r atRest) {
		t.Rows = append(t.Rows, row{Name: name, Values: []value{
			measured("RSS MB", []float64{float64(r.memory) / 1e6}), measured("of that, program file MB", []float64{float64(r.program) / 1e6}),
			measured("open files", []float64{float64(r.files)}),
			measured("CPU % of a core", []float64{100 * r.cpu}),
		}})
	}
	for _, c := range []struct {
		name   string
		shards int
	}{{"floor: the daemon without a stream", 0}, {"1 shard", 1}, {"1,000 shards", 1000}, {"10,000 shards", idleShards}} {
		r, err := b.idleDaemon(ctx, c.shards, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		add(c.name, r)
	}
	r, err := b.idleDaemon(ctx, idleShards, true)
	if err != nil {
		return nil, fmt.Errorf("with records: %w", err)
	}
	add("10,000 shards with records", r)
	for _, n := range []int{0, subscribers} {
		r, woke, err := b.idleWaiters(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%d waiting: %w", n, err)
		}
		name := "library, 1,000 shards"
		if n > 0 {
			name = fmt.Sprintf("library, 1,000 shards, 10,000 waiting; all woken in %.0f ms", ms(woke))
		}
		add(name, r)
	}
	return t, nil
}

func (b *bench) idleDaemon(ctx context.Context, shards int, filled bool) (r atRest, err error) {
	b.sayf("idle with %d shards", shards)
	config := "storage: {min_free: 0}\n"
	if shards > 0 {
		config += fmt.Sprintf("streams: {%s: {shards: %d}}\n", benchStream, shards)
	}
	p, err := b.startDaemon(ctx, config)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if filled {
		q, err := newPutRecords(typeJSON)
		if err != nil {
			return r, err
		}
		if err := spread(ctx, p, q, shards); err != nil {
			return r, err
		}
		if err := pause(ctx, checkpointTime); err != nil {
			return r, err
		}
	}
	return watch(ctx, p.pid, b.rest)
}

// spread puts about six records into every shard.
func spread(ctx context.Context, p *process, q *request, shards int) error {
	g := newGenerator(1)
	defer g.close()
	for n := range 6 * shards / q.records {
		// The keys of the bodies are few; others take their places.
		body := bytes.ReplaceAll(q.bodies[n%len(q.bodies)], []byte(`"PartitionKey":"device-`), fmt.Appendf(nil, `"PartitionKey":"%d-`, n))
		one := *q
		one.bodies = [][]byte{body}
		if _, err := g.send(ctx, 0, p, &one, 0); err != nil {
			return err
		}
	}
	return nil
}

// restTime is how long a process may take to come to rest.
const restTime = 30 * time.Second

// watch looks at a process for d, after it came to rest: after a second in
// which it ran for less than a hundredth of the time.
func watch(ctx context.Context, pid string, d time.Duration) (r atRest, err error) {
	before, err := scheduled(pid)
	for deadline := time.Now().Add(restTime); err == nil; {
		last := before
		if err := pause(ctx, time.Second); err != nil {
			return r, err
		}
		before, err = scheduled(pid)
		if before-last < time.Second/100 || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := pause(ctx, d); err != nil {
		return r, err
	}
	took := time.Since(start)
	after, err := scheduled(pid)
	if err != nil {
		return r, err
	}
	r.cpu = float64(after-before) / float64(took)
	files, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return r, err
	}
	r.files = len(files)
	var err2 error
	r.memory, err = memory(pid, "VmRSS")
	r.program, err2 = memory(pid, "RssFile")
	return r, errors.Join(err, err2)
}

// scheduled is the time that the threads of a process have run, to the
// nanosecond. That of threads that have ended is not in it.
func scheduled(pid string) (sum time.Duration, err error) {
	names, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += time.Duration(n)
	}
	if len(names) == 0 {
		return 0, fmt.Errorf("process %s has no threads", pid)
	}
	return sum, nil
}

// idleWaiters watches the library, and how soon n waiters wake.
func (b *bench) idleWaiters(ctx context.Context, n int) (r atRest, woke time.Duration, err error) {
	b.sayf("idle with %d waiting", n)
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return r, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.CommandContext(ctx, b.self, roleWait, "-dir", dir, "-n", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return r, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, 0, err
	}
	if err := cmd.Start(); err != nil {
		return r, 0, err
	}
	answers := json.NewDecoder(out)
	var waiting int
	err = answers.Decode(&waiting)
	if err == nil {
		r, err = watch(ctx, strconv.Itoa(cmd.Process.Pid), b.rest)
	}
	err = errors.Join(err, in.Close())
	if err == nil {
		err = answers.Decode(&woke)
	}
	return r, woke, errors.Join(err, cmd.Wait())
}

// waitRole is a process with goroutines in Wait. When in ends it puts a record
// into every shard and tells after how many nanoseconds all of them had woken.
func waitRole(args []string, in io.Reader, out io.Writer) (err error) {
	flags := flag.NewFlagSet(roleWait, flag.ExitOnError)
	dir := flags.String("dir", "", "of the log")
	n := flags.Int("n", 0, "waiters")
	if err := flags.Parse(args); err != nil {
		return err
	}
	const shards = 1000
	ctx := context.Background()
	l, err := wal.Open(filepath.Join(*dir, "log"), wal.Options{MinFreeBytes: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	info, err := l.Create(ctx, streams.StreamSpec{Name: benchStream, Shards: shards})
	if err != nil {
		return err
	}
	var waiting, woken sync.WaitGroup
	errs := make([]error, *n)
	waiting.Add(*n)
	for i := range *n {
		woken.Go(func() {
			waiting.Done()
			errs[i] = l.Wait(ctx, streams.ShardRef{Stream: benchStream, Shard: info.Shards[i%shards].ID}, 1)
		})
	}
	waiting.Wait()
	debug.FreeOSMemory()
	enc := json.NewEncoder(out)
	if err := enc.Encode(*n); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	batch := &streams.Batch{}
	for range 2 { // Wait asked for the second record of each shard
		for _, s := range info.Shards {
			batch.Records = append(batch.Records, streams.NewRecord{Explicit: true, HashKey: s.Range.Start, Data: []byte("x")})
		}
	}
	start := time.Now()
	if _, err := l.Append(ctx, benchStream, batch); err != nil {
		return err
	}
	woken.Wait()
	woke := time.Since(start)
	return errors.Join(errors.Join(errs...), enc.Encode(woke))
}
