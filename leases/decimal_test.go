package leases

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDecimal(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, tt := range []struct {
		in, want string
		err      error
	}{
		{"0", "0", nil},
		{"-0", "0", nil},
		{"+7", "7", nil},
		{"00012.3400", "12.34", nil},
		{".5", "0.5", nil},
		{"5.", "5", nil},
		{"1e3", "1000", nil},
		{"-1.5E-3", "-0.0015", nil},
		{"120e-1", "12", nil},
		{nines, nines, nil},
		{nines + "0", nines + "0", nil},
		{"1e125", "1" + strings.Repeat("0", 125), nil},
		{"1e-130", "0." + strings.Repeat("0", 129) + "1", nil},
		{"1e126", "", ErrOverflow},
		{"-1e99999999999999999999", "", ErrOverflow},
		{"1e-131", "", ErrUnderflow},
		{"1e-99999999999999999999", "", ErrUnderflow},
		{"0e99999999999999999999", "0", nil},
		{nines + "1", "", ErrPrecision},
		{"", "", ErrNotANumber},
		{".", "", ErrNotANumber},
		{"-", "", ErrNotANumber},
		{"1e", "", ErrNotANumber},
		{"1e1.5", "", ErrNotANumber},
		{"1 ", "", ErrNotANumber},
		{"1_0", "", ErrNotANumber},
		{"0x10", "", ErrNotANumber},
		{"NaN", "", ErrNotANumber},
		{"Infinity", "", ErrNotANumber},
	} {
		d, err := ParseDecimal(tt.in)
		if !errors.Is(err, tt.err) || err == nil && d.String() != tt.want {
			t.Errorf("ParseDecimal(%q) = %s, %v; want %s, %v", tt.in, d, err, tt.want, tt.err)
		}
	}
}

// TestDecimalArithmetic compares with big.Rat, and the places of numbers in
// indexes with their order.
func TestDecimalArithmetic(t *testing.T) {
	seeds(t, 2000, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		a, b := randomDecimal(rng), randomDecimal(rng)
		if rng.IntN(8) == 0 {
			b = a.Neg()
		}
		x, y := rat(t, a), rat(t, b)
		if got, want := a.Compare(b), x.Cmp(y); got != want || (got == 0) != (a == b) {
			t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
		}
		if got := strings.Compare(string(appendPlace(nil, Number(a))), string(appendPlace(nil, Number(b)))); got != x.Cmp(y) {
			t.Errorf("places of %s and %s compare as %d, want %d", a, b, got, x.Cmp(y))
		}
		sum, err := a.Add(b)
		if want := new(big.Rat).Add(x, y); err == nil && rat(t, sum).Cmp(want) != 0 {
			t.Errorf("%s + %s = %s, want %s", a, b, sum, want.RatString())
		} else if err != nil && want.Num().BitLen() < 100 && want.IsInt() {
			t.Errorf("%s + %s: %v", a, b, err)
		}
		if back, err := ParseDecimal(a.String()); err != nil || back != a {
			t.Errorf("%s reads back as %s, %v", a, back, err)
		}
	})
}

func randomDecimal(rng *rand.Rand) Decimal {
	digits := ""
	for range 1 + rng.IntN(MaxDigits) {
		digits += string(rune('0' + rng.IntN(10)))
	}
	exp := rng.IntN(12) - 6
	if rng.IntN(4) == 0 {
		exp = rng.IntN(160) - 120
	}
	d, err := ParseDecimal(fmt.Sprintf("%s%se%d", []string{"", "-"}[rng.IntN(2)], digits, exp))
	if err != nil {
		return Decimal{}
	}
	return d
}

func rat(t *testing.T, d Decimal) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		t.Fatalf("%s is no number", d)
	}
	return r
}
