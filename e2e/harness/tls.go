package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// makeCertificate has the program make an authority and a certificate for
// localhost and 127.0.0.1, and returns what turns TLS on in the configuration.
func (d *Daemon) makeCertificate(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(d.Dir, "tls")
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.binary, "cert", "--dir", dir, "--name", "localhost,127.0.0.1")
	cmd.Env = d.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("firehosed cert: %v\n%s", err, out)
	}
	d.CAFile = filepath.Join(dir, "ca.pem")
	d.SecureURL = "https://" + d.listen
	return `, tls: { cert: "` + filepath.Join(dir, "server.pem") + `", key: "` + filepath.Join(dir, "server-key.pem") + `" }`
}

// TLSConfig trusts the authority of a daemon with Settings.TLS.
func (d *Daemon) TLSConfig(t testing.TB) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(d.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", d.CAFile)
	}
	return &tls.Config{RootCAs: roots}
}

// SecureClient talks to a daemon with Settings.TLS, HTTP/2 if it is offered.
func (d *Daemon) SecureClient(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{Transport: &http.Transport{TLSClientConfig: d.TLSConfig(t), ForceAttemptHTTP2: true}}
}
