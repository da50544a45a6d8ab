package harness

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/firehosed/firehosed/e2e/bodies"
)

// Region is the default region of the daemon.
const Region = "us-east-1"

// Kinesis is an SDK client with only the endpoint set, and without the error
// that package bodies is about. Requests are signed with made-up keys.
func (d *Daemon) Kinesis(options ...func(*kinesis.Options)) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(d.URL), Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider("ANYKEY", "any-secret", ""), HTTPClient: whole(),
	}, options...)
}

// Firehose is the same for the Firehose API.
func (d *Daemon) Firehose(options ...func(*firehose.Options)) *firehose.Client {
	return firehose.New(firehose.Options{
		BaseEndpoint: aws.String(d.URL), Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider("ANYKEY", "any-secret", ""), HTTPClient: whole(),
	}, options...)
}

// DynamoDB is the same for the lease store.
func (d *Daemon) DynamoDB(options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String(d.URL), Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider("ANYKEY", "any-secret", ""), HTTPClient: whole(),
	}, options...)
}

// whole is the HTTP client that the SDK makes when it is given none.
func whole() bodies.Client { return bodies.Client{Next: awshttp.NewBuildableClient()} }

// Environment is what the aws CLI and boto3 need to reach the daemon, as
// KEY=value to append to an environment without AWS settings.
func (d *Daemon) Environment() []string {
	return append(withoutAWS(nil),
		"AWS_ENDPOINT_URL_KINESIS="+d.URL, "AWS_ENDPOINT_URL_FIREHOSE="+d.URL,
		"AWS_ENDPOINT_URL_CLOUDWATCH="+d.URL, "AWS_ENDPOINT_URL_STS="+d.URL,
		"AWS_ACCESS_KEY_ID=ANYKEY", "AWS_SECRET_ACCESS_KEY=any-secret",
		"AWS_DEFAULT_REGION="+Region, "AWS_REGION="+Region)
}

// Once makes SDK clients send each request once, over connections that are
// theirs alone: a test that counts what was acknowledged must see each answer.
func Once() *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	return &http.Client{
		Timeout: Patience,
		Transport: bodies.Transport{Next: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			},
			MaxIdleConnsPerHost: 16,
		}},
	}
}
