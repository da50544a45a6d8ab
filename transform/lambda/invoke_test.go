package lambda_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/lambda"
	"github.com/firehosed/firehosed/transform/transformtest"
)

func TestContractOverInvoke(t *testing.T) {
	url := server(t, invokeAPI(t, func(w http.ResponseWriter, q request) { _, _ = w.Write(upper(q)) }))
	transformtest.Run(t, transformtest.Case{
		Open:    func(t *testing.T) transform.Transformer { return open(t, invokeOptions(url)) },
		OK:      []string{"a", "", "\x00\xff"},
		Dropped: []string{"drop"},
		Failed:  []string{"fail"},
		Slow:    true,
	})
}

// invokeAPI serves the Invoke operation of the Lambda API for one function.
func invokeAPI(t testing.TB, f func(http.ResponseWriter, request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.EscapedPath() != "/2015-03-31/functions/my-function%3Alive/invocations" {
			t.Errorf("call of %s %s", r.Method, r.URL.EscapedPath())
		}
		if got := r.Header.Get("X-Amz-Invocation-Type"); got != "RequestResponse" {
			t.Errorf("invocation type %q", got)
		}
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/eu-west-1/lambda/aws4_request") {
			t.Errorf("authorization %q", got)
		}
		f(w, decode(t, r))
	}
}

func invokeOptions(url string) lambda.Options {
	return lambda.Options{
		Function: "my-function:live", Endpoint: url, Region: "eu-west-1", AccessKey: "AKIDEXAMPLE", SecretKey: "secret",
	}
}

func TestInvokeErrors(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		status     int
		function   string // X-Amz-Function-Error
		body       string
		want       string
		message    string
		calls      int64
	}{
		{name: "throttle", code: "TooManyRequestsException", status: 429, want: "Lambda.InvokeLimitExceeded after 3", message: "TooManyRequestsException", calls: 3},
		{name: "service", code: "ServiceException", status: 500, want: "Lambda.InvocationFailure after 3", message: "ServiceException", calls: 3},
		{name: "bare 502", status: 502, body: "<html>", want: "Lambda.InvocationFailure after 3", message: "502", calls: 3},
		{name: "interfaces", code: "ENILimitReachedException", status: 502, want: "Lambda.ENILimitReachedException after 3", message: "ENILimitReachedException", calls: 3},
		{name: "too large", code: "RequestTooLargeException", status: 413, want: "Lambda.RequestTooLarge after 1", message: "RequestTooLargeException", calls: 1},
		{name: "content", code: "InvalidRequestContentException", status: 400, want: "Lambda.InvocationFailure after 1", message: "InvalidRequestContentException", calls: 1},
		{name: "no function", code: "ResourceNotFoundException", status: 404, want: "error", message: "lambda: invoke of my-function:live: status 404 ResourceNotFoundException why", calls: 1},
		{name: "no permission", code: "AccessDeniedException", status: 403, want: "error", message: "status 403 AccessDeniedException why", calls: 1},
		{name: "key", code: "UnrecognizedClientException", status: 403, want: "error", message: "UnrecognizedClientException", calls: 1},
		{name: "signature", code: "InvalidSignatureException", status: 403, want: "error", message: "InvalidSignatureException", calls: 1},
		{name: "runtime", code: "InvalidRuntimeException", status: 502, want: "error", message: "InvalidRuntimeException", calls: 1},
		{name: "redirect", status: 301, want: "error", message: "status 301", calls: 1},
		{
			name: "error in the function", status: 200, function: "Unhandled", body: `{"errorMessage":"boom","errorType":"KeyError"}`,
			want: "Lambda.FunctionError after 3", message: "The Lambda function was successfully invoked but it returned an error result. Unhandled, KeyError: boom", calls: 3,
		},
		{
			name: "error in the function that is no JSON", status: 200, function: "Unhandled", body: `oops`,
			want: "Lambda.FunctionError after 3", message: "The Lambda function was successfully invoked but it returned an error result.", calls: 3,
		},
		{
			name: "timeout of the function", status: 200, function: "Unhandled", body: `{"errorMessage":"2026-08-01T00:00:00Z 1-2-3 Task timed out after 3.00 seconds"}`,
			want: "Lambda.FunctionTimeout after 3", message: "Task timed out after 3.00 seconds", calls: 3,
		},
		{name: "nonsense", status: 200, body: `<html>`, want: "Lambda.JsonProcessingException after 1", message: "the answer is no JSON", calls: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			url := server(t, invokeAPI(t, func(w http.ResponseWriter, _ request) {
				calls.Add(1)
				w.Header().Set("Content-Type", "application/json")
				if tt.code != "" {
					w.Header().Set("X-Amzn-Errortype", tt.code)
					tt.body = `{"Message":"why","Type":"User"}`
				}
				if tt.function != "" {
					w.Header().Set("X-Amz-Function-Error", tt.function)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			opt := invokeOptions(url)
			opt.Retries = 2
			out, err := open(t, opt).Transform(t.Context(), records("a"))
			got, message := show(out), ""
			if err != nil {
				got, message = "error", err.Error()
			} else {
				message = out[0].Message
			}
			if got != tt.want || !strings.Contains(message, tt.message) {
				t.Errorf("got  %s: %s\nwant %s: %s", got, message, tt.want, tt.message)
			}
			if n := calls.Load(); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

// TestInvokeAnswersArrive guards the wrapped request body of the Invoke path:
// without it one answer of this size in ten broke off.
func TestInvokeAnswersArrive(t *testing.T) {
	url := server(t, invokeAPI(t, func(w http.ResponseWriter, q request) { _, _ = w.Write(upper(q)) }))
	l := open(t, invokeOptions(url))
	in := records(strings.Repeat("x", 128<<10))
	for range 50 {
		out, err := l.Transform(t.Context(), in)
		if err != nil || out[0].Verdict != transform.OK {
			t.Fatalf("%s, %v: %s", show(out), err, out[0].Message)
		}
	}
}

// noAWS hides what the machine has of AWS settings.
func noAWS(t *testing.T) {
	for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(v, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestCredentials(t *testing.T) {
	url := server(t, invokeAPI(t, func(w http.ResponseWriter, q request) { _, _ = w.Write(upper(q)) }))
	run := func(opt lambda.Options) (string, error) {
		opt.Function, opt.Endpoint = "my-function:live", url
		l, err := lambda.New(t.Context(), opt)
		if err != nil {
			return "", err
		}
		defer l.Close()
		out, err := l.Transform(t.Context(), records("a"))
		return show(out), err
	}
	noAWS(t)
	if _, err := run(lambda.Options{}); err == nil || err.Error() != "lambda: region is missing: set it, or AWS_REGION, or the region of the profile" {
		t.Errorf("no region: %v", err)
	}
	if got, err := run(lambda.Options{Region: "eu-west-1"}); err == nil || !strings.Contains(err.Error(), "lambda: invoke of my-function:live: ") {
		t.Errorf("no credentials: %s, %v", got, err)
	}
	if _, err := run(lambda.Options{Region: "eu-west-1", Profile: "nosuch"}); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("no profile: %v", err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[profile logs]\nregion = eu-west-1\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	if got, err := run(lambda.Options{Profile: "logs"}); err != nil || got != "A" {
		t.Errorf("profile: %s, %v", got, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	if got, err := run(lambda.Options{Region: "eu-west-1"}); err != nil || got != "A" {
		t.Errorf("environment: %s, %v", got, err)
	}
}
