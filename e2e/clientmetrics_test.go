package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// botoMetrics sends metrics with boto3 in each protocol that its releases have
// spoken with CloudWatch, and asks STS who it is. The protocol of a release is
// an entry in its model of the service; the rest of boto3 is as it comes.
const botoMetrics = `
import datetime, boto3
from botocore.exceptions import ClientError

for protocol in ["query", "json", "smithy-rpc-v2-cbor"]:
    session = boto3.Session()
    loader = session._session.get_component("data_loader")
    load = loader.load_service_model
    def patched(service, kind, api_version=None, load=load, protocol=protocol):
        model = load(service, kind, api_version)
        if service == "cloudwatch" and kind == "service-2":
            model = dict(model, metadata=dict(model["metadata"], protocol=protocol, protocols=[protocol]))
        return model
    loader.load_service_model = patched
    client = session.client("cloudwatch")
    seen = []
    client.meta.events.register("before-send.cloudwatch", lambda request, **kw: seen.append(dict(request.headers)))
    namespace = "boto/" + protocol
    now = datetime.datetime.now(datetime.timezone.utc)
    client.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": "Value", "Timestamp": now, "Value": 2.5, "Unit": "Milliseconds", "StorageResolution": 1,
         "Dimensions": [{"Name": "Operation", "Value": "a b"}, {"Name": "Shard Id", "Value": "s-0"}]},
        {"MetricName": "Set", "StatisticValues": {"SampleCount": 3, "Sum": 9, "Minimum": 1, "Maximum": 5}},
        {"MetricName": "Many", "Values": [1, 2.5], "Counts": [2, 4]},
    ])
    # Large enough to be compressed.
    client.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "Large", "Timestamp": now, "Value": i} for i in range(1000)])
    # A type that the protocol has made of bytes or of text, and a content type of its own.
    kinds = [{k.lower(): v for k, v in h.items()} for h in seen]
    assert kinds[1].get("content-encoding") in ("gzip", b"gzip") and "content-encoding" not in kinds[0], kinds
    want = {"query": "application/x-www-form-urlencoded", "json": "application/x-amz-json-1.0", "smithy-rpc-v2-cbor": "application/cbor"}[protocol]
    media = kinds[0]["content-type"]
    media = media.decode() if isinstance(media, bytes) else media
    assert media.startswith(want), media
    for data, code in [
        ([], "MissingParameter"),
        ([{"MetricName": "x", "Value": float("nan")}], "InvalidParameterValue"),
        ([{"MetricName": "x", "Value": 1, "Values": [1]}], "InvalidParameterCombination"),
    ]:
        try:
            client.put_metric_data(Namespace=namespace, MetricData=data)
        except ClientError as e:
            assert e.response["Error"]["Code"] == code, (protocol, e.response)
            assert e.response["ResponseMetadata"]["RequestId"], e.response
        else:
            raise AssertionError((protocol, code))
    try:
        client.list_metrics()
    except ClientError as e:
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e.response
    else:
        raise AssertionError("ListMetrics")

sts = boto3.client("sts")
who = sts.get_caller_identity()
assert who["Account"] == "000000000000" and who["Arn"] == "arn:aws:iam::000000000000:user/%[1]s" and who["UserId"], who
try:
    sts.get_session_token()
except ClientError as e:
    assert e.response["Error"]["Code"] == "InvalidAction", e.response
else:
    raise AssertionError("GetSessionToken")
import urllib.request
link = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
assert "user/%[1]s" in urllib.request.urlopen(link).read().decode()
`

// TestClientMetrics sends metrics with boto3 and the SDK for Go, signed, and
// finds their sums in /metrics; both ask STS who they are.
func TestClientMetrics(t *testing.T) {
	python := servers.Require(t, servers.Python)[0]
	d := harness.Run(t, harness.Settings{HTTP: ", keys: [{ access_key: ANYKEY, secret_key: any-secret }]"})
	script := filepath.Join(t.TempDir(), "metrics.py")
	if err := os.WriteFile(script, fmt.Appendf(nil, botoMetrics, "ANYKEY"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.RunProgram(t, d.Environment(), []int{0}, python, script)

	var encodings []string
	keys := credentials.NewStaticCredentialsProvider("ANYKEY", "any-secret", "")
	client := cloudwatch.New(cloudwatch.Options{
		BaseEndpoint: aws.String(d.URL), Region: harness.Region, Credentials: keys, RequestMinCompressSizeBytes: 10 << 10,
		HTTPClient: roundTripper(func(r *http.Request) (*http.Response, error) {
			encodings = append(encodings, r.Header.Get("Content-Type")+" "+r.Header.Get("Content-Encoding"))
			return harness.Once().Do(r)
		}),
	})
	data := []types.MetricDatum{
		{MetricName: aws.String("Value"), Timestamp: aws.Time(time.Now()), Value: aws.Float64(-4), Unit: types.StandardUnitBytes},
		{MetricName: aws.String("Many"), Values: []float64{3, 4}, Counts: []float64{1, 2}},
		{MetricName: aws.String("Set"), StatisticValues: &types.StatisticSet{SampleCount: aws.Float64(2), Sum: aws.Float64(7), Minimum: aws.Float64(3), Maximum: aws.Float64(4)}},
	}
	if _, err := client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("go"), MetricData: data}); err != nil {
		t.Fatal(err)
	}
	var large []types.MetricDatum
	for n := range 1000 {
		large = append(large, types.MetricDatum{MetricName: aws.String("Large"), Timestamp: aws.Time(time.Now()), Value: aws.Float64(float64(n))})
	}
	if _, err := client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("go"), MetricData: large}); err != nil {
		t.Fatal(err)
	}
	if want := "[application/cbor  application/cbor gzip]"; fmt.Sprint(encodings) != want {
		t.Errorf("the SDK sent %v, want %s", encodings, want)
	}
	var invalid *types.InvalidParameterValueException
	_, err := client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/go"), MetricData: data})
	if !errors.As(err, &invalid) || invalid.ErrorMessage() != "The value AWS/go for parameter Namespace is invalid." {
		t.Errorf("reserved namespace: %v", err)
	}

	who, err := sts.New(sts.Options{BaseEndpoint: aws.String(d.URL), Region: harness.Region, Credentials: keys}).
		GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != "000000000000" || *who.Arn != "arn:aws:iam::000000000000:user/ANYKEY" || *who.UserId == "" {
		t.Errorf("GetCallerIdentity: %+v, %v", who, err)
	}
	_, err = sts.New(sts.Options{BaseEndpoint: aws.String(d.URL), Region: harness.Region, Credentials: credentials.NewStaticCredentialsProvider("ANYKEY", "other", "")}).
		GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != "SignatureDoesNotMatch" {
		t.Errorf("GetCallerIdentity with another secret: %v", err)
	}

	m := d.Metrics(t)
	boto := `{dimension_Operation="a b",dimension_Shard_Id="s-0",dimensions="Operation,Shard Id",metric="Value",namespace="boto/%s",unit="Milliseconds"}`
	want := map[string]float64{
		`sum{metric="Value",namespace="go",unit="Bytes"}`: -4, `count{metric="Value",namespace="go",unit="Bytes"}`: 1,
		`sum{metric="Many",namespace="go",unit="None"}`: 11, `count{metric="Many",namespace="go",unit="None"}`: 3,
		`min{metric="Set",namespace="go",unit="None"}`: 3, `max{metric="Set",namespace="go",unit="None"}`: 4,
		`sum{metric="Large",namespace="go",unit="None"}`: 499500, `count{metric="Large",namespace="go",unit="None"}`: 1000,
		`series`: 16, `data_total`: 4 * 1003, `data_refused_total`: 0,
	}
	for _, protocol := range []string{"query", "json", "smithy-rpc-v2-cbor"} {
		want["sum"+fmt.Sprintf(boto, protocol)] = 2.5
		none := fmt.Sprintf(`namespace="boto/%s",unit="None"}`, protocol)
		want[`sum{metric="Set",`+none] = 9
		want[`count{metric="Set",`+none] = 3
		want[`min{metric="Set",`+none] = 1
		want[`max{metric="Set",`+none] = 5
		want[`sum{metric="Many",`+none] = 12
		want[`count{metric="Many",`+none] = 6
		want[`sum{metric="Large",`+none] = 499500
		want[`count{metric="Large",`+none] = 1000
	}
	for name, value := range want {
		if got, ok := m["firehosed_client_metric_"+name]; !ok || got != value {
			t.Errorf("firehosed_client_metric_%s: %v (%v), want %v", name, got, ok, value)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// Do implements the HTTP client of the SDK.
func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }
