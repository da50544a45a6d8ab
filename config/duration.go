package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, never negative. In a file it is written as in Go,
// and days are known too: 500ms, 60s, 1h30m, 7d, 1d12h, 0.
type Duration time.Duration

const day = 24 * time.Hour

// maxDays keeps days from leaving the range of a time.Duration (292 years).
const maxDays = 100_000

// ParseDuration reads a duration. Its error tells how to write it, without the
// text itself.
func ParseDuration(s string) (Duration, error) {
	rest, days := s, time.Duration(0)
	if number, after, ok := strings.Cut(s, "d"); ok && number != "" {
		n, err := strconv.ParseUint(number, 10, 32)
		if err == nil {
			if n > maxDays {
				return 0, errors.New("is more than 100000 days")
			}
			days, rest = time.Duration(n)*day, after
			if rest == "" {
				return Duration(days), nil
			}
		}
	}
	d, err := time.ParseDuration(rest)
	switch {
	case err != nil:
		return 0, badDuration(s)
	case strings.HasPrefix(rest, "-") && d != 0:
		return 0, errors.New("is negative")
	case strings.HasPrefix(rest, "-"), strings.HasPrefix(rest, "+"):
		return 0, errors.New("is not a duration; write it without a sign")
	case d+days < d:
		return 0, errors.New("is more than 100000 days")
	}
	return Duration(days + d), nil
}

// badDuration says how to write a duration with an unknown unit, if one can
// guess.
func badDuration(s string) error {
	const forms = "write a duration such as 500ms, 60s, 5m, 24h or 7d"
	n := leadingNumber(s)
	if n == 0 {
		return errors.New("is not a duration; " + forms)
	}
	number, unit := s[:n], strings.ToLower(strings.TrimSpace(s[n:]))
	if unit == "" {
		return fmt.Errorf("has no unit; write %ss, %sm or %sh", number, number, number)
	}
	for _, u := range []struct{ short, words string }{
		{"ms", "ms msec millis millisecond milliseconds"},
		{"s", "s sec secs second seconds"},
		{"m", "m min mins minute minutes"},
		{"h", "h hr hrs hour hours"},
		{"d", "d day days"},
	} {
		for w := range strings.FieldsSeq(u.words) {
			if w == unit && number+u.short != s {
				return fmt.Errorf("is not a duration; write %s%s", number, u.short)
			}
		}
	}
	if unit == "w" || unit == "week" || unit == "weeks" {
		return errors.New("is not a duration; write weeks as days: 1 week is 7d")
	}
	return errors.New("is not a duration; " + forms)
}

// String renders the duration in the shortest form that ParseDuration reads
// back: 60s, 24h, 1h30m.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t == 0:
		return "0s"
	case t%time.Hour == 0:
		return strconv.FormatInt(int64(t/time.Hour), 10) + "h"
	case t%time.Minute == 0 && t < time.Hour:
		return strconv.FormatInt(int64(t/time.Minute), 10) + "m"
	case t%time.Second == 0 && t < time.Minute:
		return strconv.FormatInt(int64(t/time.Second), 10) + "s"
	}
	return t.String()
}

// MarshalText renders the duration as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
