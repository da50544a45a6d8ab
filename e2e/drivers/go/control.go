package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/firehosed/firehosed/e2e/scenario"
)

const waitLimit = 2 * time.Minute

func (d *driver) create(ctx context.Context) (string, error) {
	if _, err := d.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: d.stream, ShardCount: aws.Int32(2)}); err != nil {
		return "", err
	}
	shards, err := d.settled(ctx)
	if err != nil {
		return "", err
	}
	if len(shards) != 2 {
		return "", fmt.Errorf("%d shards, want 2", len(shards))
	}
	summary, err := d.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: d.stream})
	if err != nil {
		return "", err
	}
	raw, ok := awsmiddleware.GetRawResponse(summary.ResultMetadata).(*smithyhttp.Response)
	if !ok || !strings.HasPrefix(d.protocol, "JSON, "+strings.TrimSuffix(raw.Proto, ".0")) {
		return "", fmt.Errorf("the client speaks %+v, want %s", raw, d.protocol)
	}
	return "2 shards", nil
}

// settled waits until the stream is ACTIVE and gives its shards.
func (d *driver) settled(ctx context.Context) ([]types.Shard, error) {
	if err := kinesis.NewStreamExistsWaiter(d.client, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	}).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: d.stream}, waitLimit); err != nil {
		return nil, err
	}
	return d.listShards(ctx)
}

// listShards gives all shards, two a page.
func (d *driver) listShards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	in := &kinesis.ListShardsInput{StreamName: d.stream, MaxResults: aws.Int32(2)}
	for {
		page, err := d.client.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		shards = append(shards, page.Shards...)
		if page.NextToken == nil {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(2)}
	}
}

func (d *driver) split(ctx context.Context) (string, error) {
	before, err := d.listShards(ctx)
	if err != nil {
		return "", err
	}
	parent := before[0]
	start, end, err := hashRange(parent)
	if err != nil {
		return "", err
	}
	half := new(big.Int).Add(start, end)
	half.Rsh(half, 1)
	if _, err := d.client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: d.stream, ShardToSplit: parent.ShardId, NewStartingHashKey: aws.String(half.String())}); err != nil {
		return "", err
	}
	shards, err := d.settled(ctx)
	if err != nil {
		return "", err
	}
	if shards[0].SequenceNumberRange.EndingSequenceNumber == nil {
		return "", errors.New("the split shard has no EndingSequenceNumber")
	}
	children := childrenOf(shards, *parent.ShardId)
	if len(children) != 2 || aws.ToString(children[1].HashKeyRange.StartingHashKey) != half.String() {
		return "", fmt.Errorf("the split shard has the children %+v", children)
	}
	return "", d.put(ctx, scenario.AfterSplit)
}

func (d *driver) merge(ctx context.Context) (string, error) {
	before, err := d.listShards(ctx)
	if err != nil {
		return "", err
	}
	pair := childrenOf(before, *before[0].ShardId)
	if _, err := d.client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: d.stream, ShardToMerge: pair[0].ShardId, AdjacentShardToMerge: pair[1].ShardId}); err != nil {
		return "", err
	}
	shards, err := d.settled(ctx)
	if err != nil {
		return "", err
	}
	merged := shards[len(shards)-1]
	if aws.ToString(merged.ParentShardId) != *pair[0].ShardId || aws.ToString(merged.AdjacentParentShardId) != *pair[1].ShardId {
		return "", fmt.Errorf("the merged shard is %+v", merged)
	}
	return "", d.put(ctx, scenario.AfterMerge)
}

func (d *driver) updateCount(ctx context.Context) (string, error) {
	out, err := d.client.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: d.stream, TargetShardCount: aws.Int32(4), ScalingType: types.ScalingTypeUniformScaling})
	if err != nil {
		return "", err
	}
	if aws.ToInt32(out.CurrentShardCount) != 2 || aws.ToInt32(out.TargetShardCount) != 4 || aws.ToString(out.StreamName) != *d.stream {
		return "", fmt.Errorf("UpdateShardCount answers %+v", out)
	}
	shards, err := d.settled(ctx)
	if err != nil {
		return "", err
	}
	open := slices.DeleteFunc(shards, func(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber != nil })
	slices.SortFunc(open, func(a, b types.Shard) int {
		first, _, _ := hashRange(a)
		second, _, _ := hashRange(b)
		return first.Cmp(second)
	})
	if len(open) != 4 {
		return "", fmt.Errorf("%d open shards, want 4", len(open))
	}
	quarter, next := new(big.Int).Lsh(big.NewInt(1), 126), new(big.Int)
	for _, s := range open {
		start, end, err := hashRange(s)
		if err != nil {
			return "", err
		}
		after := new(big.Int).Add(next, quarter)
		if start.Cmp(next) != 0 || end.Cmp(new(big.Int).Sub(after, big.NewInt(1))) != 0 {
			return "", fmt.Errorf("%s has the hash keys %v to %v, want a quarter from %v", *s.ShardId, start, end, next)
		}
		next = after
	}
	return "", d.put(ctx, scenario.AfterUpdate)
}

func hashRange(s types.Shard) (start, end *big.Int, err error) {
	start, ok := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
	end, also := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
	if !ok || !also {
		return new(big.Int), new(big.Int), fmt.Errorf("%s has the hash keys %+v", *s.ShardId, s.HashKeyRange)
	}
	return start, end, nil
}

func childrenOf(shards []types.Shard, parent string) []types.Shard {
	return slices.DeleteFunc(slices.Clone(shards), func(s types.Shard) bool { return aws.ToString(s.ParentShardId) != parent })
}

func (d *driver) tags(ctx context.Context) (string, error) {
	if _, err := d.client.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: d.stream, Tags: map[string]string{"team": "search", "Zürich": "x y"}}); err != nil {
		return "", err
	}
	list, err := d.client.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: d.stream})
	if err != nil {
		return "", err
	}
	if len(list.Tags) != 2 || aws.ToString(list.Tags[0].Key) != "Zürich" || aws.ToString(list.Tags[1].Value) != "search" || aws.ToBool(list.HasMoreTags) {
		return "", fmt.Errorf("ListTagsForStream answers %+v", list.Tags)
	}
	if _, err := d.client.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: d.stream, TagKeys: []string{"Zürich"}}); err != nil {
		return "", err
	}
	summary, err := d.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: d.stream})
	if err != nil {
		return "", err
	}
	arn := summary.StreamDescriptionSummary.StreamARN
	if _, err := d.client.TagResource(ctx, &kinesis.TagResourceInput{ResourceARN: arn, Tags: map[string]string{"stage": "test"}}); err != nil {
		return "", err
	}
	if _, err := d.client.UntagResource(ctx, &kinesis.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"team"}}); err != nil {
		return "", err
	}
	left, err := d.client.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil {
		return "", err
	}
	if len(left.Tags) != 1 || aws.ToString(left.Tags[0].Key) != "stage" || aws.ToString(left.Tags[0].Value) != "test" {
		return "", fmt.Errorf("ListTagsForResource answers %+v", left.Tags)
	}
	return "", nil
}

func (d *driver) remove(ctx context.Context) (string, error) {
	if _, err := d.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: d.stream}); err != nil {
		return "", err
	}
	return "", kinesis.NewStreamNotExistsWaiter(d.client, func(o *kinesis.StreamNotExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	}).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: d.stream}, waitLimit)
}
