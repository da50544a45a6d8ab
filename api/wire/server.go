package wire

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of the HTTP server.
const (
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 120 * time.Second
	maxStreams        = 500
	pingAfter         = 60 * time.Second
)

// NewServer returns a server for HTTP/1.1 and for HTTP/2 with and without TLS
// (prior knowledge), as the AWS SDKs of Java and JavaScript need. For TLS it
// is given a listener of NewMixedListener. It has no
// timeout for whole requests: event streams last minutes, and Handler sets
// deadlines for bodies. Errors of connections go to logger at debug level.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           tellTLS(handler),
		Protocols:         protocols,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      pingAfter,
		},
		ConnContext: withConn,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
