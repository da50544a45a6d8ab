package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	probeTimeout = 5 * time.Second // of one question whether it is ready
	getTimeout   = time.Minute
	maxAnswer    = 16 << 20
	logHead      = 12 << 10 // bytes of the log that a failed test shows
)

// Daemon is one firehosed with its own folder and port. The Process in it
// stops, kills and starts it again on the same data.
type Daemon struct {
	*servers.Process

	URL     string // http://127.0.0.1:PORT
	Dir     string // working directory: config.yaml, data/, daemon.log
	DataDir string

	// SecureURL, https://127.0.0.1:PORT, and CAFile, the authority to trust, in
	// PEM, are there with Settings.TLS. It is the same port.
	SecureURL, CAFile string

	// Unready lets a start succeed as soon as the daemon answers, though it says
	// that it is not ready.
	Unready bool

	binary string
	listen string
	env    []string
}

// Settings differ from test to test. The zero value is a daemon in a temporary
// folder that asks for no signatures.
type Settings struct {
	// Body is the configuration below the keys that the harness writes itself:
	// data_dir, http, log, storage and shutdown_grace.
	Body string
	// HTTP is put behind listen, such as ", auth: sigv4".
	HTTP string
	// TLS makes the port speak TLS too, with a certificate of firehosed cert.
	TLS bool
	// DataDir, if not below the daemon's folder.
	DataDir string
	// MinFree is storage.min_free, 64MiB if empty: a machine that runs tests may
	// be fuller than one that runs firehosed.
	MinFree string
	// Storage is put behind min_free, such as ", journal_size: 4MiB".
	Storage string
	// Grace is shutdown_grace, 30s if empty.
	Grace string
	// Wrap is a command that the program is started through, such as setpriv.
	Wrap []string
	// LogLevel is info if empty.
	LogLevel string
}

// New prepares a daemon that does not run yet and ends with the test. When the
// test fails, the end of its log is shown.
func New(t testing.TB, s Settings) *Daemon {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := &Daemon{
		Dir: dir, DataDir: filepath.Join(dir, "data"), binary: Binary(t),
		listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		env:    withoutAWS(os.Environ()),
	}
	d.URL = "http://" + d.listen
	if s.DataDir != "" {
		d.DataDir = s.DataDir
	}
	if s.TLS {
		s.HTTP += d.makeCertificate(t)
	}
	d.Configure(t, s)
	command := append(append([]string(nil), s.Wrap...), d.binary, "run", "-c", d.ConfigFile())
	d.Process, err = servers.New(servers.Spec{
		Name: "firehosed", Path: command[0], Args: command[1:],
		Env: d.env, Dir: dir, LogFile: filepath.Join(dir, "daemon.log"),
		Ready: d.ready, StopTimeout: Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of the daemon's log:\n%s", d.Log(t, logHead))
		}
	})
	return d
}

// Run is New and a start.
func Run(t testing.TB, s Settings) *Daemon {
	t.Helper()
	d := New(t, s)
	d.MustStart(t)
	return d
}

// Configure writes the configuration; it counts from the next start on.
func (d *Daemon) Configure(t testing.TB, s Settings) {
	t.Helper()
	minFree, grace, level := s.MinFree, s.Grace, s.LogLevel
	if minFree == "" {
		minFree = "64MiB"
	}
	if grace == "" {
		grace = "30s"
	}
	if level == "" {
		level = "info"
	}
	text := fmt.Sprintf("data_dir: %s\nhttp: { listen: %q%s }\nlog: { level: %s, format: json }\nstorage: { min_free: %s%s }\nshutdown_grace: %s\n%s",
		d.DataDir, d.listen, s.HTTP, level, minFree, s.Storage, grace, s.Body)
	if err := os.WriteFile(d.ConfigFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ConfigFile is the path of the configuration.
func (d *Daemon) ConfigFile() string { return filepath.Join(d.Dir, "config.yaml") }

// MustStart starts the daemon and waits until it is ready.
func (d *Daemon) MustStart(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Within(t, servers.DefaultStartTimeout))
	defer cancel()
	if err := d.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

// MustKill ends the daemon with SIGKILL.
func (d *Daemon) MustKill(t testing.TB) {
	t.Helper()
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
}

// MustStop ends the daemon with SIGTERM; any exit status but 0 fails the test.
func (d *Daemon) MustStop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Within(t, Patience))
	defer cancel()
	if err := errors.Join(d.Stop(ctx), d.ExitError()); err != nil {
		t.Fatal(err)
	}
}

func (d *Daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	status, body, err := d.Get(ctx, "/health/ready")
	if err != nil {
		return err
	}
	if status != http.StatusOK && !d.Unready {
		return fmt.Errorf("status %d: %s", status, body)
	}
	return nil
}

// Health is the answer of /health/ready.
type Health struct {
	Code    int // HTTP status
	Status  string
	Reasons []struct{ Part, Reason string }
}

// Health asks whether the daemon is ready.
func (d *Daemon) Health(t testing.TB) Health {
	t.Helper()
	status, body, err := d.Get(t.Context(), "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	h := Health{Code: status}
	if err := json.Unmarshal(body, &h); err != nil {
		t.Fatalf("/health/ready: %v in %q", err, body)
	}
	return h
}

// fresh reuses no connection: a daemon that is killed leaves none behind.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Get asks for a path.
func (d *Daemon) Get(ctx context.Context, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := fresh.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// Post sends a request of an AWS protocol as it is, without a client that could
// repair it: target is such as Kinesis_20131202.PutRecord.
func (d *Daemon) Post(t testing.TB, target, contentType string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Content-Type", contentType)
	resp, err := fresh.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// Exec runs the program with other arguments, in the daemon's folder, and gives
// its exit status and everything it printed.
func (d *Daemon) Exec(t testing.TB, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Dir = d.Dir
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("firehosed %s: %v, %v\n%s", strings.Join(args, " "), err, ctx.Err(), out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// Log is at most the last bytes of the daemon's log.
func (d *Daemon) Log(t testing.TB, last int64) string {
	t.Helper()
	f, err := os.Open(d.LogFile())
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, min(st.Size(), last))
	n, err := f.ReadAt(b, st.Size()-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// LogLines are the lines of the log, decoded, with one of the levels; all lines
// if none is named. A line that is no JSON, such as a panic, has only "text".
func (d *Daemon) LogLines(t testing.TB, levels ...string) []map[string]any {
	t.Helper()
	raw, err := os.ReadFile(d.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for text := range strings.Lines(string(raw)) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			line = map[string]any{"text": strings.TrimSpace(text)}
		}
		level, _ := line["level"].(string)
		for _, want := range levels {
			if level == want {
				lines = append(lines, line)
			}
		}
		if len(levels) == 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// withoutAWS drops what a user of AWS tools has set: the daemon must see only
// the credentials of its configuration.
func withoutAWS(env []string) []string {
	kept := make([]string, 0, len(env)+2)
	for _, kv := range env {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "NOTIFY_SOCKET=") {
			kept = append(kept, kv)
		}
	}
	return append(kept, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
}
