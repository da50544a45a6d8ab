package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/scenario"
)

// fanout registers a consumer, subscribes twice, and deregisters it.
func (d *driver) fanout(ctx context.Context) (string, error) {
	summary, err := d.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: d.stream})
	if err != nil {
		return "", err
	}
	arn := summary.StreamDescriptionSummary.StreamARN
	registered, err := d.client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("fan")})
	if err != nil {
		return "", err
	}
	consumer := registered.Consumer.ConsumerARN
	if err := until(ctx, func() (bool, error) {
		out, err := d.client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: consumer})
		return err == nil && out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive, err
	}); err != nil {
		return "", fmt.Errorf("consumer ACTIVE: %w", err)
	}
	shard, err := d.lowest(ctx)
	if err != nil {
		return "", err
	}

	old := d.shards[*shard]
	got, next, err := d.subscribe(ctx, consumer, shard, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}, len(old), scenario.Live)
	if err != nil {
		return "", fmt.Errorf("the first subscription: %w", err)
	}
	if !slices.EqualFunc(got[:len(old)], old, func(a, b read) bool { return a.number == b.number }) {
		return "", errors.New("the first subscription gives other old records than GetRecords")
	}
	live := got[len(old):]
	if err := d.putLowest(ctx, scenario.Renewed); err != nil {
		return "", err
	}
	again, _, err := d.subscribe(ctx, consumer, shard, &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: next}, scenario.Renewed.To-scenario.Renewed.From, scenario.Span{})
	if err != nil {
		return "", fmt.Errorf("the second subscription: %w", err)
	}
	live = append(live, again...)
	if err := exactly(live, scenario.Span{From: scenario.Live.From, To: scenario.Renewed.To}); err != nil {
		return "", err
	}

	if _, err := d.client.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer}); err != nil {
		return "", err
	}
	if err := until(ctx, func() (bool, error) {
		_, err := d.client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: consumer})
		if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
			return true, nil
		}
		return false, err
	}); err != nil {
		return "", fmt.Errorf("consumer gone: %w", err)
	}
	return digest(live), nil
}

// lowest is the open shard with hash key 0.
func (d *driver) lowest(ctx context.Context) (*string, error) {
	shards, err := d.listShards(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil && *s.HashKeyRange.StartingHashKey == "0" {
			return s.ShardId, nil
		}
	}
	return nil, errors.New("no open shard has hash key 0")
}

// putLowest puts a span into the shard with hash key 0.
func (d *driver) putLowest(ctx context.Context, span scenario.Span) error {
	for _, r := range span.Records() {
		if _, err := d.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: d.stream, Data: r.Data, PartitionKey: &r.PartitionKey, ExplicitHashKey: aws.String("0")}); err != nil {
			return err
		}
	}
	return nil
}

// subscribe receives old records, then puts a span and receives that too. It
// gives the last continuation number, and ends the subscription.
func (d *driver) subscribe(ctx context.Context, consumer, shard *string, from *types.StartingPosition, old int, put scenario.Span) (got []read, next *string, err error) {
	var out *kinesis.SubscribeToShardOutput
	if err := until(ctx, func() (bool, error) {
		out, err = d.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: shard, StartingPosition: from})
		if _, ok := errors.AsType[*types.ResourceInUseException](err); ok {
			return false, nil // for the first seconds of the subscription before
		}
		return err == nil, err
	}); err != nil {
		return nil, nil, err
	}
	stream := out.GetStream()
	defer stream.Close()
	want, idle := old+put.To-put.From, false
	for event := range stream.Events() {
		e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			return nil, nil, fmt.Errorf("event %T", event)
		}
		if e.Value.ContinuationSequenceNumber == nil || e.Value.MillisBehindLatest == nil {
			return nil, nil, fmt.Errorf("event without a position: %+v", e.Value)
		}
		next = e.Value.ContinuationSequenceNumber
		for _, r := range e.Value.Records {
			one, err := took(r)
			if err != nil {
				return nil, nil, err
			}
			got = append(got, one)
		}
		if len(got) > want {
			return nil, nil, fmt.Errorf("%d records, want %d", len(got), want)
		}
		if len(got) == old && !idle {
			idle = true
			if err := d.putLowest(ctx, put); err != nil {
				return nil, nil, err
			}
		}
		if len(got) == want {
			return got, next, nil
		}
	}
	return nil, nil, fmt.Errorf("the subscription ended after %d of %d records: %w", len(got), want, errors.Join(stream.Err(), ctx.Err()))
}

// until asks again and again until done, an error, or the end of ctx.
func until(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// throttle is refused with the typed errors, and gets through with the client's
// own retries.
func (d *driver) throttle(ctx context.Context) (string, error) {
	once := func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }
	patient := func(o *kinesis.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 12, 2*time.Second })
	}
	in := &kinesis.PutRecordsInput{StreamName: d.throttled}
	for n := range 100 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: bytes.Repeat([]byte{byte(n)}, 40<<10), PartitionKey: aws.String("k")})
	}
	out, err := d.client.PutRecords(ctx, in)
	if err != nil {
		return "", err
	}
	refused := 0
	for _, r := range out.Records {
		switch {
		case r.ErrorCode == nil && r.SequenceNumber != nil:
		case aws.ToString(r.ErrorCode) == "ProvisionedThroughputExceededException" && r.ErrorMessage != nil && r.SequenceNumber == nil:
			refused++
		default:
			return "", fmt.Errorf("PutRecords answers %+v", r)
		}
	}
	if refused == 0 || refused == len(in.Records) || int(aws.ToInt32(out.FailedRecordCount)) != refused {
		return "", fmt.Errorf("PutRecords of 4 MiB: %d of %d records are refused, FailedRecordCount %d", refused, len(in.Records), aws.ToInt32(out.FailedRecordCount))
	}
	put := &kinesis.PutRecordInput{StreamName: d.throttled, Data: make([]byte, 400<<10), PartitionKey: aws.String("k")}
	if err := refusedOnce(func() error {
		_, err := d.client.PutRecord(ctx, put, once)
		return err
	}); err != nil {
		return "", fmt.Errorf("PutRecord: %w", err)
	}
	if _, err := d.client.PutRecord(ctx, put, patient); err != nil {
		return "", fmt.Errorf("PutRecord with retries: %w", err)
	}
	it, err := d.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: d.throttled, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeLatest}, patient)
	if err != nil {
		return "", err
	}
	get := &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}
	if err := refusedOnce(func() error {
		_, err := d.client.GetRecords(ctx, get, once)
		return err
	}); err != nil {
		return "", fmt.Errorf("GetRecords: %w", err)
	}
	if _, err := d.client.GetRecords(ctx, get, patient); err != nil {
		return "", fmt.Errorf("GetRecords with retries: %w", err)
	}
	return "", nil
}

// refusedOnce calls several times at once until an answer is that the throughput
// is exceeded: one after the other may be too slow on a machine that is busy.
func refusedOnce(call func() error) error {
	const rounds, atOnce = 50, 8
	for range rounds {
		answers := make(chan error, atOnce)
		for range atOnce {
			go func() { answers <- call() }()
		}
		refused := false
		var other error
		for range atOnce {
			err := <-answers
			if _, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err); ok {
				refused = true
			} else if err != nil {
				other = err
			}
		}
		if refused || other != nil {
			return other
		}
	}
	return fmt.Errorf("%d calls at once are not refused, %d times", atOnce, rounds)
}
