// Package formattest is the contract suite of object formats. A format is done
// when Run passes.
package formattest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/formats"
)

// Subject is the format under test and what it should make of records.
type Subject struct {
	// Format is used for all writers, as a delivery does.
	Format formats.Format
	// Good are records that the format takes. At least two.
	Good [][]byte
	// Bad are records that it refuses, with the code expected.
	Bad map[string]string
	// Decode reads a whole object back, one text per row.
	Decode func(t *testing.T, object []byte) []string
	// Want gives the rows that Decode should find for a record the format took.
	Want func(t *testing.T, record []byte) []string
}

// Run checks a format against the contract of formats.Writer.
func Run(t *testing.T, s Subject) {
	t.Run("empty object", s.empty)
	t.Run("bad records are refused one by one", s.refusals)
	t.Run("same records give the same bytes", s.deterministic)
	t.Run("slices are not kept", s.notKept)
	t.Run("state goes round", s.state)
	t.Run("state that is not ours", s.foreignState)
	t.Run("error of the underlying writer", s.writerError)
	t.Run("odd records", s.odd)
	t.Run("write after close", s.afterClose)
	t.Run("only bad records", s.onlyBad)
}

// object is what writing gave.
type object struct {
	bytes   []byte
	refused map[int]*formats.RecordError
	rows    int64
	state   []byte
}

// write makes an object of records handed over in groups of n, and checks that
// no temporary file is left.
func (s Subject) write(t *testing.T, records [][]byte, n int, state []byte) object {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	w, err := s.Format.NewWriter(&out, formats.WriterOptions{State: state, TempDir: dir})
	if err != nil {
		t.Fatalf("new writer: %v", err)
	}
	o := object{refused: map[int]*formats.RecordError{}}
	first := 0
	for group := range slices.Chunk(records, n) {
		err := w.Write(group, func(i int, refused *formats.RecordError) {
			if i < 0 || i >= len(group) || refused == nil || refused.Code == "" || refused.Err == nil {
				t.Errorf("refusal of record %d of %d without cause: %v", i, len(group), refused)
			}
			if o.refused[first+i] != nil {
				t.Errorf("record %d is refused twice", first+i)
			}
			o.refused[first+i] = refused
		})
		if err != nil {
			t.Fatalf("write: %v", err)
		}
		first += len(group)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	noFiles(t, dir)
	o.bytes, o.rows, o.state = out.Bytes(), w.Rows(), w.State()
	return o
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("temporary file %s is left", e.Name())
	}
}

// check compares the object with what the records taken should give.
func (s Subject) check(t *testing.T, o object, records [][]byte) {
	t.Helper()
	var want []string
	for i, r := range records {
		if o.refused[i] == nil {
			want = append(want, s.Want(t, r)...)
		}
	}
	got := s.Decode(t, o.bytes)
	if int64(len(got)) != o.rows {
		t.Errorf("Rows says %d, the object has %d", o.rows, len(got))
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("row %d is missing: %.300s", i, want[i])
		case i >= len(want):
			t.Fatalf("row %d was never written: %.300s", i, got[i])
		case got[i] != want[i]:
			t.Fatalf("row %d:\n got %.2000s\nwant %.2000s", i, got[i], want[i])
		}
	}
}

func (s Subject) empty(t *testing.T) {
	s.check(t, s.write(t, nil, 1, nil), nil)
}

func (s Subject) onlyBad(t *testing.T) {
	var records [][]byte
	for r := range s.Bad {
		records = append(records, []byte(r))
	}
	if len(records) == 0 {
		t.Skip("the format refuses nothing")
	}
	o := s.write(t, records, len(records), nil)
	if len(o.refused) != len(records) || o.rows != 0 {
		t.Errorf("%d of %d refused, %d rows", len(o.refused), len(records), o.rows)
	}
	s.check(t, o, records)
}

// mixed is each bad record between good ones.
func (s Subject) mixed() (records [][]byte, bad map[int]string) {
	bad = map[int]string{}
	names := make([]string, 0, len(s.Bad))
	for r := range s.Bad {
		names = append(names, r)
	}
	slices.Sort(names)
	for i, r := range names {
		records = append(records, s.Good[i%len(s.Good)])
		bad[len(records)] = s.Bad[r]
		records = append(records, []byte(r))
	}
	return append(records, s.Good...), bad
}

func (s Subject) refusals(t *testing.T) {
	records, bad := s.mixed()
	for _, n := range []int{1, 3, len(records)} {
		o := s.write(t, records, n, nil)
		for i, r := range records {
			got := ""
			if o.refused[i] != nil {
				got = o.refused[i].Code
			}
			if got != bad[i] {
				t.Errorf("record %.80q: refused with %q, want %q (%v)", r, got, bad[i], o.refused[i])
			}
		}
		s.check(t, o, records)
	}
}

func (s Subject) deterministic(t *testing.T) {
	records, _ := s.mixed()
	for range 5 { // enough for several flushes of a small buffer
		records = append(records, records...)
	}
	first := s.write(t, records, len(records), nil)
	for _, n := range []int{len(records), 1, 7, 100} {
		again := s.write(t, records, n, nil)
		if !bytes.Equal(again.bytes, first.bytes) {
			t.Errorf("in groups of %d the object differs (%d and %d bytes)", n, len(again.bytes), len(first.bytes))
		}
		if !bytes.Equal(again.state, first.state) {
			t.Errorf("in groups of %d the state differs:\n%s\n%s", n, again.state, first.state)
		}
	}
	s.check(t, first, records)
}

func (s Subject) notKept(t *testing.T) {
	var out bytes.Buffer
	w, err := s.Format.NewWriter(&out, formats.WriterOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Good {
		record := bytes.Clone(r)
		if err := w.Write([][]byte{record}, func(_ int, err *formats.RecordError) { t.Errorf("refused: %v", err) }); err != nil {
			t.Fatal(err)
		}
		for i := range record {
			record[i] = '#'
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.check(t, object{bytes: out.Bytes(), rows: w.Rows()}, s.Good)
}

func (s Subject) state(t *testing.T) {
	first := s.write(t, s.Good, len(s.Good), nil)
	second := s.write(t, s.Good, len(s.Good), first.state)
	if !bytes.Equal(first.state, second.state) {
		t.Errorf("the same records changed the state:\n%s\n%s", first.state, second.state)
	}
	s.check(t, second, s.Good)
	none := s.write(t, nil, 1, first.state)
	if !bytes.Equal(none.state, first.state) {
		t.Errorf("an empty object changed the state:\n%s\n%s", first.state, none.state)
	}
}

// foreignState gives states that no writer made: an error or a sound object,
// never a panic.
func (s Subject) foreignState(t *testing.T) {
	for _, state := range []string{"{", "null", "[]", `{"version":999}`, "\x00\xff", strings.Repeat("[", 100_000)} {
		w, err := s.Format.NewWriter(io.Discard, formats.WriterOptions{State: []byte(state), TempDir: t.TempDir()})
		if err != nil {
			continue
		}
		if err := w.Write(s.Good, func(int, *formats.RecordError) {}); err != nil {
			t.Errorf("state %.20q: write: %v", state, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("state %.20q: close: %v", state, err)
		}
	}
}

// limited fails after n bytes.
type limited struct {
	n   int
	err error
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.n {
		n := l.n
		l.n = 0
		return n, l.err
	}
	l.n -= len(b)
	return len(b), nil
}

func (s Subject) writerError(t *testing.T) {
	cause := errors.New("disk on fire")
	size := len(s.write(t, s.Good, 1, nil).bytes)
	for _, n := range []int{0, 1, size / 2, size - 1} {
		dir := t.TempDir()
		w, err := s.Format.NewWriter(&limited{n, cause}, formats.WriterOptions{TempDir: dir})
		if err == nil {
			err = w.Write(s.Good, func(_ int, err *formats.RecordError) { t.Errorf("refused: %v", err) })
			if closed := w.Close(); err == nil {
				err = closed
			}
		}
		if !errors.Is(err, cause) {
			t.Errorf("after %d of %d bytes: got %v, want %v", n, size, err, cause)
		}
		noFiles(t, dir)
	}
}

// odd gives records that break careless code. Each is refused or is in the
// object as it came.
func (s Subject) odd(t *testing.T) {
	deep := func(n int) string { return `{"deep":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	wide := new(strings.Builder)
	for i := range 3000 {
		fmt.Fprintf(wide, `,"k%d":%d`, i, i)
	}
	for name, record := range map[string]string{
		"no bytes":           "",
		"white space":        " \r\n\t ",
		"a NUL byte":         "\x00",
		"NUL in a string":    "{\"a\":\"x\x00y\"}",
		"escaped NUL":        `{"a":"x\u0000y"}`,
		"NUL as a key":       `{"\u0000":1}`,
		"not UTF-8":          "{\"a\":\"\xff\xfe\"}",
		"key not UTF-8":      "{\"\xff\":1}",
		"half a surrogate":   `{"a":"\ud800"}`,
		"deep":               deep(15),
		"deeper":             deep(900),
		"too deep":           deep(100_000),
		"never closed":       strings.Repeat(`{"a":`, 100_000),
		"large string":       `{"a":"` + strings.Repeat("0123456789abcdef", 4<<20/16) + `"}`,
		"large number":       `{"a":` + strings.Repeat("9", 5000) + `}`,
		"large exponent":     `{"a":1e999999999999}`,
		"many keys":          `{"k":0` + wide.String() + `}`,
		"repeated key":       `{"a":1,"a":{"b":2},"a":"3"}`,
		"empty key":          `{"":1}`,
		"dots and quotes":    "{\"a.b`c\\\"d\":1}",
		"byte order mark":    "\ufeff{\"a\":1}",
		"empty object":       `{}`,
		"number":             `1`,
		"array":              `[1,2]`,
		"null":               `null`,
		"two documents":      `{"a":1}{"a":2}`,
		"one and a half":     `{"a":1}{"a":`,
		"pretty printed":     "{\n  \"a\": 1,\r\n  \"b\": [ 1 , 2 ]\n}\n",
		"line ends in text":  `{"a":"x\ny\r\nz"}`,
		"unicode line break": "{\"a\":\"x\u2028y\"}",
	} {
		t.Run(name, func(t *testing.T) {
			records := [][]byte{s.Good[0], []byte(record), s.Good[1]}
			o := s.write(t, records, len(records), nil)
			if o.refused[0] != nil || o.refused[2] != nil {
				t.Fatalf("the records around it are refused: %v, %v", o.refused[0], o.refused[2])
			}
			s.check(t, o, records)
		})
	}
}

func (s Subject) afterClose(t *testing.T) {
	w, err := s.Format.NewWriter(io.Discard, formats.WriterOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(s.Good, func(int, *formats.RecordError) {}); err == nil {
		t.Error("write after close: no error")
	}
}
