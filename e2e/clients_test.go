package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
	"github.com/firehosed/firehosed/e2e/servers/opensearch"
	"github.com/firehosed/firehosed/e2e/servers/versity"
)

// perClient is how many records each client puts: one batch of the aws CLI.
const perClient = 300

// botoPuts puts perClient records through boto3 to a delivery stream and to a
// stream, as the documentation of boto3 shows it.
const botoPuts = `
import json, boto3
records = [json.dumps({"from": "%[1]s", "n": n}) for n in range(%[2]d)]
firehose, kinesis = boto3.client("firehose"), boto3.client("kinesis")
for i in range(0, len(records), 100):
    part = records[i:i+100]
    r = firehose.put_record_batch(DeliveryStreamName="%[3]s", Records=[{"Data": (x + "\n").encode()} for x in part])
    assert r["FailedPutCount"] == 0, r
    r = kinesis.put_records(StreamName="%[4]s", Records=[{"Data": x.encode(), "PartitionKey": str(n)} for n, x in enumerate(part)])
    assert r["FailedRecordCount"] == 0, r
`

// TestClientsToS3AndOpenSearch puts records with unmodified clients that have
// only the endpoint set, and finds each of them once as a line of gzip objects
// in S3 and as a document in OpenSearch.
func TestClientsToS3AndOpenSearch(t *testing.T) {
	tools := servers.Require(t, servers.Python, servers.AWSCLI, servers.VersityBinary, servers.OpenSearchMark)
	python, cli := tools[0], tools[1]
	search := opensearch.Run(t)
	s3 := versity.Run(t)
	if err := s3.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	errs := t.TempDir()
	output := fmt.Sprintf("buffer: { interval: 500ms }\n    errors: { dir: { path: %q } }", errs)
	toS3 := func(prefix string) string {
		return "compression: gzip\n    destination: { s3: " + bucket(s3, s3.Root, "lake", prefix) + " }\n    " + output
	}
	toSearch := func(index string) string {
		return fmt.Sprintf("destination: { opensearch: { url: %q, index: %s } }\n    %s", search.URL, index, output)
	}
	d := harness.Run(t, harness.Settings{Body: `
streams: { clicks: { shards: 2 } }
delivery_streams:
  put-lake:
    source: { direct_put: {} }
    ` + toS3("put/") + `
  put-search:
    source: { direct_put: {} }
    ` + toSearch("put") + `
  clicks-lake:
    source: { stream: clicks }
    ` + toS3("clicks/") + `
  clicks-search:
    source: { stream: clicks }
    ` + toSearch("clicks") + "\n"})
	env := d.Environment()

	// The aws CLI takes batches from files, and blobs in base64 as version 2 of it wants them.
	work := t.TempDir()
	expected := map[string]*strings.Builder{"put-lake": {}, "put-search": {}, "clicks": {}}
	cliPut := func(from, stream string, args []string, entry func(n int, line string) any) {
		t.Helper()
		var entries []any
		for n := range perClient {
			entries = append(entries, entry(n, fmt.Sprintf(`{"from":%q,"n":%d}`, from, n)))
		}
		raw, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(work, "entries.json")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		out := harness.RunProgram(t, env, []int{0}, cli, append(args, "--records", "file://"+file, "--output", "json")...)
		var answer struct{ FailedPutCount, FailedRecordCount int }
		if err := json.Unmarshal(out, &answer); err != nil || answer.FailedPutCount+answer.FailedRecordCount != 0 {
			t.Fatalf("aws %v: %v, %s", args, err, out)
		}
		note(expected[stream], from)
	}
	blob := cliBlob(t, cli)
	for _, stream := range []string{"put-lake", "put-search"} {
		cliPut("cli", stream, []string{"firehose", "put-record-batch", "--delivery-stream-name", stream}, func(_ int, line string) any {
			return map[string]string{"Data": blob(line + "\n")}
		})
	}
	cliPut("cli", "clicks", []string{"kinesis", "put-records", "--stream-name", "clicks"}, func(n int, line string) any {
		return map[string]string{"Data": blob(line), "PartitionKey": fmt.Sprint(n)}
	})
	for i, stream := range []string{"put-lake", "put-search"} {
		from := fmt.Sprintf("boto%d", i)
		script := filepath.Join(work, "puts.py")
		if err := os.WriteFile(script, fmt.Appendf(nil, botoPuts, from, perClient, stream, "clicks"), 0o600); err != nil {
			t.Fatal(err)
		}
		harness.RunProgram(t, env, []int{0}, python, script)
		note(expected[stream], from)
		note(expected["clicks"], from)
	}
	d.AwaitDrained(t, harness.Patience, "put-lake", "put-search", "clicks-lake", "clicks-search")

	s3Env := s3.Environment(s3.Root)
	for _, c := range []struct{ what, expected, source, format string }{
		{"Firehose to S3", "put-lake", "s3://lake/put/", "ndjson"},
		{"Kinesis to S3", "clicks", "s3://lake/clicks/", "ndjson"},
		{"Firehose to OpenSearch", "put-search", search.URL + "/put", "opensearch"},
		{"Kinesis to OpenSearch", "clicks", search.URL + "/clicks", "opensearch"},
	} {
		file := filepath.Join(work, "expected")
		if err := os.WriteFile(file, []byte(expected[c.expected].String()), 0o600); err != nil {
			t.Fatal(err)
		}
		options := []string{"--format=" + c.format, "--exactly-once"}
		if strings.HasPrefix(c.source, "s3:") {
			options = append(options, "--compression=gzip", "--suffix=.gz")
		}
		if c.format == "opensearch" {
			if err := search.Refresh(t.Context(), strings.TrimPrefix(c.source, search.URL+"/")); err != nil {
				t.Fatal(err)
			}
			var found struct {
				Hits struct{ Total struct{ Value int } }
			}
			if err := search.Call(t.Context(), "GET", strings.TrimPrefix(c.source, search.URL)+"/_search?size=0&track_total_hits=true", nil, &found); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: _search counts %d documents", c.what, found.Hits.Total.Value)
		}
		got := harness.Compare(t, s3Env, file, c.source, options...)
		t.Logf("%s: put %d, found %d, missing %d, duplicates %d, unexpected %d", c.what, got.Expected, got.Found, got.Missing, got.Duplicates, got.Unexpected)
		if got.Expected == 0 || got.Found != got.Expected || got.Missing+got.Duplicates+got.Unexpected > 0 {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
	if left := harness.Files(t, errs); len(left) > 0 {
		t.Errorf("error output has %v", left)
	}
}

func note(to *strings.Builder, from string) {
	for n := range perClient {
		fmt.Fprintf(to, "{\"from\":%q,\"n\":%d}\n", from, n)
	}
}

// cliBlob tells how the aws CLI that is installed wants bytes inside JSON:
// version 1 takes text as it is, version 2 base64.
func cliBlob(t *testing.T, cli string) func(string) string {
	t.Helper()
	version := string(harness.RunProgram(t, nil, []int{0}, cli, "--version"))
	switch {
	case strings.HasPrefix(version, "aws-cli/1."):
		return func(s string) string { return s }
	case strings.HasPrefix(version, "aws-cli/2."):
		return encode
	}
	t.Fatalf("aws --version: %q", version)
	return nil
}

// botoCreates makes a delivery stream, waits until it is active, and puts.
const botoCreates = `
import json, boto3, time
client = boto3.client("firehose")
client.create_delivery_stream(
    DeliveryStreamName="by-boto", DeliveryStreamType="DirectPut",
    ExtendedS3DestinationConfiguration={
        "RoleARN": "arn:aws:iam::000000000000:role/any", "BucketARN": "arn:aws:s3:::made",
        "Prefix": "boto/!{timestamp:yyyy}/", "ErrorOutputPrefix": "boto-errors/!{firehose:error-output-type}/",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1}, "CompressionFormat": "GZIP",
    })
for _ in range(100):
    found = client.describe_delivery_stream(DeliveryStreamName="by-boto")["DeliveryStreamDescription"]
    if found["DeliveryStreamStatus"] == "ACTIVE":
        break
    time.sleep(0.1)
assert found["DeliveryStreamStatus"] == "ACTIVE", found
assert found["Destinations"][0]["ExtendedS3DestinationDescription"]["CompressionFormat"] == "GZIP", found
assert "by-boto" in client.list_delivery_streams()["DeliveryStreamNames"]
for n in range(%d):
    client.put_record(DeliveryStreamName="by-boto", Record={"Data": json.dumps({"from": "boto", "n": n}) + "\n"})
`

// TestCreateDeliveryStream makes delivery streams through the API, with boto3
// and the SDK for Go; they deliver, survive a kill, and can be deleted.
func TestCreateDeliveryStream(t *testing.T) {
	python := servers.Require(t, servers.Python, servers.VersityBinary)[0]
	s3 := versity.Run(t)
	if err := s3.CreateBucket(t.Context(), "made"); err != nil {
		t.Fatal(err)
	}
	d := harness.Run(t, harness.Settings{Body: fmt.Sprintf(
		"api: { s3: { endpoint: %q, path_style: true, region: %s, access_key: %s, secret_key: %s } }\n",
		s3.Endpoint, versity.Region, s3.Root.Access, s3.Root.Secret)})
	const records = 50
	script := filepath.Join(t.TempDir(), "creates.py")
	if err := os.WriteFile(script, fmt.Appendf(nil, botoCreates, records), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.RunProgram(t, d.Environment(), []int{0}, python, script)

	client := d.Firehose()
	_, err := client.CreateDeliveryStream(t.Context(), &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String("by-go"), DeliveryStreamType: firehosetypes.DeliveryStreamTypeDirectPut,
		ExtendedS3DestinationConfiguration: &firehosetypes.ExtendedS3DestinationConfiguration{
			RoleARN: aws.String("arn:aws:iam::000000000000:role/any"), BucketARN: aws.String("arn:aws:s3:::made"),
			Prefix: aws.String("go/!{timestamp:yyyy}/"), ErrorOutputPrefix: aws.String("go-errors/!{firehose:error-output-type}/"),
			BufferingHints:    &firehosetypes.BufferingHints{SizeInMBs: aws.Int32(1), IntervalInSeconds: aws.Int32(1)},
			CompressionFormat: firehosetypes.CompressionFormatGzip,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(from string) {
		t.Helper()
		for n := range records {
			_, err := client.PutRecord(t.Context(), &firehose.PutRecordInput{
				DeliveryStreamName: aws.String("by-go"), Record: &firehosetypes.Record{Data: fmt.Appendf(nil, "{\"from\":%q,\"n\":%d}\n", from, n)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put("go")
	// What a call made is there again after a kill, with what was put.
	d.MustKill(t)
	d.MustStart(t)
	put("go again")
	d.AwaitDrained(t, harness.Patience, "by-boto", "by-go")
	for prefix, want := range map[string][]string{"boto/": {"boto"}, "go/": {"go", "go again"}} {
		var lines strings.Builder
		for _, from := range want {
			for n := range records {
				fmt.Fprintf(&lines, "{\"from\":%q,\"n\":%d}\n", from, n)
			}
		}
		file := filepath.Join(t.TempDir(), "expected")
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		got := harness.Compare(t, s3.Environment(s3.Root), file, "s3://made/"+prefix, "--format=ndjson", "--compression=gzip", "--exactly-once")
		t.Logf("%s: put %d, found %d, missing %d, duplicates %d, unexpected %d", prefix, got.Expected, got.Found, got.Missing, got.Duplicates, got.Unexpected)
		if got.Found != got.Expected || got.Missing+got.Duplicates+got.Unexpected > 0 {
			t.Errorf("%s: %+v", prefix, got)
		}
	}
	if _, err := client.DeleteDeliveryStream(t.Context(), &firehose.DeleteDeliveryStreamInput{DeliveryStreamName: aws.String("by-go")}); err != nil {
		t.Fatal(err)
	}
	d.MustKill(t)
	d.MustStart(t)
	_, err = client.DescribeDeliveryStream(t.Context(), &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String("by-go")})
	if got := code(err); got != "ResourceNotFoundException" {
		t.Errorf("describe after delete: %s", got)
	}
	if _, err = client.DescribeDeliveryStream(t.Context(), &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String("by-boto")}); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// TestKinesisByGoSDK takes a stream through its life with the SDK for Go.
func TestKinesisByGoSDK(t *testing.T) {
	d := harness.Run(t, harness.Settings{})
	ctx, client, name := t.Context(), d.Kinesis(), aws.String("life")
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if err := kinesis.NewStreamExistsWaiter(client).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, harness.Patience); err != nil {
		t.Fatal(err)
	}
	put := func(from, to int) []string {
		t.Helper()
		in := &kinesis.PutRecordsInput{StreamName: name}
		for n := from; n < to; n++ {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: fmt.Append(nil, n), PartitionKey: aws.String(fmt.Sprint(n))})
		}
		out, err := client.PutRecords(ctx, in)
		if err != nil || aws.ToInt32(out.FailedRecordCount) != 0 {
			t.Fatalf("%v, %+v", err, out)
		}
		var sequences []string
		for _, r := range out.Records {
			sequences = append(sequences, *r.SequenceNumber)
		}
		return sequences
	}
	sequences := put(0, 10)
	shards, err := listShards(ctx, client, *name)
	if err != nil || len(shards) != 1 {
		t.Fatalf("%v, %v", shards, err)
	}
	parent := shards[0]
	read := func(shard string, in kinesis.GetShardIteratorInput, limit int) (numbers []string, next *string, children []types.ChildShard) {
		t.Helper()
		in.StreamName, in.ShardId = name, &shard
		it, err := client.GetShardIterator(ctx, &in)
		if err != nil {
			t.Fatalf("%s: %v", in.ShardIteratorType, err)
		}
		next = it.ShardIterator
		for empty := 0; next != nil && len(numbers) < limit && empty < 2; {
			out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(3)})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				numbers = append(numbers, string(r.Data))
			}
			if len(out.Records) == 0 {
				empty++
			}
			next, children = out.NextShardIterator, out.ChildShards
		}
		return numbers, next, children
	}
	want := func(what string, got []string, from, to int) {
		t.Helper()
		var numbers []string
		for n := from; n < to; n++ {
			numbers = append(numbers, fmt.Sprint(n))
		}
		if strings.Join(got, " ") != strings.Join(numbers, " ") {
			t.Errorf("%s: %v, want %v", what, got, numbers)
		}
	}
	// A time between two appends: records have the time of their arrival in milliseconds.
	harness.Pause(ctx, 20*time.Millisecond)
	between := time.Now()
	harness.Pause(ctx, 20*time.Millisecond)
	latest, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: &parent.id, ShardIteratorType: types.ShardIteratorTypeLatest})
	if err != nil {
		t.Fatal(err)
	}
	sequences = append(sequences, put(10, 15)...)
	all, _, _ := read(parent.id, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, 99)
	want("TRIM_HORIZON", all, 0, 15)
	at, _, _ := read(parent.id, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &sequences[4]}, 99)
	want("AT_SEQUENCE_NUMBER", at, 4, 15)
	after, _, _ := read(parent.id, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &sequences[4]}, 99)
	want("AFTER_SEQUENCE_NUMBER", after, 5, 15)
	since, _, _ := read(parent.id, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &between}, 99)
	want("AT_TIMESTAMP", since, 10, 15)
	out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: latest.ShardIterator})
	if err != nil {
		t.Fatal(err)
	}
	var tip []string
	for _, r := range out.Records {
		tip = append(tip, string(r.Data))
	}
	want("LATEST", tip, 10, 15)

	// Split, merge; the parents are read to their ends, then the children.
	half := "170141183460469231731687303715884105728"
	if _, err := client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: &parent.id, NewStartingHashKey: &half}); err != nil {
		t.Fatal(err)
	}
	active(t, client, *name)
	put(15, 60)
	numbers, next, children := read(parent.id, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, 99)
	want("the parent", numbers, 0, 15)
	if next != nil || len(children) != 2 {
		t.Fatalf("end of the parent: next iterator %v, children %v", next, children)
	}
	if _, err := client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: children[0].ShardId, AdjacentShardToMerge: children[1].ShardId}); err != nil {
		t.Fatal(err)
	}
	active(t, client, *name)
	put(60, 70)
	got := map[string]bool{}
	var merged string
	for _, c := range children {
		numbers, next, grandchildren := read(*c.ShardId, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, 99)
		if next != nil || len(grandchildren) != 1 || len(grandchildren[0].ParentShards) != 2 {
			t.Fatalf("end of %s: next iterator %v, children %v", *c.ShardId, next, grandchildren)
		}
		merged = *grandchildren[0].ShardId
		for _, n := range numbers {
			if got[n] {
				t.Errorf("record %s is in both children", n)
			}
			got[n] = true
		}
	}
	if len(got) != 45 {
		t.Errorf("the children have %d records, want 45: %v", len(got), got)
	}
	numbers, _, _ = read(merged, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, 99)
	want("the merged shard", numbers, 60, 70)

	if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}); err != nil {
		t.Fatal(err)
	}
	if err := kinesis.NewStreamNotExistsWaiter(client).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, harness.Patience); err != nil {
		t.Error(err)
	}
}

// active waits as clients do between changes of a stream.
func active(t *testing.T, client *kinesis.Client, stream string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "status ACTIVE", func() error {
		out, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
		if err != nil {
			return err
		}
		if s := out.StreamDescriptionSummary.StreamStatus; s != types.StreamStatusActive {
			return fmt.Errorf("status %s", s)
		}
		return nil
	})
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
