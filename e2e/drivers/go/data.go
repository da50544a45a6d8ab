package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/scenario"
)

const (
	singly    = 20  // records that go through PutRecord
	batchSize = 200 // records of a PutRecords
)

func (d *driver) putAll(ctx context.Context) (string, error) {
	var last *string
	for n := scenario.Put.From; n < singly; n++ {
		r := scenario.RecordAt(n)
		out, err := d.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: d.stream, Data: r.Data, PartitionKey: &r.PartitionKey, ExplicitHashKey: optional(r.ExplicitHashKey)})
		if err != nil {
			return "", fmt.Errorf("PutRecord %d: %w", n, err)
		}
		if out.ShardId == nil || out.SequenceNumber == nil || last != nil && *last == *out.SequenceNumber {
			return "", fmt.Errorf("PutRecord %d answered %+v", n, out)
		}
		last = out.SequenceNumber
	}
	if err := d.put(ctx, scenario.Span{From: singly, To: scenario.Put.To}); err != nil {
		return "", err
	}
	return scenario.Digest(scenario.Put.Records()), nil
}

// put puts the records of a span with PutRecords.
func (d *driver) put(ctx context.Context, span scenario.Span) error {
	for part := range slices.Chunk(span.Records(), batchSize) {
		in := &kinesis.PutRecordsInput{StreamName: d.stream}
		for _, r := range part {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: r.Data, PartitionKey: &r.PartitionKey, ExplicitHashKey: optional(r.ExplicitHashKey)})
		}
		out, err := d.client.PutRecords(ctx, in)
		if err != nil {
			return fmt.Errorf("PutRecords of %v: %w", span, err)
		}
		if out.FailedRecordCount == nil || *out.FailedRecordCount != 0 || len(out.Records) != len(part) {
			return fmt.Errorf("PutRecords of %v: %d answers, FailedRecordCount %v", span, len(out.Records), out.FailedRecordCount)
		}
	}
	return nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// iterator takes an iterator.
func (d *driver) iterator(ctx context.Context, shard string, in kinesis.GetShardIteratorInput) (*string, error) {
	in.StreamName, in.ShardId = d.stream, &shard
	out, err := d.client.GetShardIterator(ctx, &in)
	if err != nil {
		return nil, fmt.Errorf("GetShardIterator %s of %s: %w", in.ShardIteratorType, shard, err)
	}
	return out.ShardIterator, nil
}

// readFrom reads from an iterator to the end of a closed shard, or to the tip of
// an open one, and gives the children that a closed one names.
func (d *driver) readFrom(ctx context.Context, iterator *string) (records []read, children []types.ChildShard, ended bool, err error) {
	for {
		out, err := d.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return nil, nil, false, fmt.Errorf("GetRecords: %w", err)
		}
		for _, r := range out.Records {
			one, err := took(r)
			if err != nil {
				return nil, nil, false, err
			}
			if len(records) > 0 && one.sequence.Cmp(records[len(records)-1].sequence) <= 0 {
				return nil, nil, false, fmt.Errorf("sequence number %s comes after %s", one.number, records[len(records)-1].number)
			}
			records = append(records, one)
		}
		if out.NextShardIterator == nil {
			return records, out.ChildShards, true, nil
		}
		if len(out.ChildShards) > 0 {
			return nil, nil, false, errors.New("GetRecords names children beside a next iterator")
		}
		if *out.NextShardIterator == *iterator {
			return nil, nil, false, errors.New("GetRecords answers the iterator that it was given")
		}
		iterator = out.NextShardIterator
		if out.MillisBehindLatest == nil {
			return nil, nil, false, errors.New("GetRecords answers no MillisBehindLatest")
		}
		if len(out.Records) == 0 && *out.MillisBehindLatest == 0 {
			return records, nil, false, nil
		}
	}
}

// took checks a record against the one of its number.
func took(r types.Record) (read, error) {
	n := scenario.Number(r.Data)
	if n < 0 {
		return read{}, fmt.Errorf("%s has data that was not put: %.60x", aws.ToString(r.SequenceNumber), r.Data)
	}
	if want := scenario.RecordAt(n).PartitionKey; aws.ToString(r.PartitionKey) != want {
		return read{}, fmt.Errorf("record %d has partition key %q, want %q", n, aws.ToString(r.PartitionKey), want)
	}
	sequence, ok := new(big.Int).SetString(aws.ToString(r.SequenceNumber), 10)
	if !ok || sequence.BitLen() != 186 {
		return read{}, fmt.Errorf("record %d has sequence number %q", n, aws.ToString(r.SequenceNumber))
	}
	if r.ApproximateArrivalTimestamp == nil {
		return read{}, fmt.Errorf("record %d has no arrival time", n)
	}
	return read{
		Record: scenario.Record{PartitionKey: *r.PartitionKey, Data: r.Data},
		n:      n, sequence: sequence, number: *r.SequenceNumber, arrival: *r.ApproximateArrivalTimestamp,
	}, nil
}

// iterators reads with each of the five types.
func (d *driver) iterators(ctx context.Context) (string, error) {
	shards, err := d.listShards(ctx)
	if err != nil {
		return "", err
	}
	var all, first []read
	latest := map[string]*string{}
	for i, s := range shards {
		it, err := d.iterator(ctx, *s.ShardId, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return "", err
		}
		records, _, _, err := d.readFrom(ctx, it)
		if err != nil {
			return "", fmt.Errorf("TRIM_HORIZON of %s: %w", *s.ShardId, err)
		}
		all = append(all, records...)
		if i == 0 {
			first = records
		}
		if latest[*s.ShardId], err = d.iterator(ctx, *s.ShardId, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}); err != nil {
			return "", err
		}
	}
	if len(all) != scenario.Put.To {
		return "", fmt.Errorf("TRIM_HORIZON reads %d records, want %d", len(all), scenario.Put.To)
	}
	middle := len(first) / 2
	since := slices.IndexFunc(first, func(r read) bool { return !r.arrival.Before(first[middle].arrival) })
	for _, c := range []struct {
		in   kinesis.GetShardIteratorInput
		want []read
	}{
		{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &first[middle].number}, first[middle:]},
		{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &first[middle].number}, first[middle+1:]},
		{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &first[middle].arrival}, first[since:]},
	} {
		it, err := d.iterator(ctx, *shards[0].ShardId, c.in)
		if err != nil {
			return "", err
		}
		got, _, _, err := d.readFrom(ctx, it)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.in.ShardIteratorType, err)
		}
		if !slices.EqualFunc(got, c.want, func(a, b read) bool { return a.n == b.n && a.number == b.number && a.arrival.Equal(b.arrival) }) {
			return "", fmt.Errorf("%s reads %d records, want %d, or others", c.in.ShardIteratorType, len(got), len(c.want))
		}
	}
	if err := d.put(ctx, scenario.Latest); err != nil {
		return "", err
	}
	var tip []read
	for shard, it := range latest {
		records, _, _, err := d.readFrom(ctx, it)
		if err != nil {
			return "", fmt.Errorf("LATEST of %s: %w", shard, err)
		}
		tip = append(tip, records...)
	}
	if err := exactly(tip, scenario.Latest); err != nil {
		return "", fmt.Errorf("LATEST: %w", err)
	}
	return digest(all), nil
}

// exactly tells whether each record of a span was read once, and nothing else.
func exactly(got []read, want scenario.Span) error {
	numbers := make([]int, 0, len(got))
	for _, r := range got {
		numbers = append(numbers, r.n)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != want.From+i {
			return fmt.Errorf("records %v, want each of %v once", numbers, want)
		}
	}
	if len(numbers) != want.To-want.From {
		return fmt.Errorf("%d records, want each of %v once", len(numbers), want)
	}
	return nil
}

func digest(records []read) string {
	plain := make([]scenario.Record, 0, len(records))
	for _, r := range records {
		plain = append(plain, r.Record)
	}
	return scenario.Digest(plain)
}

// drain reads every shard to its end, parents before their children.
func (d *driver) drain(ctx context.Context) (string, error) {
	shards, err := d.listShards(ctx)
	if err != nil {
		return "", err
	}
	d.shards = map[string][]read{}
	var all []read
	for len(d.shards) < len(shards) {
		progress := false
		for _, s := range shards {
			if _, done := d.shards[*s.ShardId]; done || !d.drained(s.ParentShardId) || !d.drained(s.AdjacentParentShardId) {
				continue
			}
			records, err := d.drainShard(ctx, s, shards)
			if err != nil {
				return "", fmt.Errorf("%s: %w", *s.ShardId, err)
			}
			d.shards[*s.ShardId], progress = records, true
			all = append(all, records...)
		}
		if !progress {
			return "", errors.New("no shard is left whose parents are listed and read")
		}
	}
	if err := exactly(all, scenario.Drained); err != nil {
		return "", err
	}
	last := map[string]int{}
	for _, r := range all {
		if before, ok := last[r.PartitionKey]; ok && before >= r.n {
			return "", fmt.Errorf("key %q: record %d comes after %d", r.PartitionKey, r.n, before)
		}
		last[r.PartitionKey] = r.n
	}
	return digest(all), nil
}

func (d *driver) drained(parent *string) bool {
	return parent == nil || d.shards[*parent] != nil
}

func (d *driver) drainShard(ctx context.Context, s types.Shard, shards []types.Shard) ([]read, error) {
	it, err := d.iterator(ctx, *s.ShardId, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return nil, err
	}
	records, children, ended, err := d.readFrom(ctx, it)
	if err != nil {
		return nil, err
	}
	if closed := s.SequenceNumberRange.EndingSequenceNumber != nil; closed != ended {
		return nil, fmt.Errorf("listed as closed: %v, read to an end: %v", closed, ended)
	}
	var named, want []string
	for _, c := range children {
		named = append(named, *c.ShardId)
	}
	for _, c := range shards {
		if aws.ToString(c.ParentShardId) == *s.ShardId || aws.ToString(c.AdjacentParentShardId) == *s.ShardId {
			want = append(want, *c.ShardId)
		}
	}
	slices.Sort(named)
	slices.Sort(want)
	if !slices.Equal(named, want) {
		return nil, fmt.Errorf("GetRecords names the children %v, ListShards %v", named, want)
	}
	if records == nil {
		records = []read{}
	}
	return records, nil
}
