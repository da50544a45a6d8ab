package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"firehosed": main})
}

// TestScripts runs the whole binary: exit codes, messages, signals, what is on
// disk afterwards.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ready":   waitReady,
			"appears": waitFile,
			"repeat":  repeat,
			"serves":  waitName,
			"modes":   fileModes,
		},
		Setup: func(env *testscript.Env) error {
			port, letGo, err := reservePort()
			if err != nil {
				return err
			}
			env.Defer(letGo)
			env.Setenv("PORT", port)
			env.Setenv("FIREHOSED_ENDPOINT", "http://127.0.0.1:"+port)
			return nil
		},
	})
}

const patience = 2 * time.Minute

// ready [CA] waits until the daemon of the script is ready, asked over TLS if
// there is an authority to trust.
func waitReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: ready [ca]")
	}
	client := http.DefaultClient
	if len(args) == 1 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(ts, args[0])}}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	until(ts, "the daemon to be ready", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("FIREHOSED_ENDPOINT")+"/health/ready", nil)
		ts.Check(err)
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

func roots(ts *testscript.TestScript, file string) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ts.ReadFile(file))) {
		ts.Fatalf("%s holds no certificate", file)
	}
	return pool
}

// serves CA NAME waits until the daemon of the script shows a certificate for a
// name.
func waitName(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serves ca name")
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots(ts, args[0]), ServerName: args[1]}}
	until(ts, "a certificate for "+args[1], func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+ts.Getenv("PORT"))
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// modes MODE FILE... compares the permissions of files.
func fileModes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: modes mode file...")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, name := range args[1:] {
		st, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := st.Mode().Perm(); got != os.FileMode(want) {
			ts.Fatalf("%s has mode %o, want %o", name, got, want)
		}
	}
}

// appears GLOB NAME waits until a file matches, and copies it to NAME. Files that
// are still being written, under hidden names, are passed over.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears glob name")
	}
	var found []string
	until(ts, args[0]+" to appear", func() bool {
		var err error
		found, err = filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		found = slices.DeleteFunc(found, func(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") })
		return len(found) > 0
	})
	b, err := os.ReadFile(found[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// repeat COUNT LINE FILE writes a line so many times, %d being its number.
func repeat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: repeat count line file")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, strings.ReplaceAll(args[1], "%d", strconv.Itoa(i)))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(b.String()), 0o600))
}

func until(ts *testscript.TestScript, what string, ok func() bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			ts.Fatalf("waited %v in vain for %s", patience, what)
		case <-tick.C:
		}
	}
}
