package delivery

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// patternItem is a run of one pattern letter, or a literal.
type patternItem struct {
	letter  byte // 0 for a literal
	count   int
	literal string
}

// patternLetters are those of Joda-Time's DateTimeFormat, which Amazon Data
// Firehose validates against, as far as they have a meaning in a key.
const patternLetters = "yYuxMLdDHhkKmsSEewaZz"

// parsePattern reads a date pattern: letters in runs, text in single quotes,
// two single quotes for one.
func parsePattern(s string) ([]patternItem, error) {
	if s == "" {
		return nil, fmt.Errorf("timestamp pattern is empty; write for example !{timestamp:yyyy/MM/dd}")
	}
	var items []patternItem
	literal := func(text string) {
		if n := len(items); n > 0 && items[n-1].letter == 0 {
			items[n-1].literal += text
			return
		}
		items = append(items, patternItem{literal: text})
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\'':
			text, n, err := quoted(s[i:])
			if err != nil {
				return nil, err
			}
			literal(text)
			i += n
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			if strings.IndexByte(patternLetters, c) < 0 {
				return nil, fmt.Errorf("timestamp pattern %q: letter %q is not supported; put text in single quotes", s, c)
			}
			n := 1
			for i+n < len(s) && s[i+n] == c {
				n++
			}
			if n > 32 {
				return nil, fmt.Errorf("timestamp pattern has %d times %q, more than 32", n, c)
			}
			items = append(items, patternItem{letter: c, count: n})
			i += n
		default:
			literal(string(c))
			i++
		}
	}
	return items, nil
}

// quoted reads a quoted text at the start of s and returns its length in s.
func quoted(s string) (string, int, error) {
	if strings.HasPrefix(s, "''") {
		return "'", 2, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, fmt.Errorf("timestamp pattern: single quote before %q is not closed", s[1:])
}

func formatPattern(b *strings.Builder, items []patternItem, t time.Time) {
	for _, it := range items {
		if it.letter == 0 {
			b.WriteString(it.literal)
			continue
		}
		formatField(b, it.letter, it.count, t)
	}
}

func formatField(b *strings.Builder, letter byte, n int, t time.Time) {
	number := func(v int) {
		digits := strconv.Itoa(v)
		for range n - len(digits) {
			b.WriteByte('0')
		}
		b.WriteString(digits)
	}
	year := func(v int) {
		if n == 2 { // two letters mean the last two digits
			v %= 100
		}
		number(v)
	}
	weekYear, week := t.ISOWeek()
	switch letter {
	case 'y', 'Y', 'u':
		year(t.Year())
	case 'x':
		year(weekYear)
	case 'M', 'L':
		switch {
		case n >= 4:
			b.WriteString(t.Month().String())
		case n == 3:
			b.WriteString(t.Month().String()[:3])
		default:
			number(int(t.Month()))
		}
	case 'd':
		number(t.Day())
	case 'D':
		number(t.YearDay())
	case 'H':
		number(t.Hour())
	case 'k':
		number((t.Hour()+23)%24 + 1)
	case 'K':
		number(t.Hour() % 12)
	case 'h':
		number((t.Hour()+11)%12 + 1)
	case 'm':
		number(t.Minute())
	case 's':
		number(t.Second())
	case 'S':
		fraction := fmt.Sprintf("%09d", t.Nanosecond())
		b.WriteString((fraction + strings.Repeat("0", 32))[:n])
	case 'E':
		if n >= 4 {
			b.WriteString(t.Weekday().String())
		} else {
			b.WriteString(t.Weekday().String()[:3])
		}
	case 'e':
		number((int(t.Weekday())+6)%7 + 1) // Monday is 1
	case 'w':
		number(week)
	case 'a':
		b.WriteString(t.Format("PM"))
	case 'Z':
		switch n {
		case 1:
			b.WriteString(t.Format("-0700"))
		case 2:
			b.WriteString(t.Format("-07:00"))
		default:
			b.WriteString(t.Location().String())
		}
	case 'z':
		b.WriteString(t.Format("MST"))
	}
}
