package e2e

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

// refused tells whether an error is one of a type of the SDK.
func refused[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// TestStaleIteratorsAndConsumers uses iterators, tokens and consumer ARNs that
// were forged, or belong to a stream that was deleted and made again, with the
// SDK for Go: each gives the error of its own type that the SDK knows, and the
// daemon serves on.
func TestStaleIteratorsAndConsumers(t *testing.T) {
	d := harness.Run(t, harness.Settings{})
	ctx, client, name := t.Context(), d.Kinesis(), aws.String("stale")
	create := func() (arn, iterator, token, consumer string) {
		t.Helper()
		if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(2)}); err != nil {
			t.Fatal(err)
		}
		active(t, client, *name)
		if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: []byte("x"), PartitionKey: aws.String("k")}); err != nil {
			t.Fatal(err)
		}
		summary, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
		if err != nil {
			t.Fatal(err)
		}
		arn = *summary.StreamDescriptionSummary.StreamARN
		it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		page, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, MaxResults: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		registered, err := client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: &arn, ConsumerName: aws.String("c")})
		if err != nil {
			t.Fatal(err)
		}
		return arn, *it.ShardIterator, *page.NextToken, *registered.Consumer.ConsumerARN
	}
	get := func(iterator string) error {
		_, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: &iterator})
		return err
	}
	list := func(token string) error {
		_, err := client.ListShards(ctx, &kinesis.ListShardsInput{NextToken: &token})
		return err
	}
	describe := func(consumer string) error {
		_, err := client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: &consumer})
		return err
	}
	subscribe := func(consumer string) error {
		out, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
			ConsumerARN: &consumer, ShardId: aws.String("shardId-000000000000"),
			StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
		})
		if err != nil {
			return err
		}
		return out.GetStream().Close()
	}

	_, iterator, token, consumer := create()
	for what, err := range map[string]error{"iterator": get(iterator), "token": list(token), "consumer": describe(consumer)} {
		if err != nil {
			t.Fatalf("a good %s: %v", what, err)
		}
	}
	middle := len(iterator) / 2
	other := "A"
	if iterator[middle] == 'A' {
		other = "B"
	}
	for what, forged := range map[string]string{
		"one character changed": iterator[:middle] + other + iterator[middle+1:],
		"cut":                   iterator[:len(iterator)-4],
		"twice":                 (iterator + iterator)[:min(512, 2*len(iterator))],
		"no base64":             "?" + iterator[1:],
		"a token":               token[:min(512, len(token))],
		"A":                     "A",
	} {
		if err := get(forged); !refused[*types.InvalidArgumentException](err) || !strings.Contains(err.Error(), "Invalid ShardIterator.") {
			t.Errorf("iterator, %s: %v", what, err)
		}
	}
	for what, forged := range map[string]string{"an iterator": iterator, "cut": token[:len(token)-4], "A": "A"} {
		if err := list(forged); !refused[*types.InvalidArgumentException](err) {
			t.Errorf("token, %s: %v", what, err)
		}
	}

	if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}); !refused[*types.ResourceInUseException](err) {
		t.Errorf("deleting a stream with a consumer: %v", err)
	}
	remove := func() {
		t.Helper()
		if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		if err := kinesis.NewStreamNotExistsWaiter(client).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, harness.Patience); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(when string) {
		t.Helper()
		for what, err := range map[string]error{
			"iterator": get(iterator), "token": list(token), "DescribeStreamConsumer": describe(consumer), "SubscribeToShard": subscribe(consumer),
		} {
			if !refused[*types.ResourceNotFoundException](err) {
				t.Errorf("%s, %s: %v, want ResourceNotFoundException", when, what, err)
			}
		}
	}
	remove()
	gone("the stream is deleted")
	// A consumer's ARN has its time of creation in seconds.
	harness.Pause(ctx, 1100*time.Millisecond)
	_, again, _, anew := create()
	if anew == consumer {
		t.Errorf("the consumer of the new stream has the ARN of the one before, %s", consumer)
	}
	gone("the stream is made again")
	if err := errors.Join(get(again), describe(anew)); err != nil {
		t.Errorf("the new stream: %v", err)
	}
	d.MustKill(t)
	d.MustStart(t)
	gone("after a kill")
	if err := errors.Join(get(again), describe(anew)); err != nil {
		t.Errorf("the new stream, after a kill: %v", err)
	}
}

// TestExpiredIterator waits until an iterator and a token are five minutes old;
// it runs with E2E_EXPIRY=1 only.
func TestExpiredIterator(t *testing.T) {
	if os.Getenv("E2E_EXPIRY") != "1" {
		t.Skip("takes more than five minutes: set E2E_EXPIRY=1")
	}
	d := harness.Run(t, harness.Settings{})
	ctx, client, name := context.WithoutCancel(t.Context()), d.Kinesis(), aws.String("old")
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeLatest})
	if err != nil {
		t.Fatal(err)
	}
	page, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	harness.Pause(ctx, 5*time.Minute+2*time.Second)
	_, err = client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	if !refused[*types.ExpiredIteratorException](err) || !strings.Contains(err.Error(), "which is further in the future than the tolerated delay of 300000 milliseconds.") {
		t.Errorf("GetRecords: %v", err)
	}
	if _, err = client.ListShards(ctx, &kinesis.ListShardsInput{NextToken: page.NextToken}); !refused[*types.ExpiredNextTokenException](err) {
		t.Errorf("ListShards: %v", err)
	}
}
