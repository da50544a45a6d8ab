package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAuthority(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	made, err := NewAuthority("firehosed on here", now, 10*365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := made.PEM()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ParseAuthority(certPEM, keyPEM) // what is written is what is used later
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"localhost", "*.Example.org.", "my_host", "127.0.0.1", "::1"}
	leafPEM, _, err := ca.Issue(names, now, 397*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ParseCertificate(leafPEM)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Names(leaf), []string{"localhost", "*.example.org", "my_host", "127.0.0.1", "::1"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is %T", leaf.PublicKey)
	}
	if leaf.IsCA || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("usage %v %v, authority %v", leaf.KeyUsage, leaf.ExtKeyUsage, leaf.IsCA)
	}
	// Clients of today demand the ids of both keys (RFC 5280, 4.2.1.1).
	if len(leaf.AuthorityKeyId) == 0 || !bytes.Equal(leaf.AuthorityKeyId, ca.Certificate().SubjectKeyId) {
		t.Errorf("key of the authority %x, want %x", leaf.AuthorityKeyId, ca.Certificate().SubjectKeyId)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	for _, tt := range []struct {
		host string
		at   time.Time
		ok   bool
	}{
		{"localhost", now, true},
		{"a.example.org", now, true},
		{"127.0.0.1", now, true},
		{"::1", now, true},
		{"localhost", now.Add(-time.Minute), true}, // clocks differ
		{"localhost", now.Add(396 * 24 * time.Hour), true},
		{"localhost", now.Add(398 * 24 * time.Hour), false},
		{"localhost", now.Add(-2 * time.Hour), false},
		{"127.0.0.2", now, false},
		{"a.b.example.org", now, false},
	} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.host, CurrentTime: tt.at})
		if (err == nil) != tt.ok {
			t.Errorf("%s at %s: %v", tt.host, tt.at, err)
		}
	}
	// A certificate of the server is no authority.
	if _, err := ParseAuthority(leafPEM, keyPEM); err == nil || err.Error() != "the certificate is not one of an authority" {
		t.Errorf("got %v", err)
	}
	// It is not valid for longer than its authority.
	leafPEM, _, err = ca.Issue(names, now, 100*365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = ParseCertificate(leafPEM); err != nil || !leaf.NotAfter.Equal(ca.Certificate().NotAfter) {
		t.Errorf("valid until %v, the authority until %v (%v)", leaf.NotAfter, ca.Certificate().NotAfter, err)
	}
	if _, _, err := ca.Issue(names, now.Add(11*365*24*time.Hour), time.Hour); err == nil || !strings.Contains(err.Error(), "expired on 2036-04-28") {
		t.Errorf("an expired authority: %v", err)
	}
}

func TestBadNamesAndAuthorities(t *testing.T) {
	now := time.Now()
	ca, err := NewAuthority("test", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "*", "*.", "a..b", "-a", "a-", "a b", "http://a", "a:4573", "a/b", "é.example", strings.Repeat("a", 64), "[::1]", "*.*.a"} {
		if _, _, err := ca.Issue([]string{name}, now, time.Hour); err == nil || !strings.Contains(err.Error(), "neither a host name nor an address") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if _, _, err := ca.Issue(nil, now, time.Hour); err == nil {
		t.Error("a certificate for nobody was issued")
	}
	certPEM, keyPEM, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("other", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := other.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cert, key []byte
		want      string
	}{
		{nil, keyPEM, "no certificate in PEM"},
		{keyPEM, keyPEM, "no certificate in PEM"},
		{certPEM, nil, "the key is not in PEM"},
		{certPEM, certPEM, "key of the authority"},
		{certPEM, otherKey, "does not belong"},
	} {
		if _, err := ParseAuthority(tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
