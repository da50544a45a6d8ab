package s3_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/sinks/s3/s3test"
	"github.com/firehosed/firehosed/sinks/sinktest"
)

// newSink returns a sink for the bucket "lake" of a server.
func newSink(t *testing.T, endpoint string, change func(*s3.Options)) *s3.Sink {
	t.Helper()
	opt := s3.Options{
		Bucket: "lake", Region: s3test.Region, Endpoint: endpoint, PathStyle: true, PartBytes: s3.MinPartBytes,
		Credentials: s3.Credentials{AccessKeyID: s3test.AccessKeyID, SecretAccessKey: s3test.SecretAccessKey},
	}
	if change != nil {
		change(&opt)
	}
	s, err := s3.New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) {
	for _, mode := range []s3.Conditional{s3.ConditionalAuto, s3.ConditionalOff} {
		t.Run(string(mode), func(t *testing.T) {
			sinktest.RunObjects(t, func(t *testing.T) sinktest.Objects { return open(t, mode) })
		})
	}
}

func open(t *testing.T, mode s3.Conditional) sinktest.Objects {
	t.Helper()
	srv := s3test.New("lake")
	t.Cleanup(srv.Close)
	s := newSink(t, srv.URL, func(o *s3.Options) { o.ConditionalWrites = mode })
	o := sinktest.Objects{
		Sink: s,
		Read: func(key string) ([]byte, bool) {
			o, ok := srv.Object("lake", key)
			return o.Data, ok
		},
		List:      func() []string { return srv.Keys("lake") },
		Leftovers: srv.Uploads,
		BigBytes:  2*s3.MinPartBytes + 1,
	}
	fault := func(name string, class sinks.Class, code, op string, f s3test.Fault) sinktest.Fault {
		return sinktest.Fault{
			Name: op + " " + name, Class: class, Code: code, Stored: f.Stored,
			Big: op != "PutObject",
			Inject: func(*testing.T) func() {
				srv.SetFault(func(got s3test.Op) s3test.Fault {
					if got.Name == op {
						return f
					}
					return s3test.Fault{}
				})
				return func() { srv.SetFault(nil) }
			},
		}
	}
	if mode == s3.ConditionalOff {
		return o // the same code; only the header differs
	}
	for _, op := range []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} {
		o.Faults = append(o.Faults,
			fault("no bucket", sinks.Fix, "NoSuchBucket", op, s3test.Fault{Status: 404, Code: "NoSuchBucket"}),
			fault("no permission", sinks.Fix, "AccessDenied", op, s3test.Fault{Status: 403, Code: "AccessDenied"}),
			fault("slow down", sinks.Retry, "SlowDown", op, s3test.Fault{Status: 503, Code: "SlowDown"}),
			fault("internal error", sinks.Retry, "InternalError", op, s3test.Fault{Status: 500, Code: "InternalError"}),
			fault("reset", sinks.Retry, "ConnectionFailed", op, s3test.Fault{Reset: true}),
			fault("full", sinks.Fix, "InsufficientStorage", op, s3test.Fault{Status: 507, Code: "InsufficientStorage"}),
			fault("html", sinks.Retry, "502", op, s3test.Fault{Status: 502, Body: []byte("<html><body>bad gateway")}),
		)
	}
	o.Faults = append(o.Faults,
		fault("stored then reset", sinks.Retry, "ConnectionFailed", "PutObject", s3test.Fault{Reset: true, Stored: true}),
		fault("not there any more", sinks.Retry, "NoSuchUpload", "CompleteMultipartUpload", s3test.Fault{Status: 404, Code: "NoSuchUpload"}),
		fault("200 with an error", sinks.Retry, "InternalError", "CompleteMultipartUpload", s3test.Fault{
			Status: http.StatusOK, Body: []byte("<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>We encountered</Message></Error>"),
		}),
		sinktest.Fault{
			Name: "bucket removed", Class: sinks.Fix, Code: "NoSuchBucket",
			Inject: func(*testing.T) func() {
				srv.RemoveBucket("lake")
				return func() { srv.AddBucket("lake") }
			},
		},
	)
	return o
}

func TestCheck(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	for _, tt := range []struct {
		name   string
		change func(*s3.Options)
		code   string
		want   string
	}{
		{"no bucket", func(o *s3.Options) { o.Bucket = "laek" }, "NoSuchBucket", "bucket laek does not exist at " + srv.URL},
		{"unknown key", func(o *s3.Options) { o.Credentials.AccessKeyID = "AKIDOTHER" }, "InvalidAccessKeyId", "does not know the access key"},
		{"wrong secret", func(o *s3.Options) { o.Credentials.SecretAccessKey = "not it" }, "SignatureDoesNotMatch", "secret access key is wrong"},
		{"nobody there", func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, "ConnectionFailed", "connection refused"},
		{"no TLS there", func(o *s3.Options) { o.Endpoint = strings.Replace(srv.URL, "http:", "https:", 1) }, "NoTLS", "use http://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := newSink(t, srv.URL, tt.change).Check(t.Context())
			t.Log(err)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), tt.code) {
				t.Fatalf("got %v, want %s and %q", err, tt.code, tt.want)
			}
			if strings.Contains(err.Error(), s3test.SecretAccessKey) {
				t.Error("the message shows the secret")
			}
		})
	}
	if err := newSink(t, srv.URL, nil).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}
