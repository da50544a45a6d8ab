package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/formats/parquet"
	"github.com/firehosed/firehosed/formats/schema"
)

// usage is what one conversion took.
type usage struct {
	Bytes  int64 // of the input
	Wall   time.Duration
	CPU    time.Duration
	Memory int64 // the most it held beyond its input, in bytes
}

func (u usage) perSecond() float64    { return float64(u.Bytes) / 1e6 / u.Wall.Seconds() }
func (u usage) perCPUSecond() float64 { return float64(u.Bytes) / 1e6 / max(u.CPU, tick).Seconds() }

// conversion turns the lines of a file into another file.
type conversion func(text []byte, lines [][]byte, out *os.File) error

var conversions = map[string]conversion{
	"gzip":             floorGzip,
	"scan":             floorScan,
	"copy":             floorCopy,
	"ndjson":           toNDJSON,
	"parquet-declared": toParquet(logColumns),
	"parquet-inferred": toParquet(nil),
	"file-to-file":     nil, // reads by itself
}

// convertRole is a process that makes one conversion, so that its memory can
// be told from everything else's: NAME INPUT OUTPUT.
func convertRole(args []string, report io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("role %s: %d arguments instead of NAME INPUT OUTPUT", roleConvert, len(args))
	}
	name, in, out := args[0], args[1], args[2]
	convert, ok := conversions[name]
	if !ok {
		return fmt.Errorf("role %s: there is no %q", roleConvert, name)
	}
	var text []byte
	var lines [][]byte
	if convert != nil {
		var err error
		if text, err = os.ReadFile(in); err != nil {
			return err
		}
		lines = bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	}
	to, err := os.Create(out)
	if err != nil {
		return err
	}
	defer to.Close()

	debug.FreeOSMemory()
	if err := resetPeak("self"); err != nil {
		return err
	}
	held, err1 := memory("self", "VmRSS")
	used, err2 := processorTime("self")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	u := usage{Bytes: int64(len(text))}
	start := time.Now()
	if convert == nil {
		u.Bytes, err = fileToFile(in, to)
	} else {
		err = convert(text, lines, to)
	}
	if err != nil {
		return err
	}
	u.Wall = time.Since(start)
	u.CPU, err1 = processorTime("self")
	u.Memory, err2 = memory("self", "VmHWM")
	u.CPU -= used
	u.Memory -= held
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return json.NewEncoder(report).Encode(u)
}

// floorGzip compresses the same bytes with the same library and level, without
// looking at them.
func floorGzip(text []byte, _ [][]byte, out *os.File) error {
	w, err := gzip.NewWriterLevel(out, formats.GzipLevel)
	if err != nil {
		return err
	}
	for len(text) > 0 {
		n := min(64<<10, len(text))
		if _, err := w.Write(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return w.Close()
}

// floorScan only finds out that every line is JSON.
func floorScan(_ []byte, lines [][]byte, _ *os.File) error {
	for i, l := range lines {
		if !json.Valid(l) {
			return fmt.Errorf("line %d is no JSON", i+1)
		}
	}
	return nil
}

// floorCopy writes the lines as they are.
func floorCopy(_ []byte, lines [][]byte, out *os.File) error {
	w := bufio.NewWriterSize(out, 64<<10)
	for _, l := range lines {
		if _, err := w.Write(l); err != nil {
			return err
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return w.Flush()
}

func toNDJSON(_ []byte, lines [][]byte, out *os.File) error {
	w, err := formats.NewCompressor(formats.CompressionGzip, out)
	if err != nil {
		return err
	}
	return errors.Join(writeObject(formats.NDJSON{}, lines, w), w.Close())
}

func toParquet(columns [][2]string) conversion {
	return func(_ []byte, lines [][]byte, out *os.File) error {
		opt := parquet.Options{Compression: formats.CompressionZstd} // what the daemon does by default
		for _, c := range columns {
			t, err := schema.ParseType(c[1])
			if err != nil {
				return err
			}
			opt.Columns = append(opt.Columns, schema.Column{Name: c[0], Type: t})
		}
		f, err := parquet.New(opt)
		if err != nil {
			return err
		}
		return writeObject(f, lines, out)
	}
}

// writeObject writes lines in batches of the size that delivery reads.
func writeObject(f formats.Format, lines [][]byte, out io.Writer) error {
	w, err := f.NewWriter(out, formats.WriterOptions{})
	if err != nil {
		return err
	}
	var refused error
	for len(lines) > 0 && refused == nil {
		n := min(batchSize, len(lines))
		if err := w.Write(lines[:n], func(_ int, err *formats.RecordError) { refused = err }); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return errors.Join(refused, w.Close())
}

// fileToFile is the floor of a delivery from a file into a folder: read,
// compress as gzip -1 does, write, sync.
func fileToFile(in string, out *os.File) (int64, error) {
	from, err := os.Open(in)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	w, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(w, from, make([]byte, 256<<10))
	return n, errors.Join(err, w.Close(), out.Sync())
}
