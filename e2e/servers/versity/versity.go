// Package versity runs a real S3 server, the Versity S3 Gateway with its posix
// back end, for tests of whatever writes to S3.
//
// Buckets are folders under the data directory and objects are files with their
// metadata in extended attributes, so the file system must support those. The
// server answers path-style requests over plain HTTP on 127.0.0.1. It does not
// sync its files: stopping and killing it loses nothing, a machine that crashes
// may.
//
// Two answers differ from those of S3. A key cannot be both an object and the
// folder of another one: the second is refused with 409. And completing a
// multipart upload that is not there answers 200 when an object has that key,
// whatever its content and whatever If-None-Match says.
//
// The server serves bucket owners, accounts and bucket policies; this package
// wraps only what tests need of them.
package versity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/firehosed/firehosed/e2e/bodies"
	"github.com/firehosed/firehosed/e2e/servers"
)

// Region is the one region of the server.
const Region = "us-east-1"

// probeTimeout bounds one readiness request.
const probeTimeout = 5 * time.Second

// Key is a pair of credentials.
type Key struct {
	Access, Secret string
}

// S3 is a running or stopped server. The Process in it stops, kills, pauses and
// starts the server again, on the same port, data and accounts.
type S3 struct {
	*servers.Process

	Endpoint string // http://127.0.0.1:PORT
	Root     Key    // may do everything; the secret is made anew by each call of Start
	Dir      string // holds data/ (a folder per bucket), iam/ and versitygw.log

	binary string
}

// Start runs a server that keeps everything below dir, which is made if it is
// not there, and answers on the port of 127.0.0.1. Port 0 picks a free one. It
// returns when the server answers a signed request; ctx bounds that wait. The
// caller ends the server with Close.
func Start(ctx context.Context, dir string, port int) (*S3, error) {
	binary, err := servers.Cached(servers.VersityBinary)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("versity: %w", err)
	}
	if port == 0 {
		if port, err = servers.FreePort(); err != nil {
			return nil, fmt.Errorf("versity: %w", err)
		}
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &S3{
		Endpoint: "http://" + address,
		Root:     Key{Access: "root", Secret: rand.Text()},
		Dir:      dir,
		binary:   binary,
	}
	data, iam := filepath.Join(dir, "data"), filepath.Join(dir, "iam")
	for _, d := range []string{data, iam} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("versity: %w", err)
		}
	}
	s.Process, err = servers.Launch(ctx, servers.Spec{
		Name: "versitygw",
		Path: binary,
		Args: []string{
			"--port", address,
			"--region", Region,
			"--iam-dir", iam,
			"--iam-cache-disable", // an account changed by a test counts at once
			"--keep-alive",        // clients reuse connections, as they do with S3
			"posix", data,
		},
		Env: append(withoutSettings(os.Environ()),
			"ROOT_ACCESS_KEY="+s.Root.Access,
			"ROOT_SECRET_KEY="+s.Root.Secret),
		Dir:     dir,
		LogFile: filepath.Join(dir, "versitygw.log"),
		Ready:   s.ready,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run starts a server in a temporary folder for one test and closes it with the
// test. It skips the test, or fails it under E2E_REQUIRED=1, when setup.sh has
// not been run. A failed test logs the end of the server's log.
func Run(t testing.TB) *S3 {
	t.Helper()
	servers.Require(t, servers.VersityBinary)
	s, err := Start(t.Context(), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s:\n%s", s.LogFile(), s.LogTail())
		}
	})
	return s
}

// withoutSettings drops variables that would change the server's settings.
func withoutSettings(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, kv := range env {
		if strings.HasPrefix(kv, "VGW_") || strings.HasPrefix(kv, "ROOT_") ||
			strings.HasPrefix(kv, "LOGFILE=") || strings.HasPrefix(kv, "WEBHOOK=") {
			continue
		}
		kept = append(kept, kv)
	}
	return kept
}

// ready asks for the list of buckets. Only the server of this Start knows the
// root secret, so the answer cannot come from another one on the same port.
func (s *S3) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := s.Client(s.Root, func(o *s3.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = &http.Client{Transport: transport}
	})
	_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	return err
}

// Client makes an SDK client for the server that signs with key.
func (s *S3) Client(key Key, options ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint),
		Region:       Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(key.Access, key.Secret, ""),
		HTTPClient:   bodies.Client{Next: awshttp.NewBuildableClient()},
	}, options...)
}

// Environment is what the aws CLI, boto3 and readback.py need to reach the
// server as key, as KEY=value to append to an environment.
func (s *S3) Environment(key Key) []string {
	return []string{
		"AWS_ENDPOINT_URL_S3=" + s.Endpoint,
		"AWS_ACCESS_KEY_ID=" + key.Access,
		"AWS_SECRET_ACCESS_KEY=" + key.Secret,
		"AWS_SESSION_TOKEN=",
		"AWS_DEFAULT_REGION=" + Region,
		"AWS_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// CreateBucket makes a bucket that belongs to the root account.
func (s *S3) CreateBucket(ctx context.Context, bucket string) error {
	_, err := s.Client(s.Root).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}

// CreateUser makes an account that owns nothing: every bucket made by
// CreateBucket answers it 403 AccessDenied until Allow grants something.
func (s *S3) CreateUser(ctx context.Context, access string) (Key, error) {
	key := Key{Access: access, Secret: rand.Text()}
	if err := s.admin(ctx, "create-user", "--access", key.Access, "--secret", key.Secret, "--role", "user"); err != nil {
		return Key{}, fmt.Errorf("user %s: %w", access, err)
	}
	return key, nil
}

// admin runs a command of the gateway's own admin client.
func (s *S3) admin(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, s.binary, append([]string{"admin"}, args...)...)
	cmd.Env = append(withoutSettings(os.Environ()),
		"ADMIN_ACCESS_KEY="+s.Root.Access,
		"ADMIN_SECRET_KEY="+s.Root.Secret,
		"ADMIN_REGION="+Region,
		"ADMIN_ENDPOINT_URL="+s.Endpoint)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("versitygw admin %s: %w: %s", args[0], err, out)
	}
	return nil
}

// Allow replaces the bucket's policy with one that grants the account the
// actions, such as s3:PutObject, on the bucket and everything in it. With no
// action it takes the policy away.
func (s *S3) Allow(ctx context.Context, bucket, access string, actions ...string) error {
	root := s.Client(s.Root)
	if len(actions) == 0 {
		if _, err := root.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &bucket}); err != nil {
			return fmt.Errorf("policy of bucket %s: %w", bucket, err)
		}
		return nil
	}
	var onBucket, onObjects []string
	for _, a := range actions {
		// The gateway refuses a policy whose action does not fit its resource.
		if strings.HasPrefix(a, "s3:List") && a != "s3:ListMultipartUploadParts" || strings.Contains(a, "Bucket") {
			onBucket = append(onBucket, a)
		} else {
			onObjects = append(onObjects, a)
		}
	}
	type statement struct {
		Effect    string
		Principal string
		Action    []string
		Resource  string
	}
	var statements []statement
	if len(onBucket) > 0 {
		statements = append(statements, statement{"Allow", access, onBucket, "arn:aws:s3:::" + bucket})
	}
	if len(onObjects) > 0 {
		statements = append(statements, statement{"Allow", access, onObjects, "arn:aws:s3:::" + bucket + "/*"})
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return fmt.Errorf("policy of bucket %s: %w", bucket, err)
	}
	if _, err := root.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: aws.String(string(policy))}); err != nil {
		return fmt.Errorf("policy of bucket %s: %w", bucket, err)
	}
	return nil
}

// Object is one entry of a listing.
type Object struct {
	Key  string
	Size int64 // bytes
	ETag string
}

// List gives the objects of a bucket whose keys start with prefix, in the order
// of their keys, however many pages that takes.
func (s *S3) List(ctx context.Context, bucket, prefix string) ([]Object, error) {
	pages := s3.NewListObjectsV2Paginator(s.Client(s.Root), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	var objects []Object
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list s3://%s/%s: %w", bucket, prefix, err)
		}
		for _, o := range page.Contents {
			if o.Key == nil || o.Size == nil || o.ETag == nil {
				return nil, errors.New("list s3://" + bucket + "/" + prefix + ": an entry without key, size or etag")
			}
			objects = append(objects, Object{Key: *o.Key, Size: *o.Size, ETag: *o.ETag})
		}
	}
	return objects, nil
}
