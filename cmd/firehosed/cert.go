package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/firehosed/firehosed/internal/certs"
)

type certCmd struct {
	Dir    string   `default:"firehosed-tls" placeholder:"firehosed-tls" help:"Folder for the files, made if it is not there."`
	Names  []string `name:"name" short:"n" placeholder:"NAME" help:"Host name or address that clients connect to; comma separated, or several times. Without it localhost, 127.0.0.1, ::1 and the name of this host, or with --renew those of the certificate so far."`
	Days   int      `default:"397" help:"How long the certificate of the server is valid, in days."`
	CADays int      `name:"ca-days" default:"3650" help:"How long the certificate authority is valid, in days."`
	Renew  bool     `xor:"how" help:"Make a new certificate for the server with the authority that is there: clients need no change, and a daemon takes it without a restart."`
	Force  bool     `xor:"how" help:"Make everything new, in place of files that are there: clients have to trust the new authority."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
}

// maxDays is some more than a century.
const maxDays = 40_000

// certFiles are the files of a folder.
type certFiles struct {
	CA    string `json:"ca"`
	CAKey string `json:"ca_key"`
	Cert  string `json:"cert"`
	Key   string `json:"key"`
}

func (f certFiles) all() []string { return []string{f.CAKey, f.CA, f.Key, f.Cert} }

// Run makes a certificate authority and a certificate for the server.
func (c *certCmd) Run(out output) error {
	if c.Days < 1 || c.Days > maxDays || c.CADays < 1 || c.CADays > maxDays {
		return &exitError{code: 2, err: fmt.Errorf("firehosed: --days and --ca-days are from 1 to %d", maxDays)}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	files := certFiles{
		CA: filepath.Join(dir, "ca.pem"), CAKey: filepath.Join(dir, "ca-key.pem"),
		Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server-key.pem"),
	}
	now := time.Now()
	ca, err := c.authority(files, now)
	if err != nil {
		return err
	}
	names, err := c.names(files)
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := ca.Issue(names, now, days(c.Days))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	if !c.Renew {
		caPEM, caKeyPEM, err := ca.PEM()
		if err != nil {
			return err
		}
		if err := errors.Join(writeWhole(files.CAKey, caKeyPEM, 0o600), writeWhole(files.CA, caPEM, 0o644)); err != nil {
			return err
		}
	}
	if err := errors.Join(writeWhole(files.Key, keyPEM, 0o600), writeWhole(files.Cert, certPEM, 0o644)); err != nil {
		return err
	}
	leaf, err := certs.ParseCertificate(certPEM)
	if err != nil {
		return err
	}
	return c.report(out.stdout, files, ca.Certificate(), leaf)
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// authority makes a new authority, or reads the one that is there.
func (c *certCmd) authority(files certFiles, now time.Time) (*certs.Authority, error) {
	if c.Renew {
		certPEM, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("certificate authority to renew with: %w", err)
		}
		keyPEM, err := os.ReadFile(files.CAKey)
		if err != nil {
			return nil, fmt.Errorf("certificate authority to renew with: %w", err)
		}
		ca, err := certs.ParseAuthority(certPEM, keyPEM)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", files.CA, files.CAKey, err)
		}
		return ca, nil
	}
	if !c.Force {
		for _, path := range files.all() {
			if _, err := os.Lstat(path); err == nil {
				return nil, fmt.Errorf("%s is there already; --renew makes a new certificate with the same authority, --force makes everything new", path)
			}
		}
	}
	name := "firehosed local CA"
	if host, err := os.Hostname(); err == nil && len(host) <= 40 {
		name += " " + host
	}
	return certs.NewAuthority(name, now, days(c.CADays))
}

// names returns what clients will call the server.
func (c *certCmd) names(files certFiles) ([]string, error) {
	if len(c.Names) > 0 {
		return c.Names, nil
	}
	if c.Renew {
		text, err := os.ReadFile(files.Cert)
		if err == nil {
			var leaf *x509.Certificate
			if leaf, err = certs.ParseCertificate(text); err == nil {
				return certs.Names(leaf), nil
			}
		}
		return nil, fmt.Errorf("names of the certificate so far: %w; give --name", err)
	}
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" && !strings.EqualFold(host, "localhost") {
		names = append(names, host)
	}
	return names, nil
}

// writeWhole replaces a file, so that a reader sees the old or the new.
func writeWhole(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// trust is how clients are told to trust the authority.
type trust struct {
	Clients []string `json:"clients"`
	Line    string   `json:"line"`
}

// trustLines returns a line for each kind of client. What goes to a shell is
// quoted for one of POSIX where it has to be.
func trustLines(files certFiles, host string) []trust {
	ca, store := quoted(files.CA), filepath.Join(filepath.Dir(files.CA), "truststore.p12")
	return []trust{
		{[]string{"aws CLI", "boto3", "Go SDK", "Terraform", "firehosed"}, "export AWS_CA_BUNDLE=" + ca},
		{[]string{"Node.js"}, "export NODE_EXTRA_CA_CERTS=" + ca},
		{[]string{"Java SDK", "KCL", "Flink"}, "keytool -importcert -noprompt -alias firehosed -file " + ca + " -keystore " + quoted(store) +
			" -storetype PKCS12 -storepass firehosed && export JAVA_TOOL_OPTIONS=" +
			quoted("-Djavax.net.ssl.trustStore="+store+" -Djavax.net.ssl.trustStorePassword=firehosed")},
		{[]string{"KPL"}, fmt.Sprintf("new KinesisProducerConfiguration().setCaCertFile(%q)", files.CA)},
		{[]string{"Fluent Bit"}, "tls.ca_file " + files.CA},
		{[]string{"Vector"}, fmt.Sprintf("tls.ca_file = %q", files.CA)},
		{[]string{"Terraform, in provider aws"}, fmt.Sprintf("custom_ca_bundle = %q", files.CA)},
		{[]string{"curl"}, "curl --cacert " + ca + " https://" + host + ":4573/health/ready"},
	}
}

// quoted returns a word as a POSIX shell takes it.
func quoted(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:@%,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (c *certCmd) report(w io.Writer, files certFiles, ca, leaf *x509.Certificate) error {
	names := certs.Names(leaf)
	host := names[0]
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	setting := fmt.Sprintf("http: { tls: { cert: %q, key: %q } }", files.Cert, files.Key)
	lines := trustLines(files, host)
	if c.Output == "json" {
		return printJSON(w, map[string]any{
			"files": files, "names": names, "not_after": leaf.NotAfter, "ca_not_after": ca.NotAfter,
			"serial": fmt.Sprintf("%x", leaf.SerialNumber), "config": setting, "trust": lines,
		})
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "certificate authority\t%s\tuntil %s\n", files.CA, ca.NotAfter.Format(time.DateOnly))
	fmt.Fprintf(t, "its key, keep it\t%s\t\n", files.CAKey)
	fmt.Fprintf(t, "certificate\t%s\tuntil %s, for %s\n", files.Cert, leaf.NotAfter.Format(time.DateOnly), strings.Join(names, ", "))
	fmt.Fprintf(t, "its key\t%s\t\n", files.Key)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nIn the configuration:\n  %s\n\nWhat makes clients trust it:\n", setting)
	for _, l := range lines {
		fmt.Fprintf(w, "  # %s\n  %s\n", strings.Join(l.Clients, ", "), l.Line)
	}
	return nil
}
