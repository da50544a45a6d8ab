package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
	"github.com/firehosed/firehosed/e2e/servers/versity"
)

// TestBucketThatRefuses delivers to a bucket that is not there, to one without
// permission, and with a wrong secret: each waits, says why, loses nothing, and
// goes on when it is put right.
func TestBucketThatRefuses(t *testing.T) {
	servers.Require(t, servers.Python)
	s3 := versity.Run(t)
	ctx := t.Context()
	if err := s3.CreateBucket(ctx, "lake"); err != nil {
		t.Fatal(err)
	}
	stranger, err := s3.CreateUser(ctx, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	errs := t.TempDir()
	delivery := func(name, bucket string) string {
		return fmt.Sprintf(`
  %s:
    source: { direct_put: {} }
    buffer: { interval: 200ms }
    retry: { initial: 200ms, max: 500ms }
    errors: { dir: { path: %q } }
    destination: { s3: %s }
`, name, errs, bucket)
	}
	settings := func(secret string) harness.Settings {
		return harness.Settings{Body: "delivery_streams:" +
			delivery("missing", bucket(s3, s3.Root, "later", "missing/")) +
			delivery("denied", bucket(s3, stranger, "lake", "denied/")) +
			delivery("secret", bucket(s3, versity.Key{Access: s3.Root.Access, Secret: secret}, "lake", "secret/"))}
	}
	d := harness.Run(t, settings("not-this-one"))
	// The codes of S3 that somebody who reads the log looks up.
	why := map[string]string{"missing": "NoSuchBucket", "denied": "AccessDenied", "secret": "SignatureDoesNotMatch"}
	lines := map[string][]string{}
	for stream := range why {
		for n := range 100 {
			lines[stream] = append(lines[stream], fmt.Sprintf(`{"to":%q,"n":%d}`, stream, n))
		}
		putBatch(t, d, stream, lines[stream]...)
	}
	for stream, code := range why {
		harness.Eventually(t, harness.Patience, "stall of "+stream, func() error {
			m := d.Metrics(t)
			if m.Delivery(t, "stalled", stream) != 1 || m.Delivery(t, "retries_total", stream) < 2 {
				return fmt.Errorf("stalled %.0f after %.0f tries", m.Delivery(t, "stalled", stream), m.Delivery(t, "retries_total", stream))
			}
			if lag := m.Delivery(t, "lag_records", stream); lag != 100 {
				return fmt.Errorf("lag is %.0f records", lag)
			}
			return nil
		})
		said := ""
		for _, line := range d.LogLines(t, "ERROR") {
			if text := fmt.Sprint(line["error"]); line["delivery_stream"] == stream && strings.Contains(text, code) {
				said = fmt.Sprint(line["msg"], ": ", text)
			}
		}
		t.Logf("%s: %.300s", stream, said)
		if said == "" {
			t.Errorf("the log does not say at level ERROR that %s waits for %s", stream, code)
		}
	}
	if h := d.Health(t); h.Code != 200 {
		t.Errorf("a bucket that refuses makes the daemon not ready: %+v", h)
	}
	status, out := d.Exec(t, "check", "--live", "-c", d.ConfigFile())
	t.Logf("check --live, status %d:\n%s", status, strings.ReplaceAll(out, d.Dir+"/", ""))
	if status != 2 {
		t.Errorf("check --live: exit status %d, want 2", status)
	}
	for stream := range why {
		if !strings.Contains(out, "delivery_streams."+stream+".destination") {
			t.Errorf("check --live does not name %s", stream)
		}
	}

	// Put right: the bucket and the permission while it runs, the secret by a
	// restart.
	if err := errors.Join(s3.CreateBucket(ctx, "later"), s3.Allow(ctx, "lake", stranger.Access, "s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:AbortMultipartUpload")); err != nil {
		t.Fatal(err)
	}
	d.AwaitDrained(t, harness.Patience, "missing", "denied")
	d.Configure(t, settings(s3.Root.Secret))
	d.MustStop(t)
	d.MustStart(t)
	d.AwaitDrained(t, harness.Patience, "secret")
	for stream, bucket := range map[string]string{"missing": "later", "denied": "lake", "secret": "lake"} {
		arrived(t, stream, s3.Environment(s3.Root), "s3://"+bucket+"/"+stream+"/", lines[stream], "--format=ndjson")
	}
	if failed := harness.Files(t, errs); len(failed) > 0 {
		t.Errorf("records went to the error output: %v", filepath.Base(failed[0]))
	}
	if status, out := d.Exec(t, "check", "--live", "-c", d.ConfigFile()); status != 0 {
		t.Errorf("check --live afterwards: status %d\n%s", status, out)
	}
}
