package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

const flinkRecords = 1000 // before the split, and again after it

// TestFlink runs a Flink job, in a cluster inside one JVM, that copies a stream
// to another, once with polling and once with fan-out. The stream is split
// while it runs. It needs e2e/setup.sh java_more, and E2E_FLINK=1.
func TestFlink(t *testing.T) {
	if os.Getenv("E2E_FLINK") != "1" {
		t.Skip("runs with E2E_FLINK=1")
	}
	servers.Require(t, "java/flink/classes/stamp")
	for _, publisher := range []string{"POLLING", "EFO"} {
		t.Run(publisher, func(t *testing.T) { testFlink(t, publisher) })
	}
}

func testFlink(t *testing.T, publisher string) {
	d := harness.Run(t, harness.Settings{
		HTTP: fmt.Sprintf(", auth: sigv4, keys: [ { name: flink, access_key: %s, secret_key: %q } ]", conformanceKey, conformanceSecret),
	})
	client := d.Kinesis(withConformanceKey)
	from, to := aws.String("raw"), aws.String("cooked")
	for _, name := range []*string{from, to} {
		if _, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
			t.Fatal(err)
		}
		active(t, client, *name)
	}
	put := func(first, last int) {
		t.Helper()
		for n := first; n < last; n += 500 {
			in := &kinesis.PutRecordsInput{StreamName: from}
			for i := n; i < n+500; i++ {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint(i)), Data: fmt.Append(nil, i)})
			}
			if out, err := client.PutRecords(t.Context(), in); err != nil || aws.ToInt32(out.FailedRecordCount) != 0 {
				t.Fatalf("%v, %+v", err, out)
			}
		}
	}
	put(0, flinkRecords)
	began := time.Now()
	startFlink(t, d, *from, *to, publisher)
	awaitCopies := func(records int) {
		t.Helper()
		harness.Eventually(t, kclLimit, fmt.Sprintf("%d copies", records), func() error {
			copies := textsOf(t, client, *to)
			for n := range records {
				if copies[fmt.Sprintf("flink %d", n)] == 0 {
					return fmt.Errorf("%d different records are copied, %d not", len(copies), n)
				}
			}
			return nil
		})
		t.Logf("%5.1f s: %d records are copied", time.Since(began).Seconds(), records)
	}
	awaitCopies(flinkRecords)
	if _, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: from, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	}); err != nil {
		t.Fatal(err)
	}
	active(t, client, *from)
	put(flinkRecords, 2*flinkRecords)
	awaitCopies(2 * flinkRecords)
	copies, twice := textsOf(t, client, *to), 0
	for _, n := range copies {
		twice += n - 1
	}
	if len(copies) != 2*flinkRecords {
		t.Errorf("%d different copies, want %d", len(copies), 2*flinkRecords)
	}
	t.Logf("%d records, %d copied once more", len(copies), twice)
}

// startFlink runs the job until the test ends.
func startFlink(t *testing.T, d *harness.Daemon, from, to, publisher string) {
	t.Helper()
	java, options, err := servers.JavaModule("flink", 512)
	if err != nil {
		t.Fatal(err)
	}
	// Flink's serializers look into classes of the JDK.
	args := append([]string{"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"}, options...)
	dir := t.TempDir()
	p, err := servers.Launch(t.Context(), servers.Spec{
		Name: "flink", Path: java, Args: append(args, "flink.Job", from, to, publisher),
		Env: append(servers.WithoutJavaOptions(os.Environ()), conformanceEnv(d, "flink")...),
		Dir: dir, LogFile: filepath.Join(dir, "flink.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of the log of Flink:\n%s", p.LogTail())
		}
	})
}

// textsOf counts the texts in a stream of one shard.
func textsOf(t *testing.T, client *kinesis.Client, stream string) map[string]int {
	t.Helper()
	it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]int{}
	for next := it.ShardIterator; ; {
		page, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			texts[strings.TrimSpace(string(r.Data))]++
		}
		if len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
			return texts
		}
		next = page.NextShardIterator
	}
}
