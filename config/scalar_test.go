package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
	}{
		{"0", 0},
		{"1", 1},
		{"512B", 512},
		{"1KB", 1000},
		{"1KiB", 1024},
		{"64MiB", 64 << 20},
		{"64MB", 64e6},
		{"2GiB", 2 << 30},
		{"2GB", 2e9},
		{"1TiB", 1 << 40},
		{"3PB", 3e15},
		{"1.5KiB", 1536},
		{"0.5MB", 500_000},
		{"8191PiB", 8191 << 50},
		{"9223372036854775807", 1<<63 - 1},
	} {
		if got, err := ParseBytes(tt.text); err != nil || int64(got) != tt.want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":                    "is not a size",
		"MiB":                 "is not a size",
		"64 MB":               "write 64MiB (1024s) or 64MB (1000s)",
		"64M":                 "write 64MiB (1024s) or 64MB (1000s)",
		"64mib":               "write 64MiB",
		"5 gigabytes":         "write 5GiB (1024s) or 5GB (1000s)",
		"7 b":                 "write 7B",
		"8192PiB":             "more than 8 EiB",
		"9223372036854775808": "is not a whole number of bytes",
		"1e3":                 "is not a size",
		"1.5":                 "is not a whole number of bytes",
		"0.5B":                "is not a whole number of bytes",
		"-1":                  "is not a size",
		"1..5KB":              "is not a size",
		"99999999999999999PB": "more than 8 EiB",
		"9.9e9PiB":            "is not a size",
	} {
		if got, err := ParseBytes(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBytes(%q) = %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestBytesString(t *testing.T) {
	for b, want := range map[Bytes]string{
		0: "0B", 1: "1B", 999: "999B", 1000: "1KB", 1024: "1KiB", 1536: "1536B", 64 << 20: "64MiB", 64e6: "62500KiB", 3e6: "3MB",
	} {
		if got := b.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(b), got, want)
		}
		if back, err := ParseBytes(b.String()); err != nil || back != b {
			t.Errorf("%q reads back as %d, %v", b.String(), back, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
	}{
		{"0", 0},
		{"0s", 0},
		{"500ms", 500 * time.Millisecond},
		{"60s", time.Minute},
		{"1h30m", 90 * time.Minute},
		{"7d", 168 * time.Hour},
		{"1d12h", 36 * time.Hour},
		{"0d", 0},
		{"1.5h", 90 * time.Minute},
		{"100000d", 2400000 * time.Hour},
	} {
		if got, err := ParseDuration(tt.text); err != nil || time.Duration(got) != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":               "is not a duration",
		"d":              "is not a duration",
		"60":             "has no unit; write 60s, 60m or 60h",
		"5 minutes":      "write 5m",
		"5 s":            "write 5s",
		"2 days":         "write 2d",
		"3w":             "1 week is 7d",
		"-5s":            "is negative",
		"-0s":            "without a sign",
		"+5s":            "without a sign",
		"1d-1h":          "is negative",
		"100001d":        "more than 100000 days",
		"99999999999d":   "is not a duration",
		"100000d9e9h":    "is not a duration",
		"100000d999999h": "more than 100000 days",
		"1.5d":           "is not a duration",
		"1h1d":           "is not a duration",
		"5fortnights":    "is not a duration",
	} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDuration(%q) = %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestDurationString(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", time.Second: "1s", 90 * time.Second: "1m30s", time.Minute: "1m", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m0s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
		if back, err := ParseDuration(Duration(d).String()); err != nil || time.Duration(back) != d {
			t.Errorf("%v reads back as %v, %v", d, back, err)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret("topsecret")
	type inner struct{ s Secret } // unexported: fmt may not call its methods
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "secret", s, "key", Key{SecretKey: s}, "pointer", &Key{SecretKey: s}, "hidden", inner{s})
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, v := range []any{s, &s, Key{SecretKey: s}, []Secret{s}, map[string]Secret{"a": s}, inner{s}, &inner{s}} {
			text += fmt.Sprintf(verb, v)
		}
	}
	data, err := json.Marshal(Key{SecretKey: s})
	if err != nil {
		t.Fatal(err)
	}
	text += string(data)
	for _, form := range []string{"topsecret", fmt.Sprintf("%x", "topsecret"), fmt.Sprintf("%X", "topsecret")} {
		if strings.Contains(text, form) {
			t.Errorf("the secret prints as %q in %s", form, text)
		}
	}
	if !strings.Contains(string(data), hidden) {
		t.Errorf("JSON has no placeholder: %s", data)
	}
	if s.Reveal() != "topsecret" || s.Empty() {
		t.Error("the secret is lost")
	}
	if e := NewSecret(""); !e.Empty() || e.Reveal() != "" || e.String() != "" || e != (Secret{}) {
		t.Error("an empty secret is not the zero value")
	}
}

// A configuration holds values from the environment in plain fields too.
func TestConfigNeverPrints(t *testing.T) {
	c := load(t, "data_dir: ${env:SECRET_WORD}\nhttp: { keys: [{ access_key: AK, secret_key: topsecret }] }\n")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c)
	text := log.String() + fmt.Sprintf("%v %+v %#v %s %d", c, c, c, c, c)
	for _, secret := range []string{"hunter2", "topsecret"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
}
