package file

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	lines := splitter{maxLine: 10}
	joined := splitter{maxLine: 20, start: regexp.MustCompile(`^\[`), maxLines: 3}
	for _, tt := range []struct {
		name     string
		sp       splitter
		in       string
		ask      ask
		want     []string
		consumed int
		skip     bool
	}{
		{"nothing", lines, "", ask{}, nil, 0, false},
		{"a line and a part", lines, "one\ntwo", ask{}, []string{"one"}, 4, false},
		{"the part at the end of a finished file", lines, "one\ntwo", ask{final: true}, []string{"one", "two"}, 7, false},
		{"carriage returns", lines, "one\r\ntwo\r\n", ask{}, []string{"one", "two"}, 10, false},
		{"empty lines are no records", lines, "\n\r\none\n\n", ask{}, []string{"one"}, 8, false},
		{"exactly as long as allowed", lines, "0123456789\n", ask{}, []string{"0123456789"}, 11, false},
		{"too long, complete", lines, "0123456789abc\nx\n", ask{}, []string{"0123456789…", "x"}, 16, false},
		{"too long, going on", lines, "0123456789abc", ask{}, []string{"0123456789…"}, 13, true},
		{"the rest of a long line", lines, "def\nx\n", ask{skip: true}, []string{"x"}, 6, false},
		{"the rest goes on", lines, "defghi", ask{skip: true}, nil, 6, true},
		{"the rest ends with the file", lines, "def", ask{skip: true, final: true}, nil, 3, false},
		{"bytes of no text", lines, "\x00\xff\n", ask{}, []string{"\x00\xff"}, 3, false},

		{"joined until the next start", joined, "[a\n b\n[c\n", ask{}, []string{"[a\n b"}, 6, false},
		{"quiet ends the open record", joined, "[a\n b\n[c\n", ask{quiet: true}, []string{"[a\n b", "[c"}, 9, false},
		{"quiet leaves a partial line", joined, "[a\n b", ask{quiet: true}, []string{"[a"}, 3, false},
		{"lines before the first start", joined, "x\n[a\n[b\n", ask{}, []string{"x", "[a"}, 5, false},
		{"too many lines", joined, "[a\n1\n2\n3\n[b\n", ask{}, []string{"[a\n1\n2", "3"}, 9, false},
		{"too many bytes", joined, "[a345678\n1234567\n1234567\n[b\n", ask{}, []string{"[a345678\n1234567", "1234567"}, 25, false},
		{"a long line inside", joined, "[a\n" + strings.Repeat("x", 25) + "\n[b\n", ask{}, []string{"[a", strings.Repeat("x", 20) + "…"}, 29, false},
		{"a full chunk of one open record", joined, "[a\nb\n", ask{full: true}, []string{"[a\nb"}, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pieces, consumed, skip := tt.sp.split([]byte(tt.in), tt.ask)
			var got []string
			for _, p := range pieces {
				s := string(p.data)
				if p.cut {
					s += "…"
				}
				got = append(got, s)
			}
			if !slices.Equal(got, tt.want) || consumed != tt.consumed || skip != tt.skip {
				t.Errorf("split = %q, consumed %d, skip %v; want %q, %d, %v", got, consumed, skip, tt.want, tt.consumed, tt.skip)
			}
		})
	}
}

// Whatever the sizes of the chunks, the records are the lines of the file, and
// split gets on whenever a chunk is full.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nthree"), uint8(3), uint8(7), false)
	f.Add([]byte("[a\n b\n[c\n"), uint8(9), uint8(1), true)
	f.Fuzz(func(t *testing.T, data []byte, maxLine, step uint8, join bool) {
		sp := splitter{maxLine: int(maxLine) + 1}
		if join {
			sp.start, sp.maxLines = regexp.MustCompile(`^\[`), 3
		}
		var got [][]byte
		off, skip := 0, false
		for end := 0; ; {
			grown := end
			end = min(end+int(step)+1, len(data))
			final := end == len(data)
			for {
				chunk := data[off:min(end, off+sp.window())]
				a := ask{skip: skip, final: final && off+len(chunk) == len(data), full: len(chunk) == sp.window()}
				pieces, n, s := sp.split(chunk, a)
				for _, p := range pieces {
					if len(p.data) > sp.maxLine && !join {
						t.Fatalf("record of %d bytes, more than %d", len(p.data), sp.maxLine)
					}
					got = append(got, p.data)
				}
				if a.full && n == 0 {
					t.Fatalf("stuck on a full chunk %q", chunk)
				}
				off += n
				skip = s
				if n == 0 {
					break
				}
			}
			if final {
				break
			}
			_ = grown
		}
		if off != len(data) {
			t.Fatalf("ended at %d of %d bytes", off, len(data))
		}
		if join {
			return // where records end depends on what is seen at a time
		}
		var want [][]byte
		for _, line := range bytes.SplitAfter(data, []byte("\n")) {
			if line = trimNewline(line); len(line) > 0 {
				want = append(want, line[:min(len(line), sp.maxLine)])
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
