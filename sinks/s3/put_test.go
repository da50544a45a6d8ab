package s3_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/sinks/s3/s3test"
)

func object(key, id string, data []byte) sinks.Object {
	return sinks.Object{Key: key, ID: id, Write: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

var (
	small = []byte("{\"a\":1}\n")
	big   = bytes.Repeat([]byte("0123456789abcdef"), (2*s3.MinPartBytes+32)/16)
)

// on makes f the fate of each request of one operation.
func on(op string, f s3test.Fault) func(s3test.Op) s3test.Fault {
	return func(got s3test.Op) s3test.Fault {
		if got.Name == op {
			return f
		}
		return s3test.Fault{}
	}
}

func wantError(t *testing.T, err error, class sinks.Class, code, text string) {
	t.Helper()
	var e *sinks.Error
	if !errors.As(err, &e) || e.Class != class || e.Code != code || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v (%v), want class %v, code %s, text %q", err, sinks.ClassOf(err), class, code, text)
	}
}

// TestWhoseObject: an object that is there is taken for ours by its id, and
// never overwritten.
func TestWhoseObject(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, nil)
	for _, data := range [][]byte{small, big} {
		key := fmt.Sprintf("k%d", len(data))
		first, err := s.Put(t.Context(), object(key, "plan-1", data))
		if err != nil || first.Existed || first.ETag == "" {
			t.Fatalf("first: %+v, %v", first, err)
		}
		again, err := s.Put(t.Context(), object(key, "plan-1", data))
		if err != nil || !again.Existed || again.Bytes != first.Bytes || again.ETag != first.ETag {
			t.Fatalf("again: %+v, %v; want the first, %+v", again, err, first)
		}
		_, err = s.Put(t.Context(), object(key, "plan-2", append([]byte("x"), data...)))
		wantError(t, err, sinks.Fix, "ObjectExists", `"plan-1", not "plan-2"`)
		o, _ := srv.Object("lake", key)
		if o.Writes != 1 || !bytes.Equal(o.Data, data) || o.Metadata["firehosed-id"] != "plan-1" {
			t.Errorf("written %d times, metadata %v", o.Writes, o.Metadata)
		}
	}
	if err := foreign(t, srv.URL, "theirs"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), object("theirs", "plan-1", small))
	wantError(t, err, sinks.Fix, "ObjectExists", "without our id")
	if left := srv.Uploads(); len(left) > 0 {
		t.Errorf("unfinished uploads: %q", left)
	}
}

// foreign stores an object as another program would.
func foreign(t *testing.T, url, key string) error {
	t.Helper()
	s := newSink(t, url, nil)
	_, err := s.Client().PutObject(t.Context(), s3.PutObjectInput("lake", key, "theirs"))
	return err
}

// TestStoredThenReset: the answer is lost, the object is not, and there is one.
func TestStoredThenReset(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, nil)
	srv.SetFault(on("PutObject", s3test.Fault{Reset: true, Stored: true}))
	_, err := s.Put(t.Context(), object("small", "plan-1", small))
	wantError(t, err, sinks.Retry, "ConnectionFailed", "small")
	srv.SetFault(nil)
	if st, err := s.Put(t.Context(), object("small", "plan-1", small)); err != nil || !st.Existed {
		t.Fatalf("second try: %+v, %v", st, err)
	}
	// A large object is not sent twice: the sink looks itself.
	srv.SetFault(on("CompleteMultipartUpload", s3test.Fault{Reset: true, Stored: true}))
	st, err := s.Put(t.Context(), object("big", "plan-2", big))
	if err != nil || !st.Existed || st.Bytes != int64(len(big)) {
		t.Fatalf("big: %+v, %v", st, err)
	}
	for _, key := range srv.Keys("lake") {
		if o, _ := srv.Object("lake", key); o.Writes != 1 {
			t.Errorf("%s was written %d times", key, o.Writes)
		}
	}
	if n := srv.Count("AbortMultipartUpload"); n != 0 {
		t.Errorf("%d aborts of a finished upload", n)
	}
}

// TestUnconditional: auto learns, once, that a store knows no conditions.
func TestUnconditional(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	srv.Conditional = false
	s := newSink(t, srv.URL, nil)
	for i, data := range [][]byte{small, big, small} {
		if st, err := s.Put(t.Context(), object("k", fmt.Sprint("plan-", i), data)); err != nil || st.Existed {
			t.Fatalf("put %d: %+v, %v", i, st, err)
		}
	}
	if n := srv.Count("PutObject"); n != 3 {
		t.Errorf("%d PutObject requests, want 3: the header was tried once", n)
	}
	fresh := newSink(t, srv.URL, nil)
	if _, err := fresh.Put(t.Context(), object("fresh", "plan-1", big)); err != nil {
		t.Fatal(err)
	}
	strict := newSink(t, srv.URL, func(o *s3.Options) { o.ConditionalWrites = s3.ConditionalOn })
	_, err := strict.Put(t.Context(), object("k", "plan-9", small))
	wantError(t, err, sinks.Fix, "NotImplemented", "does not know a feature")
}

func TestTooManyParts(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, nil)
	s.SetMaxParts(2)
	_, err := s.Put(t.Context(), object("k", "plan-1", big))
	wantError(t, err, sinks.Fix, "TooManyParts", "more than 2 parts")
	if len(srv.Keys("lake")) != 0 || len(srv.Uploads()) != 0 {
		t.Error("something of it is left")
	}
	s.SetMaxParts(3)
	if _, err := s.Put(t.Context(), object("k", "plan-1", big)); err != nil {
		t.Fatal(err)
	}
}

// TestParts: equal parts, and as few requests as the sizes ask for.
func TestParts(t *testing.T) {
	for _, tt := range []struct{ size, puts, parts int }{
		{0, 1, 0},
		{1, 1, 0},
		{s3.MinPartBytes, 1, 0},
		{s3.MinPartBytes + 1, 0, 2},
		{2 * s3.MinPartBytes, 0, 2},
		{2*s3.MinPartBytes + 1, 0, 3},
	} {
		srv := s3test.New("lake")
		s := newSink(t, srv.URL, func(o *s3.Options) { o.ContentMD5 = true })
		if _, err := s.Put(t.Context(), object("k", "plan-1", make([]byte, tt.size))); err != nil {
			t.Fatal(err)
		}
		if p, m := srv.Count("PutObject"), srv.Count("UploadPart"); p != tt.puts || m != tt.parts {
			t.Errorf("%d bytes: %d puts and %d parts, want %d and %d", tt.size, p, m, tt.puts, tt.parts)
		}
		srv.Close()
	}
}

// TestOrphan: an upload that could not be aborted while the store was away is
// aborted when it is back.
func TestOrphan(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, nil)
	srv.SetFault(func(op s3test.Op) s3test.Fault {
		return s3test.Fault{Reset: op.Name == "UploadPart" || op.Name == "AbortMultipartUpload"}
	})
	_, err := s.Put(t.Context(), object("big", "plan-1", big))
	wantError(t, err, sinks.Retry, "ConnectionFailed", "part")
	if len(srv.Uploads()) != 1 {
		t.Fatalf("unfinished uploads: %q, want one", srv.Uploads())
	}
	srv.SetFault(nil)
	if _, err := s.Put(t.Context(), object("small", "plan-2", small)); err != nil {
		t.Fatal(err)
	}
	if left := srv.Uploads(); len(left) != 0 {
		t.Errorf("unfinished uploads: %q", left)
	}
}

// TestSlow: a store that does not answer gives up after the time set, and a
// caller that has enough is let go at once.
func TestSlow(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	never := make(chan struct{})
	defer close(never)
	srv.SetFault(func(s3test.Op) s3test.Fault { return s3test.Fault{Wait: never} })
	for _, data := range [][]byte{small, big} {
		s := newSink(t, srv.URL, func(o *s3.Options) { o.HTTP.RequestTimeout = 50 * time.Millisecond })
		_, err := s.Put(t.Context(), object("k", "plan-1", data))
		wantError(t, err, sinks.Retry, "Timeout", "no answer in time")
		s = newSink(t, srv.URL, func(o *s3.Options) { o.HTTP.ResponseTimeout = 50 * time.Millisecond })
		_, err = s.Put(t.Context(), object("k", "plan-1", data))
		wantError(t, err, sinks.Retry, "Timeout", "no answer in time")
	}
	s := newSink(t, srv.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	srv.SetFault(func(s3test.Op) s3test.Fault {
		cancel()
		return s3test.Fault{Wait: never}
	})
	if _, err := s.Put(ctx, object("k", "plan-1", small)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestAnswers(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, nil)
	for _, tt := range []struct {
		status int
		code   string
		header http.Header
		class  sinks.Class
		want   string
		after  time.Duration
		text   string
	}{
		{status: 403, code: "InvalidAccessKeyId", class: sinks.Fix, want: "InvalidAccessKeyId", text: "does not know the access key"},
		{status: 403, code: "SignatureDoesNotMatch", class: sinks.Fix, want: "SignatureDoesNotMatch", text: "secret access key"},
		{status: 400, code: "ExpiredToken", class: sinks.Fix, want: "ExpiredToken", text: "expired"},
		{status: 403, code: "RequestTimeTooSkewed", class: sinks.Fix, want: "RequestTimeTooSkewed", text: "clocks"},
		{status: 301, code: "PermanentRedirect", header: http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}, "Location": {"http://127.0.0.1:1/"}}, class: sinks.Fix, want: "PermanentRedirect", text: "region eu-west-1, not us-east-1"},
		{status: 307, code: "TemporaryRedirect", class: sinks.Fix, want: "TemporaryRedirect"},
		{status: 400, code: "AuthorizationHeaderMalformed", class: sinks.Fix, want: "AuthorizationHeaderMalformed", text: "region"},
		{status: 400, code: "KMS.DisabledException", class: sinks.Fix, want: "KMS.DisabledException", text: "encryption key"},
		{status: 403, code: "QuotaExceeded", class: sinks.Fix, want: "QuotaExceeded", text: "quota"},
		{status: 507, code: "XMinioStorageFull", class: sinks.Fix, want: "XMinioStorageFull", text: "full"},
		{status: 400, code: "InvalidStorageClass", class: sinks.Fix, want: "InvalidStorageClass"},
		{status: 405, code: "MethodNotAllowed", class: sinks.Fix, want: "MethodNotAllowed"},
		{status: 400, code: "SomethingNew", class: sinks.Fix, want: "SomethingNew"},
		{status: 404, code: "", class: sinks.Fix, want: "NoSuchBucket", text: "bucket lake does not exist"},
		{status: 413, code: "", class: sinks.Fix, want: "413", text: "lower the part size"},
		{status: 400, code: "EntityTooLarge", class: sinks.Refuse, want: "EntityTooLarge"},
		{status: 400, code: "KeyTooLongError", class: sinks.Refuse, want: "KeyTooLongError"},
		{status: 503, code: "SlowDown", header: http.Header{"Retry-After": {"7"}}, class: sinks.Retry, want: "SlowDown", after: 7 * time.Second},
		{status: 429, code: "", header: http.Header{"Retry-After": {"999999"}}, class: sinks.Retry, want: "429", after: time.Hour},
		{status: 503, code: "", class: sinks.Retry, want: "503"},
		{status: 400, code: "RequestTimeout", class: sinks.Retry, want: "RequestTimeout"},
		{status: 409, code: "OperationAborted", class: sinks.Retry, want: "OperationAborted"},
		{status: 409, code: "ConditionalRequestConflict", class: sinks.Retry, want: "ConditionalRequestConflict"},
		{status: 400, code: "BadDigest", class: sinks.Retry, want: "BadDigest"},
		{status: 599, code: "", class: sinks.Retry, want: "599"},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.code), func(t *testing.T) {
			srv.SetFault(on("PutObject", s3test.Fault{Status: tt.status, Code: tt.code, Message: "the store's words", Header: tt.header}))
			_, err := s.Put(t.Context(), object("k", "plan-1", small))
			wantError(t, err, tt.class, tt.want, tt.text)
			var e *sinks.Error
			if errors.As(err, &e); e.After != tt.after {
				t.Errorf("after %v, want %v", e.After, tt.after)
			}
		})
	}
	// A store gone mad must not fill the memory.
	srv.SetFault(on("PutObject", s3test.Fault{Status: 500, Code: "InternalError", Message: strings.Repeat("x", 8<<20)}))
	_, err := s.Put(t.Context(), object("k", "plan-1", small))
	if sinks.ClassOf(err) != sinks.Retry || len(err.Error()) > 2000 {
		t.Errorf("a message of %d bytes, class %v", len(err.Error()), sinks.ClassOf(err))
	}
}

func TestMetadata(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	s := newSink(t, srv.URL, func(o *s3.Options) { o.StorageClass, o.Encryption = "STANDARD_IA", "AES256" })
	for _, data := range [][]byte{small, big} {
		o := object(fmt.Sprint("k", len(data)), "plan-1", data)
		o.ContentType, o.ContentEncoding = "application/x-ndjson", "gzip"
		o.Metadata = map[string]string{"Firehosed-Ranges": "shard-0:1-9"}
		if _, err := s.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		got, _ := srv.Object("lake", o.Key)
		for k, want := range map[string]string{
			"Content-Type": o.ContentType, "Content-Encoding": "gzip", "X-Amz-Storage-Class": "STANDARD_IA",
			"X-Amz-Server-Side-Encryption": "AES256", "X-Amz-Meta-Firehosed-Ranges": "shard-0:1-9",
		} {
			if v := got.Header.Get(k); v != want {
				t.Errorf("%s: %q, want %q", k, v, want)
			}
		}
	}
	for name, o := range map[string]sinks.Object{
		"no id":     {Key: "k"},
		"bad id":    {Key: "k", ID: "plan\n1"},
		"bad name":  {Key: "k", ID: "plan-1", Metadata: map[string]string{"a b": "x"}},
		"bad value": {Key: "k", ID: "plan-1", Metadata: map[string]string{"a": "é"}},
		"too much":  {Key: "k", ID: "plan-1", Metadata: map[string]string{"a": strings.Repeat("x", 3000)}},
	} {
		_, err := s.Put(t.Context(), o)
		wantError(t, err, sinks.Fix, "InvalidMetadata", name[:0])
	}
}

// TestCredentials: every way to come by a name, and none.
func TestCredentials(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	files := t.TempDir()
	shared := filepath.Join(files, "credentials")
	text := fmt.Sprintf("[good]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s3test.AccessKeyID, s3test.SecretAccessKey)
	if err := os.WriteFile(shared, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", shared)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(files, "config"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // must not count
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")

	try := func(change func(*s3.Options)) error {
		s := newSink(t, srv.URL, func(o *s3.Options) {
			o.Credentials = s3.Credentials{}
			change(o)
		})
		return s.Check(t.Context())
	}
	if err := try(func(o *s3.Options) { o.Credentials.Profile = "good" }); err != nil {
		t.Errorf("profile: %v", err)
	}
	err := try(func(*s3.Options) {})
	wantError(t, err, sinks.Fix, "NoCredentials", "no credentials")
	err = try(func(o *s3.Options) { o.Credentials.Anonymous = true })
	wantError(t, err, sinks.Fix, "AccessDenied", "permission")
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretAccessKey)
	if err := try(func(*s3.Options) {}); err != nil {
		t.Errorf("environment: %v", err)
	}
	if _, err := s3.New(t.Context(), s3.Options{Bucket: "b", Region: "us-east-1", Credentials: s3.Credentials{Profile: "none"}}); err == nil {
		t.Error("a profile that is not there was taken")
	}
}

func TestOptions(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	for _, tt := range []struct {
		opt  s3.Options
		want string
	}{
		{s3.Options{}, "bucket is empty"},
		{s3.Options{Bucket: "a/b"}, "no bucket name"},
		{s3.Options{Bucket: "lake"}, "no region"},
		{s3.Options{Bucket: "lake", Endpoint: "127.0.0.1:9000"}, "endpoint"},
		{s3.Options{Bucket: "lake", Endpoint: "http://u:secret@h"}, "user name"},
		{s3.Options{Bucket: "lake", PartBytes: 1 << 20}, "5 MiB"},
		{s3.Options{Bucket: "lake", ConditionalWrites: "yes"}, "auto, on or off"},
		{s3.Options{Bucket: "lake", Encryption: "rot13"}, "AES256"},
		{s3.Options{Bucket: "lake", Credentials: s3.Credentials{AccessKeyID: "x"}}, "together"},
	} {
		_, err := s3.New(t.Context(), tt.opt)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "credentials", s3.Credentials{AccessKeyID: "AKID", SecretAccessKey: "hidden", SessionToken: "hidden"})
	if strings.Contains(log.String(), "hidden") {
		t.Errorf("logged: %s", &log)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	err := newSink(t, srv.URL, nil).Check(t.Context())
	wantError(t, err, sinks.Fix, "Certificate", "not trusted")
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	if err := newSink(t, srv.URL, func(o *s3.Options) { o.HTTP.RootCAs = pool }).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// noCancel lets clean-ups speak to a store after the test's context ended.
func noCancel(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
