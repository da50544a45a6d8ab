// Package certs makes and serves the certificates of a TLS server.
//
// A Pair is a certificate and its key in two files. It follows the files:
// whoever renews a certificate writes the new one in place of the old, and the
// next connection gets it. An Authority is a local certificate authority, for
// machines that no public one vouches for.
//
// The package knows files and X.509, and nothing of who connects.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// recheck is how long the files are taken to be as they were. A handshake
// after it looks at their times and sizes, so a server that nobody connects to
// looks at nothing.
const recheck = time.Second

// maxFile bounds what is read of a file: a chain of certificates has a few
// kilobytes.
const maxFile = 1 << 20

// PairOptions are what a Pair may be given besides its files.
type PairOptions struct {
	// Logger gets a line for every change of the certificate, and a warning for
	// files that cannot be used; nil discards.
	Logger *slog.Logger
	// Clock returns the present time; nil means time.Now.
	Clock func() time.Time
}

// Pair is a certificate with its key, read from two files and read again when
// they change. Methods may be called concurrently.
type Pair struct {
	certFile, keyFile string
	log               *slog.Logger
	clock             func() time.Time

	current atomic.Pointer[tls.Certificate]

	checking sync.Mutex // held by the one that looks at the files
	checked  time.Time
	seen     [2]fileState // what was last tried, taken or not
}

// fileState tells one content of a file from another without reading it.
type fileState struct {
	info os.FileInfo // nil if the file is not there
}

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info}
}

func (s fileState) same(o fileState) bool {
	if s.info == nil || o.info == nil {
		return s.info == o.info
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// LoadPair reads a certificate (in PEM, followed by those that lead to its
// authority) and its private key (in PEM). An error names the file.
func LoadPair(certFile, keyFile string, opt PairOptions) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, log: opt.Logger, clock: opt.Clock}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.clock == nil {
		p.clock = time.Now
	}
	p.seen = [2]fileState{stateOf(certFile), stateOf(keyFile)}
	p.checked = p.clock()
	c, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	p.current.Store(c)
	p.warnOfTime(c.Leaf)
	return p, nil
}

// Get returns the certificate for a handshake; it is made for
// tls.Config.GetCertificate. When the files have changed it takes the new
// pair, and stays with the one it has, and logs why, if that cannot be used.
// It never fails.
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.follow()
	return p.current.Load(), nil
}

// Leaf returns the certificate that is served at present.
func (p *Pair) Leaf() *x509.Certificate { return p.current.Load().Leaf }

// follow looks at the files, at most once a second. Of several callers one
// looks, and the others go on with what there is.
func (p *Pair) follow() {
	if !p.checking.TryLock() {
		return
	}
	defer p.checking.Unlock()
	now := p.clock()
	if d := now.Sub(p.checked); d >= 0 && d < recheck {
		return
	}
	p.checked = now
	// The states are taken before the content is read: a change in between is
	// found the next time.
	state := [2]fileState{stateOf(p.certFile), stateOf(p.keyFile)}
	if state[0].same(p.seen[0]) && state[1].same(p.seen[1]) {
		return
	}
	p.seen = state
	c, err := readPair(p.certFile, p.keyFile)
	if err != nil {
		p.log.Warn("certificate not changed: the new files cannot be used", "error", err,
			"not_after", p.Leaf().NotAfter, "serial", serial(p.Leaf()))
		return
	}
	if c.Leaf.Equal(p.Leaf()) {
		return
	}
	p.current.Store(c)
	p.log.Info("certificate changed", "file", p.certFile, "not_after", c.Leaf.NotAfter, "serial", serial(c.Leaf))
	p.warnOfTime(c.Leaf)
}

// warnOfTime says when a certificate is not valid now. It is served all the
// same: a client may look at it less closely than at nothing.
func (p *Pair) warnOfTime(leaf *x509.Certificate) {
	switch now := p.clock(); {
	case now.After(leaf.NotAfter):
		p.log.Warn("certificate has expired; clients will refuse it", "file", p.certFile, "not_after", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		p.log.Warn("certificate is not valid yet; clients will refuse it", "file", p.certFile, "not_before", leaf.NotBefore)
	}
}

func serial(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber) }

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := readFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate: %w", err)
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("has more than 1 MiB, which no certificate has")}
	}
	return b, nil
}
