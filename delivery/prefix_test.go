package delivery

import (
	"strings"
	"testing"
	"time"
)

func TestPrefixEval(t *testing.T) {
	at := time.Date(2026, 7, 5, 14, 3, 9, 123_000_000, time.UTC) // a Sunday
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in, want string
		zone           *time.Location
	}{
		{"empty gets the date", "", "2026/07/05/14/", nil},
		{"literal gets the date, without a slash", "legacy", "legacy2026/07/05/14/", nil},
		{"an expression stops that", "logs/!{timestamp:yyyy}/", "logs/2026/", nil},
		{"hive style", "dt=!{timestamp:yyyy-MM-dd}/h=!{timestamp:HH}/", "dt=2026-07-05/h=14/", nil},
		{"zone", "!{timestamp:HH ZZ}", "16 +02:00", zurich},
		{"quoted text", "!{timestamp:'year='yyyy'T'''mm}", "year=2026T'03", nil},
		{"two-digit year, unpadded", "!{timestamp:yy/M/d/H}", "26/7/5/14", nil},
		{"names", "!{timestamp:EEE EEEE MMM MMMM a}", "Sun Sunday Jul July PM", nil},
		{"hours", "!{timestamp:kk KK hh}", "14 02 02", nil},
		{"fraction, day of year, week", "!{timestamp:SSS DDD ww xxxx e}", "123 186 27 2026 7", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePrefix(tt.in, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Eval(Moment{Time: at, Seed: "x"})
			if err != nil || got != tt.want {
				t.Errorf("Eval = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestMidnightHours(t *testing.T) {
	p, err := ParsePrefix("!{timestamp:HH kk KK hh a}", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Eval(Moment{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if want := "00 24 00 12 AM"; err != nil || got != want {
		t.Errorf("midnight = %q, %v; want %q", got, err, want)
	}
}

func TestErrorPrefix(t *testing.T) {
	at := time.Date(2026, 7, 5, 14, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"":        "processing-failed/2026/07/05/14/",
		"errors/": "errors/processing-failed/2026/07/05/14/",
		"e/!{firehose:error-output-type}/!{timestamp:dd}/": "e/processing-failed/05/",
	} {
		p, err := ParseErrorPrefix(in, nil)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		got, err := p.Eval(Moment{Time: at, ErrorType: "processing-failed"})
		if err != nil || got != want {
			t.Errorf("%q: Eval = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRandomString(t *testing.T) {
	p, err := ParsePrefix("!{firehose:random-string}/!{firehose:random-string}/", nil)
	if err != nil {
		t.Fatal(err)
	}
	eval := func(seed string) string {
		s, err := p.Eval(Moment{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := eval("plan 1")
	if one != eval("plan 1") {
		t.Error("the same object got another name")
	}
	if one == eval("plan 2") {
		t.Error("two objects got the same random strings")
	}
	parts := strings.Split(one, "/")
	if len(parts[0]) != 11 || parts[0] == parts[1] {
		t.Errorf("random strings %q: want 11 characters, another each time", parts[:2])
	}
}

func TestPrefixErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"!{timestamp:yyyy", "not closed"},
		{"!{timestamp}", "must be !{namespace:value}"},
		{"!{timestamp:}", "pattern is empty"},
		{"!{timestamp:yyyy-bb}", `letter 'b' is not supported`},
		{"!{timestamp:'yyyy}", "not closed"},
		{"!{date:yyyy}", `unknown namespace "date"`},
		{"!{firehose:uuid}", "random-string and error-output-type"},
		{"!{firehose:error-output-type}/", "must not contain"},
		{"!{partitionKeyFromQuery:id}/", "dynamic partitioning"},
		{strings.Repeat("a", 1025), "more than 1024"},
	} {
		if _, err := ParsePrefix(tt.in, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParsePrefix(%.40q) = %v, want %q", tt.in, err, tt.want)
		}
	}
	if _, err := ParseErrorPrefix("e/!{timestamp:yyyy}/", nil); err == nil || !strings.Contains(err.Error(), "at least one occurrence") {
		t.Errorf("error prefix without type: %v", err)
	}
	p, err := ParsePrefix(strings.Repeat("a", 1024), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Eval(Moment{}); err == nil {
		t.Error("an evaluated prefix of more than 512 bytes passed")
	}
}

func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"", "a/!{timestamp:yyyy/MM/dd}/", "!{timestamp:''}", "!{firehose:random-string}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrefix(s, nil)
		if err != nil {
			return
		}
		m := Moment{Time: time.Unix(1_700_000_000, 0), Seed: s}
		a, errA := p.Eval(m)
		b, errB := p.Eval(m)
		if a != b || (errA == nil) != (errB == nil) {
			t.Fatalf("the same moment gave %q and %q", a, b)
		}
	})
}
