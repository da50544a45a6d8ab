package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers/versity"
)

const (
	outageMemory  = 200_000_000 // bytes that the daemon may have resident
	outageRecord  = 1000        // bytes of one record
	outageBatch   = 100         // records of one PutRecords
	outageRate    = 3_000_000   // bytes per second through PutRecords
	outageLines   = 300         // lines per second in the file, of outageRecord bytes each
	outagePutters = 2
)

// numbered is the record with a number: it begins with the number, and the rest
// follows from it, so that any change shows. It has no line end.
func numbered(kind byte, n int64) []byte {
	b := make([]byte, 0, outageRecord)
	b = fmt.Appendf(b, "%c %d ", kind, n)
	rng := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	for len(b)+16 <= outageRecord {
		b = fmt.Appendf(b, "%016x", rng.Uint64()) // gzip makes half of it
	}
	return b
}

// load puts numbered records and writes numbered lines at a steady rate.
type load struct {
	client *kinesis.Client
	next   atomic.Int64 // record number
	lines  int64        // written

	mu     sync.Mutex
	acked  map[int64]bool // first numbers of batches
	failed []error
}

func (l *load) put(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		first := l.next.Add(outageBatch) - outageBatch
		in := &kinesis.PutRecordsInput{StreamName: aws.String("load")}
		for n := first; n < first+outageBatch; n++ {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: numbered('r', n), PartitionKey: aws.String(strconv.FormatInt(n, 10))})
		}
		// The request in flight at the end of the load is waited for.
		out, err := l.client.PutRecords(context.WithoutCancel(ctx), in)
		if err == nil && aws.ToInt32(out.FailedRecordCount) > 0 {
			err = fmt.Errorf("%d of %d records refused, the first with %s", *out.FailedRecordCount, len(in.Records), aws.ToString(out.Records[0].ErrorCode))
		}
		l.mu.Lock()
		if err != nil {
			l.failed = append(l.failed, err)
		} else {
			l.acked[first] = true
		}
		l.mu.Unlock()
	}
}

// acknowledged is how many records are in the log.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked) * outageBatch
}

func (l *load) write(ctx context.Context, file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	const ticks = 10 // per second
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return f.Close()
		case <-tick.C:
		}
		for range outageLines / ticks {
			if _, err := f.Write(append(numbered('l', l.lines), '\n')); err != nil {
				return err
			}
			l.lines++
		}
	}
}

// counted is what was read back of one kind of record.
type counted struct {
	times   map[int64]int
	rows    int64
	changed int
	objects int
}

func newCounted() *counted { return &counted{times: map[int64]int{}} }

// add takes a gzip object of lines.
func (c *counted) add(kind byte, r io.Reader) error {
	c.objects++
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		c.rows++
		line := lines.Bytes()
		end := bytes.IndexByte(line[min(2, len(line)):], ' ')
		if end < 0 {
			c.changed++
			continue
		}
		n, err := strconv.ParseInt(string(line[2:2+end]), 10, 64)
		if err != nil || !bytes.Equal(line, numbered(kind, n)) {
			c.changed++
			continue
		}
		c.times[n]++
	}
	return lines.Err()
}

// against counts what is missing of the wanted numbers and what is there more
// than once.
func (c *counted) against(wanted func(yield func(int64) bool)) (missing, repeated int64) {
	for n := range wanted {
		if c.times[n] == 0 {
			missing++
		}
	}
	for _, times := range c.times {
		repeated += int64(times - 1)
	}
	return missing, repeated
}

func countS3(t *testing.T, server *versity.S3, prefix string, kind byte) *counted {
	t.Helper()
	c := newCounted()
	client := server.Client(server.Root)
	objects, err := server.List(t.Context(), "lake", prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: &o.Key})
		if err == nil {
			err = errors.Join(c.add(kind, out.Body), out.Body.Close())
		}
		if err != nil {
			t.Fatalf("%s: %v", o.Key, err)
		}
	}
	return c
}

func countDir(t *testing.T, dir string, kind byte) *counted {
	t.Helper()
	c := newCounted()
	for _, file := range harness.Files(t, dir, "*.gz") {
		f, err := os.Open(file)
		if err == nil {
			err = errors.Join(c.add(kind, f), f.Close())
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return c
}

// memoryWatch samples the resident memory until it is stopped.
type memoryWatch struct {
	highest atomic.Int64
	end     chan struct{}
	done    chan struct{}
}

func watchMemory(d *harness.Daemon) *memoryWatch {
	w := &memoryWatch{end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if rss, err := d.RSS(); err == nil {
				w.highest.Store(max(w.highest.Load(), rss))
			}
			select {
			case <-w.end:
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

func (w *memoryWatch) stop() int64 {
	close(w.end)
	<-w.done
	return w.highest.Load()
}

// TestOutage stops the S3 server for E2E_OUTAGE under steady load. Memory stays
// low, the other delivery stream goes on, and everything arrives afterwards.
func TestOutage(t *testing.T) {
	outage := duration(t, "E2E_OUTAGE", 30*time.Second)
	server := versity.Run(t)
	if err := server.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	out, logs := t.TempDir(), t.TempDir()
	delivery := func(source, destination string) string {
		return "\n    source: " + source + "\n    format: raw\n    compression: gzip\n    buffer: { interval: 2s, size: 16MiB }\n    retry: { initial: 200ms, max: 5s }\n" +
			fmt.Sprintf("    errors: { dir: { path: %q } }\n    destination: %s\n", filepath.Join(out, "errors"), destination)
	}
	d := harness.Run(t, harness.Settings{Body: "streams: { load: { shards: 2 } }\ndelivery_streams:\n" +
		"  lake:" + delivery("{ stream: load }", "{ s3: "+bucket(server, server.Root, "lake", "load/")+" }") +
		"  lines:" + delivery(fmt.Sprintf("{ file: { include: [%q] } }", filepath.Join(logs, "*.log")), "{ s3: "+bucket(server, server.Root, "lake", "lines/")+" }") +
		"  shelf:" + delivery("{ stream: load }", fmt.Sprintf("{ dir: { path: %q } }", filepath.Join(out, "shelf")))})

	httpClient := harness.Once()
	l := &load{acked: map[int64]bool{}, client: d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var working sync.WaitGroup
	for range outagePutters {
		working.Go(func() { l.put(ctx, time.Second*outagePutters*outageBatch*outageRecord/outageRate) })
	}
	var writeErr error
	working.Go(func() { writeErr = l.write(ctx, filepath.Join(logs, "app.log")) })

	// Before: everything flows.
	harness.Eventually(t, harness.Patience, "first objects", func() error {
		if m := d.Metrics(t); m.Delivery(t, "objects_total", "lake") == 0 || m.Delivery(t, "objects_total", "lines") == 0 || m.Delivery(t, "objects_total", "shelf") == 0 {
			return errors.New("not all of them")
		}
		return nil
	})
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	memory := watchMemory(d)
	began, before, putBefore := time.Now(), d.Metrics(t), l.acknowledged()
	harness.Eventually(t, harness.Patience, "stall of both deliveries to S3", func() error {
		if m := d.Metrics(t); m.Delivery(t, "stalled", "lake") != 1 || m.Delivery(t, "stalled", "lines") != 1 {
			return errors.New("not stalled")
		}
		return nil
	})
	if !harness.Pause(t.Context(), outage-time.Since(began)) {
		t.Fatal(t.Context().Err())
	}
	// During: seen from outside at its end.
	put := l.acknowledged() - putBefore
	during := d.Metrics(t)
	ready := d.Health(t)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	down := time.Since(began)
	duringMemory := memory.highest.Load()
	for _, s := range []string{"lake", "lines"} {
		lag, age := during.Delivery(t, "lag_records", s), during.Delivery(t, "oldest_age_seconds", s)
		t.Logf("at the end of the outage %s has %.0f records, %.1f MB, the oldest %.1f s old, after %.0f failed tries", s, lag, during.Delivery(t, "lag_bytes", s)/1e6, age, during.Delivery(t, "retries_total", s))
		if lag == 0 || age < 0.8*outage.Seconds() || during.Delivery(t, "retries_total", s) == 0 {
			t.Errorf("%s: the lag does not show the outage", s)
		}
		if n := during.Delivery(t, "records_delivered_total", s) - before.Delivery(t, "records_delivered_total", s); n < 0 {
			t.Errorf("%s: counter went back by %.0f", s, -n)
		}
	}
	went := during.Delivery(t, "records_delivered_total", "shelf") - before.Delivery(t, "records_delivered_total", "shelf")
	t.Logf("meanwhile %d records were put, shelf delivered %.0f and is behind by %.0f, %.1f s", put, went, during.Delivery(t, "lag_records", "shelf"), during.Delivery(t, "oldest_age_seconds", "shelf"))
	if put == 0 || went < float64(put)/2 {
		t.Errorf("shelf delivered %.0f records during the outage, of %d that were put", went, put)
	}
	if ready.Code != 200 {
		t.Errorf("a destination that is down makes the daemon not ready: %+v", ready)
	}

	// After: the load goes on for a moment, then all of it has to be there.
	harness.Pause(t.Context(), 3*time.Second)
	cancel()
	working.Wait()
	if writeErr != nil {
		t.Fatal(writeErr)
	}
	stopped := time.Now()
	d.AwaitFilesRead(t, harness.Patience, "lines")
	d.AwaitDrained(t, harness.Patience+outage, "lake", "lines", "shelf")
	caught := time.Since(stopped)
	highest := memory.stop()
	peak, err := d.PeakRSS()
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failed) > 0 {
		t.Errorf("%d requests were refused, the first with %v", len(l.failed), l.failed[0])
	}
	t.Logf("S3 was down for %v; %d records (%.1f MB) acknowledged, %d lines written; all delivered %v after the end of the load",
		down.Round(time.Millisecond), len(l.acked)*outageBatch, float64(len(l.acked)*outageBatch*outageRecord)/1e6, l.lines, caught.Round(time.Millisecond))
	t.Logf("resident memory: at most %.1f MB during the outage, %.1f MB until all was delivered, peak of the process %.1f MB (limit %.0f MB)",
		float64(duringMemory)/1e6, float64(highest)/1e6, float64(peak)/1e6, outageMemory/1e6)
	if max(highest, peak) >= outageMemory {
		t.Errorf("memory was not under %d bytes: %d, peak %d", outageMemory, highest, peak)
	}
	records := func(yield func(int64) bool) {
		for first := range l.acked {
			for n := first; n < first+outageBatch; n++ {
				if !yield(n) {
					return
				}
			}
		}
	}
	lines := func(yield func(int64) bool) {
		for n := range l.lines {
			if !yield(n) {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		got    *counted
		wanted func(func(int64) bool)
	}{
		{"lake", countS3(t, server, "load/", 'r'), records},
		{"lines", countS3(t, server, "lines/", 'l'), lines},
		{"shelf", countDir(t, filepath.Join(out, "shelf"), 'r'), records},
	} {
		missing, repeated := c.got.against(c.wanted)
		t.Logf("%s: %d rows in %d objects, %d missing, %d repeated, %d changed", c.name, c.got.rows, c.got.objects, missing, repeated, c.got.changed)
		if missing > 0 || repeated > 0 || c.got.changed > 0 {
			t.Errorf("%s: what arrived is not what was put", c.name)
		}
	}
	if left := harness.Files(t, filepath.Join(out, "errors")); len(left) > 0 {
		t.Errorf("error output has %v", left)
	}
	stalls := 0
	for _, line := range d.LogLines(t, "WARN", "ERROR") {
		if text := fmt.Sprint(line); strings.Contains(text, "lake") || strings.Contains(text, "lines") {
			stalls++
		}
	}
	if stalls == 0 {
		t.Error("the daemon logged nothing about the outage")
	}
	d.MustStop(t)
}
