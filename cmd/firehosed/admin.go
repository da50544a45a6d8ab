package main

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/firehosed/firehosed/api/admin"
)

// admin puts health and metrics in front of the AWS protocols.
func (n *node) admin(aws http.Handler) (http.Handler, error) {
	return admin.New(admin.Options{
		Wire:    aws,
		Metrics: promhttp.HandlerFor(newMetrics(n), promhttp.HandlerOpts{}),
		Ready:   n.notReady,
	})
}

// notReady returns why the daemon cannot take records. A destination that is
// down is no reason: its records are taken and kept.
func (n *node) notReady() []admin.Reason {
	var reasons []admin.Reason
	n.mu.Lock()
	if n.stopping {
		reasons = append(reasons, admin.Reason{Part: "daemon", Text: "stopping"})
	}
	n.mu.Unlock()
	st := n.engine.Stats()
	if st.ReadOnly {
		reasons = append(reasons, admin.Reason{Part: "log", Text: fmt.Sprintf("takes nothing after a failed write: %v; the daemon has to be started again", n.engine.Err())})
	}
	if st.Full {
		reasons = append(reasons, admin.Reason{Part: "log", Text: fmt.Sprintf("records are refused: %d bytes are free in %s, less than storage.min_free; make room or shorten retentions", st.DiskFree, n.cfg.DataDir)})
	}
	return reasons
}
