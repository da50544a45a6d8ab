package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

// putBatch puts records into a delivery stream; all of them have to be taken.
func putBatch(t *testing.T, d *harness.Daemon, stream string, records ...string) {
	t.Helper()
	client := d.Firehose()
	for len(records) > 0 {
		n := min(len(records), 500)
		in := &firehose.PutRecordBatchInput{DeliveryStreamName: &stream}
		for _, r := range records[:n] {
			in.Records = append(in.Records, types.Record{Data: []byte(r)})
		}
		out, err := client.PutRecordBatch(t.Context(), in)
		if err != nil || aws.ToInt32(out.FailedPutCount) != 0 {
			t.Fatalf("put into %s: %v, %+v", stream, err, out)
		}
		records = records[n:]
	}
}

// linesFile writes lines for the comparison with what was delivered.
func linesFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "expected")
	var text []byte
	for _, line := range lines {
		text = append(append(text, line...), '\n')
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// arrived compares delivered rows with lines, each exactly once.
func arrived(t *testing.T, what string, env []string, source string, lines []string, options ...string) {
	t.Helper()
	got := harness.Compare(t, env, linesFile(t, lines...), source, options...)
	t.Logf("%s: put %d, found %d, missing %d, duplicates %d, unexpected %d", what, got.Expected, got.Found, got.Missing, got.Duplicates, got.Unexpected)
	if got.Found != len(lines) || got.Missing+got.Duplicates+got.Unexpected > 0 {
		t.Errorf("%s: %+v", what, got)
	}
}
