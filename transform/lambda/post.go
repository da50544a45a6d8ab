package lambda

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/firehosed/firehosed/transform/contract"
)

// post is the contract over plain HTTP.
type post struct {
	client *http.Client
	url    string
	name   string // the address without anything secret
	header http.Header
	limit  int64
}

func newPost(opt Options) (*post, func(), error) {
	u, err := parseURL("url", opt.URL)
	if err != nil {
		return nil, nil, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DisableCompression = true // an answer is bounded as it travels
	tr.MaxIdleConnsPerHost = opt.Concurrency
	p := &post{
		client: &http.Client{
			Transport:     tr,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url:    opt.URL,
		name:   (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(),
		header: opt.Header.Clone(),
		limit:  opt.MaxResponse,
	}
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set("Content-Type", "application/json")
	return p, tr.CloseIdleConnections, nil
}

// Call implements contract.Caller.
func (p *post) Call(ctx context.Context, request []byte, accept func([]byte) bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(request))
	if err != nil {
		return fmt.Errorf("request to %s: %w", p.name, err)
	}
	req.Header = p.header
	resp, err := p.client.Do(req)
	if err != nil {
		return netFault(p.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return p.status(resp)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return &contract.Fault{
			Class: contract.Refused, Code: contract.JSONProcessing,
			Message: fmt.Sprintf("the answer of %s is encoded as %q, which was not asked for", p.name, contract.Clip(enc)),
		}
	}
	answer, err := io.ReadAll(&limited{resp.Body, p.limit})
	if errors.Is(err, errTooLong) {
		return tooLong(p.limit)
	}
	if err != nil {
		return netFault(p.name, err)
	}
	accept(answer)
	return nil
}

func (p *post) status(resp *http.Response) error {
	fault := func(c contract.Class, code string) error {
		f := &contract.Fault{Class: c, Code: code, Message: fmt.Sprintf("%s answers %s", p.name, contract.Clip(resp.Status))}
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 1<<20 {
			f.After = time.Duration(s) * time.Second
		}
		return f
	}
	switch s := resp.StatusCode; {
	case s == http.StatusRequestEntityTooLarge:
		return fault(contract.TooLarge, contract.RequestTooLarge)
	case s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		return fault(contract.Again, contract.InvokeLimit)
	case s == http.StatusRequestTimeout || s == http.StatusGatewayTimeout:
		return fault(contract.Again, contract.FunctionTimeout)
	case s == http.StatusInternalServerError:
		return fault(contract.Again, contract.FunctionError)
	case s > 500:
		return fault(contract.Again, contract.InvocationFailure)
	case s == http.StatusBadRequest || s == http.StatusUnprocessableEntity:
		return fault(contract.Refused, contract.InvocationFailure)
	case s >= 300 && s < 400:
		return fmt.Errorf("%s answers %s: redirects are not followed, set url to where the function is", p.name, contract.Clip(resp.Status))
	case s > 200 && s < 300:
		return fmt.Errorf("%s answers %s: a function must answer 200", p.name, contract.Clip(resp.Status))
	default:
		return fmt.Errorf("%s answers %s: check url, path and credentials", p.name, contract.Clip(resp.Status))
	}
}

// netFault classes an error of the network: nobody there, or lost on the way.
func netFault(name string, err error) error {
	var ue *url.Error // repeats the address with its query
	if errors.As(err, &ue) {
		err = ue.Err
	}
	f := &contract.Fault{Class: contract.Again, Code: contract.InvocationFailure, Message: fmt.Sprintf("call of %s: %s", name, contract.Clip(err.Error()))}
	var op *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	if errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.As(err, &cert) ||
		errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &record) {
		f.Class = contract.Down
	}
	return f
}
