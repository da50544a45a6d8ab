package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad feeds any bytes to Load: it must end with a configuration or with
// problems that each have a place in the file.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, exampleFile) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := loadBytes("fuzz.yaml", data)
		if err == nil {
			// A configuration that was taken is complete enough to be wired.
			for name, s := range c.DeliveryStreams {
				if s.Errors == nil || s.Buffer.Size <= 0 || s.Format.Kind() == "" {
					t.Errorf("%q is not complete", name)
				}
			}
			return
		}
		p, ok := errors.AsType[*Problems](err)
		if !ok || len(p.List) == 0 {
			t.Fatalf("error without problems: %v", err)
		}
		for _, one := range p.List {
			if one.Line < 1 || one.Col < 1 || one.Message == "" {
				t.Errorf("problem without a place: %+v", one)
			}
		}
		if _, again := loadBytes("fuzz.yaml", data); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Errorf("the second time it says\n%v\nafter\n%v", again, err)
		}
	})
}

// FuzzParse checks that what the scalar types print reads back as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"64MiB", "1.5KB", "7d", "1h30m", "0", "9223372036854775807", "5 minutes", "-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := ParseBytes(s); err == nil {
			if back, err := ParseBytes(b.String()); err != nil || back != b || b < 0 {
				t.Errorf("%q is %d, prints as %s, reads back as %d, %v", s, b, b, back, err)
			}
		}
		if d, err := ParseDuration(s); err == nil {
			if back, err := ParseDuration(d.String()); err != nil || back != d || d < 0 {
				t.Errorf("%q is %d, prints as %s, reads back as %d, %v", s, d, d, back, err)
			}
		}
	})
}
