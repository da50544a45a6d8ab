package file

import (
	"bytes"
	"regexp"
)

// splitter cuts the bytes of a file into records. It keeps nothing between
// calls: what is not consumed is read again.
type splitter struct {
	// maxLine is the most bytes of a record; a longer line is cut to it.
	maxLine int
	// start, if set, joins lines: a line that matches begins a record.
	start *regexp.Regexp
	// maxLines ends a record of joined lines.
	maxLines int
}

// piece is one record. Data lies in the chunk.
type piece struct {
	data []byte
	cut  bool // the rest of a long line was left out
}

// ask says where in a file's life a chunk was read.
type ask struct {
	skip  bool // the chunk begins inside a line whose first part was taken
	final bool // nothing will ever follow the chunk
	quiet bool // nothing followed for as long as a record may be left open
	full  bool // the chunk has as many bytes as a chunk can have
	room  int  // how many records are wanted at most, at least 2; 0 means no limit
}

// window is how many bytes a chunk must be able to have for split to always
// get on.
func (sp splitter) window() int {
	if sp.start != nil {
		return 2*sp.maxLine + 4
	}
	return sp.maxLine + 3 // the line, \r\n, and one more
}

// split returns the records that are complete in a chunk, how many of its
// bytes are done with, and whether what follows them is the rest of a line
// that was cut. Empty lines are no records.
func (sp splitter) split(chunk []byte, a ask) (pieces []piece, consumed int, skip bool) {
	pos := 0
	if a.skip {
		i := bytes.IndexByte(chunk, '\n')
		if i < 0 {
			return nil, len(chunk), !a.final
		}
		pos = i + 1
	}
	g := group{from: pos, to: pos}
	emit := func() {
		if data := trimNewline(chunk[g.from:g.to]); len(data) > 0 {
			pieces = append(pieces, piece{data: data})
		}
		g = group{from: pos, to: pos}
	}
	for pos < len(chunk) {
		if a.room > 0 && len(pieces) > a.room-2 {
			return pieces, g.from, false // a line can make two records
		}
		i := bytes.IndexByte(chunk[pos:], '\n')
		partial := i < 0
		end := len(chunk)
		if !partial {
			end = pos + i + 1
		}
		line := trimNewline(chunk[pos:end])
		if len(line) > sp.maxLine {
			emit() // what was joined so far stands before the long line
			pieces = append(pieces, piece{data: line[:sp.maxLine], cut: true})
			if partial {
				return pieces, len(chunk), !a.final
			}
			pos = end
			g = group{from: pos, to: pos}
			continue
		}
		if partial && !a.final {
			break
		}
		if g.lines > 0 && sp.begins(line, g, end) {
			emit()
		}
		pos, g.to, g.lines = end, end, g.lines+1
		if sp.start == nil {
			emit()
		}
	}
	// What is left is joined lines that another line may still follow.
	if g.lines > 0 && (a.final || a.quiet || a.full && g.from == 0) {
		emit()
	}
	return pieces, g.from, false
}

// group is lines that are being joined.
type group struct{ from, to, lines int }

// begins reports whether a line begins a new record rather than continuing the
// group before it.
func (sp splitter) begins(line []byte, g group, end int) bool {
	return sp.start.Match(line) || g.lines >= sp.maxLines || end-g.from > sp.maxLine
}

func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}
