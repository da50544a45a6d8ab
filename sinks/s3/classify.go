package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/firehosed/firehosed/sinks"
)

// verdict is what an answer of the store asks for.
type verdict struct {
	class  sinks.Class
	advice string
}

// codes are the error codes of the protocol that say more than their status.
// Sources: Amazon S3 API reference, "Error responses"; MinIO cmd/api-errors.go;
// Versity s3err.
var codes = map[string]verdict{
	"NoSuchBucket":                       {sinks.Fix, "create it, or correct the bucket"},
	"AccessDenied":                       {sinks.Fix, "the credentials lack the permission"},
	"AllAccessDisabled":                  {sinks.Fix, "the account or bucket is disabled"},
	"AccountProblem":                     {sinks.Fix, "the account has a problem"},
	"InvalidAccessKeyId":                 {sinks.Fix, "the store does not know the access key"},
	"XAdminUserNotFound":                 {sinks.Fix, "the store does not know the access key"},
	"SignatureDoesNotMatch":              {sinks.Fix, "the secret access key is wrong, or a proxy changes requests"},
	"InvalidToken":                       {sinks.Fix, "the session token is wrong"},
	"ExpiredToken":                       {sinks.Fix, "the session token has expired"},
	"TokenRefreshRequired":               {sinks.Fix, "the session token has to be renewed"},
	"InvalidSecurity":                    {sinks.Fix, "the credentials are not valid"},
	"NotSignedUp":                        {sinks.Fix, "the account may not use this service"},
	"RequestTimeTooSkewed":               {sinks.Fix, "the clocks of this machine and the store differ by more than 15 minutes"},
	"RequestExpired":                     {sinks.Fix, "the clocks of this machine and the store differ"},
	"PermanentRedirect":                  {sinks.Fix, "the bucket is in another region or at another endpoint"},
	"TemporaryRedirect":                  {sinks.Fix, "the bucket is in another region or is being moved"},
	"AuthorizationHeaderMalformed":       {sinks.Fix, "the region is probably wrong"},
	"IllegalLocationConstraintException": {sinks.Fix, "the region is wrong"},
	"InvalidBucketName":                  {sinks.Fix, "correct the bucket"},
	"InvalidBucketState":                 {sinks.Fix, "look at the settings of the bucket"},
	"InvalidObjectState":                 {sinks.Fix, "look at the settings of the bucket"},
	"InvalidStorageClass":                {sinks.Fix, "correct the storage class"},
	"InvalidEncryptionAlgorithmError":    {sinks.Fix, "correct the encryption"},
	"QuotaExceeded":                      {sinks.Fix, "the quota of the bucket or account is used up"},
	"InsufficientStorage":                {sinks.Fix, "the store is full"},
	"InsufficientCapacity":               {sinks.Retry, ""},
	"XMinioStorageFull":                  {sinks.Fix, "the store is full"},
	"XMinioAdminBucketQuotaExceeded":     {sinks.Fix, "the quota of the bucket is used up"},
	"EntityTooSmall":                     {sinks.Fix, "the store wants larger parts: raise the part size"},
	"NotImplemented":                     {sinks.Fix, "the store does not know a feature that the options ask for"},
	"MethodNotAllowed":                   {sinks.Fix, "the endpoint is no S3 store, or the bucket takes no objects"},
	"EntityTooLarge":                     {sinks.Refuse, "the store takes no object of this size"},
	"KeyTooLongError":                    {sinks.Refuse, "the key is too long for the store"},
	"KeyTooLong":                         {sinks.Refuse, "the key is too long for the store"},
	"XMinioInvalidObjectName":            {sinks.Refuse, "the store does not take this key"},
	"InvalidObjectName":                  {sinks.Refuse, "the store does not take this key"},
	"RequestTimeout":                     {sinks.Retry, ""},
	"IncompleteBody":                     {sinks.Retry, ""},
	"BadDigest":                          {sinks.Retry, "the body was changed on its way"},
	"XAmzContentSHA256Mismatch":          {sinks.Retry, "the body was changed on its way"},
	"OperationAborted":                   {sinks.Retry, ""},
	"ConditionalRequestConflict":         {sinks.Retry, ""},
	"NoSuchUpload":                       {sinks.Retry, "somebody aborted the upload"},
	"InvalidPart":                        {sinks.Retry, "the store lost a part"},
	"SlowDown":                           {sinks.Retry, ""},
	"Throttling":                         {sinks.Retry, ""},
	"ThrottlingException":                {sinks.Retry, ""},
	"RequestLimitExceeded":               {sinks.Retry, ""},
	"BandwidthLimitExceeded":             {sinks.Retry, ""},
	"ServiceUnavailable":                 {sinks.Retry, ""},
	"InternalError":                      {sinks.Retry, ""},
}

// byStatus is for answers whose code is not known. An operator can do
// something about most 4xx; only what no operator could make the store take is
// refused.
func byStatus(status int) verdict {
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests:
		return verdict{sinks.Retry, ""}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return verdict{sinks.Fix, "the credentials lack the permission"}
	case status == http.StatusRequestEntityTooLarge:
		return verdict{sinks.Fix, "the store, or a proxy before it, takes no body of this size: lower the part size"}
	case status == http.StatusNotImplemented:
		return codes["NotImplemented"]
	case status == http.StatusInsufficientStorage:
		return codes["InsufficientStorage"]
	case status >= 300 && status < 400:
		return codes["PermanentRedirect"]
	case status >= 400 && status < 500:
		return verdict{sinks.Fix, "look at the bucket, the endpoint and the credentials"}
	default:
		return verdict{sinks.Retry, ""}
	}
}

// classify turns an error of the SDK into one that says what to do. what is
// what was tried. The end of the caller's own context is not classed.
func (s *Sink) classify(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return fmt.Errorf("%s: %s: %w", s, what, cerr)
	}
	failure := func(class sinks.Class, code, text string) error {
		return &sinks.Error{Class: class, Code: code, Err: &failed{fmt.Sprintf("%s: %s: %s", s, what, text), err}}
	}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil && resp.Response.StatusCode > 0 {
		return s.classifyAnswer(resp, err, failure)
	}
	var (
		creds    *credentialsError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &creds):
		return failure(sinks.Fix, "NoCredentials", "no credentials: "+creds.Error())
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		return failure(sinks.Fix, "Certificate", "the store's certificate is not trusted: "+reason(err))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return failure(sinks.Fix, "NoTLS", "the store does not speak TLS: use http:// in the endpoint")
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return failure(sinks.Retry, "Timeout", "no answer in time: "+reason(err))
	}
	return failure(sinks.Retry, "ConnectionFailed", reason(err))
}

func (s *Sink) classifyAnswer(resp *awshttp.ResponseError, err error, failure func(sinks.Class, string, string) error) error {
	status := resp.HTTPStatusCode()
	header := resp.Response.Header
	code, text := "", http.StatusText(status)
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
		if m := api.ErrorMessage(); m != "" {
			text = m
		}
	}
	v, ok := codes[code]
	switch {
	case ok:
	case strings.HasPrefix(code, "KMS"):
		v = verdict{sinks.Fix, "look at the encryption key and its policy"}
	default:
		v = byStatus(status)
		// The answer to a HEAD has no body, so the SDK makes up a code.
		if generic := strings.ReplaceAll(http.StatusText(status), " ", ""); code == "" || code == generic || code == "UnknownError" {
			code = strconv.Itoa(status)
		}
	}
	if status == http.StatusNotFound && (code == "404" || code == "NoSuchBucket") {
		code = "NoSuchBucket"
		text = fmt.Sprintf("bucket %s does not exist%s", s.opt.Bucket, s.at())
		v = codes[code]
	}
	if region := header.Get("X-Amz-Bucket-Region"); region != "" && region != s.opt.Region {
		v.advice = fmt.Sprintf("the bucket is in region %s, not %s", region, s.opt.Region)
	}
	const most = 500
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if v.advice != "" {
		text += "; " + v.advice
	}
	text += fmt.Sprintf(" (status %d", status)
	if resp.RequestID != "" {
		text += ", request " + resp.RequestID
	}
	e := failure(v.class, code, text+")")
	var classed *sinks.Error
	if errors.As(e, &classed) && v.class == sinks.Retry {
		classed.After = sinks.RetryAfter(header, time.Now())
	}
	return e
}

func (s *Sink) at() string {
	if s.opt.Endpoint == "" {
		return " in region " + s.opt.Region
	}
	return " at " + s.opt.Endpoint
}

// failed is a message for people on top of the error it tells of.
type failed struct {
	text string
	err  error
}

func (f *failed) Error() string { return f.text }
func (f *failed) Unwrap() error { return f.err }

// reason returns what the network said, without the layers of the SDK.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// statusOf returns the HTTP status of the answer that err tells of, or 0.
func statusOf(err error) int {
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		return resp.HTTPStatusCode()
	}
	return 0
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// unknownHeader tells whether the store answered that it does not know the
// header If-None-Match.
func unknownHeader(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotImplemented || status == http.StatusBadRequest && codeOf(err) == "NotImplemented"
}

// ambiguous tells whether a request to complete an upload may have succeeded in
// spite of its error.
func ambiguous(err error) bool {
	status := statusOf(err)
	return status == 0 || status == http.StatusOK || status >= 500 && status != http.StatusNotImplemented ||
		status == http.StatusNotFound && codeOf(err) == "NoSuchUpload"
}
