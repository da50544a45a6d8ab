package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/firehosed/firehosed/transform/contract"
)

// invoke is the contract over the Invoke API.
type invoke struct {
	client   *lambda.Client
	function string
	limit    int64
}

func newInvoke(ctx context.Context, opt Options) (*invoke, func(), error) {
	var load []func(*config.LoadOptions) error
	if opt.Region != "" {
		load = append(load, config.WithRegion(opt.Region))
	}
	if opt.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(opt.Profile))
	}
	if opt.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(opt.AccessKey, opt.SecretKey, opt.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, nil, fmt.Errorf("aws configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, nil, errors.New("region is missing: set it, or AWS_REGION, or the region of the profile")
	}
	base, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	base = base.WithTransportOptions(func(tr *http.Transport) {
		tr.DisableCompression = true // an answer is bounded as it travels
		tr.MaxIdleConnsPerHost = opt.Concurrency
	})
	// The buildable client makes its transport on first use and keeps it; this
	// one can be told to close it.
	tr := base.GetTransport()
	client := &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if opt.Endpoint != "" {
		if _, err := parseURL("endpoint", opt.Endpoint); err != nil {
			return nil, nil, err
		}
	}
	i := &invoke{function: opt.Function, limit: opt.MaxResponse}
	i.client = lambda.NewFromConfig(cfg, func(o *lambda.Options) {
		o.HTTPClient = bounded{client, opt.MaxResponse}
		o.Retryer = aws.NopRetryer{} // the dispatcher tries again
		o.Logger = logging.Nop{}     // what matters is in the error
		if opt.Endpoint != "" {
			o.BaseEndpoint = aws.String(opt.Endpoint)
		}
	})
	return i, tr.CloseIdleConnections, nil
}

// bounded is an HTTP client whose answers end at a limit.
type bounded struct {
	client *http.Client
	limit  int64
}

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	// The SDK closes the request's body as soon as the head of the answer is
	// there. Its body answers a WriteTo after that with io.EOF as an error
	// (smithy-go v1.28.8, transport/http/internal/io/safe.go), for which net/http
	// closes the connection in the middle of the answer. Read does it right.
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &limited{resp.Body, b.limit}
	return resp, nil
}

// Call implements contract.Caller.
func (i *invoke) Call(ctx context.Context, request []byte, accept func([]byte) bool) error {
	out, err := i.client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName:   aws.String(i.function),
		InvocationType: types.InvocationTypeRequestResponse,
		Payload:        request,
	})
	if err != nil {
		return i.class(err)
	}
	if out.FunctionError != nil {
		return functionFault(*out.FunctionError, out.Payload)
	}
	accept(out.Payload)
	return nil
}

// functionFault reads what the runtime says about an error in the function.
func functionFault(kind string, payload []byte) error {
	var e struct {
		ErrorMessage string `json:"errorMessage"`
		ErrorType    string `json:"errorType"`
	}
	_ = json.Unmarshal(payload, &e) // it says nothing, then
	f := &contract.Fault{Class: contract.Again, Code: contract.FunctionError, Message: contract.MessageFunctionError}
	if strings.Contains(e.ErrorMessage, "Task timed out after") {
		f.Code, f.Message = contract.FunctionTimeout, contract.Clip(e.ErrorMessage)
		return f
	}
	if detail := contract.Clip(strings.Trim(e.ErrorType+": "+e.ErrorMessage, ": ")); detail != "" {
		f.Message += " " + contract.Clip(kind) + ", " + detail
	}
	return f
}

// operatorCodes are errors of the API with a status of 5xx that only a change
// of the function or of its permissions ends.
var operatorCodes = map[string]bool{
	"EC2AccessDeniedException": true, "InvalidRuntimeException": true, "InvalidSecurityGroupIDException": true,
	"InvalidSubnetIDException": true, "InvalidZipFileException": true, "KMSAccessDeniedException": true,
	"KMSDisabledException": true, "KMSInvalidStateException": true, "KMSNotFoundException": true,
}

func (i *invoke) class(err error) error {
	if errors.Is(err, errTooLong) {
		return tooLong(i.limit)
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		return netFault(i.function, send.Err)
	}
	status, code, message := 0, "", ""
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code, message = api.ErrorCode(), contract.Clip(api.ErrorMessage())
	}
	fault := func(c contract.Class, name string) error {
		return &contract.Fault{Class: c, Code: name, Message: fmt.Sprintf("invoke of %s: status %d %s %s", i.function, status, code, message)}
	}
	switch {
	case status == 0:
		// Nothing was sent: no credentials, or the request could not be made.
		return fmt.Errorf("invoke of %s: %w", i.function, err)
	case code == "RequestTooLargeException" || code == "SerializedRequestEntityTooLargeException" || status == http.StatusRequestEntityTooLarge:
		return fault(contract.TooLarge, contract.RequestTooLarge)
	case code == "ENILimitReachedException" || code == "SubnetIPAddressLimitReachedException":
		return fault(contract.Again, code)
	case status == http.StatusTooManyRequests || code == "EC2ThrottledException" || strings.HasPrefix(code, "Throttl"):
		return fault(contract.Again, contract.InvokeLimit)
	case code == "InvalidRequestContentException":
		return fault(contract.Refused, contract.InvocationFailure)
	case operatorCodes[code]:
	case status >= 500 || status == http.StatusConflict || status == http.StatusRequestTimeout:
		return fault(contract.Again, contract.InvocationFailure)
	case status >= 200 && status < 300:
		// The head said yes, the rest did not come or made no sense.
		return &contract.Fault{Class: contract.Again, Code: contract.InvocationFailure, Message: contract.Clip(fmt.Sprintf("invoke of %s: %v", i.function, err))}
	}
	if code == "" {
		code = http.StatusText(status)
	}
	return fmt.Errorf("invoke of %s: status %d %s %s", i.function, status, code, message)
}
