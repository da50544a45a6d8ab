package jq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/jq"
	"github.com/firehosed/firehosed/transform/transformtest"
)

func open(t testing.TB, opt jq.Options) *jq.Transformer {
	t.Helper()
	j, err := jq.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestContract(t *testing.T) {
	transformtest.Run(t, transformtest.Case{
		Open: func(t *testing.T) transform.Transformer {
			return open(t, jq.Options{Query: `if .a == 1 then empty else . + {env: "prod"} end`})
		},
		OK:      []string{`{"b":2}`, `{"a":2.5,"z":[1,{"y":null}]}`, `null`},
		Dropped: []string{`{"a":1}`, ` {"a":1.0} `},
		Failed:  []string{``, `hello`, `[1]`, `{"a":`},
	})
}

func TestQueries(t *testing.T) {
	for _, tt := range []struct{ query, data, want string }{
		{`. + {env: "prod"}`, `{"z":1,"a":2}`, `{"a":2,"env":"prod","z":1}`},
		{`.`, `{"n":123456789012345678901234567890,"f":1.50,"i":9007199254740993}`, `{"f":1.5,"i":9007199254740993,"n":123456789012345678901234567890}`},
		{`.n + 1`, `{"n":123456789012345678901234567890}`, `123456789012345678901234567891`},
		{`.a.b`, `{"a":{"b":"<&>\u2028é"}}`, "\"<&>\u2028é\""},
		{`null`, `{}`, `null`},
		{`nan`, `{}`, `null`},
		{`empty`, `{}`, `dropped`},
		{`select(.a)`, `{}`, `dropped`},
		{`[.a[]]`, `{"a":[1,2]}`, `[1,2]`},
		{`.a[]`, `{"a":[1]}`, `1`},
		{`.a[]`, `{"a":[]}`, `dropped`},
		{`.a[]`, `{"a":[1,2]}`, `JQ.SeveralOutputs: jq: the query gives more than one value; one record stays one record, so collect them with [...]`},
		{`.a, error("x")`, `{}`, `JQ.Error: jq: error: x`},
		{`.a.b`, `{"a":1}`, `JQ.Error: jq: expected an object but got: number (1)`},
		{`error`, `{"a":"` + strings.Repeat("é", 2000) + `"}`, `JQ.Error: jq: error: {"a":"éé`},
		{`halt`, `{}`, `JQ.Error: jq: halt error: null`},
		{`"x" | halt_error`, `{}`, `JQ.Error: jq: halt error: x`},
		{`env | length`, `{}`, `0`},
		{`$ENV | length`, `{}`, `0`},
		{`$record.partition_key + $record.shard_id + $record.id + $record.sequence_number`, `{}`, `"ksi7"`},
		{`.a`, `{"a":1} {"a":2}`, `JQ.NotJSON: jq: json: byte 8: '{' after the value`},
		{`def f: f; f`, `{}`, `JQ.Timeout: jq: the query ran longer than 100ms`},
		{`last(range(1e12))`, `{}`, `JQ.Timeout: jq: the query ran longer than 100ms`},
		{`1, (def f: f; f)`, `{}`, `JQ.Timeout: jq: the query ran longer than 100ms`},
		{`reduce range(100) as $i (0; [.])`, `{}`, `JQ.Output: jq: result: value: json: nested deeper than 64`},
		{`"x" * 2000`, `{}`, `JQ.Output: jq: result has 2002 bytes, the limit is 1000`},
	} {
		t.Run(tt.query, func(t *testing.T) {
			limit := time.Hour
			if strings.HasPrefix(tt.want, jq.CodeTimeout) {
				limit = 100 * time.Millisecond
			}
			j := open(t, jq.Options{Query: tt.query, Timeout: limit, MaxBytes: 1000})
			out, err := j.Transform(t.Context(), []transform.Record{
				{Data: []byte(tt.data), PartitionKey: "k", ShardID: "s", ID: "i", SequenceNumber: "7"},
			})
			if err != nil {
				t.Fatal(err)
			}
			o := out[0]
			got := string(o.Record.Data)
			switch o.Verdict {
			case transform.Dropped:
				got = "dropped"
			case transform.Failed:
				got = o.Code + ": " + o.Message
			}
			if got != tt.want && !(o.Verdict == transform.Failed && strings.HasPrefix(got, tt.want)) || len(got) > 400 {
				t.Errorf("%.100s\ngot  %s\nwant %s", tt.data, got, tt.want)
			}
		})
	}
}

// A record that ran into the limit must not take its neighbours along.
func TestTimeoutIsOfOneRecord(t *testing.T) {
	// The neighbours take microseconds of the limit, on a busy machine as well.
	j := open(t, jq.Options{Query: `if .slow then def f: f; f else .a end`, Timeout: time.Second})
	var in []transform.Record
	for i := range 10 {
		in = append(in, transform.Record{Data: fmt.Appendf(nil, `{"slow":%v,"a":%d}`, i%5 == 2, i)})
	}
	out, err := j.Transform(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if i%5 == 2 {
			if o.Code != jq.CodeTimeout {
				t.Errorf("record %d: %v %s", i, o.Verdict, o.Code)
			}
		} else if string(o.Record.Data) != fmt.Sprint(i) {
			t.Errorf("record %d: %v %s %s", i, o.Verdict, o.Record.Data, o.Message)
		}
	}
}

func TestCancelDuringARecord(t *testing.T) {
	j := open(t, jq.Options{Query: `def f: f; f`, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() {
		<-started
		cancel()
	}()
	close(started)
	out, err := j.Transform(ctx, []transform.Record{{Data: []byte(`1`)}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", out, err)
	}
}

// TestPatternsOfRecords guards that programs are renewed and go on working.
func TestPatternsOfRecords(t *testing.T) {
	j := open(t, jq.Options{Query: `.p as $p | .s | test($p)`})
	for batch := range 25 {
		in := make([]transform.Record, 1000)
		for i := range in {
			in[i].Data = fmt.Appendf(nil, `{"p":"^%d-%d$","s":"%d-%d"}`, batch, i, batch, i)
		}
		out, err := j.Transform(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			if string(o.Record.Data) != "true" {
				t.Fatalf("batch %d record %d: %v %s %s", batch, i, o.Verdict, o.Record.Data, o.Message)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		opt  jq.Options
		want string
	}{
		{jq.Options{}, "jq: query is missing"},
		{jq.Options{Query: ". +"}, "jq: query 1:4: unexpected EOF"},
		{jq.Options{Query: ".a |\n .b ]"}, `jq: query 2:5: unexpected token "]"`},
		{jq.Options{Query: "nosuch(.)"}, "jq: query: function not defined: nosuch/1"},
		{jq.Options{Query: "input"}, "jq: query: input(s)/0 is not allowed"},
		{jq.Options{Query: "debug"}, "jq: query: function not defined: debug/0"},
		{jq.Options{Query: "$x"}, "jq: query: variable not defined: $x"},
		{jq.Options{Query: `import "x" as x; .`}, `jq: query: cannot load module: "x"`},
		{jq.Options{Query: ".", Timeout: -1}, "jq: timeout and size must not be negative"},
	} {
		if _, err := jq.New(tt.opt); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: got %v, want %s", tt.opt, err, tt.want)
		}
	}
}

func TestDeterministic(t *testing.T) {
	for q, want := range map[string]bool{`.a`: true, `.t = now`: false, `.t | localtime`: false, `.known`: true} {
		if got := open(t, jq.Options{Query: q}).Deterministic(); got != want {
			t.Errorf("%s: got %v, want %v", q, got, want)
		}
	}
}

func BenchmarkJQ(b *testing.B) {
	j := open(b, jq.Options{Query: `. + {env: "prod"}`})
	data := []byte(`{"timestamp":"2026-08-01T10:00:00.123Z","host":"web-17.example.com","status":200,"bytes":203023,"method":"GET","path":"/presentations/logstash-monitorama-2013/images/kibana-search.png","referer":"http://semicomplete.com/presentations/logstash-monitorama-2013/","agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36","duration":0.0123,"cache":{"hit":true,"key":"abc"},"tags":["a","b"]}`)
	run := func(b *testing.B, forget bool) {
		source := transform.Record{Data: data}
		if _, err := source.Value(); err != nil {
			b.Fatal(err)
		}
		if forget {
			source.Forget()
		}
		in := make([]transform.Record, 500)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			for i := range in {
				in[i] = source
			}
			out, err := j.Transform(b.Context(), in)
			if err != nil || out[0].Verdict != transform.OK {
				b.Fatal(err, out[0].Message)
			}
			n += len(in)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	}
	b.Run("decoded", func(b *testing.B) { run(b, false) })
	b.Run("with decoding", func(b *testing.B) { run(b, true) })
}
