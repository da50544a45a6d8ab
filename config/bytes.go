package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size. In a file it is a number with a unit (64MiB, 64MB, 512B) or
// a plain number of bytes.
type Bytes int64

type byteUnit struct {
	name string
	size int64
}

// byteUnits are ordered so that String finds the largest one that divides.
var byteUnits = []byteUnit{
	{"PiB", 1 << 50},
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"PB", 1e15},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseBytes reads a size. Its error tells how to write it, without the text
// itself.
func ParseBytes(s string) (Bytes, error) {
	digits := leadingNumber(s)
	number, unit := s[:digits], s[digits:]
	size := int64(0)
	for _, u := range byteUnits {
		if u.name == unit {
			size = u.size
		}
	}
	if unit == "" {
		size = 1
	}
	if number == "" || size == 0 {
		return 0, badBytes(number, unit)
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/size {
			return 0, errors.New("is more than 8 EiB")
		}
		return Bytes(n * size), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || unit == "" || unit == "B" {
		return 0, errors.New("is not a whole number of bytes; write a size such as 64MiB")
	}
	if f *= float64(size); f >= math.MaxInt64 {
		return 0, errors.New("is more than 8 EiB")
	}
	return Bytes(f), nil
}

// badBytes says how to write a size with an unknown unit, if one can guess.
func badBytes(number, unit string) error {
	const forms = "write a size such as 64MiB, 64MB or a plain number of bytes"
	if number == "" {
		return errors.New("is not a size; " + forms)
	}
	word := strings.ToLower(strings.TrimSpace(unit))
	word = strings.TrimSuffix(word, "s")
	short := map[string]string{
		"byte": "B", "kilobyte": "K", "megabyte": "M", "gigabyte": "G", "terabyte": "T",
	}
	if w, ok := short[word]; ok {
		word = strings.ToLower(w)
	}
	switch word {
	case "b":
		return fmt.Errorf("is not a size; write %sB", number)
	case "k", "kb", "ki", "kib", "m", "mb", "mi", "mib", "g", "gb", "gi", "gib", "t", "tb", "ti", "tib":
		letter := strings.ToUpper(word[:1])
		if strings.Contains(word, "i") {
			return fmt.Errorf("is not a size; write %s%siB", number, letter)
		}
		return fmt.Errorf("is not a size; write %s%siB (1024s) or %s%sB (1000s)", number, letter, number, letter)
	}
	return errors.New("is not a size; " + forms)
}

// leadingNumber returns how many bytes of s are digits, with at most one dot
// between them.
func leadingNumber(s string) int {
	n, dots := 0, 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' && n > 0 && dots == 0) {
		if s[n] == '.' {
			dots++
		}
		n++
	}
	return n
}

// String renders the size with the largest unit that divides it, binary units
// first; ParseBytes reads it back.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "0B"
}

// MarshalText renders the size as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
