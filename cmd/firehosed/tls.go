package main

import (
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/internal/certs"
)

// serverPair reads the certificate of the port, nil if there is to be none.
func serverPair(cfg *config.Config, logger *slog.Logger) (*certs.Pair, error) {
	t := cfg.HTTP.TLS
	if t == nil {
		return nil, nil
	}
	p, err := certs.LoadPair(t.Cert, t.Key, certs.PairOptions{Logger: logger})
	if err != nil {
		return nil, cfg.Problem(config.Path("http", "tls"), err)
	}
	return p, nil
}

// secure puts TLS on the port, beside plain HTTP or in its place.
func (n *node) secure(listener net.Listener, handler http.Handler) (net.Listener, http.Handler) {
	if n.pair == nil {
		return listener, handler
	}
	listener = wire.NewMixedListener(listener, wire.MixedOptions{
		Certificate: n.pair.Get, Logger: n.log, Refused: n.requests.handshakes.Inc,
	})
	if n.cfg.HTTP.TLS.Only {
		handler = wire.RequireTLS(handler)
	}
	n.log.Info("TLS", "only", n.cfg.HTTP.TLS.Only, "names", certs.Names(n.pair.Leaf()), "not_after", n.pair.Leaf().NotAfter)
	return listener, handler
}

// tlsMetrics are the metrics of the certificate, none without TLS.
func (n *node) tlsMetrics() []prometheus.Collector {
	if n.pair == nil {
		return nil
	}
	return []prometheus.Collector{n.requests.handshakes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "firehosed_tls_certificate_not_after_seconds", Help: "When the certificate that is served expires, in seconds since 1970.",
	}, func() float64 { return float64(n.pair.Leaf().NotAfter.Unix()) })}
}
