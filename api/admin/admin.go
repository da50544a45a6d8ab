// Package admin answers what people and machines that run the daemon ask on
// its port: whether it lives, whether it is ready and why not, and its
// metrics. Everything else goes to the AWS protocols.
//
// It decides nothing about readiness itself and keeps no metrics.
package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Reason is one thing that keeps the daemon from being ready.
type Reason struct {
	// Part is what it is about, such as "log" or "delivery access-log".
	Part string `json:"part"`
	// Text says what is wrong and, if it is known, what to do.
	Text string `json:"reason"`
}

// Options of a handler.
type Options struct {
	// Wire serves the AWS protocols. Required.
	Wire http.Handler
	// Metrics serves GET /metrics; nil means 404.
	Metrics http.Handler
	// Ready returns what keeps the daemon from being ready, nothing if it is.
	// It must be cheap and safe to call concurrently. Required.
	Ready func() []Reason
}

// New returns the handler of the whole port.
func New(opt Options) (http.Handler, error) {
	if opt.Wire == nil || opt.Ready == nil {
		return nil, errors.New("admin: wire handler or readiness is missing")
	}
	return &handler{opt}, nil
}

type handler struct{ opt Options }

// ServeHTTP answers GET and HEAD of the three paths and passes on the rest.
// Clients of the AWS protocols POST, to any path.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.opt.Wire.ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/health/live", "/health/ready", "/metrics":
		h.timed(w, r)
	default:
		h.opt.Wire.ServeHTTP(w, r)
	}
}

// answerTimeout is the time a client has to take an answer, and to end a body
// that nobody asked it for: the server reads on in that after the answer.
const answerTimeout = 10 * time.Second

// timed answers so that a client that does not take its answer, or does not end
// its request, does not hold its connection for ever.
func (h *handler) timed(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	until := time.Now().Add(answerTimeout)
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(until)
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // else the server reads the body before it answers
		}
	}
	limited := control.SetWriteDeadline(until) == nil
	h.own(w, r)
	if limited {
		_ = control.Flush()
		_ = control.SetWriteDeadline(time.Time{}) // the connection may serve others next
	}
}

// own answers one of the three paths.
func (h *handler) own(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/health/live":
		answer(w, http.StatusOK, health{Status: "live"})
	case "/health/ready":
		if reasons := h.opt.Ready(); len(reasons) > 0 {
			answer(w, http.StatusServiceUnavailable, health{Status: "not ready", Reasons: reasons})
			return
		}
		answer(w, http.StatusOK, health{Status: "ready"})
	case "/metrics":
		if h.opt.Metrics == nil {
			http.NotFound(w, r)
			return
		}
		h.opt.Metrics.ServeHTTP(w, r)
	}
}

type health struct {
	Status  string   `json:"status"`
	Reasons []Reason `json:"reasons,omitempty"`
}

func answer(w http.ResponseWriter, status int, body health) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	b = append(b, '\n')
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
