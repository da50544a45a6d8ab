package opensearch

import (
	"fmt"
	"strings"
	"time"
)

// Rotation says which part of the arrival time, in UTC, follows the name of the
// index.
type Rotation string

const (
	RotateNone  Rotation = "none"  // logs
	RotateHour  Rotation = "hour"  // logs-2016-02-25-13
	RotateDay   Rotation = "day"   // logs-2016-02-25
	RotateMonth Rotation = "month" // logs-2016-02
	// RotateWeek counts weeks as ISO 8601 does: they begin on Monday, week 1
	// has the first Thursday of the year, and the year is that of the week
	// (2027-01-01 is in 2026-w53): logs-2016-w08.
	RotateWeek Rotation = "week"
)

var rotations = map[Rotation]func(time.Time) string{
	RotateNone:  func(time.Time) string { return "" },
	RotateHour:  func(t time.Time) string { return t.Format("-2006-01-02-15") },
	RotateDay:   func(t time.Time) string { return t.Format("-2006-01-02") },
	RotateMonth: func(t time.Time) string { return t.Format("-2006-01") },
	RotateWeek: func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprintf("-%04d-w%02d", year, week)
	},
}

// maxIndexBytes leaves room for the time: the server takes 255 bytes.
const maxIndexBytes = 255 - len("-2006-01-02-15")

// checkIndex tests a name against the rules of the server.
func checkIndex(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("index is empty")
	case len(name) > maxIndexBytes:
		return fmt.Errorf("index has %d bytes; the limit is %d", len(name), maxIndexBytes)
	case strings.ToLower(name) != name:
		return fmt.Errorf("index %q has upper-case letters", name)
	case strings.ContainsAny(name, "\\/*?\"<>| ,#:\x00\t\r\n"):
		return fmt.Errorf("index %q has one of \\ / * ? \" < > | , # : or a space", name)
	case strings.ContainsRune("-_+.", rune(name[0])):
		return fmt.Errorf("index %q begins with '-', '_', '+' or '.'", name)
	}
	return nil
}
