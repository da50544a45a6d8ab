package certs

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// files is a pair of files that certificates are written to.
type files struct {
	cert, key string
	ca        *Authority
	at        time.Time // modification time of the next write, so that writes within a tick differ
}

func newFiles(t *testing.T, now time.Time) *files {
	t.Helper()
	ca, err := NewAuthority("test", now, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &files{cert: filepath.Join(dir, "server.pem"), key: filepath.Join(dir, "server-key.pem"), ca: ca, at: now}
}

func (f *files) write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f.at = f.at.Add(time.Second)
	if err := os.Chtimes(path, f.at, f.at); err != nil {
		t.Fatal(err)
	}
}

func (f *files) issue(t *testing.T, name string, now time.Time, valid time.Duration) (certPEM, keyPEM []byte) {
	t.Helper()
	certPEM, keyPEM, err := f.ca.Issue([]string{name}, now, valid)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, keyPEM
}

func TestPairFollowsItsFiles(t *testing.T) {
	now := time.Now()
	clock := now
	f := newFiles(t, now)
	c, k := f.issue(t, "one.example", now, 100*time.Hour)
	f.write(t, f.cert, c)
	f.write(t, f.key, k)
	var log bytes.Buffer
	p, err := LoadPair(f.cert, f.key, PairOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), Clock: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	// served is who a handshake after some time sees, and what was logged.
	served := func(after time.Duration) (string, string) {
		t.Helper()
		log.Reset()
		clock = clock.Add(after)
		c, err := p.Get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.DNSNames[0], log.String()
	}
	expect := func(step string, after time.Duration, wantName, wantLog string) {
		t.Helper()
		name, log := served(after)
		if name != wantName || wantLog == "" && log != "" || !strings.Contains(log, wantLog) {
			t.Errorf("%s: served %s, want %s; logged %q, want %q", step, name, wantName, log, wantLog)
		}
	}
	expect("nothing changed", time.Hour, "one.example", "")

	c2, k2 := f.issue(t, "two.example", now, 100*time.Hour)
	f.write(t, f.cert, c2)
	expect("looked at a moment ago", recheck-1, "one.example", "")
	expect("the certificate without its key", 1, "one.example", "private key does not match public key")
	expect("the same again", recheck, "one.example", "") // said once
	f.write(t, f.key, k2)
	expect("the key too", recheck, "two.example", "certificate changed")

	f.write(t, f.cert, []byte("-----BEGIN CERTIFICATE-----\nrubbish"))
	expect("rubbish", recheck, "two.example", "cannot be used")
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	expect("no key", recheck, "two.example", "cannot be used")
	f.write(t, f.cert, c2)
	f.write(t, f.key, k2)
	expect("as before", recheck, "two.example", "")

	c3, k3 := f.issue(t, "three.example", now.Add(-20*time.Hour), time.Hour)
	f.write(t, f.cert, c3)
	f.write(t, f.key, k3)
	expect("one that has expired", recheck, "three.example", "has expired")
	c4, k4 := f.issue(t, "four.example", now.Add(500*time.Hour), time.Hour)
	f.write(t, f.cert, c4)
	f.write(t, f.key, k4)
	expect("one of the future", recheck, "four.example", "not valid yet")

	// A rename in place, as tools do it, keeps no time in common with the old file.
	c5, k5 := f.issue(t, "five.example", now, 100*time.Hour)
	f.write(t, f.cert+".new", c5)
	f.write(t, f.key+".new", k5)
	for _, path := range []string{f.key, f.cert} {
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	expect("renamed", recheck, "five.example", "certificate changed")
	clock = clock.Add(-time.Hour) // a clock that is set back stops nothing
	c6, k6 := f.issue(t, "six.example", now, 100*time.Hour)
	f.write(t, f.cert, c6)
	f.write(t, f.key, k6)
	expect("clock set back", 0, "six.example", "certificate changed")
}

// TestPairOfManyHandshakes is for the race detector: handshakes while files
// change.
func TestPairOfManyHandshakes(t *testing.T) {
	now := time.Now()
	f := newFiles(t, now)
	c, k := f.issue(t, "a.example", now, time.Hour)
	f.write(t, f.cert, c)
	f.write(t, f.key, k)
	var mu sync.Mutex
	clock := now
	p, err := LoadPair(f.cert, f.key, PairOptions{Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(recheck)
		return clock
	}})
	if err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 200 {
				if c, err := p.Get(nil); err != nil || c.Leaf == nil {
					t.Errorf("got %v, %v", c, err)
					return
				}
			}
		})
	}
	for range 10 {
		c, k := f.issue(t, "b.example", now, time.Hour)
		f.write(t, f.cert, c)
		f.write(t, f.key, k)
	}
	g.Wait()
}

func TestLoadPairSaysWhatIsWrong(t *testing.T) {
	now := time.Now()
	f := newFiles(t, now)
	c, k := f.issue(t, "a.example", now, time.Hour)
	_, k2 := f.issue(t, "a.example", now, time.Hour)
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"no certificate", nil, k, "certificate: open " + f.cert},
		{"no key", c, nil, "key of the certificate: open " + f.key},
		{"another key", c, k2, "does not match"},
		{"the key twice", k, k, f.cert},
		{"no PEM", []byte("x"), k, "failed to find any PEM data"},
		{"far too long", bytes.Repeat([]byte("x"), maxFile+1), k, "has more than 1 MiB"},
	} {
		for path, text := range map[string][]byte{f.cert: tt.cert, f.key: tt.key} {
			_ = os.Remove(path)
			if text != nil {
				f.write(t, path, text)
			}
		}
		if _, err := LoadPair(f.cert, f.key, PairOptions{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}
