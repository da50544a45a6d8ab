package formats_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/firehosed/firehosed/formats"
)

// decompress reads the stream with readers that do not share code with xerial.go.
func decompress(t *testing.T, c formats.Compression, b []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch c {
	case formats.CompressionGzip:
		r, err = gzip.NewReader(bytes.NewReader(b))
	case formats.CompressionZstd:
		r, err = zstd.NewReader(bytes.NewReader(b))
	case formats.CompressionSnappy:
		r = snappy.NewReader(bytes.NewReader(b))
	case formats.CompressionSnappyXerial:
		return readXerial(t, b)
	default:
		return b
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readXerial follows SnappyInputStream.java: header, then blocks.
func readXerial(t *testing.T, b []byte) []byte {
	t.Helper()
	header := append([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}, 0, 0, 0, 1, 0, 0, 0, 1)
	if !bytes.HasPrefix(b, header) {
		t.Fatalf("header is % x", b[:min(16, len(b))])
	}
	var out []byte
	for b = b[16:]; len(b) > 0; {
		n := binary.BigEndian.Uint32(b)
		block, err := s2.Decode(nil, b[4:4+n])
		if err != nil {
			t.Fatal(err)
		}
		if len(block) > 32<<10 {
			t.Errorf("block of %d bytes", len(block))
		}
		out = append(out, block...)
		b = b[4+n:]
	}
	return out
}

func compress(t *testing.T, c formats.Compression, parts ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := formats.NewCompressor(c, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatalf("write of %d: %d, %v", len(p), n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompressors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for _, c := range formats.Compressions() {
		for name, in := range map[string][]byte{
			"empty": nil, "one byte": {7}, "block": bytes.Repeat([]byte("x"), 32<<10), "noise": noise,
			"text": []byte(strings.Repeat(`{"level":"info","message":"accepted"}`+"\n", 20_000)),
		} {
			t.Run(fmt.Sprintf("%s/%s", c, name), func(t *testing.T) {
				whole := compress(t, c, in)
				if got := decompress(t, c, whole); !bytes.Equal(got, in) {
					t.Fatalf("%d bytes came back as %d", len(in), len(got))
				}
				// Cut differently, and by an encoder that was used before.
				var parts [][]byte
				for rest := in; len(rest) > 0; {
					n := min(1+rng.IntN(50_000), len(rest))
					parts = append(parts, rest[:n])
					rest = rest[n:]
				}
				if again := compress(t, c, parts...); !bytes.Equal(again, whole) {
					t.Errorf("cut in %d writes the stream differs", len(parts))
				}
			})
		}
	}
}

func TestCompressorErrors(t *testing.T) {
	cause := errors.New("no space left")
	noise := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for _, c := range formats.Compressions() {
		for _, room := range []int{0, 5, 100_000} {
			w, err := formats.NewCompressor(c, &failing{room, cause})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(noise)
			if closed := w.Close(); err == nil {
				err = closed
			}
			if !errors.Is(err, cause) {
				t.Errorf("%s after %d bytes: got %v, want %v", c, room, err, cause)
			}
			if got := decompress(t, c, compress(t, c, noise)); !bytes.Equal(got, noise) {
				t.Errorf("%s: the next stream is broken", c)
			}
		}
		if c == formats.CompressionNone {
			continue
		}
		w, err := formats.NewCompressor(c, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, err := w.Write([]byte("late")); err == nil {
			t.Errorf("%s: write after close is taken", c)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: second close: %v", c, err)
		}
	}
}

type failing struct {
	room int
	err  error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, f.err
	}
	return len(b), nil
}

func TestCompressionNames(t *testing.T) {
	for _, tt := range []struct {
		c                   formats.Compression
		extension, encoding string
	}{
		{"", "", ""},
		{"none", "", ""},
		{"gzip", ".gz", "gzip"},
		{"zstd", ".zst", "zstd"},
		{"snappy", ".snappy", "x-snappy-framed"},
		{"snappy_xerial", ".snappy", "snappy-java"},
	} {
		if err := tt.c.Validate(); err != nil || tt.c.Extension() != tt.extension || tt.c.ContentEncoding() != tt.encoding {
			t.Errorf("%q: %v, %q, %q", tt.c, err, tt.c.Extension(), tt.c.ContentEncoding())
		}
	}
	const want = `compression "lzo" is unknown; known are [none gzip zstd snappy snappy_xerial]`
	if _, err := formats.NewCompressor("lzo", io.Discard); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
