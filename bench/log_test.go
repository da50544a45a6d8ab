package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// The experiment would flatter the log without a journal if that did not store
// what it acknowledges in a form that could be read again.
func TestDirectStores(t *testing.T) {
	for name, policy := range map[string]syncPolicy{"syncfs": syncAll, "fdatasync": syncEach} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			const shards = 7
			s, err := openDirect(storeSpec{dir: dir, shards: shards}, policy)
			if err != nil {
				t.Fatal(err)
			}
			r, err := turns.Run(t.Context(), s, turns.Job{For: time.Minute, Bytes: 2 << 20, Writers: 9, Records: 11}, 0)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			}
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			found := int64(0)
			for i := range shards {
				b, err := os.ReadFile(filepath.Join(dir, "0000"+strconv.Itoa(i)+".seg"))
				if err != nil {
					t.Fatal(err)
				}
				found += readDirect(t, b)
			}
			if found != r.Records {
				t.Errorf("%d records are in the files, %d were acknowledged", found, r.Records)
			}
		})
	}
}

// readDirect checks the frames of a file and counts their records.
func readDirect(t *testing.T, b []byte) (records int64) {
	t.Helper()
	for seq := uint64(0); len(b) > 0; seq++ {
		size := int(binary.LittleEndian.Uint32(b))
		body := b[directHead : directHead+size]
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) ||
			crc32.Checksum(b[:28], castagnoli) != binary.LittleEndian.Uint32(b[28:]) {
			t.Fatalf("frame %d does not match its checksums", seq)
		}
		if got := binary.LittleEndian.Uint64(b[8:]); got != seq {
			t.Fatalf("frame %d says it is %d", seq, got)
		}
		for len(body) > 0 {
			for range 2 { // key and data
				n, k := binary.Uvarint(body)
				body = body[k+int(n):]
			}
			records++
		}
		b = b[directHead+size:]
	}
	return records
}

// Each kind of store does a turn and settles.
func TestStoresTakeTurns(t *testing.T) {
	for kind, open := range stores {
		t.Run(kind, func(t *testing.T) {
			s, err := open(storeSpec{dir: t.TempDir(), shards: 3, checkpoint: 10 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			r, err := turns.Run(t.Context(), s, turns.Job{For: time.Minute, Bytes: 1 << 20, Writers: 1, Records: 64, Settle: true}, 0)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			}
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(logKinds, kind) && s.(*walStore).log.Stats().Records != r.Records {
				t.Errorf("%d records are in the log, %d were acknowledged", s.(*walStore).log.Stats().Records, r.Records)
			}
			if r.Bytes() < 1<<20 {
				t.Errorf("%d bytes", r.Bytes())
			}
		})
	}
}

func TestAppendRowRatio(t *testing.T) {
	floor := turns.Result{Appends: 100, Records: 6400, Took: time.Second}
	ours := turns.Result{Appends: 60, Records: 60, Took: 2 * time.Second, Allocs: 120, CPU: 600 * time.Microsecond}
	got := map[string][]turns.Result{rowF: {floor}, "x": {ours}}
	value := func(s side, name string) float64 {
		for _, v := range appendRow(s, got).Values {
			if v.Name == name {
				return v.Median
			}
		}
		t.Fatalf("no column %q", name)
		return 0
	}
	byAppends, byBytes := side{name: "x", floor: rowF, each: true}, side{name: "x", floor: rowF}
	for _, tt := range []struct {
		name string
		s    side
		want float64
	}{
		{"ratio", byAppends, 0.3},
		{"ratio", byBytes, 30.0 / 6400},
		{"allocations/append", byBytes, 2},
		{"CPU µs/record", byBytes, 10},
		{"records/s", byBytes, 30},
	} {
		if v := value(tt.s, tt.name); v != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, v, tt.want)
		}
	}
	if name := appendRow(byAppends, got).Name; name != "x (to F)" {
		t.Errorf("row is called %q", name)
	}
	for _, s := range appendSides() {
		if s.floor != "" && appendRowIndex(s.floor) >= appendRowIndex(s.name) {
			t.Errorf("row %q is compared with %q, which is not before it", s.name, s.floor)
		}
	}
}

func appendRowIndex(name string) int {
	for i, s := range appendSides() {
		if s.name == name {
			return i
		}
	}
	return -1
}

// A log that was killed while it took records opens, with all that is needed
// for the table of starts.
func TestOpenRole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	in, end := io.Pipe()
	var out, again bytes.Buffer
	told := &lineWatch{Buffer: &out, line: "full", seen: func() { _ = end.Close() }}
	if err := openRole([]string{"-dir", dir, "-bytes", "3000000"}, in, told); err != nil {
		if strings.Contains(err.Error(), "/proc/") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if err := openRole([]string{"-dir", dir}, strings.NewReader(""), &again); err != nil {
		t.Fatal(err)
	}
	if n := len(filesBelow(filepath.Join(dir, "shards"))); n < startShards/2 {
		t.Errorf("records went to %d segments of %d shards", n, startShards)
	}
	if !strings.Contains(out.String(), `"Open":`) || !strings.Contains(again.String(), `"Append":`) {
		t.Errorf("it told %q and %q", out.String(), again.String())
	}
}

type lineWatch struct {
	*bytes.Buffer
	line string
	seen func()
}

func (w *lineWatch) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(string(p), w.line) {
		w.seen()
	}
	return n, err
}

func TestReadsRole(t *testing.T) {
	var out bytes.Buffer
	if err := readsRole([]string{"-dir", t.TempDir(), "-for", "1ms", "-memory", "1000000", "-files", "2000000"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, c := range readCases {
		if !strings.Contains(out.String(), strconv.Quote(c.name)+":[") {
			t.Errorf("no case %q in %s", c.name, out.String())
		}
	}
}
