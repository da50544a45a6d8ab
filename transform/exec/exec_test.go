package exec_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	osexec "os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/exec"
	"github.com/firehosed/firehosed/transform/transformtest"
)

// childMode in the environment makes this test binary a program under test.
const childMode = "FIREHOSED_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		child(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// child answers by the contract until mode says otherwise. It makes data upper
// case, drops "drop..." and fails "fail...".
func child(mode string) {
	switch mode {
	case "die at once":
		os.Exit(3)
	case "not found":
		os.Exit(127)
	case "read nothing":
		wait()
	case "ignore signals":
		signal.Ignore(syscall.SIGTERM)
	case "grandchild", "grandchild keeps output":
		if os.Getenv("CHILD_OF_CHILD") != "" {
			conn, err := net.Dial("tcp", os.Getenv("CHILD_ADDR"))
			if err != nil {
				panic(err)
			}
			_, _ = io.Copy(io.Discard, conn) // until it is killed
			return
		}
		cmd := osexec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CHILD_OF_CHILD=1")
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	case "flood":
		for i := range 5000 {
			fmt.Fprintf(os.Stderr, "line %d\xff\n", i)
		}
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 1<<20))
	}
	in := bufio.NewReader(os.Stdin)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil {
			if mode == "ignore signals" {
				wait()
			}
			return
		}
		answer := answerTo(line)
		switch mode {
		case "die", "grandchild keeps output":
			os.Exit(3)
		case "die of poison":
			if bytes.Contains(answer, []byte(`"UE9JU09O"`)) { // POISON
				os.Exit(3)
			}
		case "die at first":
			if first() {
				os.Exit(3)
			}
		case "answer and go":
			fmt.Printf("%s\n", answer)
			return
		case "hang":
			wait()
		case "garbage":
			fmt.Println("Traceback (most recent call last):")
			continue
		case "talk":
			fmt.Printf("%s\nthank you\n", answer)
			continue
		case "greet":
			fmt.Printf("hello\n%s\n", answer)
			continue
		case "endless line":
			for {
				if _, err := os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
					return
				}
			}
		case "no end":
			fmt.Printf("%s", answer)
			return
		case "close output":
			_ = os.Stdout.Close()
			wait()
		case "first record only":
			answer = answerTo(bytes.Replace(line, []byte(`},{"recordId"`), []byte(`}],"x":[{"recordId"`), 1))
		}
		fmt.Printf("%s\n", answer)
	}
}

// wait does nothing until the process is killed.
func wait() {
	for {
		time.Sleep(time.Hour)
	}
}

// first is true in one process only, for all that share CHILD_FILE.
func first() bool {
	f, err := os.OpenFile(os.Getenv("CHILD_FILE"), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func answerTo(line []byte) []byte {
	var q struct {
		Records []struct {
			RecordID string `json:"recordId"`
			Data     []byte `json:"data"`
		} `json:"records"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		panic(err)
	}
	type record struct {
		RecordID string `json:"recordId"`
		Result   string `json:"result"`
		Data     []byte `json:"data"`
	}
	var a struct {
		Records []record `json:"records"`
	}
	for _, r := range q.Records {
		o := record{r.RecordID, "Ok", bytes.ToUpper(append([]byte{}, r.Data...))}
		switch {
		case bytes.HasPrefix(r.Data, []byte("drop")):
			o.Result = "Dropped"
		case bytes.HasPrefix(r.Data, []byte("fail")):
			o.Result = "ProcessingFailed"
		}
		a.Records = append(a.Records, o)
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return b
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func options(mode string) exec.Options {
	return exec.Options{
		Command: []string{os.Args[0]}, Name: "child", Env: []string{childMode + "=" + mode},
		Restart: backoff.Policy{Initial: time.Nanosecond, Max: time.Nanosecond}, Grace: 10 * time.Second,
	}
}

func open(t testing.TB, opt exec.Options) *exec.Transformer {
	t.Helper()
	e, err := exec.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func records(data ...string) []transform.Record {
	in := make([]transform.Record, len(data))
	for i, d := range data {
		in[i] = transform.Record{ID: fmt.Sprintf("id-%d", i), Data: []byte(d)}
	}
	return in
}

func show(out []transform.Outcome) string {
	var s []string
	for _, o := range out {
		switch o.Verdict {
		case transform.OK:
			s = append(s, string(o.Record.Data))
		case transform.Dropped:
			s = append(s, "dropped")
		case transform.Failed:
			s = append(s, fmt.Sprintf("%s after %d", o.Code, o.Attempts))
		}
	}
	return strings.Join(s, ", ")
}

func TestContract(t *testing.T) {
	transformtest.Run(t, transformtest.Case{
		Open: func(t *testing.T) transform.Transformer {
			opt := options("good")
			opt.Workers, opt.BatchRecords = 2, 5
			e, err := exec.New(opt)
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		OK:      []string{"a", "", "\x00\n\xff", strings.Repeat("x", 100_000)},
		Dropped: []string{"drop"},
		Failed:  []string{"fail"},
		Slow:    true,
	})
}

func TestPrograms(t *testing.T) {
	for _, tt := range []struct {
		mode    string
		retries int
		want    []string // of one batch after the other
		message string   // of the last record of the first batch
	}{
		{"good", 0, []string{"A, dropped, Exec.ProcessingFailedStatus after 1", "A, dropped, Exec.ProcessingFailedStatus after 1"}, "ProcessingFailed status set for record"},
		{"die at once", 2, []string{"Exec.FunctionError after 3, Exec.FunctionError after 3, Exec.FunctionError after 3"}, "child: it "},
		{"die", 1, []string{"Exec.FunctionError after 2, Exec.FunctionError after 2, Exec.FunctionError after 2"}, "child: it closed its output (exit status 3)"},
		{"die at first", 1, []string{"A, dropped, Exec.ProcessingFailedStatus after 2", "A, dropped, Exec.ProcessingFailedStatus after 1"}, ""},
		{"answer and go", 3, []string{"A, dropped, Exec.ProcessingFailedStatus after 1"}, ""},
		{"garbage", 3, []string{
			"Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1",
			"Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1",
		}, "the answer is no JSON: byte 0: invalid character 'T'"},
		{"greet", 0, []string{"Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1, Exec.JsonProcessingException after 1"}, ""},
		{"endless line", 3, []string{"Exec.FunctionError after 1, Exec.FunctionError after 1, Exec.FunctionError after 1"}, "child answers with a line of more than 100000 bytes"},
		{"no end", 0, []string{"Exec.FunctionError after 1, Exec.FunctionError after 1, Exec.FunctionError after 1"}, "child: it closed its output"},
		{"close output", 0, []string{"Exec.FunctionError after 1, Exec.FunctionError after 1, Exec.FunctionError after 1"}, "child: it closed its output (signal: killed)"},
		{"first record only", 3, []string{"Exec.MissingRecordId after 1, Exec.MissingRecordId after 1, Exec.MissingRecordId after 1"}, "2 of 3 are missing."},
		{"flood", 0, []string{"A, dropped, Exec.ProcessingFailedStatus after 1"}, ""},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			opt := options(tt.mode)
			opt.Env = append(opt.Env, "CHILD_FILE="+t.TempDir()+"/first")
			opt.Retries = tt.retries
			opt.MaxResponse = 100_000
			e := open(t, opt)
			for i, want := range tt.want {
				out, err := e.Transform(t.Context(), records("a", "drop", "fail"))
				if err != nil {
					t.Fatal(err)
				}
				if got := show(out); got != want {
					t.Errorf("batch %d\ngot  %s\nwant %s", i, got, want)
				}
				if i == 0 && !strings.Contains(out[2].Message, tt.message) {
					t.Errorf("message %q, want %q", out[2].Message, tt.message)
				}
			}
		})
	}
}

// A line that nobody asked for must not become the answer to a later batch.
func TestTalkingProgramIsRestarted(t *testing.T) {
	opt := options("talk")
	opt.Retries = 1
	var log syncBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := open(t, opt)
	for i := range 20 {
		out, err := e.Transform(t.Context(), records("a"))
		if err != nil {
			t.Fatal(err)
		}
		// Either the second line was seen in time, or it came too late and the
		// batch failed; never do results of another batch come back.
		if got := show(out); got != "A" && got != "Exec.JsonProcessingException after 1" {
			t.Errorf("batch %d: %s", i, got)
		}
	}
	if got := log.String(); !strings.Contains(got, "it wrote a line that was not asked for") && !strings.Contains(got, "its answer does not fit the request") {
		t.Errorf("log: %s", got)
	}
}

func TestPoisonFailsItsBatchOnly(t *testing.T) {
	opt := options("die of poison")
	opt.Retries = 1
	opt.BatchRecords = 1
	out, err := open(t, opt).Transform(t.Context(), records("a", "poison", "b"))
	if err != nil || show(out) != "A, Exec.FunctionError after 2, B" {
		t.Errorf("got %s, %v", show(out), err)
	}
}

func TestTimeout(t *testing.T) {
	for _, mode := range []string{"hang", "read nothing"} {
		opt := options(mode)
		opt.Timeout = 50 * time.Millisecond
		opt.Retries = 1
		// More than a pipe holds, so that the write blocks as well.
		out, err := open(t, opt).Transform(t.Context(), records(strings.Repeat("x", 1<<20)))
		if err != nil || show(out) != "Exec.FunctionTimeout after 2" || out[0].Message != "child did not answer within 50ms" {
			t.Errorf("%s: got %s, %v", mode, show(out), err)
		}
	}
}

func TestCancelDuringABatch(t *testing.T) {
	opt := options("hang")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	e := open(t, opt)
	if out, err := e.Transform(ctx, records("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %s, %v", show(out), err)
	}
}

func TestCloseDuringABatch(t *testing.T) {
	e := open(t, options("hang"))
	done := make(chan error)
	go func() {
		_, err := e.Transform(context.Background(), records("a"))
		done <- err
	}()
	time.AfterFunc(10*time.Millisecond, func() { _ = e.Close() })
	if err := <-done; !errors.Is(err, exec.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := e.Transform(t.Context(), records("a")); !errors.Is(err, exec.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseOfAStubbornProgram(t *testing.T) {
	opt := options("ignore signals")
	opt.Grace = 20 * time.Millisecond
	var log syncBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := open(t, opt)
	if out, err := e.Transform(t.Context(), records("a")); err != nil || show(out) != "A" {
		t.Fatalf("got %s, %v", show(out), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, `msg="program ended" program=child worker=0 exit="signal: killed"`) {
		t.Errorf("log: %s", got)
	}
}

func TestCloseLetsTheProgramEnd(t *testing.T) {
	opt := options("good")
	var log syncBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := open(t, opt)
	if _, err := e.Transform(t.Context(), records("a")); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, `exit="exit status 0"`) {
		t.Errorf("log: %s", got)
	}
}

// What the program started ends with it, on Close and when it dies.
func TestGrandchildrenEnd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process groups")
	}
	for mode, want := range map[string]string{"grandchild": "A", "grandchild keeps output": "Exec.FunctionError after 1"} {
		t.Run(mode, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			opt := options(mode)
			opt.Env = append(opt.Env, "CHILD_ADDR="+l.Addr().String())
			e := open(t, opt)
			out, err := e.Transform(t.Context(), records("a"))
			if err != nil || show(out) != want {
				t.Errorf("got %s, %v", show(out), err)
			}
			if mode == "grandchild" {
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				// The deadline is only for a test that fails.
				if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the grandchild lives: %v", err)
				}
			}
		})
	}
}

func TestLogOfStderr(t *testing.T) {
	opt := options("flood")
	var log syncBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := open(t, opt)
	if _, err := e.Transform(t.Context(), records("a")); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	got := log.String()
	if !strings.Contains(got, `msg="program says" program=child worker=0 stderr="line 0`+"\ufffd"+`"`) {
		t.Errorf("the first line is missing: %.500s", got)
	}
	if n := strings.Count(got, "program says"); n < 100 || n > 1000 {
		t.Errorf("%d lines logged of 5001", n)
	}
	if !strings.Contains(got, "lines_skipped=") {
		t.Error("nothing says that lines were skipped")
	}
	for l := range strings.Lines(got) {
		if len(l) > 5000 {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	for name, change := range map[string]func(*exec.Options){
		"no such file or directory":                        func(o *exec.Options) { o.Command = []string{dir + "/nosuch"} },
		"executable file not found in $PATH":               func(o *exec.Options) { o.Command = []string{"nosuch-program-here"} },
		"permission denied":                                func(o *exec.Options) { o.Command = []string{dir} },
		"exit status 127":                                  func(o *exec.Options) { o.Env = []string{childMode + "=not found"} },
		"directory: stat " + dir + "/nosuch: no such file": func(o *exec.Options) { o.Dir = dir + "/nosuch" },
	} {
		opt := options("good")
		change(&opt)
		out, err := open(t, opt).Transform(t.Context(), records("a"))
		if err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "exec: start of child: ") {
			t.Errorf("%s: got %s, %v", name, show(out), err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		opt  exec.Options
		want string
	}{
		{exec.Options{}, "exec: command is missing"},
		{exec.Options{Command: []string{""}}, "exec: command is missing"},
		{exec.Options{Command: []string{"x"}, Workers: -1}, "exec: workers -1 is outside 1 to 1024"},
		{exec.Options{Command: []string{"x"}, Retries: 301}, "exec: retries 301 is outside 0 to 300"},
		{exec.Options{Command: []string{"x"}, BatchBytes: 17 << 20}, "exec: batch size 17825792 is outside 1 to 16777216 bytes"},
		{exec.Options{Command: []string{"x"}, BatchRecords: 10_001}, "exec: batch records 10001 is outside 1 to 10000"},
		{exec.Options{Command: []string{"x"}, Grace: -1}, "exec: times and sizes must not be negative"},
	} {
		if _, err := exec.New(tt.opt); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: got %v, want %s", tt.opt, err, tt.want)
		}
	}
}
