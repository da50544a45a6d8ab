package http

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/firehosed/firehosed/sinks"
)

// Codes of the contract, and three of our own for what an operator has to see
// to.
const (
	codeDestination = "HttpEndpoint.DestinationException"
	codeConnection  = "HttpEndpoint.ConnectionFailed"
	codeReset       = "HttpEndpoint.ConnectionReset"
	codeTimeout     = "HttpEndpoint.RequestTimeout"
	codeTooLarge    = "HttpEndpoint.ResponseTooLarge"
	codeInvalid     = "HttpEndpoint.InvalidResponseFromDestination"
	codeCertificate = "HttpEndpoint.Certificate"
	codeNoTLS       = "HttpEndpoint.NoTLS"
)

// unsent classes an error of a request that got no answer. The end of the
// caller's own context is not classed. The URL is left out: it may hold a
// token.
func (s *Sink) unsent(ctx context.Context, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return fmt.Errorf("%s: %w", s, cerr)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	class, code := sinks.Retry, codeConnection
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		timeout  net.Error
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		class, code = sinks.Fix, codeCertificate
	case errors.Is(err, http.ErrSchemeMismatch):
		class, code = sinks.Fix, codeNoTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		code = codeTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		code = codeReset
	}
	return &sinks.Error{Class: class, Code: code, Err: fmt.Errorf("%s: %w", s, err)}
}

// judge reads an answer.
func (s *Sink) judge(ctx context.Context, id string, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return s.unsent(ctx, err)
	}
	status := resp.StatusCode
	failure := func(class sinks.Class, code, text string) error {
		e := &sinks.Error{Class: class, Code: code, Err: fmt.Errorf("%s: status %d: %s", s, status, text)}
		if class == sinks.Retry {
			e.After = sinks.RetryAfter(resp.Header, s.opt.Now())
		}
		return e
	}
	switch {
	case status >= 200 && status < 300 && s.opt.Lenient:
		return nil
	case len(body) > maxAnswer:
		return failure(sinks.Retry, codeTooLarge, fmt.Sprintf("the answer is longer than %d bytes", maxAnswer))
	case status == http.StatusOK:
		if err := checkAnswer(resp.Header, body, id); err != nil {
			return failure(sinks.Retry, codeInvalid, err.Error())
		}
		return nil
	}
	text := message(body)
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return failure(sinks.Refuse, codeDestination, text)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return failure(sinks.Fix, codeDestination, text+"; look at the access key")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone, status >= 300 && status < 400:
		return failure(sinks.Fix, codeDestination, text+"; look at the URL, redirects are not followed")
	default:
		return failure(sinks.Retry, codeDestination, text)
	}
}

// message returns what the body of an error answer says, for people.
func message(body []byte) string {
	var doc struct {
		ErrorMessage string `json:"errorMessage"`
	}
	text := string(body)
	if json.Unmarshal(body, &doc) == nil && doc.ErrorMessage != "" {
		text = doc.ErrorMessage
	}
	const most = 300
	if len(text) > most {
		text = text[:most] + "..."
	}
	if text = strings.ToValidUTF8(strings.TrimSpace(text), ""); text == "" {
		return "no reason given"
	}
	return text
}

// checkAnswer tests a 200 against the contract: JSON without a content
// encoding and with a length, no other members than requestId, timestamp and
// errorMessage, the same request ID, and a number for the time.
func checkAnswer(h http.Header, body []byte, id string) error {
	if kind, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("the content type is %.100q, not application/json", h.Get("Content-Type"))
	}
	if enc := h.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("the answer has the content encoding %.100q", enc)
	}
	if h.Get("Content-Length") == "" {
		return errors.New("the answer has no Content-Length")
	}
	var doc struct {
		RequestID    *string          `json:"requestId"`
		Timestamp    *json.RawMessage `json:"timestamp"`
		ErrorMessage *string          `json:"errorMessage"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return fmt.Errorf("the answer is not the JSON of the contract: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON of the answer")
	}
	switch {
	case doc.RequestID == nil:
		return errors.New("requestId is missing")
	case *doc.RequestID != id:
		return fmt.Errorf("requestId is %.100q, not %q", *doc.RequestID, id)
	case doc.Timestamp == nil:
		return errors.New("timestamp is missing")
	case (*doc.Timestamp)[0] != '-' && ((*doc.Timestamp)[0] < '0' || (*doc.Timestamp)[0] > '9'):
		return errors.New("timestamp is not a number")
	}
	return nil
}

// quoted returns a string as JSON.
func quoted(text string) []byte {
	b, _ := json.Marshal(text) // a string always encodes
	return b
}
