package parquet

import (
	"math/big"
	"testing"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
)

// FuzzDecimal compares exact numbers with math/big.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.0", "1e3", "12345678901234567890", "-9223372036854775808", "0.000123e5", "1e-7", "99999999999999999999999999999999999999", "1785578400.123456789"} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, in string, scale uint8) {
		end, integer, err := jsonscan.Number([]byte(in), 0)
		if err != nil || end != len(in) {
			return
		}
		d := parseDecimal([]byte(in))
		if d.exponent > 400 || d.exponent < -400 || len(in) > 200 {
			return // math/big would take long
		}
		r, ok := new(big.Rat).SetString(in)
		if !ok {
			t.Fatalf("math/big does not read %q", in)
		}
		scale %= 19
		r.Mul(r, new(big.Rat).SetInt64(pow10[scale]))
		got, ok := d.scaled(int(scale), false)
		if want := r.IsInt() && r.Num().IsInt64(); ok != want || ok && got != r.Num().Int64() {
			t.Fatalf("%s scaled by %d: %d, %t, want %s", in, scale, got, ok, r)
		}
		whole := new(big.Int).Quo(r.Num(), r.Denom()) // toward zero
		if got, ok := d.scaled(int(scale), true); ok && got != whole.Int64() || ok != whole.IsInt64() && whole.CmpAbs(new(big.Int).Lsh(big.NewInt(1), 63)) < 0 {
			t.Fatalf("%s cut at %d: %d, %t, want %s", in, scale, got, ok, whole)
		}
		if b, ok := d.fixed(38, int(scale), 16); ok {
			v := new(big.Int).SetBytes(b)
			if b[0]&0x80 != 0 {
				v.Sub(v, new(big.Int).Lsh(big.NewInt(1), 128))
			}
			if !r.IsInt() || v.Cmp(r.Num()) != 0 {
				t.Fatalf("%s as fixed: %s, want %s", in, v, r)
			}
		} else if limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil); r.IsInt() && r.Num().CmpAbs(limit) < 0 {
			t.Fatalf("%s fits into 38 digits and is refused", in)
		}
		if integer {
			v, ok := new(big.Int).SetString(in, 10)
			if got, gotOK := parseInt([]byte(in)); gotOK != (ok && v.IsInt64()) || gotOK && got != v.Int64() {
				t.Fatalf("%s as an integer: %d, %t", in, got, gotOK)
			}
		}
	})
}

// FuzzTimestamp looks for texts that are read as something they are not.
func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{"2026-08-01T10:00:00.123Z", "2026-8-1 9:05:07.5", "1785578400.25", "-1", "2024-02-29T23:59:59+23:59", "2026-1-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		micros, ok := parseTimestamp([]byte(in))
		want, wantErr := referenceTime(in)
		if ok != (wantErr == nil) {
			t.Fatalf("%q: taken %t, reference: %v", in, ok, wantErr)
		}
		if ok && want != nil && micros != *want {
			t.Fatalf("%q: %d, want %d", in, micros, *want)
		}
		days, ok := parseDate([]byte(in))
		day, err := referenceDay(in)
		if ok != (err == nil) || ok && int64(days)*86400 != day.Unix() {
			t.Fatalf("%q: day %d, %t, want %v, %v", in, days, ok, day, err)
		}
	})
}
