package delivery_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/dir"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

// fixture is a log with a stream "in", and folders for outputs.
type fixture struct {
	*testing.T
	data, out string
	log       *wal.Log
	logger    *slog.Logger
}

func newFixture(t *testing.T, shards int) *fixture {
	t.Helper()
	f := &fixture{T: t, data: t.TempDir(), out: t.TempDir(), logger: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		f.logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	f.open()
	if _, err := f.log.Create(t.Context(), streams.StreamSpec{Name: "in", Shards: shards}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) open() {
	f.Helper()
	log, err := wal.Open(f.data, wal.Options{JournalBytes: 1 << 20, MinFreeBytes: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.log = log
	f.Cleanup(func() { _ = log.Close() })
}

func (f *fixture) put(records ...string) {
	f.Helper()
	b := &streams.Batch{}
	for _, r := range records {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: r, Data: []byte(r)})
	}
	if _, err := f.log.Append(f.Context(), "in", b); err != nil {
		f.Fatal(err)
	}
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"n":%d}`, i))
	}
	return out
}

func (f *fixture) sink(name string) sinks.ObjectSink {
	f.Helper()
	s, err := dir.New(dir.Options{Path: filepath.Join(f.out, name)})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// options deliver "in" as ndjson to out/data, errors to out/errors.
func (f *fixture) options() delivery.Options {
	f.Helper()
	prefix, err := delivery.ParsePrefix("!{timestamp:yyyy}/", nil)
	if err != nil {
		f.Fatal(err)
	}
	errPrefix, err := delivery.ParseErrorPrefix("!{firehose:error-output-type}/", nil)
	if err != nil {
		f.Fatal(err)
	}
	return delivery.Options{
		Name: "d", Log: f.log, Source: "in", Start: streams.Horizon,
		Hints: buffer.Hints{Bytes: 1 << 20, Interval: time.Minute},
		Objects: &delivery.ObjectOutput{
			Output: delivery.Output{Sink: f.sink("data"), Prefix: prefix},
			Format: formats.NDJSON{},
		},
		Errors:  &delivery.Output{Sink: f.sink("errors"), Prefix: errPrefix},
		WorkDir: filepath.Join(f.data, "work"),
		Logger:  f.logger,
	}
}

// run runs a delivery stream until the returned function is called, which
// returns what Run returned.
func (f *fixture) run(opt delivery.Options) (*delivery.Stream, func() error) {
	f.Helper()
	s, err := delivery.New(opt)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	f.Cleanup(func() { _ = stop() })
	return s, stop
}

func (f *fixture) stop(stop func() error) {
	f.Helper()
	if err := stop(); err != nil {
		f.Errorf("Run: %v", err)
	}
}

// objects returns the files below a folder of the outputs by their paths.
func (f *fixture) objects(name string) map[string][]byte {
	f.Helper()
	out := map[string][]byte{}
	root := filepath.Join(f.out, name)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".gz") {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return err
			}
			if b, err = io.ReadAll(r); err != nil {
				return err
			}
		}
		rel, _ := filepath.Rel(root, path)
		out[rel] = b
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// lines returns the lines of all objects below a folder, sorted.
func (f *fixture) lines(name string) []string {
	f.Helper()
	var out []string
	for _, b := range f.objects(name) {
		out = append(out, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	slices.Sort(out)
	return out
}

func sorted(lines []string) []string {
	out := slices.Clone(lines)
	slices.Sort(out)
	return out
}

func (f *fixture) wantLines(name string, want []string) {
	f.Helper()
	if got := f.lines(name); !slices.Equal(got, sorted(want)) {
		f.Fatalf("%s holds %d lines, want %d; got %.300s", name, len(got), len(want), strings.Join(got, " "))
	}
}

// script is an object sink that does what it is told before it passes a Put on.
type script struct {
	sinks.ObjectSink
	mu     sync.Mutex
	before func(o sinks.Object) error
	after  func(o sinks.Object) error
	check  func() error
	puts   int
}

func (s *script) Put(ctx context.Context, o sinks.Object) (sinks.Stored, error) {
	s.mu.Lock()
	s.puts++
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(o); err != nil {
			return sinks.Stored{}, err
		}
	}
	stored, err := s.ObjectSink.Put(ctx, o)
	if err == nil && after != nil {
		err = after(o)
	}
	return stored, err
}

func (s *script) Check(ctx context.Context) error {
	s.mu.Lock()
	check := s.check
	s.mu.Unlock()
	if check != nil {
		return check()
	}
	return s.ObjectSink.Check(ctx)
}

func (s *script) set(change func(*script)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}
