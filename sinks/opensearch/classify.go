package opensearch

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firehosed/firehosed/sinks"
)

const (
	maxErrorBody = 256 << 10
	codeTooLarge = "413"
)

// failed classes an error of a request that got no answer. The end of the
// caller's own context is not classed.
func (s *Sink) failed(ctx context.Context, what string, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return fmt.Errorf("%s: %s: %w", s, what, cerr)
	}
	class, code := sinks.Retry, "OpenSearch.ConnectionFailed"
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		timeout  net.Error
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		class, code = sinks.Fix, "OpenSearch.Certificate"
	case errors.Is(err, http.ErrSchemeMismatch):
		class, code = sinks.Fix, "OpenSearch.NoTLS"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		code = "OpenSearch.Timeout"
	}
	return &sinks.Error{Class: class, Code: code, Err: fmt.Errorf("%s: %s: %w", s, what, err)}
}

// answer classes an answer to a whole request that is not 2xx.
//
// A 400 of the whole request is not the fault of one document: documents are
// tested before they are sent, and have results of their own. Refusing all of
// them would empty the stream into the error output because of a setting.
func (s *Sink) answer(what string, status int, header http.Header, body io.Reader) error {
	raw, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // a part says enough
	var doc struct {
		Error *apiError `json:"error"`
	}
	var text string
	if json.Unmarshal(raw, &doc) == nil && doc.Error != nil {
		text = doc.Error.text()
	} else {
		text = strings.ToValidUTF8(string(raw[:min(len(raw), 200)]), "")
		doc.Error = nil
	}
	e := &sinks.Error{
		Code: strconv.Itoa(status),
		Err:  fmt.Errorf("%s: %s: %s (status %d)", s, what, strings.TrimSpace(text), status),
	}
	class, ok := doc.Error.class()
	switch {
	case status == http.StatusRequestEntityTooLarge:
		e.Class = sinks.Refuse // of a single document; see send
	case ok:
		e.Class = class
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == http.StatusConflict, status >= 500:
		e.Class = sinks.Retry
	default:
		e.Class = sinks.Fix
	}
	if e.Class == sinks.Retry {
		e.After = sinks.RetryAfter(header, time.Now())
	}
	return e
}
