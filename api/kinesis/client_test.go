package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// TestClientRoundTrip goes through the life of a stream with the real client.
func TestClientRoundTrip(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	name := aws.String("clicks")
	f.create("clicks", 2)
	if err := sdk.NewStreamExistsWaiter(f.client).Wait(ctx, &sdk.DescribeStreamInput{StreamName: name}, time.Minute); err != nil {
		t.Fatal(err)
	}
	d, err := f.client.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: name})
	if err != nil {
		t.Fatal(err)
	}
	s := d.StreamDescription
	if s.StreamStatus != types.StreamStatusActive || *s.StreamARN != "arn:aws:kinesis:us-east-1:123456789012:stream/clicks" ||
		*s.RetentionPeriodHours != 24 || s.EncryptionType != types.EncryptionTypeNone || *s.HasMoreShards ||
		!s.StreamCreationTimestamp.Equal(f.clock.now()) || s.StreamModeDetails.StreamMode != types.StreamModeProvisioned ||
		len(s.EnhancedMonitoring) != 1 || len(s.Shards) != 2 {
		t.Errorf("description: %+v", s)
	}
	if s.Shards[0].ParentShardId != nil || s.Shards[0].SequenceNumberRange.EndingSequenceNumber != nil ||
		*s.Shards[0].HashKeyRange.StartingHashKey != "0" || *s.Shards[1].HashKeyRange.EndingHashKey != "340282366920938463463374607431768211455" {
		t.Errorf("shards: %+v", s.Shards)
	}

	one, err := f.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("first"), ExplicitHashKey: aws.String("0")})
	if err != nil {
		t.Fatal(err)
	}
	if *one.ShardId != "shardId-000000000000" || len(*one.SequenceNumber) != 56 || one.EncryptionType != "" {
		t.Errorf("PutRecord: %+v", one)
	}
	var entries []types.PutRecordsRequestEntry
	for i := range 500 {
		entries = append(entries, types.PutRecordsRequestEntry{
			PartitionKey: aws.String(fmt.Sprintf("kéy \"%d\"", i)), Data: bytes.Repeat([]byte{byte(i)}, i), ExplicitHashKey: aws.String("0"),
		})
	}
	entries[7].ExplicitHashKey = aws.String("340282366920938463463374607431768211455")
	many, err := f.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamARN: s.StreamARN, Records: entries})
	if err != nil {
		t.Fatal(err)
	}
	if *many.FailedRecordCount != 0 || len(many.Records) != 500 || *many.Records[7].ShardId != "shardId-000000000001" {
		t.Errorf("PutRecords: %d failed, %d results, 8th in %s", *many.FailedRecordCount, len(many.Records), *many.Records[7].ShardId)
	}

	it := f.iterator(sdk.GetShardIteratorInput{StreamName: name, ShardId: one.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	var got []types.Record
	for page := f.get(it, 150); ; page = f.get(*page.NextShardIterator, 150) {
		got = append(got, page.Records...)
		if len(page.Records) == 0 {
			if *page.MillisBehindLatest != 0 || page.ChildShards != nil {
				t.Errorf("at the tip: %+v", page)
			}
			break
		}
	}
	if len(got) != 500 {
		t.Fatalf("read %d records, want 500", len(got))
	}
	last := new(big.Int)
	for i, r := range got {
		n, ok := new(big.Int).SetString(*r.SequenceNumber, 10)
		if !ok || n.Cmp(last) <= 0 || n.BitLen() != 186 {
			t.Fatalf("record %d: sequence number %s after %s", i, *r.SequenceNumber, last)
		}
		last = n
		if !r.ApproximateArrivalTimestamp.Equal(f.clock.now()) {
			t.Errorf("record %d arrived at %s", i, r.ApproximateArrivalTimestamp)
		}
		want := entries[(i+499)%500]
		switch {
		case i == 0:
			want = types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte("first")}
		case i <= 7:
			want = entries[i-1]
		default:
			want = entries[i]
		}
		if *r.PartitionKey != *want.PartitionKey || !bytes.Equal(r.Data, want.Data) {
			t.Fatalf("record %d: got %q with %d bytes, want %q with %d", i, *r.PartitionKey, len(r.Data), *want.PartitionKey, len(want.Data))
		}
	}

	if _, err := f.client.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: name}); err != nil {
		t.Fatal(err)
	}
	if err := sdk.NewStreamNotExistsWaiter(f.client).Wait(ctx, &sdk.DescribeStreamInput{StreamName: name}, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err = f.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("x")})
	if gone := new(types.ResourceNotFoundException); !errors.As(err, &gone) || gone.ErrorMessage() != "Stream clicks under account 123456789012 not found." {
		t.Errorf("after the end: %v", err)
	}
}

func TestIterators(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	name, shard := aws.String("s"), aws.String("shardId-000000000000")
	var numbers []string
	var times []time.Time
	for i := range 4 {
		out, err := f.client.PutRecord(t.Context(), &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte{'a' + byte(i)}})
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, *out.SequenceNumber)
		times = append(times, f.clock.now())
		f.clock.advance(1001 * time.Millisecond)
	}
	start := *describe(t, f, "s").Shards[0].SequenceNumberRange.StartingSequenceNumber
	for _, tt := range []struct {
		name string
		in   sdk.GetShardIteratorInput
		want string
	}{
		{"horizon", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, "abcd"},
		{"latest", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}, ""},
		{"at a number", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &numbers[1]}, "bcd"},
		{"after a number", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &numbers[1]}, "cd"},
		{"after the last number", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &numbers[3]}, ""},
		{"at the start of the shard", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &start}, "abcd"},
		{"after the start of the shard", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &start}, "abcd"},
		{"at a time", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &times[2]}, "cd"},
		{"between times", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(times[2].Add(time.Millisecond))}, "d"},
		{"before all times", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(times[0].Add(-9000 * time.Hour))}, "abcd"},
		{"now", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(f.clock.now())}, ""},
		{"short shard id", sdk.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon, ShardId: aws.String("shardId-0")}, "abcd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in
			in.StreamName = name
			if in.ShardId == nil {
				in.ShardId = shard
			}
			it := f.iterator(in)
			if len(it) > 512 {
				t.Errorf("iterator has %d characters", len(it))
			}
			for _, form := range []string{it, `"` + it + `"`, it} {
				got := ""
				page := f.get(form, 0)
				for _, r := range page.Records {
					got += string(r.Data)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if next := *page.NextShardIterator; next == it || next == "" {
					t.Errorf("next iterator: %s", next)
				}
			}
		})
	}
	if got := *f.get(f.iterator(sdk.GetShardIteratorInput{StreamName: name, ShardId: shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}), 1).MillisBehindLatest; got != 3*1001 {
		t.Errorf("behind by %d ms, want 3003", got)
	}

	// A record that comes later is found by an iterator from before.
	latest := f.iterator(sdk.GetShardIteratorInput{StreamName: name, ShardId: shard, ShardIteratorType: types.ShardIteratorTypeLatest})
	f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"ZQ=="}`)
	if page := f.get(latest, 0); len(page.Records) != 1 || string(page.Records[0].Data) != "e" {
		t.Errorf("after LATEST: %+v", page.Records)
	}

	// Longest names still make iterators that fit.
	long := strings.Repeat("n", 128)
	f.create(long, 1)
	if it := f.iterator(sdk.GetShardIteratorInput{StreamName: &long, ShardId: shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}); len(it) > 512 {
		t.Errorf("iterator of the longest name has %d characters", len(it))
	}
}

func describe(t *testing.T, f *fixture, name string) *types.StreamDescription {
	t.Helper()
	d, err := f.client.DescribeStream(t.Context(), &sdk.DescribeStreamInput{StreamName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return d.StreamDescription
}

func TestIteratorsExpireSurviveAndDie(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, nil)
	f.create("s", 1)
	f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QQ=="}`)
	in := sdk.GetShardIteratorInput{StreamName: aws.String("s"), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	it := f.iterator(in)
	if err := f.engine.Close(); err != nil {
		t.Fatal(err)
	}

	f = open(t, dir, nil) // a restart
	if page := f.get(it, 0); len(page.Records) != 1 {
		t.Errorf("after a restart: %d records", len(page.Records))
	}
	f.clock.advance(5 * time.Minute)
	if page := f.get(it, 0); len(page.Records) != 1 {
		t.Errorf("after 5 minutes: %d records", len(page.Records))
	}
	f.clock.advance(time.Second)
	_, err := f.client.GetRecords(t.Context(), &sdk.GetRecordsInput{ShardIterator: &it})
	var expired *types.ExpiredIteratorException
	want := "Iterator expired. The iterator was created at time Sun Mar 01 12:00:00 UTC 2026 while right now it is Sun Mar 01 12:05:01 UTC 2026 " +
		"which is further in the future than the tolerated delay of 300000 milliseconds."
	if !errors.As(err, &expired) || expired.ErrorMessage() != want {
		t.Errorf("after more: %v", err)
	}

	it = f.iterator(in)
	if _, err := f.client.DeleteStream(t.Context(), &sdk.DeleteStreamInput{StreamName: in.StreamName}); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"deleted", "made again"} {
		_, err = f.client.GetRecords(t.Context(), &sdk.GetRecordsInput{ShardIterator: &it})
		var gone *types.ResourceNotFoundException
		if !errors.As(err, &gone) || gone.ErrorMessage() != "Shard shardId-000000000000 in stream s under account 123456789012 does not exist" {
			t.Errorf("%s: %v", state, err)
		}
		if state == "deleted" {
			f.create("s", 1)
		}
	}
}

// TestReshard follows a consumer through a split and a merge: the end of a
// closed shard names its children, with all their parents, on every read.
func TestReshard(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	name := aws.String("s")
	f.create("s", 1)
	f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QQ=="}`)
	half := "170141183460469231731687303715884105728"
	f.clock.advance(10 * time.Second)
	if _, err := f.client.SplitShard(ctx, &sdk.SplitShardInput{StreamName: name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: &half}); err != nil {
		t.Fatal(err)
	}
	ended := func(shard string, kind types.ShardIteratorType) *sdk.GetRecordsOutput {
		page := f.get(f.iterator(sdk.GetShardIteratorInput{StreamName: name, ShardId: &shard, ShardIteratorType: kind}), 0)
		if page.NextShardIterator != nil {
			t.Errorf("%s of %s: there is a next iterator", kind, shard)
		}
		return page
	}
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeTrimHorizon, types.ShardIteratorTypeLatest} {
		page := ended("shardId-000000000000", kind)
		var got []string
		for _, c := range page.ChildShards {
			got = append(got, *c.ShardId+" of "+strings.Join(c.ParentShards, "+")+" "+*c.HashKeyRange.StartingHashKey)
		}
		if want := []string{"shardId-000000000001 of shardId-000000000000 0", "shardId-000000000002 of shardId-000000000000 " + half}; !slices.Equal(got, want) {
			t.Errorf("%s: children %q, want %q", kind, got, want)
		}
	}
	f.clock.advance(10 * time.Second)
	if _, err := f.client.MergeShards(ctx, &sdk.MergeShardsInput{StreamName: name, ShardToMerge: aws.String("shardId-000000000002"), AdjacentShardToMerge: aws.String("shardId-000000000001")}); err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{"shardId-000000000001", "shardId-000000000002"} {
		page := ended(parent, types.ShardIteratorTypeLatest)
		if len(page.ChildShards) != 1 || *page.ChildShards[0].ShardId != "shardId-000000000003" ||
			!slices.Equal(page.ChildShards[0].ParentShards, []string{"shardId-000000000001", "shardId-000000000002"}) {
			t.Errorf("child of the merge, from %s: %+v", parent, page.ChildShards)
		}
	}

	shards := describe(t, f, "s").Shards
	if len(shards) != 4 {
		t.Fatalf("%d shards", len(shards))
	}
	for i, s := range shards {
		if (s.SequenceNumberRange.EndingSequenceNumber != nil) != (i < 3) {
			t.Errorf("%s: ending number %v", *s.ShardId, s.SequenceNumberRange.EndingSequenceNumber)
		}
	}
	if *shards[3].ParentShardId != "shardId-000000000001" || *shards[3].AdjacentParentShardId != "shardId-000000000002" || shards[2].AdjacentParentShardId != nil {
		t.Errorf("parents: %+v", shards[3])
	}
	// Numbers of a child sort after those of its parents, whole and in both
	// ways to compare.
	for _, pair := range [][2]int{{0, 1}, {0, 2}, {1, 3}, {2, 3}} {
		if end, start := *shards[pair[0]].SequenceNumberRange.EndingSequenceNumber, *shards[pair[1]].SequenceNumberRange.StartingSequenceNumber; end >= start {
			t.Errorf("end of %d is %s, start of its child %s", pair[0], end, start)
		}
	}
	// The ending number is a place one can ask for.
	page := f.get(f.iterator(sdk.GetShardIteratorInput{
		StreamName: name, ShardId: shards[0].ShardId, ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber,
		StartingSequenceNumber: shards[0].SequenceNumberRange.EndingSequenceNumber,
	}), 0)
	if page.NextShardIterator != nil || len(page.ChildShards) != 2 {
		t.Errorf("after the ending number: %+v", page)
	}
	// Puts go to the child.
	out, err := f.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("B")})
	if err != nil || *out.ShardId != "shardId-000000000003" {
		t.Errorf("put: %+v, %v", out, err)
	}
}

func TestListShardsFilters(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	name := aws.String("s")
	f.create("s", 2)
	created := f.clock.now()
	// Two reshards within the second the stream was made in: creation times of
	// the children are rounded up past the instants they opened at.
	f.clock.advance(200 * time.Millisecond)
	key := aws.String("85070591730234615865843651857942052864")
	if _, err := f.client.SplitShard(ctx, &sdk.SplitShardInput{StreamName: name, ShardToSplit: aws.String("0"), NewStartingHashKey: key}); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(200 * time.Millisecond)
	if _, err := f.client.MergeShards(ctx, &sdk.MergeShardsInput{StreamName: name, ShardToMerge: aws.String("shardId-000000000003"), AdjacentShardToMerge: aws.String("shardId-000000000001")}); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(200 * time.Millisecond)
	list := func(filter *types.ShardFilter) ([]types.Shard, string) {
		t.Helper()
		out, err := f.client.ListShards(ctx, &sdk.ListShardsInput{StreamName: name, ShardFilter: filter})
		if err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, s := range out.Shards {
			ids += (*s.ShardId)[len(*s.ShardId)-1:]
		}
		return out.Shards, ids
	}
	at := func(d time.Duration) *time.Time { return aws.Time(created.Add(d)) }
	for _, tt := range []struct {
		filter *types.ShardFilter
		want   string
	}{
		{nil, "01234"},
		{&types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}, "01234"},
		{&types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}, "01"},
		{&types.ShardFilter{Type: types.ShardFilterTypeAtLatest}, "24"},
		{&types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String("shardId-000000000002")}, "34"},
		{&types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at(-time.Hour)}, "01234"},
		{&types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at(300 * time.Millisecond)}, "1234"},
		{&types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at(500 * time.Millisecond)}, "24"},
	} {
		if _, got := list(tt.filter); got != tt.want {
			t.Errorf("%+v: got shards %s, want %s", tt.filter, got, tt.want)
		}
	}
	// At every instant the shards tile the key space.
	for ms := -100; ms <= 600; ms += 25 {
		shards, ids := list(&types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at(time.Duration(ms) * time.Millisecond)})
		tiles(t, fmt.Sprintf("at %d ms, shards %s", ms, ids), shards)
	}
	// A day later only what is open is left, and the horizon moves along.
	for _, step := range []time.Duration{24*time.Hour - 500*time.Millisecond, 150 * time.Millisecond, time.Second} {
		f.clock.advance(step)
		shards, ids := list(&types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon})
		tiles(t, "at the horizon, shards "+ids, shards)
	}
	if _, got := list(nil); got != "24" {
		t.Errorf("after the retention: got shards %s, want 24", got)
	}
}

// tiles checks that the ranges of shards lie side by side over the key space.
func tiles(t *testing.T, what string, shards []types.Shard) {
	t.Helper()
	slices.SortFunc(shards, func(a, b types.Shard) int {
		x, _ := new(big.Int).SetString(*a.HashKeyRange.StartingHashKey, 10)
		y, _ := new(big.Int).SetString(*b.HashKeyRange.StartingHashKey, 10)
		return x.Cmp(y)
	})
	next := "0"
	for _, s := range shards {
		if *s.HashKeyRange.StartingHashKey != next {
			t.Errorf("%s: %s starts at %s, want %s", what, *s.ShardId, *s.HashKeyRange.StartingHashKey, next)
		}
		end, _ := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
		next = end.Add(end, big.NewInt(1)).String()
	}
	if next != "340282366920938463463374607431768211456" {
		t.Errorf("%s: the last one ends before %s", what, next)
	}
}

func TestPaging(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	f.create("wide", 1203)
	name := aws.String("wide")

	seen := map[string]bool{}
	pages := 0
	in := &sdk.ListShardsInput{StreamName: name}
	for {
		out, err := f.client.ListShards(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, s := range out.Shards {
			seen[*s.ShardId] = true
		}
		if out.NextToken == nil {
			break
		}
		in = &sdk.ListShardsInput{NextToken: out.NextToken}
	}
	if len(seen) != 1203 || pages != 2 {
		t.Errorf("ListShards: %d shards on %d pages", len(seen), pages)
	}

	total := 0
	p := sdk.NewDescribeStreamPaginator(f.client, &sdk.DescribeStreamInput{StreamName: name, Limit: aws.Int32(5000)})
	for pages = 0; p.HasMorePages(); pages++ {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		total += len(out.StreamDescription.Shards)
	}
	if total != 1203 || pages != 13 {
		t.Errorf("DescribeStream: %d shards on %d pages", total, pages)
	}

	for i := range 104 {
		f.create(fmt.Sprintf("stream-%03d", i), 1)
	}
	var names []string
	q := sdk.NewListStreamsPaginator(f.client, &sdk.ListStreamsInput{})
	for pages = 0; q.HasMorePages(); pages++ {
		out, err := q.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, out.StreamNames...)
		if len(out.StreamSummaries) != len(out.StreamNames) {
			t.Errorf("%d summaries of %d streams", len(out.StreamSummaries), len(out.StreamNames))
		}
	}
	if len(names) != 105 || pages != 2 || !slices.IsSorted(names) {
		t.Errorf("ListStreams: %d names on %d pages: %q", len(names), pages, names)
	}
	out, err := f.client.ListStreams(ctx, &sdk.ListStreamsInput{Limit: aws.Int32(2), ExclusiveStartStreamName: aws.String("stream-101")})
	if err != nil || !slices.Equal(out.StreamNames, []string{"stream-102", "stream-103"}) || !*out.HasMoreStreams || out.NextToken == nil {
		t.Errorf("from a name: %+v, %v", out, err)
	}
}

func TestAttributesOfStreams(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, nil)
	ctx := t.Context()
	name := aws.String("big")
	if _, err := f.client.CreateStream(ctx, &sdk.CreateStreamInput{
		StreamName: name, StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand},
		MaxRecordSizeInKiB: aws.Int32(4096), Tags: map[string]string{"team": "a"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.engine.Close(); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir, nil)
	s, err := f.client.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: name})
	if err != nil {
		t.Fatal(err)
	}
	if d := s.StreamDescriptionSummary; *d.OpenShardCount != 4 || *d.MaxRecordSizeInKiB != 4096 || d.StreamModeDetails.StreamMode != types.StreamModeOnDemand || d.StreamId != nil {
		t.Errorf("summary: %+v", d)
	}
	if _, err := f.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: make([]byte, 4<<20-1)}); err != nil {
		t.Errorf("4 MiB in all: %v", err)
	}
	_, err = f.client.SplitShard(ctx, &sdk.SplitShardInput{StreamName: name, ShardToSplit: aws.String("0"), NewStartingHashKey: aws.String("5")})
	if err == nil || !strings.Contains(err.Error(), "ValidationException: Request is invalid. Stream big under account 123456789012 is in On-Demand mode.") {
		t.Errorf("split: %v", err)
	}
	// A new stream of the name starts afresh.
	if _, err := f.client.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: name}); err != nil {
		t.Fatal(err)
	}
	f.create("big", 1)
	if s, err = f.client.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: name}); err != nil ||
		*s.StreamDescriptionSummary.MaxRecordSizeInKiB != 1024 || s.StreamDescriptionSummary.StreamModeDetails.StreamMode != types.StreamModeProvisioned {
		t.Errorf("made again: %+v, %v", s, err)
	}
}

// TestWrongSecret: the client sees why, in the shape it knows.
func TestWrongSecret(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	for _, tt := range []struct{ id, secret, want string }{
		{"AKID", "wrong", "InvalidSignatureException: The request signature we calculated does not match the signature you provided."},
		{"OTHER", "secret", "UnrecognizedClientException: The security token included in the request is invalid."},
	} {
		// A client of its own: signers keep derived keys by the id alone.
		shared := f.client.Options()
		client := sdk.New(sdk.Options{
			Region: region, BaseEndpoint: shared.BaseEndpoint, HTTPClient: shared.HTTPClient, RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: tt.id, SecretAccessKey: tt.secret}, nil
			}),
		})
		_, err := client.PutRecord(t.Context(), &sdk.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x")})
		if err == nil || !strings.Contains(err.Error(), "StatusCode: 400") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s/%s: %v", tt.id, tt.secret, err)
		}
	}
	if page := f.get(f.iterator(sdk.GetShardIteratorInput{StreamName: aws.String("s"), ShardId: aws.String("0"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}), 0); len(page.Records) != 0 {
		t.Errorf("%d records were written", len(page.Records))
	}
}
