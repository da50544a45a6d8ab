package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// objects is how many each delivery makes. Buffers close by the number of
// records, so that nothing waits for a clock.
const objects = 4

const deliveryConfig = `
storage: {min_free: 0}
delivery_streams:
  bench:
    source: {file: {include: ["%s/in/*.log"]}}
    buffer: {size: 1GiB, interval: 15m, records: RECORDS}
    format: FORMAT
    compression: COMPRESSION
    destination: {dir: {path: "%s/out", prefix: "objects/"}}
    errors: {dir: {path: "%s/errors"}}
`

// endToEnd measures the daemon's whole way: it follows a file, makes each line
// durable in the log, and delivers objects into a folder.
func (b *bench) endToEnd(ctx context.Context) (*table, error) {
	in := filepath.Join(b.dir, "endtoend.log")
	if err := writeLog(in, b.lines); err != nil {
		return nil, err
	}
	defer os.Remove(in)
	cases := []struct {
		name string
		run  func() (usage, error)
	}{
		{"floor: read, gzip -1, write, fsync", func() (usage, error) {
			out := filepath.Join(b.dir, "endtoend.gz")
			defer os.Remove(out)
			return b.convert(ctx, "file-to-file", in, out)
		}},
		{"file, log, ndjson with gzip, folder", func() (usage, error) {
			return b.deliver(ctx, in, "ndjson", "gzip", countNDJSON)
		}},
		{"file, log, Parquet inferred, folder", func() (usage, error) {
			return b.deliver(ctx, in, "parquet", "none", countParquet)
		}},
	}
	got := make([][]usage, len(cases))
	for i := range b.repeats {
		b.sayf("end to end, round %d of %d", i+1, b.repeats)
		for k, c := range cases {
			u, err := c.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			got[k] = append(got[k], u)
		}
	}
	t := &table{
		Name: "endtoend", Title: "The whole way: a file to objects in a folder",
		Note: fmt.Sprintf("%d lines of nested JSON, %d MB, to %d objects. Time runs from the start of the daemon until the last object has its name, "+
			"and covers the log: two more writes of every line and the syncs. The rows of the objects are counted afterwards. The ratio is of wall time.",
			b.lines, got[0][0].Bytes/1e6, objects),
	}
	for k, c := range cases {
		var wall, cpu, ratio, memory []float64
		for i, u := range got[k] {
			wall, cpu = append(wall, u.perSecond()), append(cpu, u.perCPUSecond())
			ratio = append(ratio, u.perSecond()/got[0][i].perSecond())
			memory = append(memory, float64(u.Memory)/1e6)
		}
		t.Rows = append(t.Rows, row{Name: c.name, Values: []value{
			measured("MB/s", wall), measured("MB per CPU s", cpu), measured("of the floor", ratio), measured("peak RSS MB", memory),
		}})
	}
	return t, nil
}

// deliver runs the daemon on a copy of the file until all its lines are in
// objects, and checks that they are.
func (b *bench) deliver(ctx context.Context, in, format, compression string, count func(string) (int, error)) (u usage, err error) {
	config := strings.NewReplacer("FORMAT", format, "COMPRESSION", compression, "RECORDS", strconv.Itoa(b.lines/objects)).Replace(deliveryConfig)
	st, err := os.Stat(in)
	if err != nil {
		return u, err
	}
	u.Bytes = st.Size()
	p, err := b.newProcess("firehosed")
	if err != nil {
		return u, err
	}
	if err := os.Mkdir(filepath.Join(p.dir, "in"), 0o755); err != nil {
		return u, err
	}
	if err := os.Link(in, filepath.Join(p.dir, "in", "lines.log")); err != nil {
		return u, err
	}
	start := time.Now()
	if err := b.startDaemonIn(ctx, p, config); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	var made []string
	for deadline := start.Add(2 * time.Minute); len(made) < objects; {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return u, err
		}
		made = filesBelow(filepath.Join(p.dir, "out"))
		if time.Now().After(deadline) {
			return u, fmt.Errorf("%d of %d objects after 2 minutes\n%w", len(made), objects, p.said())
		}
	}
	u.Wall = time.Since(start)
	if u.CPU, err = processorTime(p.pid); err != nil {
		return u, err
	}
	if u.Memory, err = memory(p.pid, "VmHWM"); err != nil {
		return u, err
	}
	rows := 0
	for _, name := range made {
		n, err := count(name)
		if err != nil {
			return u, fmt.Errorf("object %s: %w", name, err)
		}
		rows += n
	}
	if rows != b.lines {
		return u, fmt.Errorf("%d rows came out of %d lines", rows, b.lines)
	}
	return u, nil
}

// filesBelow lists the finished objects of a folder. Unfinished ones have names
// that begin with a dot, and may go away while they are looked at.
func filesBelow(dir string) (names []string) {
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			names = append(names, name)
		}
		return nil
	})
	return names
}

func countNDJSON(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return 0, err
	}
	n := 0
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		n++
	}
	return n, lines.Err()
}

func countParquet(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	p, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		return 0, err
	}
	return int(p.NumRows()), nil
}
