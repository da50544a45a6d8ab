package sinks_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/sinks"
)

func TestCheckKey(t *testing.T) {
	for _, tt := range []struct {
		key string
		ok  bool
	}{
		{"a", true},
		{"a/b.gz", true},
		{"dt=2026-01-01/é", true},
		{"..a/a../...", true},
		{"/a//b/", true},
		{strings.Repeat("x", sinks.MaxKeyBytes), true},
		{"", false},
		{".", false},
		{"a/../b", false},
		{"./a", false},
		{"a\nb", false},
		{"\x7f", false},
		{"\xff", false},
		{strings.Repeat("x", sinks.MaxKeyBytes+1), false},
	} {
		err := sinks.CheckKey(tt.key)
		if (err == nil) != tt.ok {
			t.Errorf("%.20q: got %v", tt.key, err)
		}
		var e *sinks.Error
		if err != nil && (!errors.As(err, &e) || e.Class != sinks.Refuse || e.Code != "InvalidKey" || len(err.Error()) > 400) {
			t.Errorf("%.20q: got %v", tt.key, err)
		}
	}
}

func TestClassOf(t *testing.T) {
	fix := &sinks.Error{Class: sinks.Fix, Code: "403", Err: errors.New("no")}
	for _, tt := range []struct {
		err  error
		want sinks.Class
	}{
		{errors.New("x"), sinks.Retry},
		{fix, sinks.Fix},
		{fmt.Errorf("a: %w", fix), sinks.Fix},
		{nil, sinks.Retry},
	} {
		if got := sinks.ClassOf(tt.err); got != tt.want {
			t.Errorf("%v: class %v, want %v", tt.err, got, tt.want)
		}
	}
	if fix.Error() != "403: no" {
		t.Errorf("got %q", fix)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "30": 30 * time.Second, "-3": 0, "x": 0, "4294967295": time.Hour, "99999999999999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		if got := sinks.RetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: got %v, want %v", v, got, want)
		}
	}
}
