package e2e

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// TestTLS puts records over http:// and https:// endpoints of one port: with
// the SDK, which chooses HTTP/2 there, and with the aws CLI.
func TestTLS(t *testing.T) {
	tools := servers.Require(t, servers.AWSCLI)
	d := harness.Run(t, harness.Settings{TLS: true, Body: "streams: { clicks: {} }\n"})
	put := func(name, url string, client *http.Client) {
		c := d.Kinesis(func(o *kinesis.Options) {
			o.BaseEndpoint = aws.String(url)
			o.HTTPClient = client
		})
		in := &kinesis.PutRecordInput{StreamName: aws.String("clicks"), PartitionKey: aws.String("k"), Data: []byte(name)}
		if _, err := c.PutRecord(t.Context(), in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	put("plain", d.URL, harness.Once())
	put("TLS", d.SecureURL, d.SecureClient(t))
	if _, err := d.Kinesis(func(o *kinesis.Options) {
		o.BaseEndpoint = aws.String(d.SecureURL)
		o.Retryer = aws.NopRetryer{}
	}).ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err == nil {
		t.Error("a client that does not trust the authority was served")
	}
	resp, err := d.SecureClient(t).Get(d.SecureURL + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("health over TLS: HTTP/%d %d", resp.ProtoMajor, resp.StatusCode)
	}
	env := append(d.Environment(), "AWS_ENDPOINT_URL_KINESIS="+d.SecureURL, "AWS_CA_BUNDLE="+d.CAFile)
	harness.RunProgram(t, env, []int{0}, tools[0], "kinesis", "put-record", "--stream-name", "clicks", "--partition-key", "k", "--data", "eA==")
	if n := d.Metrics(t).Log(t, "records_total"); n < 3 {
		t.Errorf("%.0f records in the log", n)
	}
	d.MustStop(t)
}
