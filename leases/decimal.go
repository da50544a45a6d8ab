package leases

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// Bounds of a Decimal.
const (
	// MaxDigits is how many significant digits a number has at most.
	MaxDigits = 38
	// A number other than zero is at least 1E-130 and below 1E+126 in magnitude.
	maxExponent = 126
	minExponent = -129
)

// Errors of numbers.
var (
	ErrNotANumber = errors.New("not a number")
	ErrPrecision  = errors.New("more than 38 significant digits")
	ErrOverflow   = errors.New("number is too large")
	ErrUnderflow  = errors.New("number is too small")
)

// Decimal is an exact decimal number of up to 38 digits. The zero value is 0.
// Two Decimals are equal if they are the same number.
type Decimal struct {
	negative bool
	exponent int16  // the value is 0.digits * 10^exponent
	digits   string // without zeros at either end; empty for 0
}

// ParseDecimal reads a number: digits with an optional sign, fraction and
// exponent. ErrNotANumber, ErrPrecision, ErrOverflow, ErrUnderflow.
func ParseDecimal(s string) (Decimal, error) {
	rest := s
	var d Decimal
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		d.negative = rest[0] == '-'
		rest = rest[1:]
	}
	mantissa, exp := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa = rest[:i]
		var err error
		// Atoi takes a sign; what is out of its range is out of ours.
		if exp, err = strconv.Atoi(rest[i+1:]); err != nil {
			if !errors.Is(err, strconv.ErrRange) {
				return Decimal{}, ErrNotANumber
			}
			exp = 1 << 40
			if rest[i+1] == '-' {
				exp = -exp
			}
		}
		exp = min(max(exp, -1<<40), 1<<40)
	}
	whole, fraction, dot := strings.Cut(mantissa, ".")
	if !isDigits(whole) || !isDigits(fraction) || whole == "" && fraction == "" || dot && fraction == "" && whole == "" {
		return Decimal{}, ErrNotANumber
	}
	digits := whole + fraction
	exp += len(whole)
	trimmed := strings.TrimLeft(digits, "0")
	exp -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	return newDecimal(d.negative, strings.Clone(trimmed), exp)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

// newDecimal checks the bounds of a number whose digits are trimmed.
func newDecimal(negative bool, digits string, exp int) (Decimal, error) {
	switch {
	case digits == "":
		return Decimal{}, nil
	case exp > maxExponent:
		return Decimal{}, ErrOverflow
	case exp < minExponent:
		return Decimal{}, ErrUnderflow
	case len(digits) > MaxDigits:
		return Decimal{}, ErrPrecision
	}
	return Decimal{negative: negative, digits: digits, exponent: int16(exp)}, nil
}

// String renders the number without an exponent.
func (d Decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	var b strings.Builder
	if d.negative {
		b.WriteByte('-')
	}
	switch exp := int(d.exponent); {
	case exp <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -exp))
		b.WriteString(d.digits)
	case exp >= len(d.digits):
		b.WriteString(d.digits)
		b.WriteString(strings.Repeat("0", exp-len(d.digits)))
	default:
		b.WriteString(d.digits[:exp])
		b.WriteByte('.')
		b.WriteString(d.digits[exp:])
	}
	return b.String()
}

// sign is -1, 0 or 1.
func (d Decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// Compare returns -1, 0 or 1 as d is less than, equal to or greater than o.
func (d Decimal) Compare(o Decimal) int {
	s, t := d.sign(), o.sign()
	if s != t {
		if s < t {
			return -1
		}
		return 1
	}
	c := 0
	switch {
	case d.exponent != o.exponent:
		c = -1
		if d.exponent > o.exponent {
			c = 1
		}
	default:
		c = strings.Compare(d.digits, o.digits) // fractions: digits from the left
	}
	return c * s
}

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	if d.digits != "" {
		d.negative = !d.negative
	}
	return d
}

// Add returns d + o. ErrPrecision, ErrOverflow, ErrUnderflow.
func (d Decimal) Add(o Decimal) (Decimal, error) {
	low := min(d.scale(), o.scale())
	sum := d.scaled(low)
	sum.Add(sum, o.scaled(low))
	negative := sum.Sign() < 0
	digits := sum.Abs(sum).String()
	if digits == "0" {
		return Decimal{}, nil
	}
	return newDecimal(negative, strings.TrimRight(digits, "0"), len(digits)+low)
}

// scale is the exponent of the last digit: the value is a whole number times
// 10^scale.
func (d Decimal) scale() int { return int(d.exponent) - len(d.digits) }

// scaled returns d / 10^scale, for a scale at or below its own.
func (d Decimal) scaled(scale int) *big.Int {
	if d.digits == "" {
		return new(big.Int)
	}
	n, _ := new(big.Int).SetString(d.digits+strings.Repeat("0", d.scale()-scale), 10)
	if d.negative {
		n.Neg(n)
	}
	return n
}

// size is what the number counts for in the size of an item.
func (d Decimal) size() int { return (len(d.digits)+1)/2 + 1 }
