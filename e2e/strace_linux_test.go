package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// writes are the system calls that put bytes into files, but for plain writes,
// which sockets and the log of the daemon use as well.
const writes = "pwrite64,pwritev,pwritev2"

// inject makes system calls of a running daemon fail or take long, until it
// ends or detach is called.
func inject(t *testing.T, d *harness.Daemon, what string) (detach func()) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not there: install it to inject faults into system calls")
	}
	calls, _, _ := strings.Cut(what, ":")
	log := filepath.Join(t.TempDir(), "strace.log")
	tracer, err := servers.New(servers.Spec{
		Path: strace, LogFile: log,
		Args: []string{"-f", "-o", os.DevNull, "-e", "trace=" + calls, "-e", "signal=none", "-e", "inject=" + what, "-p", strconv.Itoa(d.Pid())},
		Ready: func(context.Context) error {
			// The first line comes when all threads are held.
			b, err := os.ReadFile(log)
			if err == nil && !bytes.Contains(b, []byte("attached")) {
				err = errors.New("not attached yet")
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.Start(t.Context()); err != nil {
		if strings.Contains(err.Error(), "Operation not permitted") && os.Getenv(servers.RequiredEnv) != "1" {
			t.Skipf("strace may not attach to a process here: %v", err)
		}
		t.Fatal(err)
	}
	detach = sync.OnceFunc(func() {
		if err := tracer.Stop(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, servers.ErrNotRunning) {
			t.Error(err)
		}
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(detach)
	return detach
}

// TestInjectedErrors makes system calls of the daemon fail under producers. It
// refuses what follows with an answer that clients retry, ends with an error,
// and after a start everything acknowledged is there.
func TestInjectedErrors(t *testing.T) {
	rounds := number(t, "E2E_INJECTIONS", 1)
	for _, calls := range []string{"fdatasync", "fsync", writes} {
		t.Run(calls, func(t *testing.T) {
			t.Parallel() // directories are synced at checkpoints only: most of it is waiting
			rng := random(t)
			d := harness.New(t, harness.Settings{
				Body:    "streams:\n  first: { shards: 2 }\n",
				Storage: ", segment_size: 1MiB, journal_size: 4MiB",
			})
			c := newCrew(d, rng, 4, "first")
			for range rounds {
				d.MustStart(t)
				// All calls of a thread from some call on: of those alone that make
				// a journal file ahead, nothing depends.
				what := fmt.Sprintf("%s:error=EIO:when=%d+", calls, 1+rng.IntN(3))
				detach := inject(t, d, what)
				c.workUntilEnd(t, nil)
				detach()
				if t.Failed() {
					t.FailNow()
				}
				refused := c.refusals()
				t.Logf("%s: ended with %v; refused %v", what, d.ExitError(), refused)
				if d.ExitError() == nil {
					t.Error("the daemon ended with status 0 after a failure of the disk")
				}
				for code := range refused {
					if code != noCode && code != "InternalFailureException" {
						t.Errorf("refused with %s, want InternalFailureException, which clients retry", code)
					}
				}
				if log := d.Log(t, 64<<10); !strings.Contains(log, "the log is read-only until the process is started again") {
					t.Error("the daemon's log does not say why it ended")
				}
				d.MustStart(t)
				c.check(t, "after a start")
				d.MustStop(t)
			}
		})
	}
}

// TestInjectedNoSpace lets every write find the disk full for a while: puts are
// refused with an answer on which clients wait, reads go on, and the same
// process takes records again when there is space.
func TestInjectedNoSpace(t *testing.T) {
	rng := random(t)
	d := harness.Run(t, harness.Settings{
		Body: "streams:\n  first: { shards: 2 }\n", Storage: ", segment_size: 1MiB, journal_size: 4MiB",
	})
	c := newCrew(d, rng, 4, "first")
	c.work(t, func() { c.busy(t, 300*time.Millisecond) })
	detach := inject(t, d, fmt.Sprintf("%s:error=ENOSPC:when=%d+", writes, 1+rng.IntN(5)))
	c.work(t, func() {
		harness.Eventually(t, harness.Patience, "refusals", func() error {
			if d.Metrics(t).Log(t, "full") != 1 {
				return errors.New("the log is not full")
			}
			return nil
		})
		harness.Pause(t.Context(), 500*time.Millisecond)
	})
	refused := c.refusals()
	c.check(t, "without space")
	if n := refused["ProvisionedThroughputExceededException"]; n == 0 {
		t.Errorf("refusals: %v, want ProvisionedThroughputExceededException", refused)
	}
	detach()
	c.work(t, func() {
		harness.Eventually(t, harness.Patience, "taking records again", func() error {
			if h := d.Health(t); h.Code != 200 {
				return fmt.Errorf("%+v", h)
			}
			return nil
		})
		c.busy(t, 300*time.Millisecond)
	})
	d.MustKill(t)
	d.MustStart(t)
	c.check(t, "after a kill")
	d.MustStop(t)
}

// TestSlowDisk holds syncs up while more is put than may be in flight: memory
// stays bounded, what is too much is refused with an answer on which clients
// wait, reads and health answer, and nothing acknowledged is lost.
func TestSlowDisk(t *testing.T) {
	const (
		clients  = 48
		perPut   = 4 // records of 1,000,000 bytes
		maxRSS   = 640 * mib
		everyPut = clients * perPut // MB in flight if nothing refused
	)
	slow := duration(t, "E2E_SLOW_SYNC", 3*time.Second)
	t.Parallel() // most of it is waiting
	rng := random(t)
	d := harness.Run(t, harness.Settings{Body: "streams:\n  first: { shards: 2 }\n  large: { shards: 2 }\n"})
	c := newCrew(d, rng, 2, "first")
	c.work(t, func() { c.busy(t, 200*time.Millisecond) })
	detach := inject(t, d, fmt.Sprintf("fdatasync:delay_exit=%d:when=1..2", slow.Microseconds()))

	// Two syncs of each thread are slow. The large puts fill what may be in
	// flight behind them.
	data := bytes.Repeat([]byte("x"), 1_000_000)
	httpClient := harness.Once()
	httpClient.Timeout = 4*slow + 60*time.Second
	client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })
	var mu sync.Mutex
	answers := map[string]int{}
	var putting sync.WaitGroup
	for i := range clients {
		putting.Go(func() {
			in := &kinesis.PutRecordsInput{StreamName: aws.String("large")}
			for k := range perPut {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint(i, k)), Data: data})
			}
			_, err := client.PutRecords(t.Context(), in)
			answer := "taken"
			if err != nil {
				answer = code(err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
		})
	}
	var peak int64
	c.work(t, func() {
		harness.Pause(t.Context(), slow)
		if h := d.Health(t); h.Code == 0 {
			t.Error("health does not answer")
		}
		if err := readToEnd(t.Context(), d.Kinesis(), "first", "shardId-000000000000", func(types.Record) error { return nil }); err != nil {
			t.Errorf("read while the disk is slow: %v", err)
		}
		putting.Wait()
		var err error
		if peak, err = d.PeakRSS(); err != nil {
			t.Error(err)
		}
		d.MustKill(t) // while syncs are slow
	})
	t.Logf("syncs of %v: %d puts of %d MB: %v; peak memory %d MiB", slow, clients, perPut, answers, peak/mib)
	if peak > maxRSS {
		t.Errorf("the daemon took %d MiB for %d MB of puts, at most %d MiB", peak/mib, everyPut, maxRSS/mib)
	}
	if answers["taken"] == 0 {
		t.Error("no large put was taken")
	}
	for answer := range answers {
		if answer != "taken" && answer != "ProvisionedThroughputExceededException" && answer != "ThrottlingException" && answer != "ServiceUnavailableException" {
			t.Errorf("answered %s, want one that clients wait on", answer)
		}
	}
	if len(answers) < 2 {
		t.Error("nothing was refused: more than may be in flight was taken in")
	}
	detach()
	d.MustStart(t)
	check := c.check(t, "after a kill")
	n := 0
	shards, err := listShards(t.Context(), d.Kinesis(), "large")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		err := readToEnd(t.Context(), d.Kinesis(), "large", s.id, func(r types.Record) error {
			n++
			if !bytes.Equal(r.Data, data) {
				return errors.New("a record is altered")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n < answers["taken"]*perPut || len(check.ledger) == 0 {
		t.Errorf("%d large records are there, %d were acknowledged", n, answers["taken"]*perPut)
	}
	d.MustStop(t)
}
