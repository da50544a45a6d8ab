package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/firehosed/firehosed/e2e/harness"
)

// crew works on a daemon through several of its lives: producers that keep a
// ledger of what was acknowledged, and a reshaper.
type crew struct {
	d         *harness.Daemon
	names     *streamNames
	producers []*producer
	shaper    *reshaper
}

// newCrew takes a daemon whose configuration has the streams.
func newCrew(d *harness.Daemon, rng *rand.Rand, producers int, names ...string) *crew {
	c := &crew{d: d, names: &streamNames{names: names}}
	httpClient := harness.Once()
	client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })
	for i := range producers {
		c.producers = append(c.producers, &producer{id: i, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: c.names})
	}
	c.shaper = &reshaper{rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: c.names, streams: killStreams, shards: killShards}
	return c
}

// work lets the crew work while f runs, and waits for its last requests.
func (c *crew) work(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	for _, p := range c.producers {
		working.Go(func() { p.run(ctx) })
	}
	working.Go(func() { c.shaper.run(ctx) })
	f()
}

// workUntilEnd lets the crew work until the daemon ends by itself. Every second
// that it does not, again is called, if there is one.
func (c *crew) workUntilEnd(t *testing.T, again func()) {
	t.Helper()
	c.work(t, func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		limit := harness.Within(t, harness.Patience)
		late := time.After(limit)
		for {
			select {
			case <-c.d.Done():
				return
			case <-tick.C:
				if again != nil {
					again()
				}
			case <-late:
				t.Errorf("the daemon still runs after %v", limit)
				return
			}
		}
	})
}

// acknowledged is how many records were, up to now.
func (c *crew) acknowledged() int64 { return acknowledgedBy(c.producers) }

func acknowledgedBy(producers []*producer) (n int64) {
	for _, p := range producers {
		n += p.acknowledged.Load()
	}
	return n
}

// busy lets some time pass, and more until ten records were acknowledged meanwhile:
// a machine that stands still for a moment lets nothing happen in any time.
func (c *crew) busy(t *testing.T, d time.Duration) {
	t.Helper()
	pauseBusy(t, d, c.acknowledged)
}

// pauseBusy lets some time pass, and more until a count has grown by ten.
func pauseBusy(t *testing.T, d time.Duration, count func() int64) {
	t.Helper()
	before := count()
	harness.Pause(t.Context(), d)
	harness.Eventually(t, harness.Patience, "records that are acknowledged", func() error {
		if n := count() - before; n < 10 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

// refusals are the answers that refused, by code, since the last call.
func (c *crew) refusals() map[string]int {
	all := map[string]int{}
	for _, p := range c.producers {
		for code, n := range p.refused {
			all[code] += n
		}
		p.refused = nil
	}
	return all
}

// check reads everything back and compares it with the ledger.
func (c *crew) check(t *testing.T, when string) *ledgerCheck {
	t.Helper()
	check := &ledgerCheck{}
	for _, p := range c.producers {
		check.add(p.ledger)
	}
	check.run(t, c.d.Kinesis(), c.names.all(), c.shaper.closed)
	t.Logf("%s: %d records acknowledged; read back %d records of %d shards in %d streams: %d missing, %d changed, %d repeated, %d out of order",
		when, len(check.ledger), check.read, check.shards, len(c.names.all()), check.missing, check.changed, check.repeated, check.unordered)
	return check
}
