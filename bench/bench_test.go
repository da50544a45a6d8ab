package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
)

func TestMeasured(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []float64
		want string
	}{
		{"none", nil, ""},
		{"one", []float64{0.5}, "0.50"},
		{"odd", []float64{30, 10, 20}, "20.0 (10.0–30.0)"},
		{"even", []float64{400, 100, 200, 300}, "250 (100–400)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := measured("x", tt.in).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	r := &report{Machine: "here", Tables: []*table{{Title: "T", Rows: []row{{"a", []value{measured("col", []float64{1})}}}}}}
	for _, tt := range []struct{ name, before, want string }{
		{"between the markers", "head\n" + markBegin + "old\n" + markEnd + "\ntail\n", "head\n" + markBegin + r.markdown() + markEnd + "\ntail\n"},
		{"no markers", "head\n", ""},
		{"wrong order", markEnd + "\n" + markBegin, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "x.md")
			if err := os.WriteFile(name, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			err := rewrite(name, r)
			got, rerr := os.ReadFile(name)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if tt.want == "" {
				if err == nil || string(got) != tt.before {
					t.Errorf("error %v, file %q; want an error and the file as it was", err, got)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("error %v, file %q, want %q", err, got, tt.want)
			}
		})
	}
}

// The figures would flatter firehosed if the floor did not store what it
// acknowledges, or did not gather requests.
func TestFloorStores(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	f, err := newFloor(name)
	if err != nil {
		t.Fatal(err)
	}
	syncs := &countedSyncs{File: f.file}
	f.file = syncs
	defer f.file.Close()
	bodies := make([][]byte, 20)
	var clients, committer sync.WaitGroup
	for i := range bodies {
		bodies[i] = bytes.Repeat([]byte{byte(i + 1)}, 10_000)
		clients.Go(func() {
			w := httptest.NewRecorder()
			f.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(bodies[i])))
			if w.Code != http.StatusOK {
				t.Errorf("body %d: status %d", i, w.Code)
			}
		})
	}
	// All requests are in one group, for nobody writes yet.
	for gathered := false; !gathered; {
		f.mu.Lock()
		gathered = f.cur.used == len(bodies)*10_000
		f.mu.Unlock()
		runtime.Gosched()
	}
	ctx, stop := context.WithCancel(t.Context())
	committer.Go(func() { f.commit(ctx) })
	clients.Wait()
	stop()
	committer.Wait()
	stored, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bodies {
		if !bytes.Contains(stored[:1<<20], b) {
			t.Errorf("body %d was acknowledged and is not in the file", i)
		}
	}
	if syncs.n != 1 {
		t.Errorf("%d syncs for one group", syncs.n)
	}
}

type countedSyncs struct {
	vfs.File
	n int
}

func (c *countedSyncs) Sync() error {
	c.n++
	return c.File.Sync()
}

func TestLogLinesAreJSONAndTheSame(t *testing.T) {
	var files [2][]byte
	for i := range files {
		name := filepath.Join(t.TempDir(), "log")
		if err := writeLog(name, 500); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two files of as many lines differ")
	}
	n := 0
	for l := range strings.Lines(string(files[0])) {
		n++
		if !json.Valid([]byte(l)) {
			t.Fatalf("line %d is no JSON: %s", n, l)
		}
	}
	if n != 500 {
		t.Errorf("%d lines, want 500", n)
	}
}

// Each conversion works on the generated lines, and the two counters of end to
// end see all of them.
func TestConversions(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "log")
	if err := writeLog(in, 2000); err != nil {
		t.Fatal(err)
	}
	count := map[string]func(string) (int, error){
		"ndjson": countNDJSON, "gzip": countNDJSON, "file-to-file": countNDJSON,
		"parquet-declared": countParquet, "parquet-inferred": countParquet,
	}
	for name := range conversions {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(dir, name)
			var printed bytes.Buffer
			if err := convertRole([]string{name, in, out}, &printed); err != nil {
				if strings.Contains(err.Error(), "/proc/") {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			var u usage
			if err := json.Unmarshal(printed.Bytes(), &u); err != nil {
				t.Fatal(err)
			}
			if u.Bytes < 500_000 {
				t.Errorf("input of %d bytes", u.Bytes)
			}
			if c := count[name]; c != nil {
				if n, err := c(out); err != nil || n != 2000 {
					t.Errorf("%d rows, error %v; want 2000", n, err)
				}
			}
		})
	}
}

// TestEcho sends pieces over a stream of the floor, which come back one by
// one, and leaves other paths to the server below.
func TestEcho(t *testing.T) {
	srv := httptest.NewUnstartedServer(withEcho(http.NotFoundHandler()))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	c := pushClient(2)
	defer c.CloseIdleConnections()
	e, err := openEcho(t.Context(), c, &process{url: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for _, want := range []string{"one", "two", strings.Repeat("x", echoBytes)} {
		got := []byte(want)
		if err := e.trip(got); err != nil || string(got) != want {
			t.Errorf("got %.20q, want %.20q: %v", got, want, err)
		}
	}
	if _, err := subscribe(t.Context(), c, &process{url: srv.URL}, "arn", "0"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a server without SubscribeToShard: %v", err)
	}
}

// TestSubscriptionFrames finds a record in frames, and refuses what is none.
func TestSubscriptionFrames(t *testing.T) {
	frame := func(payload string) string {
		n := len(payload) + 4
		return string([]byte{0, 0, byte(n >> 8), byte(n)}) + payload
	}
	s := &subscription{in: bufio.NewReader(strings.NewReader(
		frame(`{"Records":[]}`) + frame(`{"Records":[{"SequenceNumber":"12"}]}`) + "\xff\xff\xff\xff"))}
	if _, err := s.await("12"); err != nil {
		t.Error(err)
	}
	if _, err := s.next(); err == nil || !strings.Contains(err.Error(), "frame of") {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}
