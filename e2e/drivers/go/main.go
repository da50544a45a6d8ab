// The driver of aws-sdk-go-v2: it goes through the scenario of package scenario
// with a client as it is by default, but for what package bodies says, and prints
// a line for each step. With http it is a client over HTTP/1.1, with https the
// SDK chooses HTTP/2 by itself.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/firehosed/firehosed/e2e/bodies"
	"github.com/firehosed/firehosed/e2e/scenario"
)

const (
	clientName  = "aws-sdk-go-v2"
	stepTimeout = 4 * time.Minute
)

// driver is one stream and what was put into it.
type driver struct {
	client    *kinesis.Client
	protocol  string
	stream    *string
	throttled *string
	shards    map[string][]read // what each shard was read to hold
}

// read is a record as it was read.
type read struct {
	scenario.Record
	n        int
	sequence *big.Int
	number   string
	arrival  time.Time
}

// line is what the tests read.
type line struct {
	Client   string `json:"client"`
	Version  string `json:"version"`
	Protocol string `json:"protocol"`
	Step     string `json:"step"`
	OK       bool   `json:"ok"`
	Detail   string `json:"detail"`
}

func main() {
	ok := true
	for _, run := range []struct{ endpoint, protocol, suffix string }{
		{os.Getenv("FIREHOSED_ENDPOINT"), "JSON, HTTP/1.1", ""},
		{os.Getenv("FIREHOSED_TLS_ENDPOINT"), "JSON, HTTP/2 with TLS", "-tls"},
	} {
		if run.endpoint == "" {
			continue
		}
		client, err := connect(run.endpoint)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		d := &driver{
			client: client, protocol: run.protocol, stream: aws.String(os.Getenv("FIREHOSED_STREAM") + run.suffix),
			throttled: aws.String(os.Getenv("FIREHOSED_THROTTLED_STREAM")),
		}
		ok = d.scenario() && ok
	}
	if !ok {
		os.Exit(1)
	}
}

// scenario runs the steps, those behind one that failed too: most do not need it.
func (d *driver) scenario() bool {
	ok := true
	steps := map[string]func(context.Context) (string, error){
		"create": d.create, "put": d.putAll, "iterators": d.iterators, "split": d.split, "merge": d.merge,
		"update_count": d.updateCount, "drain": d.drain, "fanout": d.fanout, "throttle": d.throttle,
		"tags": d.tags, "delete": d.remove,
	}
	for _, name := range scenario.Steps() {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		began := time.Now()
		detail, err := steps[name](ctx)
		cancel()
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", d.protocol, name, time.Since(began).Round(time.Millisecond))
		l := line{Client: clientName, Version: version(), Protocol: d.protocol, Step: name, OK: err == nil, Detail: detail}
		if err != nil {
			l.Detail = err.Error()
		}
		if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return false
		}
		ok = ok && l.OK
	}
	return ok
}

// connect makes a client that differs from the default in its endpoint, in the
// bodies that it sends, in how long it waits for a handshake, as the machine may be
// busy, and with https in the authority it trusts.
func connect(endpoint string) (*kinesis.Client, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.TLSHandshakeTimeout = time.Minute })
	options := kinesis.Options{
		BaseEndpoint: &endpoint, Region: os.Getenv("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	}
	if strings.HasPrefix(endpoint, "https:") {
		pem, err := os.ReadFile(os.Getenv("FIREHOSED_CA_FILE"))
		if err != nil {
			return nil, fmt.Errorf("FIREHOSED_CA_FILE: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("FIREHOSED_CA_FILE: no certificate in %s", os.Getenv("FIREHOSED_CA_FILE"))
		}
		client = client.WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		})
	}
	options.HTTPClient = bodies.Client{Next: client}
	return kinesis.New(options), nil
}

// version is that of the service's module.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/aws/aws-sdk-go-v2/service/kinesis" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return ""
}
