package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/bodies"
	"github.com/firehosed/firehosed/e2e/harness"
)

// fanOutLimit is how long a subscriber may take to get what was acknowledged.
const fanOutLimit = 2 * time.Minute

// streaming makes a client of one version of HTTP, 1 or 2, that lets responses
// last.
func streaming(t *testing.T, version int) func(*kinesis.Options) {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(version == 1)
	tr.Protocols.SetUnencryptedHTTP2(version == 2)
	t.Cleanup(tr.CloseIdleConnections)
	return func(o *kinesis.Options) {
		o.HTTPClient, o.Retryer = &http.Client{Transport: bodies.Transport{Next: tr}}, aws.NopRetryer{}
	}
}

// registerConsumer returns the ARNs of a stream and of a new consumer of it.
func registerConsumer(t *testing.T, client *kinesis.Client, stream, name string) (streamARN, consumerARN *string) {
	t.Helper()
	sum, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	streamARN = sum.StreamDescriptionSummary.StreamARN
	out, err := client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: streamARN, ConsumerName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return streamARN, out.Consumer.ConsumerARN
}

// follower reads a stream by subscriptions as KCL does: it goes on after the
// last continuation number when one ends, and with the children of a shard
// when all their parents have ended.
type follower struct {
	client   *kinesis.Client
	consumer *string
	work     sync.WaitGroup

	mu      sync.Mutex
	got     map[string]int // how often each record came
	order   map[string][]string
	ended   map[string]bool
	waiting map[string][]string // parents of children that wait
	renewed int                 // subscriptions that ended cleanly while their shard went on
	broken  []error
}

func newFollower(client *kinesis.Client, consumer *string) *follower {
	return &follower{
		client: client, consumer: consumer,
		got: map[string]int{}, order: map[string][]string{}, ended: map[string]bool{}, waiting: map[string][]string{},
	}
}

// follow reads a shard until it has ended or ctx does.
func (f *follower) follow(ctx context.Context, shard string) {
	f.work.Go(func() {
		position := &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
		for ctx.Err() == nil {
			out, err := f.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: f.consumer, ShardId: &shard, StartingPosition: position})
			if err != nil {
				harness.Pause(ctx, 200*time.Millisecond) // the daemon is away, or the subscription before is too young
				continue
			}
			stream := out.GetStream()
			for event := range stream.Events() {
				e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
				if !ok {
					continue
				}
				if next := f.take(ctx, shard, &e.Value); next != nil {
					position = &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: next}
					continue
				}
				_ = stream.Close()
				return
			}
			err = stream.Err()
			_ = stream.Close()
			f.mu.Lock()
			if err == nil {
				f.renewed++
			} else if ctx.Err() == nil {
				f.broken = append(f.broken, err)
			}
			f.mu.Unlock()
		}
	})
}

// take keeps what an event has, and returns where to go on: nil at the end of
// the shard.
func (f *follower) take(ctx context.Context, shard string, e *types.SubscribeToShardEvent) *string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range e.Records {
		f.got[string(r.Data)]++
		f.order[shard] = append(f.order[shard], *r.SequenceNumber)
	}
	if e.ContinuationSequenceNumber != nil {
		return e.ContinuationSequenceNumber
	}
	f.ended[shard] = true
	for _, c := range e.ChildShards {
		f.waiting[*c.ShardId] = c.ParentShards
	}
	for child, parents := range f.waiting {
		if !slices.ContainsFunc(parents, func(p string) bool { return !f.ended[p] }) {
			delete(f.waiting, child)
			f.follow(ctx, child)
		}
	}
	return nil
}

// check compares what came with what was acknowledged: all of it, nothing
// twice, in the order of sequence numbers.
func (f *follower) check(t *testing.T, acknowledged []string) {
	t.Helper()
	harness.Eventually(t, fanOutLimit, "all that was acknowledged is pushed", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		missing := 0
		for _, a := range acknowledged {
			if f.got[a] == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d records are missing", missing, len(acknowledged))
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for data, n := range f.got {
		if n > 1 {
			t.Errorf("record %s came %d times", data, n)
		}
	}
	for shard, numbers := range f.order {
		if !slices.IsSorted(numbers) { // of 56 digits all
			t.Errorf("records of %s came out of order", shard)
		}
	}
}

// fanOutProducer puts records that are all different, until ctx ends, and
// returns those that were acknowledged. It counts them meanwhile.
func fanOutProducer(ctx context.Context, client *kinesis.Client, stream, name string, count *atomic.Int64) (acknowledged []string) {
	for i := 0; ctx.Err() == nil; i++ {
		data := fmt.Sprintf("%s-%d", name, i)
		_, err := client.PutRecord(context.WithoutCancel(ctx), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &data, Data: []byte(data)})
		if err != nil {
			harness.Pause(ctx, 20*time.Millisecond)
			continue
		}
		acknowledged = append(acknowledged, data)
		count.Add(1)
		harness.Pause(ctx, time.Millisecond)
	}
	return acknowledged
}

// TestFanOut follows a stream by subscriptions through splits, a merge, a stop
// and kills of the daemon, while producers put.
func TestFanOut(t *testing.T) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint("HTTP ", version), func(t *testing.T) {
			d := harness.Run(t, harness.Settings{Body: "streams: { s: { shards: 2 } }\n"})
			once := harness.Once()
			client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = once, aws.NopRetryer{} })
			_, consumer := registerConsumer(t, client, "s", "app")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := newFollower(d.Kinesis(streaming(t, version)), consumer)
			defer f.work.Wait()
			defer cancel()
			f.follow(ctx, "shardId-000000000000")
			f.follow(ctx, "shardId-000000000001")

			putting, stop := context.WithCancel(ctx)
			defer stop()
			var producers sync.WaitGroup
			var acknowledged [2][]string
			var count atomic.Int64
			for i := range acknowledged {
				producers.Go(func() { acknowledged[i] = fanOutProducer(putting, client, "s", fmt.Sprint("p", i), &count) })
			}
			between := func() { pauseBusy(t, 300*time.Millisecond, count.Load) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			name := aws.String("s")
			between()
			_, err := client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("85070591730234615865843651857942052864")})
			must(err)
			between()
			d.MustStop(t)
			d.MustStart(t)
			between()
			// The children are 2 and 3; 3 and 1 are neighbours.
			_, err = client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: aws.String("shardId-000000000003"), AdjacentShardToMerge: aws.String("shardId-000000000001")})
			must(err)
			between()
			d.MustKill(t)
			d.MustStart(t)
			between()
			stop()
			producers.Wait()
			f.check(t, slices.Concat(acknowledged[:]...))
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.ended["shardId-000000000003"] || len(f.order["shardId-000000000004"]) == 0 {
				t.Errorf("the children were not followed: ended %v", f.ended)
			}
			t.Logf("%d records in order from %d shards; subscriptions ended %d times cleanly and %d times not", len(f.got), len(f.order), f.renewed, len(f.broken))
		})
	}
}

// TestFanOutEnds takes subscriptions away: by another one, with their consumer,
// with their stream, and by a stop of the daemon. The SDK tells each apart.
func TestFanOutEnds(t *testing.T) {
	d := harness.Run(t, harness.Settings{})
	client := d.Kinesis(streaming(t, 2))
	ctx, cancel := context.WithTimeout(t.Context(), fanOutLimit)
	defer cancel()
	one := aws.Int32(1)
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: one}); err != nil {
		t.Fatal(err)
	}
	streamARN, consumer := registerConsumer(t, client, "s", "app")
	subscribe := func() (*kinesis.SubscribeToShardEventStream, error) {
		out, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
			ConsumerARN: consumer, ShardId: aws.String("shardId-000000000000"),
			StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeLatest},
		})
		if err != nil {
			return nil, err
		}
		return out.GetStream(), nil
	}
	end := func(s *kinesis.SubscribeToShardEventStream) error {
		defer s.Close()
		for range s.Events() { //nolint:revive // Only the end is looked at.
		}
		return s.Err()
	}

	began := time.Now()
	first, err := subscribe()
	if err != nil {
		t.Fatal(err)
	}
	inUse := new(types.ResourceInUseException)
	second, err := subscribe()
	if err == nil && time.Since(began) < 5*time.Second {
		t.Error("a second subscription at once took over")
	}
	if err != nil && (!errors.As(err, &inUse) || !strings.HasPrefix(inUse.ErrorMessage(), "Another active subscription exists for this consumer:")) {
		t.Errorf("a second subscription at once: %v", err)
	}
	if second == nil {
		harness.Eventually(t, fanOutLimit, "a second subscription takes over", func() (err error) {
			second, err = subscribe()
			return err
		})
	}
	if err := end(first); !errors.As(err, &inUse) {
		t.Errorf("the subscription that was taken over ended with %v", err)
	}
	if _, err := client.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer}); err != nil {
		t.Fatal(err)
	}
	gone := new(types.ResourceNotFoundException)
	if err := end(second); !errors.As(err, &gone) {
		t.Errorf("the subscription of a consumer that was deregistered ended with %v", err)
	}
	if _, err := subscribe(); !errors.As(err, &gone) {
		t.Errorf("a subscription of a consumer that is gone: %v", err)
	}

	_, consumer = registerConsumer(t, client, "s", "app")
	third, err := subscribe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamARN: streamARN}); !errors.As(err, &inUse) {
		t.Errorf("a stream with a consumer was deleted: %v", err)
	}
	if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamARN: streamARN, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if err := end(third); !errors.As(err, &gone) {
		t.Errorf("the subscription to a stream that was deleted ended with %v", err)
	}

	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: one}); err != nil {
		t.Fatal(err)
	}
	_, consumer = registerConsumer(t, client, "s", "app")
	fourth, err := subscribe()
	if err != nil {
		t.Fatal(err)
	}
	d.MustStop(t)
	if err := end(fourth); err != nil {
		t.Errorf("a stop of the daemon ended a subscription with %v", err)
	}
}

// TestFanOutRenewal lets a subscription live its five minutes, with records all
// the while, and goes on after it.
func TestFanOutRenewal(t *testing.T) {
	if os.Getenv("E2E_RENEWAL") == "" {
		t.Skip("takes six minutes; set E2E_RENEWAL=1")
	}
	d := harness.Run(t, harness.Settings{Body: "streams: { s: { shards: 1 } }\n"})
	client := d.Kinesis(streaming(t, 2))
	_, consumer := registerConsumer(t, client, "s", "app")
	ctx, cancel := context.WithCancel(t.Context())
	f := newFollower(client, consumer)
	defer f.work.Wait()
	defer cancel()
	began := time.Now()
	f.follow(ctx, "shardId-000000000000")
	var acknowledged []string
	for i := 0; time.Since(began) < 6*time.Minute; i++ {
		data := fmt.Sprint(i)
		if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: &data, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, data)
		harness.Pause(ctx, 50*time.Millisecond)
	}
	f.check(t, acknowledged)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.renewed != 1 || len(f.broken) > 0 {
		t.Errorf("the subscription was renewed %d times, want once; broken: %v", f.renewed, f.broken)
	}
}
