package versity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const bucket = "lake"

// withBucket starts a server that has one bucket.
func withBucket(t *testing.T) *S3 {
	t.Helper()
	s := Run(t)
	if err := s.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	return s
}

// once makes a client that does not retry, so that a test sees every answer.
func once(o *s3.Options) { o.RetryMaxAttempts = 1 }

// fresh makes a client that dials for every request. An idle connection to a
// server that was stopped ends in EOF or a broken pipe instead of a refusal, as
// chance has it.
func fresh(o *s3.Options) {
	o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

var ifAbsent = aws.String("*")

func put(ctx context.Context, c *s3.Client, bucket, key, body string, ifNoneMatch *string) error {
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: strings.NewReader(body), IfNoneMatch: ifNoneMatch,
	})
	return err
}

func get(ctx context.Context, c *s3.Client, key string) (string, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	return string(b), err
}

// answer renders an error as "404 NoSuchBucket", nil as "ok".
func answer(err error) string {
	if err == nil {
		return "ok"
	}
	var status *awshttp.ResponseError
	var code smithy.APIError
	if !errors.As(err, &status) || !errors.As(err, &code) {
		return err.Error()
	}
	return fmt.Sprint(status.HTTPStatusCode(), " ", code.ErrorCode())
}

func TestObjects(t *testing.T) {
	began := time.Now()
	s := Run(t)
	startup := time.Since(began)
	ctx, c := t.Context(), s.Client(s.Root)
	if err := s.CreateBucket(ctx, bucket); err != nil {
		t.Fatal(err)
	}
	if got := answer(s.CreateBucket(ctx, bucket)); got != "409 BucketAlreadyOwnedByYou" {
		t.Errorf("the same bucket again: %s", got)
	}
	// More than one page of a listing.
	const n = 1001
	for i := range n {
		if err := put(ctx, c, bucket, fmt.Sprintf("n/%04d", i), "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(ctx, c, bucket, "a b/ü+%.ndjson", "hello", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := get(ctx, c, "a b/ü+%.ndjson"); got != "hello" || err != nil {
		t.Errorf("object is %q, %v", got, err)
	}
	objects, err := s.List(ctx, bucket, "n/")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != n || objects[0].Key != "n/0000" || objects[n-1].Key != "n/1000" || objects[0].Size != 1 {
		t.Errorf("%d objects below n/, want %d in order", len(objects), n)
	}
	if objects, err = s.List(ctx, bucket, "a"); err != nil || len(objects) != 1 || objects[0].Key != "a b/ü+%.ndjson" {
		t.Errorf("objects below a: %v, %v", objects, err)
	}
	rss, err := s.RSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v, %d MB resident after %d objects", startup.Round(time.Millisecond), rss>>20, n)
}

// A body whose end is not known when the request begins is signed without its
// hash and ends in a checksum instead.
func TestUnsignedPayload(t *testing.T) {
	s := withBucket(t)
	ctx, c := t.Context(), s.Client(s.Root)
	const size = 3 << 20
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("stream"),
		Body: io.LimitReader(endless{}, size), ContentLength: aws.Int64(size),
	}, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware), func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := get(ctx, c, "stream")
	if err != nil || len(got) != size || strings.Trim(got, "z") != "" {
		t.Errorf("%d bytes, %v, want %d", len(got), err, size)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'z'
	}
	return len(b), nil
}

func TestConditionalPut(t *testing.T) {
	s := withBucket(t)
	ctx, c := t.Context(), s.Client(s.Root)
	for _, tt := range []struct {
		name, key, body string
		ifNoneMatch     *string
		want            string
	}{
		{"absent", "a/b", "first", ifAbsent, "ok"},
		{"present", "a/b", "second", ifAbsent, "412 PreconditionFailed"},
		{"present, same bytes", "a/b", "first", ifAbsent, "412 PreconditionFailed"},
		{"an etag instead of *", "a/c", "first", aws.String(`"0123"`), "501 NotImplemented"},
	} {
		if got := answer(put(ctx, c, bucket, tt.key, tt.body, tt.ifNoneMatch)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if got, err := get(ctx, c, "a/b"); got != "first" || err != nil {
		t.Errorf("object is %q, %v, want the first one", got, err)
	}
	if err := put(ctx, c, bucket, "a/b", "third", nil); err != nil {
		t.Error(err)
	}
	if got, err := get(ctx, c, "a/b"); got != "third" || err != nil {
		t.Errorf("object is %q, %v, want the overwritten one", got, err)
	}
}

func TestConditionalPutHasOneWinner(t *testing.T) {
	s := withBucket(t)
	ctx, c := t.Context(), s.Client(s.Root, once)
	const writers = 16
	for round := range 10 {
		key := fmt.Sprintf("race/%d", round)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { errs[w] = put(ctx, c, bucket, key, fmt.Sprintf("writer %d", w), ifAbsent) })
		}
		wg.Wait()
		winner := -1
		for w, err := range errs {
			switch got := answer(err); {
			case got == "ok" && winner >= 0:
				t.Errorf("round %d: writers %d and %d both won", round, winner, w)
			case got == "ok":
				winner = w
			case got != "412 PreconditionFailed":
				t.Errorf("round %d: writer %d: %s", round, w, got)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: no writer won", round)
		}
		if got, err := get(ctx, c, key); got != fmt.Sprintf("writer %d", winner) || err != nil {
			t.Errorf("round %d: object is %q, %v, want that of writer %d", round, got, err, winner)
		}
	}
}

// upload is a multipart upload in progress.
type upload struct {
	c     *s3.Client
	key   string
	id    *string
	parts []types.CompletedPart
}

func begin(ctx context.Context, c *s3.Client, key string) (*upload, error) {
	out, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		return nil, err
	}
	return &upload{c: c, key: key, id: out.UploadId}, nil
}

func (u *upload) part(ctx context.Context, body []byte) error {
	number := aws.Int32(int32(len(u.parts) + 1))
	out, err := u.c.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: aws.String(bucket), Key: &u.key, UploadId: u.id, PartNumber: number, Body: bytes.NewReader(body),
	})
	if err != nil {
		return err
	}
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumCRC32: out.ChecksumCRC32})
	return nil
}

func (u *upload) complete(ctx context.Context, ifNoneMatch *string) error {
	_, err := u.c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: &u.key, UploadId: u.id, IfNoneMatch: ifNoneMatch,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return err
}

func (u *upload) abort(ctx context.Context) error {
	_, err := u.c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: &u.key, UploadId: u.id})
	return err
}

func TestMultipart(t *testing.T) {
	s := withBucket(t)
	ctx, c := t.Context(), s.Client(s.Root)
	const minPart = 5 << 20 // S3's limit for every part but the last
	first, last := bytes.Repeat([]byte("a"), minPart), []byte("the end")
	start := func(key string, bodies ...[]byte) *upload {
		t.Helper()
		u, err := begin(ctx, c, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bodies {
			if err := u.part(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		return u
	}
	check := func(what string, err error, want string) {
		t.Helper()
		if got := answer(err); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}

	u := start("m/1", first, last)
	check("complete, absent", u.complete(ctx, ifAbsent), "ok")
	check("complete again, the same upload", u.complete(ctx, ifAbsent), "ok")
	if got, err := get(ctx, c, "m/1"); got != string(first)+string(last) || err != nil {
		t.Errorf("object has %d bytes, %v", len(got), err)
	}

	u = start("m/1", last)
	check("complete, present", u.complete(ctx, ifAbsent), "412 PreconditionFailed")
	listed, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	if len(listed.Uploads) != 1 || *listed.Uploads[0].UploadId != *u.id {
		t.Errorf("%d uploads after the refusal, want the refused one to stay", len(listed.Uploads))
	}
	check("abort", u.abort(ctx), "ok")
	check("abort again", u.abort(ctx), "404 NoSuchUpload")
	check("part of an aborted upload", u.part(ctx, last), "404 NoSuchUpload")
	// S3 answers 404 NoSuchUpload here. This gateway takes any object under the
	// key for the result of the upload, and leaves the object alone.
	check("complete an aborted upload, present", u.complete(ctx, ifAbsent), "ok")
	if got, err := get(ctx, c, "m/1"); got != string(first)+string(last) || err != nil {
		t.Errorf("object has %d bytes, %v, after a refused overwrite", len(got), err)
	}

	u = start("m/2", last, last)
	check("first part too small", u.complete(ctx, nil), "400 EntityTooSmall")
	check("abort the small one", u.abort(ctx), "ok")
	check("complete an aborted upload, absent", u.complete(ctx, ifAbsent), "404 NoSuchUpload")
}

func TestRefusals(t *testing.T) {
	s := withBucket(t)
	ctx := t.Context()
	if err := put(ctx, s.Client(s.Root), bucket, "a/b", "x", nil); err != nil {
		t.Fatal(err)
	}
	stranger, err := s.CreateUser(ctx, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, bucket, key string
		as                Key
		want              string
	}{
		{"missing bucket", "no-lake", "k", s.Root, "404 NoSuchBucket"},
		{"missing bucket, as a stranger", "no-lake", "k", stranger, "404 NoSuchBucket"},
		{"bucket without permission", bucket, "k", stranger, "403 AccessDenied"},
		{"wrong secret", bucket, "k", Key{s.Root.Access, "wrong"}, "403 SignatureDoesNotMatch"},
		{"unknown key", bucket, "k", Key{"nobody", "wrong"}, "403 InvalidAccessKeyId"},
		// The next two come from keys being files; S3 itself would accept them.
		{"key below an object", bucket, "a/b/c", s.Root, "409 ObjectParentIsFile"},
		{"key that is a folder", bucket, "a", s.Root, "409 ExistingObjectIsDirectory"},
	} {
		if got := answer(put(ctx, s.Client(tt.as, once), tt.bucket, tt.key, "x", nil)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	head := func(as Key, b string) string {
		_, err := s.Client(as, once).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b})
		return answer(err)
	}
	if got := head(stranger, bucket); got != "403 Forbidden" {
		t.Errorf("head of a bucket without permission: %s", got)
	}
	if got := head(s.Root, "no-lake"); got != "404 NotFound" {
		t.Errorf("head of a missing bucket: %s", got)
	}
}

func TestAllow(t *testing.T) {
	s := withBucket(t)
	ctx := t.Context()
	key, err := s.CreateUser(ctx, "writer")
	if err != nil {
		t.Fatal(err)
	}
	writer := s.Client(key, once)
	list := func() error {
		_, err := writer.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
		return err
	}
	for i, tt := range []struct {
		actions   []string
		put, list string
	}{
		{nil, "403 AccessDenied", "403 AccessDenied"},
		{[]string{"s3:PutObject"}, "ok", "403 AccessDenied"},
		{[]string{"s3:ListBucket"}, "403 AccessDenied", "ok"},
		{[]string{"s3:PutObject", "s3:ListBucket", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"}, "ok", "ok"},
		{nil, "403 AccessDenied", "403 AccessDenied"},
	} {
		if err := s.Allow(ctx, bucket, key.Access, tt.actions...); err != nil {
			t.Fatal(err)
		}
		if got := answer(put(ctx, writer, bucket, fmt.Sprint("k", i), "x", ifAbsent)); got != tt.put {
			t.Errorf("allowed %v: put: %s, want %s", tt.actions, got, tt.put)
		}
		if got := answer(list()); got != tt.list {
			t.Errorf("allowed %v: list: %s, want %s", tt.actions, got, tt.list)
		}
	}
}

func TestStopKillAndStart(t *testing.T) {
	s := withBucket(t)
	ctx, c := t.Context(), s.Client(s.Root, once, fresh)
	writer, err := s.CreateUser(ctx, "writer")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Allow(ctx, bucket, writer.Access, "s3:PutObject"); err != nil {
		t.Fatal(err)
	}
	u, err := begin(ctx, c, "upload")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.part(ctx, bytes.Repeat([]byte("a"), 5<<20)); err != nil {
		t.Fatal(err)
	}
	for i, end := range []func() error{func() error { return s.Stop(ctx) }, s.Kill} {
		key := fmt.Sprint("before ", i)
		if err := put(ctx, c, bucket, key, "kept", ifAbsent); err != nil {
			t.Fatal(err)
		}
		before := s.Pid()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := put(ctx, c, bucket, "while away", "x", nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a stopped server answers with %v, want connection refused", err)
		}
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if s.Pid() == before {
			t.Error("the pid did not change")
		}
		if got, err := get(ctx, c, key); got != "kept" || err != nil {
			t.Errorf("object is %q, %v, want the kept one", got, err)
		}
		if got := answer(put(ctx, c, bucket, key, "again", ifAbsent)); got != "412 PreconditionFailed" {
			t.Errorf("conditional put of a kept key: %s", got)
		}
		if err := put(ctx, s.Client(writer, once), bucket, fmt.Sprint("writer ", i), "x", nil); err != nil {
			t.Errorf("account and policy after the restart: %v", err)
		}
	}
	if err := u.part(ctx, []byte("the end")); err != nil {
		t.Errorf("part of an upload begun before the restarts: %v", err)
	}
	if err := u.complete(ctx, ifAbsent); err != nil {
		t.Errorf("upload begun before the restarts: %v", err)
	}
}

func TestPause(t *testing.T) {
	s := withBucket(t)
	ctx := t.Context()
	c := s.Client(s.Root, once, fresh)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := put(short, c, bucket, "k", "x", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server answers with %v, want no answer", err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, c, bucket, "k", "x", nil); err != nil {
		t.Errorf("after resume: %v", err)
	}
}
