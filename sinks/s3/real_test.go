package s3_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/sinks/sinktest"
)

var buckets atomic.Int64

// TestRealServer runs the contract against a real store, which is named by the
// environment:
//
//	FIREHOSED_S3_ENDPOINT=http://127.0.0.1:7070
//	FIREHOSED_S3_ACCESS_KEY_ID=... FIREHOSED_S3_SECRET_ACCESS_KEY=...
//	FIREHOSED_S3_REGION=us-east-1
func TestRealServer(t *testing.T) {
	endpoint := os.Getenv("FIREHOSED_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("FIREHOSED_S3_ENDPOINT is not set: no real S3 server to test against")
	}
	options := func(bucket string) s3.Options {
		return s3.Options{
			Bucket: bucket, Endpoint: endpoint, PathStyle: true, PartBytes: s3.MinPartBytes,
			Region: cmp.Or(os.Getenv("FIREHOSED_S3_REGION"), "us-east-1"),
			Credentials: s3.Credentials{
				AccessKeyID:     os.Getenv("FIREHOSED_S3_ACCESS_KEY_ID"),
				SecretAccessKey: os.Getenv("FIREHOSED_S3_SECRET_ACCESS_KEY"),
			},
		}
	}
	run := time.Now().UnixNano()
	open := func(t *testing.T, mode s3.Conditional) (sinktest.Objects, *awss3.Client) {
		bucket := fmt.Sprintf("firehosed-%d-%d", run, buckets.Add(1))
		opt := options(bucket)
		opt.ConditionalWrites = mode
		s, err := s3.New(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		store := realStore{t, s.Client(), bucket}
		store.make()
		t.Cleanup(store.remove)
		return sinktest.Objects{
			Sink: s, Read: store.read, List: store.list, Leftovers: store.uploads, BigBytes: 3*s3.MinPartBytes + 1,
			Faults: []sinktest.Fault{{
				Name: "no bucket", Class: sinks.Fix, Code: "NoSuchBucket",
				Inject: func(*testing.T) func() {
					store.drop()
					return store.make
				},
			}},
		}, s.Client()
	}
	for _, mode := range []s3.Conditional{s3.ConditionalOn, s3.ConditionalOff} {
		t.Run(string(mode), func(t *testing.T) {
			sinktest.RunObjects(t, func(t *testing.T) sinktest.Objects {
				o, _ := open(t, mode)
				return o
			})
		})
	}
	t.Run("whose object", func(t *testing.T) {
		o, _ := open(t, s3.ConditionalAuto)
		for _, data := range [][]byte{small, big} {
			key := fmt.Sprint("k", len(data))
			if _, err := o.Sink.Put(t.Context(), object(key, "plan-1", data)); err != nil {
				t.Fatal(err)
			}
			st, err := o.Sink.Put(t.Context(), object(key, "plan-1", data))
			if err != nil || !st.Existed {
				t.Errorf("again: %+v, %v", st, err)
			}
			_, err = o.Sink.Put(t.Context(), object(key, "plan-2", data))
			wantError(t, err, sinks.Fix, "ObjectExists", "plan-1")
		}
		if err := o.Sink.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("check", func(t *testing.T) {
		for name, tt := range map[string]struct {
			change func(*s3.Options)
			code   string
		}{
			"no bucket":    {func(*s3.Options) {}, "NoSuchBucket"},
			"unknown key":  {func(o *s3.Options) { o.Credentials.AccessKeyID = "nobody" }, ""},
			"wrong secret": {func(o *s3.Options) { o.Credentials.SecretAccessKey = "wrong" }, "SignatureDoesNotMatch"},
		} {
			opt := options("firehosed-not-there")
			tt.change(&opt)
			s, err := s3.New(t.Context(), opt)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Check(t.Context())
			t.Log(err)
			var e *sinks.Error
			if !errors.As(err, &e) || e.Class != sinks.Fix || tt.code != "" && e.Code != tt.code {
				t.Errorf("%s: got %v", name, err)
			}
			_, err = s.Put(t.Context(), object("k", "plan-1", small))
			t.Log(err)
			if sinks.ClassOf(err) != sinks.Fix {
				t.Errorf("%s: put: %v", name, err)
			}
			_ = s.Close()
		}
	})
}

type realStore struct {
	t      *testing.T
	c      *awss3.Client
	bucket string
}

func (r realStore) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r realStore) make() {
	r.t.Helper()
	_, err := r.c.CreateBucket(r.t.Context(), &awss3.CreateBucketInput{Bucket: &r.bucket})
	r.must(err)
}

func (r realStore) drop() {
	r.t.Helper()
	_, err := r.c.DeleteBucket(r.t.Context(), &awss3.DeleteBucketInput{Bucket: &r.bucket})
	r.must(err)
}

// remove runs as a cleanup, when the context of the test has ended.
func (r realStore) remove() {
	ctx := r.t.Context()
	if ctx.Err() != nil {
		ctx = noCancel(ctx)
	}
	list, err := r.c.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: &r.bucket})
	if err != nil {
		r.t.Error(err)
		return
	}
	for _, o := range list.Contents {
		if _, err := r.c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &r.bucket, Key: o.Key}); err != nil {
			r.t.Error(err)
		}
	}
	if _, err := r.c.DeleteBucket(ctx, &awss3.DeleteBucketInput{Bucket: &r.bucket}); err != nil {
		r.t.Error(err)
	}
}

func (r realStore) read(key string) ([]byte, bool) {
	out, err := r.c.GetObject(noCancel(r.t.Context()), &awss3.GetObjectInput{Bucket: &r.bucket, Key: &key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return nil, false
	}
	r.must(err)
	defer out.Body.Close()
	// The sink's client cuts answers at 1 MiB, so larger objects come in pieces.
	size := aws.ToInt64(out.ContentLength)
	var data []byte
	for off := int64(0); off < size; off += 1 << 20 {
		end := min(off+1<<20, size)
		piece, err := r.c.GetObject(noCancel(r.t.Context()), &awss3.GetObjectInput{
			Bucket: &r.bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, end-1)),
		})
		r.must(err)
		b, err := io.ReadAll(piece.Body)
		r.must(err)
		r.must(piece.Body.Close())
		data = append(data, b...)
	}
	return data, true
}

func (r realStore) list() []string {
	out, err := r.c.ListObjectsV2(noCancel(r.t.Context()), &awss3.ListObjectsV2Input{Bucket: &r.bucket})
	r.must(err)
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

func (r realStore) uploads() []string {
	out, err := r.c.ListMultipartUploads(noCancel(r.t.Context()), &awss3.ListMultipartUploadsInput{Bucket: &r.bucket})
	r.must(err)
	var keys []string
	for _, u := range out.Uploads {
		keys = append(keys, aws.ToString(u.Key))
	}
	return keys
}
