package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/firehosed/firehosed/sinks"
)

// Flavor is the product at the other end.
type Flavor string

const (
	FlavorAuto          Flavor = "auto" // ask once, with GET /
	FlavorOpenSearch    Flavor = "opensearch"
	FlavorElasticsearch Flavor = "elasticsearch" // 7.14 or later
)

const (
	productHeader = "X-Elastic-Product"
	productName   = "Elasticsearch"
)

// productShim lets go-elasticsearch v8 talk to OpenSearch. The client refuses
// the first 2xx answer without the header "X-Elastic-Product: Elasticsearch",
// which OpenSearch does not send; the shim adds it to the answers of a server
// that is known to be OpenSearch, and to no others. Look at it again with each
// new version of the client; TestClientRefusesOpenSearch fails when it is not
// needed any more.
type productShim struct {
	next   http.RoundTripper
	flavor atomic.Value // Flavor; not set as long as it is not known
}

func (p *productShim) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 && p.known() == FlavorOpenSearch {
		resp.Header.Set(productHeader, productName)
	}
	return resp, nil
}

func (p *productShim) known() Flavor {
	f, _ := p.flavor.Load().(Flavor)
	return f
}

func (p *productShim) settle(f Flavor) {
	if f != FlavorAuto {
		p.flavor.Store(f)
	}
}

// learn finds out the flavor if it is not known yet.
func (s *Sink) learn(ctx context.Context) error {
	if s.shim.known() != "" {
		return nil
	}
	s.probe.Lock()
	defer s.probe.Unlock()
	if s.shim.known() != "" {
		return nil
	}
	return s.ask(ctx)
}

// ask sends GET / and learns the flavor from the answer.
func (s *Sink) ask(ctx context.Context) error {
	const what = "ask what it is"
	rctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(rctx, http.MethodGet, "/", http.NoBody)
	if err != nil {
		return s.failed(ctx, what, err)
	}
	// Not through esapi, which would check the product.
	resp, err := s.client.Transport.Perform(req)
	if err != nil {
		return s.failed(ctx, what, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode == http.StatusNotFound && s.opt.Flavor != FlavorAuto {
			return nil // Amazon OpenSearch Serverless has no such page
		}
		return s.answer(what, resp.StatusCode, resp.Header, resp.Body)
	}
	var info struct {
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
		} `json:"version"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&info)
	if err != nil && ctx.Err() != nil {
		return s.failed(ctx, what, err)
	}
	switch {
	case s.opt.Flavor != FlavorAuto:
		return nil
	case err == nil && info.Version.Distribution == "opensearch":
		s.shim.settle(FlavorOpenSearch)
	case err == nil && resp.Header.Get(productHeader) == productName:
		s.shim.settle(FlavorElasticsearch)
	default:
		return &sinks.Error{
			Class: sinks.Fix, Code: "OpenSearch.UnknownProduct",
			Err: errors.New(s.String() + ": the server is neither OpenSearch nor Elasticsearch 7.14 or later; if it can be used like OpenSearch, set the flavor"),
		}
	}
	s.log.Info("destination found", "flavor", string(s.shim.known()), "version", fmt.Sprintf("%.40s", info.Version.Number))
	return nil
}
