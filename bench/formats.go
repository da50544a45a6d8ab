package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/firehosed/firehosed/formats"
)

// formats measures conversions alone, each in a process of its own.
func (b *bench) formats(ctx context.Context) (*table, error) {
	in := filepath.Join(b.dir, "formats.log")
	if err := writeLog(in, b.lines); err != nil {
		return nil, err
	}
	defer os.Remove(in)
	cases := []struct{ name, convert, floor string }{
		{fmt.Sprintf("floor: gzip -%d of the bytes", formats.GzipLevel), "gzip", "gzip"},
		{"ndjson, gzip", "ndjson", "gzip"},
		{"floor: encoding/json.Valid", "scan", "scan"},
		{"floor: lines copied", "copy", "copy"},
		{"JSON to Parquet, declared, zstd", "parquet-declared", "scan"},
		{"JSON to Parquet, inferred, zstd", "parquet-inferred", "scan"},
	}
	got := map[string][]usage{}
	for i := range b.repeats {
		b.sayf("formats, round %d of %d", i+1, b.repeats)
		for _, c := range cases {
			out := filepath.Join(b.dir, "formats.out")
			u, err := b.convert(ctx, c.convert, in, out)
			if err != nil {
				return nil, err
			}
			got[c.convert] = append(got[c.convert], u)
			if err := os.Remove(out); err != nil {
				return nil, err
			}
		}
	}
	t := &table{
		Name: "formats", Title: "Records to the bytes of objects, in process",
		Note: fmt.Sprintf("%d records of nested JSON, %d MB, in memory, written to a file. The floor of ndjson is gzip of the same bytes with the same library "+
			"and level; that of Parquet is only finding out that each record is JSON. The ratio is of processor time; peak RSS is what was held beyond the input.",
			b.lines, got["gzip"][0].Bytes/1e6),
	}
	for _, c := range cases {
		var wall, cpu, ratio, memory []float64
		for i, u := range got[c.convert] {
			wall, cpu = append(wall, u.perSecond()), append(cpu, u.perCPUSecond())
			ratio = append(ratio, u.perCPUSecond()/got[c.floor][i].perCPUSecond())
			memory = append(memory, float64(u.Memory)/1e6)
		}
		t.Rows = append(t.Rows, row{Name: c.name, Values: []value{
			measured("MB/s", wall), measured("MB per CPU s", cpu), measured("of its floor", ratio), measured("peak RSS MB", memory),
		}})
	}
	return t, nil
}
