package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// client is the flags of the commands that talk to a daemon.
type client struct {
	Endpoint string `default:"http://127.0.0.1:4573" env:"FIREHOSED_ENDPOINT" help:"Address of the daemon."`
	Region   string `default:"us-east-1" env:"AWS_REGION" help:"Region to sign requests for."`
	CAFile   string `name:"ca-file" env:"AWS_CA_BUNDLE" placeholder:"FILE" help:"Certificate authorities to trust, in PEM, for an endpoint with https://."`

	trusting *http.Client // trusts what CAFile names; made when it is first needed
}

// do sends one request.
func (c *client) do(req *http.Request) (*http.Response, error) {
	if c.CAFile == "" || req.URL.Scheme != "https" {
		return http.DefaultClient.Do(req)
	}
	if c.trusting == nil {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("certificate authorities: %s holds no certificate in PEM", c.CAFile)
		}
		c.trusting = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		}}
	}
	return c.trusting.Do(req)
}

// requestTimeout bounds one request of a command.
const requestTimeout = 60 * time.Second

// maxAnswer bounds the answer to one request: 10 MiB of records in base64.
const maxAnswer = 32 << 20

// apiError is an error answer of the daemon.
type apiError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	status  int
}

func (e *apiError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("the daemon answered %d %s", e.status, http.StatusText(e.status))
	}
	return e.Type + ": " + e.Message
}

// call does one operation of the Kinesis or Firehose API. Requests are signed
// with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if they are set.
func (c *client) call(ctx context.Context, out output, target string, in, answer any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	if err := c.sign(ctx, out, req, body); err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return fmt.Errorf("no answer from the daemon: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		e := &apiError{status: resp.StatusCode}
		_ = json.Unmarshal(raw, e) // what is no JSON is told by its status
		return e
	}
	if answer == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	return nil
}

func (c *client) sign(ctx context.Context, out output, req *http.Request, body []byte) error {
	get := func(name string) string { v, _ := out.getenv(name); return v }
	cred := aws.Credentials{
		AccessKeyID: get("AWS_ACCESS_KEY_ID"), SecretAccessKey: get("AWS_SECRET_ACCESS_KEY"), SessionToken: get("AWS_SESSION_TOKEN"),
	}
	if cred.AccessKeyID == "" || cred.SecretAccessKey == "" {
		// The daemon wants the header to be there also when it does not check it.
		cred.AccessKeyID, cred.SecretAccessKey = "anonymous", "anonymous"
	}
	service := "kinesis"
	if strings.HasPrefix(req.Header.Get("X-Amz-Target"), "Firehose_") {
		service = "firehose"
	}
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(ctx, cred, req, hex.EncodeToString(sum[:]), service, c.Region, time.Now())
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

type healthcheckCmd struct {
	client
	Timeout time.Duration `default:"5s" help:"How long to wait for the answer."`
}

// Run asks /health/ready.
func (h *healthcheckCmd) Run(ctx context.Context, out output) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(h.Endpoint, "/")+"/health/ready", nil)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	resp, err := h.do(req)
	if err != nil {
		return &exitError{code: 1, err: fmt.Errorf("not ready: %w", err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return &exitError{code: 1, err: errors.Join(fmt.Errorf("not ready: %s", bytes.TrimSpace(body)), err)}
	}
	fmt.Fprintf(out.stdout, "%s\n", bytes.TrimSpace(body))
	return nil
}
