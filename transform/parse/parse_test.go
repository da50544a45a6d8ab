package parse_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/parse"
	"github.com/firehosed/firehosed/transform/transformtest"
)

const (
	combined = `83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 203023 "http://x.org/" "Mozilla/5.0 (X)"`
	common   = `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326`
)

func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		opt        parse.Options
		ok, failed []string
	}{
		"apache": {parse.Options{Format: parse.ApacheCombined}, []string{combined, common, combined + "\n"}, []string{"", "hello world"}},
		"json":   {parse.Options{Format: parse.JSON}, []string{`{"a":1}`, " [1,\n2] \n", "7"}, []string{"", "{", "{} {}"}},
		"regex":  {parse.Options{Format: parse.Regex, Pattern: `^(?P<a>\w+)=(?P<b>\w+)?$`}, []string{"x=1", "x="}, []string{"", "=1"}},
		"csv":    {parse.Options{Format: parse.CSV, Columns: []string{"a", "b"}}, []string{"1,2", `"x,""y",`}, []string{"", "1", "1,2,3", `"1,2`}},
		"logfmt": {parse.Options{Format: parse.Logfmt}, []string{"a=1 b", `m="x \"y\" z"`}, []string{"", "just prose", "=1", `a="`}},
		"field":  {parse.Options{Format: parse.JSON, Field: "m"}, []string{`{"m":"{\"a\":1}"}`}, []string{`{}`, `{"m":1}`, `{"m":"x"}`, "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			transformtest.Run(t, transformtest.Case{
				Open:   func(t *testing.T) transform.Transformer { return open(t, c.opt) },
				OK:     c.ok,
				Failed: c.failed,
			})
		})
	}
}

func open(t testing.TB, opt parse.Options) *parse.Transformer {
	t.Helper()
	p, err := parse.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one parses a single text to its output or, if it fails, "code: message".
func one(t testing.TB, p *parse.Transformer, text string) string {
	t.Helper()
	out, err := p.Transform(t.Context(), []transform.Record{{Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	if o := out[0]; o.Verdict != transform.OK {
		return o.Code + ": " + o.Message
	}
	return string(out[0].Record.Data)
}

func TestApache(t *testing.T) {
	p := open(t, parse.Options{Format: parse.ApacheCombined})
	// with returns the output for the combined line with one thing changed.
	full := `{"host":"83.149.9.216","ident":null,"authuser":null,"datetime":"17/May/2015:10:05:03 +0000","timestamp":"2015-05-17T10:05:03Z",` +
		`"request":"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1","status":200,"bytes":203023,"referer":"http://x.org/","agent":"Mozilla/5.0 (X)"}`
	for _, tt := range []struct {
		name             string
		old, new         string // in the line
		wantOld, wantNew string // in the output
	}{
		{"as it is", "", "", "", ""},
		{"line break", "(X)\"", "(X)\"\r\n", "", ""},
		{"host name", "83.149.9.216", "web.example.com", "83.149.9.216", "web.example.com"},
		{"ipv6", "83.149.9.216", "2001:db8::1", "83.149.9.216", "2001:db8::1"},
		{"ident", " - - [", " id - [", `"ident":null`, `"ident":"id"`},
		{"user", " - - [", " - frank [", `"authuser":null`, `"authuser":"frank"`},
		{"user with spaces", " - - [", " - joe [x] doe [", `"authuser":null`, `"authuser":"joe [x] doe"`},
		{"empty user", " - - [", ` - "" [`, `"authuser":null`, `"authuser":""`},
		{"offset", "10:05:03 +0000", "10:05:03 +0530", `10:05:03 +0000","timestamp":"2015-05-17T10:05:03Z"`, `10:05:03 +0530","timestamp":"2015-05-17T04:35:03Z"`},
		{"offset into the next year", "17/May/2015:10:05:03 +0000", "31/Dec/2015:23:05:03 -0700", `17/May/2015:10:05:03 +0000","timestamp":"2015-05-17T10:05:03Z"`, `31/Dec/2015:23:05:03 -0700","timestamp":"2016-01-01T06:05:03Z"`},
		{"leap second", "17/May/2015:10:05:03", "31/Dec/2016:23:59:60", `17/May/2015:10:05:03 +0000","timestamp":"2015-05-17T10:05:03Z"`, `31/Dec/2016:23:59:60 +0000","timestamp":"2017-01-01T00:00:00Z"`},
		{"leap day", "17/May/2015", "29/Feb/2016", `17/May/2015:10:05:03 +0000","timestamp":"2015-05-17T`, `29/Feb/2016:10:05:03 +0000","timestamp":"2016-02-29T`},
		{"http 0.9", "GET /a.png HTTP/1.1", "GET /a.png", `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1"`, `"GET /a.png","method":"GET","path":"/a.png","protocol":null`},
		{"no request", "GET /a.png HTTP/1.1", "-", `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1"`, `null,"method":null,"path":null,"protocol":null`},
		{"empty request", "GET /a.png HTTP/1.1", "", `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1"`, `"","method":null,"path":null,"protocol":null`},
		{"tls on a plain port", "GET /a.png HTTP/1.1", `\x16\x03\x01`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1"`, `"\u0016\u0003\u0001","method":null,"path":null,"protocol":null`},
		{"words", "GET /a.png HTTP/1.1", `hello world`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png","protocol":"HTTP/1.1"`, `"hello world","method":null,"path":null,"protocol":null`},
		{"connect", "GET /a.png HTTP/1.1", `CONNECT x.org:443 HTTP/1.1`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png"`, `"CONNECT x.org:443 HTTP/1.1","method":"CONNECT","path":"x.org:443"`},
		{"space in the path", "GET /a.png", `GET /a b.png`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png"`, `"GET /a b.png HTTP/1.1","method":"GET","path":"/a b.png"`},
		{"quote in the path", "/a.png", `/a\".png`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png"`, `"GET /a\".png HTTP/1.1","method":"GET","path":"/a\".png"`},
		{"quote in the path, not escaped", "/a.png", `/a".png`, `"GET /a.png HTTP/1.1","method":"GET","path":"/a.png"`, `"GET /a\".png HTTP/1.1","method":"GET","path":"/a\".png"`},
		{"no status", `" 200 `, `" - `, `"status":200`, `"status":null`},
		{"no bytes", " 203023 ", " - ", `"bytes":203023`, `"bytes":null`},
		{"18 digits", " 203023 ", " 999999999999999999 ", "203023", "999999999999999999"},
		{"no referer", `"http://x.org/"`, `"-"`, `"referer":"http://x.org/"`, `"referer":null`},
		{"empty referer", `"http://x.org/"`, `""`, `"referer":"http://x.org/"`, `"referer":""`},
		{"no agent", `"Mozilla/5.0 (X)"`, `"-"`, `"agent":"Mozilla/5.0 (X)"`, `"agent":null`},
		{"escapes", "Mozilla/5.0 (X)", `a\tb\\c\x41\n\xe2\x82\xac\q\x4`, "Mozilla/5.0 (X)", `a\tb\\cA\n€\\q\\x4`},
		{"quotes in the agent, not escaped", "Mozilla/5.0 (X)", `a "b"c`, "Mozilla/5.0 (X)", `a \"b\"c`},
		{"escaped bytes that are not UTF-8", "Mozilla/5.0 (X)", `\xe4\xe5`, "Mozilla/5.0 (X)", "\ufffd\ufffd"},
		{"bytes that are not UTF-8", "Mozilla/5.0 (X)", "a\xffb", "Mozilla/5.0 (X)", "a\ufffdb"},
		{"cut in the agent", `(X)"`, `(X`, "(X)", "(X"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, want := strings.Replace(combined, tt.old, tt.new, 1), strings.Replace(full, tt.wantOld, tt.wantNew, 1)
			got := one(t, p, in)
			if got != want {
				t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("no JSON: %s", got)
			}
		})
	}
	want := `{"host":"127.0.0.1","ident":null,"authuser":"frank","datetime":"10/Oct/2000:13:55:36 -0700","timestamp":"2000-10-10T20:55:36Z",` +
		`"request":"GET /apache_pb.gif HTTP/1.0","method":"GET","path":"/apache_pb.gif","protocol":"HTTP/1.0","status":200,"bytes":2326,"referer":null,"agent":null}`
	if got := one(t, p, common); got != want {
		t.Errorf("common log format\ngot  %s\nwant %s", got, want)
	}
}

func TestApacheRefuses(t *testing.T) {
	p := open(t, parse.Options{Format: parse.ApacheCombined})
	for _, tt := range []struct{ name, old, new, want string }{
		{"nothing", combined, "", "byte 0: no client address with a space behind it"},
		{"one word", combined, "hello", "byte 0: no client address with a space behind it"},
		{"no ident", combined, "1.2.3.4 x", "byte 8: no identity with a space behind it"},
		{"no time", combined, "1.2.3.4 - - nothing", "byte 10: no time in brackets"},
		{"virtual host in front", combined, "example.com:80 " + combined, "byte 28: more than three fields before the time (a virtual host in front?)"},
		{"other time", "17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03.000000", "no time like [02/Jan/2006:15:04:05 -0700]"},
		{"month", "May", "Mai", "no time like"},
		{"day", "17/May", "31/Apr", "no time like"},
		{"day zero", "17/May", "00/May", "no time like"},
		{"no leap year", "17/May/2015", "29/Feb/1900", "no time like"},
		{"hour", "10:05:03", "24:05:03", "no time like"},
		{"letters", "10:05:03", "1o:05:03", "no time like"},
		{"before year 0", "17/May/2015:10:05:03 +0000", "01/Jan/0000:00:00:00 +0100", "no time like"},
		{"no request", ` "GET /a.png HTTP/1.1"`, "", "byte 45: no quoted request after the time"},
		{"request has no end", `1.1" 200`, `1.1 200`, "byte 47: no end of the request with a status behind it"},
		{"status", ` 200 `, ` 20 `, "byte 68: status is no number of three digits"},
		{"nothing after the status", ` 203023 "http://x.org/" "Mozilla/5.0 (X)"`, ``, "byte 68: no bytes after the status"},
		{"bytes", ` 203023 `, ` 2k `, "byte 72: bytes is no number"},
		{"bytes overflow", ` 203023 `, ` 9999999999999999999 `, "byte 72: bytes is no number"},
		{"referer", `"http://x.org/"`, `http://x.org/`, "byte 78: no quoted referer after the bytes"},
		{"cut in the referer", `/" "Mozilla/5.0 (X)"`, ``, "byte 80: no end of the referer with a quoted agent behind it"},
		{"another field", `(X)"`, `(X)" "10.1.1.1"`, "byte 112: text after the agent"},
		{"two lines", `(X)"`, `(X)"` + "\n" + combined, "byte 112: more than one line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.Replace(combined, tt.old, tt.new, 1)
			got := one(t, p, in)
			if !strings.HasPrefix(got, "Parse.NoMatch: parse apache_combined: byte ") || !strings.Contains(got, tt.want) {
				t.Errorf("%s\ngot  %s\nwant %s", in, got, tt.want)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name string
		opt  parse.Options
		in   string
		want string
	}{
		{"json", parse.Options{Format: "json"}, `{"b": 1.50, "a": 123456789012345678901}`, `{"b": 1.50, "a": 123456789012345678901}`},
		{"json, space around", parse.Options{Format: "json"}, " [1 ]\r\n", `[1 ]`},
		{"json, over several lines", parse.Options{Format: "json"}, "{\n  \"b\": 1.50,\n  \"a\": [ ]\n}\n", `{"b":1.50,"a":[]}`},
		{"json, none", parse.Options{Format: "json"}, `hello`, `Parse.NoMatch: parse json: json: byte 0: 'h' where a value should start`},
		{"json, two", parse.Options{Format: "json"}, `{"a":1}{"a":2}`, `Parse.NoMatch: parse json: json: byte 7: '{' after the value`},
		{"json, kept", parse.Options{Format: "json", OnError: "keep"}, "hello\n", "hello\n"},

		{"regex", parse.Options{Format: "regex", Pattern: `^(?P<level>[A-Z]+) (?:\[(?P<id>\d+)\] )?(?P<text>.*)$`}, "WARN [7] a \"b\"\xff\n", `{"level":"WARN","id":"7","text":"a \"b\"` + "\ufffd" + `"}`},
		{"regex, group without a match", parse.Options{Format: "regex", Pattern: `^(?P<level>[A-Z]+) (?:\[(?P<id>\d+)\] )?(?P<text>.*)$`}, `WARN x`, `{"level":"WARN","id":null,"text":"x"}`},
		{"regex, none", parse.Options{Format: "regex", Pattern: `^(?P<a>\d+)$`}, `x`, `Parse.NoMatch: parse regex: byte 0: the pattern matches nowhere`},
		{"regex, raw", parse.Options{Format: "regex", Pattern: `(?P<a>\d+)`, RawField: "raw"}, "x 5\n", `{"a":"5","raw":"x 5"}`},

		{"csv", parse.Options{Format: "csv", Columns: []string{"a", "b c", "d"}}, "1, 2 ,\"x,\"\"y\"\"\n\"\r\n", `{"a":"1","b c":" 2 ","d":"x,\"y\"\n"}`},
		{"csv, nulls", parse.Options{Format: "csv", Columns: []string{"a", "b", "c"}}, `,"",`, `{"a":null,"b":"","c":null}`},
		{"csv, tab", parse.Options{Format: "csv", Columns: []string{"a", "b"}, Delimiter: "\t"}, "1,2\t3", `{"a":"1,2","b":"3"}`},
		{"csv, a delimiter of two bytes", parse.Options{Format: "csv", Columns: []string{"a", "b"}, Delimiter: "§"}, "1§\"2\"", `{"a":"1","b":"2"}`},
		{"csv, too few", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, `1`, `Parse.NoMatch: parse csv: byte 1: 1 of 2 columns`},
		{"csv, too many", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, `1,2,3`, `Parse.NoMatch: parse csv: byte 4: more than 2 columns`},
		{"csv, open quote", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, `1,"2`, `Parse.NoMatch: parse csv: byte 2: a quoted field has no end`},
		{"csv, text after a quote", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, `"1"x,2`, `Parse.NoMatch: parse csv: byte 3: text after the closing quote of a field`},
		{"csv, stray quote", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, `1"1,2`, `Parse.NoMatch: parse csv: byte 1: a quote in a field that does not start with one`},
		{"csv, two lines", parse.Options{Format: "csv", Columns: []string{"a", "b"}}, "1,2\n3,4", `Parse.NoMatch: parse csv: byte 3: a line break outside of quotes: one record is one line`},

		{"logfmt", parse.Options{Format: "logfmt"}, "at=info  method=GET path=/a=b empty= dry msg=\"a \\\"b\\\" \\u00e9\\n\"\n", `{"at":"info","method":"GET","path":"/a=b","empty":"","dry":true,"msg":"a \"b\" é\n"}`},
		{"logfmt, twice", parse.Options{Format: "logfmt"}, `a=1 b=2 a=3`, `{"a":"3","b":"2"}`},
		{"logfmt, raw wins", parse.Options{Format: "logfmt", RawField: "raw"}, `raw=1 b=2`, `{"b":"2","raw":"raw=1 b=2"}`},
		{"logfmt, nothing but the raw field", parse.Options{Format: "logfmt", RawField: "raw"}, `raw=1`, `Parse.NoMatch: parse logfmt: byte 0: no key=value beside the raw field`},
		{"logfmt, prose", parse.Options{Format: "logfmt"}, `the end`, `Parse.NoMatch: parse logfmt: byte 0: no key=value`},
		{"logfmt, open quote", parse.Options{Format: "logfmt"}, `a="x\"`, `Parse.NoMatch: parse logfmt: byte 2: a quoted value has no end`},
		{"logfmt, quote in a key", parse.Options{Format: "logfmt"}, `a"b=1`, `Parse.NoMatch: parse logfmt: byte 1: a quote in a key`},
		{"logfmt, quote in a value", parse.Options{Format: "logfmt"}, `a=b"c"`, `Parse.NoMatch: parse logfmt: byte 3: a quote in a value that does not start with one`},
		{"logfmt, text after a quote", parse.Options{Format: "logfmt"}, `a="b"c`, `Parse.NoMatch: parse logfmt: byte 5: text after the closing quote of a value`},

		{"apache, raw", parse.Options{Format: "apache_combined", RawField: "line", OnError: "keep"}, "oops \"x\"\n", `{"line":"oops \"x\""}`},

		{"field", parse.Options{Format: "json", Field: "log"}, `{"t": 1.0, "log":"{\"b\": 2.50,\"a\":[ ]}\n","z":null}`, `{"t":1.0,"z":null,"b":2.50,"a":[ ]}`},
		{"field, new members win", parse.Options{Format: "logfmt", Field: "log"}, `{"a":"old","log":"a=new","b":"old"}`, `{"b":"old","a":"new"}`},
		{"field, and keeps its name", parse.Options{Format: "logfmt", Field: "log", RawField: "log"}, `{"log":"a=1 b=2"}`, `{"log":"a=1 b=2","a":"1","b":"2"}`},
		{"field, text under another name", parse.Options{Format: "json", Field: "log", RawField: "raw"}, `{"log":"{\"raw\":1,\"x\":2}"}`, `{"raw":"{\"raw\":1,\"x\":2}","x":2}`},
		{"field, missing", parse.Options{Format: "json", Field: "log"}, `{"a":1}`, `Parse.NoField: parse json: the record has no field "log"`},
		{"field, no string", parse.Options{Format: "json", Field: "log"}, `{"log":{}}`, `Parse.NoField: parse json: field "log" is no string`},
		{"field, no object", parse.Options{Format: "json", Field: "log"}, `[]`, `Parse.NoField: parse json: json: byte 0: '[' where an object should start`},
		{"field, no match", parse.Options{Format: "csv", Columns: []string{"a", "b"}, Field: "log"}, `{"log":"1"}`, `Parse.NoMatch: parse csv: field "log": byte 1: 1 of 2 columns`},
		{"field, an array", parse.Options{Format: "json", Field: "log"}, `{"log":"[1]"}`, `Parse.NoMatch: parse json: field "log": json: byte 0: '[' where an object should start`},
		{"field, kept", parse.Options{Format: "json", Field: "log", OnError: "keep"}, `{"log": "x"}`, `{"log": "x"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := one(t, open(t, tt.opt), tt.in); got != tt.want {
				t.Errorf("%s\ngot  %s\nwant %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		opt  parse.Options
		want string
	}{
		{parse.Options{Format: "apache"}, "parse apache: format is not one of apache_combined, json, regex, csv, logfmt"},
		{parse.Options{Format: "regex"}, "parse regex: pattern is missing"},
		{parse.Options{Format: "regex", Pattern: "("}, "parse regex: pattern: error parsing regexp: missing closing ): `(`"},
		{parse.Options{Format: "regex", Pattern: "(a)"}, "parse regex: pattern has no named group such as (?P<name>...)"},
		{parse.Options{Format: "csv"}, "parse csv: columns are missing"},
		{parse.Options{Format: "csv", Columns: []string{"a", ""}}, "parse csv: columns[1] has no name"},
		{parse.Options{Format: "csv", Columns: []string{"a", "a"}}, `parse csv: columns[1] "a" is named twice`},
		{parse.Options{Format: "csv", Columns: []string{"a"}, Delimiter: ", "}, `parse csv: delimiter ", " is not one character other than a quote or a line break`},
		{parse.Options{Format: "csv", Columns: []string{"a"}, Delimiter: `"`}, `parse csv: delimiter "\"" is not one character other than a quote or a line break`},
		{parse.Options{Format: "csv", Columns: []string{"a"}, RawField: "a"}, `parse csv: raw_field "a" is also a field of the text`},
		{parse.Options{Format: "apache_combined", RawField: "agent"}, `parse apache_combined: raw_field "agent" is also a field of the text`},
		{parse.Options{Format: "json", RawField: "a"}, `parse json: raw_field needs field: a record that is JSON already is its own text`},
		{parse.Options{Format: "json", Pattern: "a"}, `parse json: pattern is only for format regex`},
		{parse.Options{Format: "json", Delimiter: ","}, `parse json: columns and delimiter are only for format csv`},
		{parse.Options{Format: "json", OnError: "drop"}, `parse json: on_error "drop" is not one of fail, keep`},
	} {
		if _, err := parse.New(tt.opt); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: got %v, want %s", tt.opt, err, tt.want)
		}
	}
}

// TestJSONDecodesOnce guards that later steps get the value parse decoded.
func TestJSONDecodesOnce(t *testing.T) {
	p := open(t, parse.Options{Format: "json"})
	for _, in := range []string{`{"a":1}`, "{\"a\":1}\n", "{\n\"a\":1}"} {
		out, err := p.Transform(t.Context(), []transform.Record{{Data: []byte(in)}})
		if err != nil {
			t.Fatal(err)
		}
		r := out[0].Record
		if n := testing.AllocsPerRun(10, func() { _, _ = r.Value() }); n != 0 {
			t.Errorf("%q: %v allocations to read the value again", in, n)
		}
	}
}

// realLines are those of the access log in the test data, or none.
func realLines(t testing.TB) [][]byte {
	dir := os.Getenv("FIREHOSED_TEST_DATA")
	if dir == "" {
		t.Skip("FIREHOSED_TEST_DATA is not set: it names the directory with apache_combined.log")
	}
	f, err := os.Open(filepath.Join(dir, "apache_combined.log"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	var lines [][]byte
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	return lines
}

// TestRealLog compares every field with what a regular expression finds.
func TestRealLog(t *testing.T) {
	re := regexp.MustCompile(`^(\S+) (\S+) (\S+) \[([^\]]+)\] "(.*?)" (\d{3}|-) (\d+|-) "(.*?)" "(.*?)"?$`)
	lines := realLines(t)
	in := make([]transform.Record, len(lines))
	for i := range lines {
		in[i].Data = lines[i]
	}
	out, err := open(t, parse.Options{Format: parse.ApacheCombined}).Transform(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, o := range out {
		if o.Verdict != transform.OK {
			failed++
			t.Errorf("line %d: %s %s\n%s", i+1, o.Code, o.Message, lines[i])
			continue
		}
		var got struct {
			Host, Datetime, Request, Method, Path, Protocol string
			Ident, Authuser, Referer, Agent                 *string
			Status, Bytes                                   *int64
			Timestamp                                       time.Time
		}
		if err := json.Unmarshal(o.Record.Data, &got); err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, o.Record.Data)
		}
		m := re.FindSubmatch(lines[i])
		if m == nil {
			t.Fatalf("line %d: the regular expression does not match: %s", i+1, lines[i])
		}
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(m[4]))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(string(m[1]), null(m[2]), null(m[3]), string(m[4]), at.UTC(), string(m[5]), null(m[6]), null(m[7]), null(m[8]), null(m[9]))
		have := fmt.Sprint(got.Host, str(got.Ident), str(got.Authuser), got.Datetime, got.Timestamp, got.Request, num(got.Status), num(got.Bytes), str(got.Referer), str(got.Agent))
		if want != have && !bytes.ContainsRune(lines[i], '\\') {
			t.Errorf("line %d\ngot  %s\nwant %s", i+1, have, want)
		}
		if got.Method+" "+got.Path+" "+got.Protocol != got.Request {
			t.Errorf("line %d: %q + %q + %q of %q", i+1, got.Method, got.Path, got.Protocol, got.Request)
		}
	}
	t.Logf("%d lines, %d failed", len(lines), failed)
	if len(lines) == 0 {
		t.Error("no lines")
	}
}

func null(b []byte) string {
	if string(b) == "-" {
		return "<nil>"
	}
	return string(b)
}

func str(s *string) string {
	if s == nil {
		return "<nil>"
	}
	return *s
}

func num(n *int64) string {
	if n == nil {
		return "<nil>"
	}
	return fmt.Sprint(*n)
}

// fuzzText checks that whatever the text, the outcome is one JSON object in
// UTF-8 without line breaks, or a failure that names a byte of the text.
func fuzzText(f *testing.F, opt parse.Options) {
	p := open(f, opt)
	place := regexp.MustCompile(`byte (\d+): `)
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := p.Transform(t.Context(), []transform.Record{{Data: text}})
		if err != nil {
			t.Fatal(err)
		}
		if o := out[0]; o.Verdict == transform.Failed {
			m := place.FindStringSubmatch(o.Message)
			if m == nil {
				t.Fatalf("%q: %s names no byte", text, o.Message)
			}
			var at int
			if _, err := fmt.Sscan(m[1], &at); err != nil || at > len(text) {
				t.Fatalf("%q: %s", text, o.Message)
			}
			return
		}
		r := out[0].Record
		v, err := r.Value()
		if err != nil {
			t.Fatalf("%q became %q: %v", text, r.Data, err)
		}
		if m, ok := v.(map[string]any); !ok || len(m) == 0 {
			t.Fatalf("%q became %q", text, r.Data)
		}
		if !utf8.Valid(r.Data) || bytes.ContainsAny(r.Data, "\r\n") {
			t.Fatalf("%q became %q", text, r.Data)
		}
		ms, err := transform.Members(r.Data)
		if err != nil || len(ms) != len(v.(map[string]any)) {
			t.Fatalf("%q became %q: %v or a key twice", text, r.Data, err)
		}
	})
}

func FuzzApache(f *testing.F) {
	f.Add([]byte(combined))
	f.Add([]byte(common))
	f.Add([]byte(`a - joe [x] doe [29/Feb/2016:23:59:60 -1130] "\"\x16\\" - - "" "a "b"c`))
	fuzzText(f, parse.Options{Format: parse.ApacheCombined})
}

func FuzzLogfmt(f *testing.F) {
	f.Add([]byte(`at=info method=GET empty= dry msg="a \"b\" \u00e9\x41\n" at=2`))
	f.Add([]byte("\xff=\xfe \"=1"))
	fuzzText(f, parse.Options{Format: parse.Logfmt, RawField: "raw"})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("1,\"a,\"\"b\"\"\n\",\r\n"))
	f.Add([]byte(`,,`))
	fuzzText(f, parse.Options{Format: parse.CSV, Columns: []string{"a", "b", "c"}})
}

func benchmark(b *testing.B, opt parse.Options, lines [][]byte) {
	p := open(b, opt)
	const batch = 500
	in := make([]transform.Record, batch)
	var n, size int
	b.ReportAllocs()
	for b.Loop() {
		for i := range in {
			in[i] = transform.Record{Data: lines[n%len(lines)]}
			size += len(in[i].Data)
			n++
		}
		out, err := p.Transform(b.Context(), in)
		if err != nil || out[0].Verdict != transform.OK {
			b.Fatal(err, out[0].Message)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/line")
	b.ReportMetric(float64(size)/1e6/b.Elapsed().Seconds(), "MB/s")
}

func BenchmarkApache(b *testing.B) {
	benchmark(b, parse.Options{Format: parse.ApacheCombined}, realLines(b))
}

func BenchmarkLogfmt(b *testing.B) {
	line := `at=info method=GET path=/a/b/c host=web.example.com request_id=5f2c fwd="1.2.3.4" dyno=web.1 connect=1ms service=18ms status=200 bytes=1234`
	benchmark(b, parse.Options{Format: parse.Logfmt}, [][]byte{[]byte(line)})
}

func BenchmarkCSV(b *testing.B) {
	benchmark(b, parse.Options{Format: parse.CSV, Columns: []string{"a", "b", "c", "d", "e", "f"}}, [][]byte{[]byte(`2026-08-01T10:00:00Z,web-17,"GET /a, b",200,203023,"Mozilla/5.0 (X)"`)})
}
