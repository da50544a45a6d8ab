package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	kplRecords = 5000
	kplKeys    = 50
	javaLimit  = 5 * time.Minute // for a program that takes seconds
)

// aggregateMagic begins the data of a record that the Kinesis Producer Library
// has made of several.
var aggregateMagic = []byte{0xf3, 0x89, 0x9a, 0xc2}

// TestKPL puts records with the Kinesis Producer Library, which aggregates them
// and speaks TLS only, and takes them apart again with the code of KCL.
func TestKPL(t *testing.T) {
	t.Parallel() // beside other clients
	servers.Require(t, "java/kpl/classes/stamp", "java/kcl3/classes/stamp")
	d := harness.Run(t, harness.Settings{
		TLS: true, HTTP: fmt.Sprintf(", auth: sigv4, keys: [ { name: kpl, access_key: %s, secret_key: %q } ]", conformanceKey, conformanceSecret),
	})
	client := d.Kinesis(withConformanceKey)
	stream := aws.String("clicks")
	if _, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	active(t, client, *stream)

	var result struct{ Records, Failed, Retries, Shards int }
	out := runJava(t, d, "kpl", "kpl.Producer", *stream, fmt.Sprint(kplRecords), fmt.Sprint(kplKeys), t.TempDir())
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if result.Records != kplRecords || result.Failed != 0 || result.Shards != 2 {
		t.Errorf("the producer reports %+v, want %d records without a failure in 2 shards", result, kplRecords)
	}

	raw, aggregates := 0, 0
	shards, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: stream})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards.Shards {
		it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: stream, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			raw++
			if bytes.HasPrefix(r.Data, aggregateMagic) {
				aggregates++
			}
		}
	}
	if aggregates == 0 || raw > kplRecords/10 {
		t.Errorf("%d records in the stream, %d of them aggregates", raw, aggregates)
	}

	// The library makes no promise of order.
	seen := map[string]bool{}
	for line := range strings.Lines(string(runJava(t, d, "kcl3", "kcl.Deaggregate", *stream))) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 6 {
			t.Fatalf("line %q", line)
		}
		key, data := fields[4], fields[5]
		if seen[data] {
			t.Errorf("%s is there twice", data)
		}
		if !strings.HasPrefix(data, key+":") {
			t.Errorf("%s has the key %s", data, key)
		}
		seen[data] = true
	}
	for n := range kplRecords {
		if want := fmt.Sprintf("k%d:%d", n%kplKeys, n/kplKeys); !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
	if len(seen) != kplRecords {
		t.Errorf("%d records, want %d", len(seen), kplRecords)
	}
	// The library reports once a second, if it lives that long.
	reported := 0
	for sample := range d.Metrics(t) {
		if strings.HasPrefix(sample, "firehosed_client_metric_sum{") && strings.Contains(sample, `namespace="kpl-clicks"`) {
			reported++
		}
	}
	t.Logf("%d user records in %d records, %d retries, %d series of figures", len(seen), raw, result.Retries, reported)
}

// runJava runs a class of a module of e2e/java to its end and gives its standard output.
func runJava(t *testing.T, d *harness.Daemon, module, class string, args ...string) []byte {
	t.Helper()
	java, options, err := servers.JavaModule(module, 256)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Within(t, javaLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, java, append(append(options, class), args...)...)
	cmd.Env = append(servers.WithoutJavaOptions(os.Environ()), conformanceEnv(d, "java")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v, %v\n%s\n%s", class, err, ctx.Err(), out, stderr.Bytes()[max(0, stderr.Len()-6<<10):])
	}
	return out
}
