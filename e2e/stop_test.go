package e2e

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

// TestStopUnderLoad sends SIGTERM while eight producers put and a delivery
// writes: the daemon ends with status 0 within its grace period, leaves nothing
// half-written, and after the next start everything acknowledged is there and
// delivered once.
func TestStopUnderLoad(t *testing.T) {
	const grace = 20 * time.Second
	rng := random(t)
	out := filepath.Join(t.TempDir(), "out")
	d := harness.Run(t, harness.Settings{Grace: grace.String(), Body: fmt.Sprintf(`
streams: { first: { shards: 2 } }
delivery_streams:
  shelf:
    source: { stream: first }
    format: { raw: { delimiter: "" } }
    compression: gzip
    buffer: { interval: 200ms }
    destination: { dir: { path: %q } }
`, out)})
	httpClient := harness.Once()
	client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })
	names := &streamNames{names: []string{"first"}}
	producers := make([]*producer, killProducers)
	for i := range producers {
		producers[i] = &producer{id: i, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: names}
	}
	const rounds = 3
	var slowest time.Duration
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		for _, p := range producers {
			working.Go(func() { p.run(ctx) })
		}
		harness.Pause(t.Context(), time.Duration(500+rng.IntN(1000))*time.Millisecond)
		began := time.Now()
		d.MustStop(t) // the producers go on meanwhile
		slowest = max(slowest, time.Since(began))
		cancel()
		working.Wait()
		if left := harness.Files(t, out, ".*"); len(left) > 0 {
			t.Errorf("half-written files are left: %v", left)
		}
		d.MustStart(t)
	}
	d.AwaitDrained(t, harness.Patience, "shelf")
	check := &ledgerCheck{}
	for _, p := range producers {
		check.add(p.ledger)
	}
	check.run(t, d.Kinesis(), names.all(), nil)

	var stored, delivered int64
	shards, err := listShards(t.Context(), d.Kinesis(), "first")
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range shards {
		err := readToEnd(t.Context(), d.Kinesis(), "first", shard.id, func(r types.Record) error { stored += int64(len(r.Data)); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	objects := harness.Files(t, out)
	for _, file := range objects {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err == nil {
			var n int64
			n, err = io.Copy(io.Discard, z)
			delivered += n
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	t.Logf("%d stops, the slowest took %v of %v; %d records acknowledged, %d read back: %d missing, %d changed, %d repeated, %d out of order; %d bytes in the log, %d in %d objects",
		rounds, slowest.Round(time.Millisecond), grace, len(check.ledger), check.read, check.missing, check.changed, check.repeated, check.unordered, stored, delivered, len(objects))
	if slowest > grace {
		t.Errorf("a stop took %v", slowest)
	}
	if delivered != stored || stored == 0 {
		t.Errorf("%d bytes are in the log and %d were delivered", stored, delivered)
	}
}
