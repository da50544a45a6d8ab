// Package turns lets processes that do the same work be measured in turns:
// each holds one store, waits for jobs on its standard input, and answers each
// with what it did. The benchmark and the module with the library baselines
// share it, so that all sides are loaded by the same loop.
//
// It does not know what a store is made of, and it judges nothing.
package turns

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RecordBytes is the data of one record.
const RecordBytes = 1 << 10

// Store is what is loaded. Its methods but those of writers are called by one
// goroutine.
type Store interface {
	// Writer returns what one writer calls again and again: an append of so many
	// records of RecordBytes, durable when it returns. i is different in every
	// call of every writer, for keys. Writers run concurrently.
	Writer(w, records int) (func(ctx context.Context, i int) error, error)
	// Settle returns when everything appended is where it stays and nothing is
	// left to be done in the background. It tells how much of the time that was
	// work, not waiting.
	Settle() (time.Duration, error)
	Close() error
}

// Job is one turn.
type Job struct {
	For     time.Duration // how long; writers end with the append they are at
	Bytes   int64         // ends the turn too, if not 0
	Writers int
	Records int  // in each append
	Settle  bool // afterwards, and tell how long that took
}

// Result is what a turn did.
type Result struct {
	Appends int64
	Records int64
	Took    time.Duration
	CPU     time.Duration // of the process, user and system
	Allocs  uint64        // objects allocated by the process
	P50     time.Duration // of one append
	P99     time.Duration
	Settled time.Duration // work of settling after it
	Written int64         // bytes the process caused to be written to disks in the turn, with settling
	Err     string        // why the turn failed, if it did
}

// Rate is the records per second.
func (r Result) Rate() float64 { return float64(r.Records) / r.Took.Seconds() }

// Bytes is the data of the records.
func (r Result) Bytes() int64 { return r.Records * RecordBytes }

// Serve says that it is ready, does jobs until in ends, and closes the store.
func Serve(ctx context.Context, in io.Reader, out io.Writer, s Store) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	enc, lines := json.NewEncoder(out), bufio.NewScanner(in)
	for n := 0; lines.Scan(); n++ {
		var j Job
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			return fmt.Errorf("job %q: %w", lines.Bytes(), err)
		}
		r, err := Run(ctx, s, j, n)
		if err != nil {
			r = Result{Err: err.Error()}
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// stride is how far the keys of two writers, and of two turns, are apart.
const stride = 1 << 24

// Run does one turn; n is its number.
func Run(ctx context.Context, s Store, j Job, n int) (r Result, err error) {
	if j.Writers < 1 || j.Records < 1 {
		return r, fmt.Errorf("job of %d writers with %d records", j.Writers, j.Records)
	}
	writers := make([]func(context.Context, int) error, j.Writers)
	for w := range writers {
		if writers[w], err = s.Writer(w, j.Records); err != nil {
			return r, fmt.Errorf("writer %d: %w", w, err)
		}
	}
	took := make([]histogram, j.Writers)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	written := writtenBytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := ProcessorTime()
	most := int64(1) << 62
	if j.Bytes > 0 {
		most = j.Bytes/int64(j.Records*RecordBytes*j.Writers) + 1 // for each writer
	}
	var running sync.WaitGroup
	start := time.Now()
	for w, add := range writers {
		running.Go(func() {
			h := &took[w]
			last := start
			for i := (n*j.Writers + w) * stride; last.Sub(start) < j.For && h.count < most; i++ {
				if err := add(ctx, i); err != nil {
					cancel(err)
					return
				}
				now := time.Now()
				h.add(now.Sub(last))
				last = now
			}
		})
	}
	running.Wait()
	r.Took = time.Since(start)
	r.CPU = ProcessorTime() - cpu
	runtime.ReadMemStats(&after)
	if err := context.Cause(ctx); err != nil {
		return r, err
	}
	r.Allocs = after.Mallocs - before.Mallocs
	all := &took[0]
	for w := range took[1:] {
		all.join(&took[w+1])
	}
	r.Appends, r.Records = all.count, all.count*int64(j.Records)
	r.P50, r.P99 = all.percentile(50), all.percentile(99)
	if j.Settle {
		if r.Settled, err = s.Settle(); err != nil {
			return r, fmt.Errorf("settle: %w", err)
		}
	}
	r.Written = writtenBytes() - written
	return r, nil
}

// writtenBytes is what the kernel counts as written to disks by this process;
// 0 where it does not tell. Pages of the cache count when they become dirty.
func writtenBytes() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// Data gives records that do not compress, and keys for them.
type Data struct {
	pool []byte
	keys []string
}

// NewData returns the same records each time.
func NewData() *Data {
	d := &Data{pool: make([]byte, 4<<20), keys: make([]string, 1<<keyBits)}
	rng := rand.NewChaCha8([32]byte{7})
	_, _ = rng.Read(d.pool) // never fails
	for i := range d.keys {
		d.keys[i] = fmt.Sprintf("device-%06d", i)
	}
	return d
}

const keyBits = 17

// Record is the data of record i, not to be changed.
func (d *Data) Record(i int) []byte {
	at := i % (1 << 12) * 1008 // not a multiple of a page
	return d.pool[at : at+RecordBytes : at+RecordBytes]
}

// Key is the partition key of record i: one of some hundred thousand, spread
// evenly.
func (d *Data) Key(i int) string {
	return d.keys[uint64(i)*0x9E3779B97F4A7C15>>(64-keyBits)] //nolint:gosec // i is not negative.
}
