package filter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/filter"
	"github.com/firehosed/firehosed/transform/transformtest"
)

func open(t testing.TB, e string) *filter.Transformer {
	t.Helper()
	f, err := filter.New(filter.Options{Expr: e})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestContract(t *testing.T) {
	for name, c := range map[string]transformtest.Case{
		"fields": {
			Open:    func(t *testing.T) transform.Transformer { return open(t, `status >= 200 && any(tags ?? [], # == "a")`) },
			OK:      []string{`{"status":200,"tags":["b","a"]}`},
			Dropped: []string{`{"status":199}`, `{"status":404.5}`},
			Failed:  []string{``, `{}`, `[]`, `{"status":"200"}`, `{"status":200,"tags":7}`},
		},
		"record": {
			Open:    func(t *testing.T) transform.Transformer { return open(t, `$record.data contains "ERROR"`) },
			OK:      []string{"1 ERROR x", "\xffERROR"},
			Dropped: []string{"", "{}", "INFO"},
		},
	} {
		t.Run(name, func(t *testing.T) { transformtest.Run(t, c) })
	}
}

func TestExpressions(t *testing.T) {
	for _, tt := range []struct {
		expr, data string
		want       string // ok, dropped, or the code and a part of the message
	}{
		{`status >= 200`, `{"status":200}`, "ok"},
		{`status >= 200`, `{"status":200.5}`, "ok"},
		{`status >= 200`, `{"status":100}`, "dropped"},
		{`status >= 200`, `{"other":1}`, "Filter.Error: filter: expr 1:8: invalid operation: <nil> >= int (a field is missing or null: write (field ?? default) to say what then)"},
		{`status >= 200`, `{"status":null}`, "Filter.Error: filter: expr 1:8: invalid operation: <nil> >= int"},
		{`(status ?? 0) >= 200`, `{"other":1}`, "dropped"},
		{`status == nil`, `{"other":1}`, "ok"},
		{`status == 200`, `{"other":1}`, "dropped"},
		{`status >= 200`, `{"status":"200"}`, "Filter.Error: filter: expr 1:8: invalid operation: string >= int"},
		{`status >= 200`, `{"status":99999999999999999999}`, "ok"},
		{`a.b[1].c > 1e18`, `{"a":{"b":[0,{"c":99999999999999999999}]}}`, "ok"},
		{`a.b.c == 1`, `{"a":{}}`, "Filter.Error: filter: expr 1:"},
		{`a?.b?.c == 1`, `{"a":{}}`, "dropped"},
		{`$env["user-agent"] startsWith "Mozilla"`, `{"user-agent":"Mozilla/5.0"}`, "ok"},
		{`$env["user-agent"] startsWith "Mozilla"`, `{"user-agent":"curl"}`, "dropped"},
		{`path matches "^/admin(/|$)"`, `{"path":"/admin/x"}`, "ok"},
		{`not (agent contains "bot")`, `{"agent":"Googlebot"}`, "dropped"},
		{`flag`, `{"flag":true}`, "ok"},
		{`flag`, `{"flag":"yes"}`, "Filter.Error: filter: expr gives a string, not true or false"},
		{`flag`, `{}`, "Filter.Error: filter: expr gives nothing: a field is missing or null"},
		{`$record.partition_key == "k" && a == 1`, `{"a":1}`, "ok"},
		{`$record.size > 3`, `not json`, "ok"},
		{`$record.arrival < date("2020-01-01")`, ``, "ok"},
		{`$record.id + $record.shard_id + $record.sequence_number == "is7"`, ``, "ok"},
		{`a == 1`, `not json`, "Filter.NoObject: filter: json: byte 0: 'n' where a value should start (did you mean null?)"},
		{`a == 1`, `[1]`, "Filter.NoObject: filter: the record is JSON, but no object"},
		{`len(map(1..100000, 1..100000)) > 0 && a == 1`, `{"a":1}`, "Filter.Error: filter: expr 1:21: memory budget exceeded"},
		{`int(a) > 1`, `{"a":"` + strings.Repeat("é", 4096) + `"}`, "Filter.Error: filter: expr 1:1: "},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			out, err := open(t, tt.expr).Transform(t.Context(), []transform.Record{{
				Data: []byte(tt.data), PartitionKey: "k", ID: "i", ShardID: "s", SequenceNumber: "7", Arrival: time.UnixMilli(0),
			}})
			if err != nil {
				t.Fatal(err)
			}
			o := out[0]
			got := o.Verdict.String()
			if o.Verdict == transform.Failed {
				got = o.Code + ": " + o.Message
			}
			if !strings.HasPrefix(got, tt.want) || len(got) > 500 {
				t.Errorf("%s\ngot  %s\nwant %s", tt.data, got, tt.want)
			}
			if o.Verdict == transform.OK && string(o.Record.Data) != tt.data {
				t.Errorf("the bytes became %s", o.Record.Data)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{``, "filter: expr is missing"},
		{" \n", "filter: expr is missing"},
		{`status >=`, "filter: expr 1:9: unexpected token EOF"},
		{"a == 1 &&\n  b ==== 2", "filter: expr 2:"},
		{`1 + 1`, "filter: expr gives a int, not true or false"},
		{`"x"`, "filter: expr gives a string, not true or false"},
		{`a == 1 && nosuch(a)`, "filter: expr 1:11: unknown function nosuch"},
		{`[1]`, "filter: expr gives a []"},
		{`a matches "("`, "filter: expr 1:"},
	} {
		_, err := filter.New(filter.Options{Expr: tt.expr})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %s", tt.expr, err, tt.want)
		}
	}
}

func TestDeterministic(t *testing.T) {
	for e, want := range map[string]bool{
		`a == 1`: true, `now() > date("2020-01-01")`: false, `any(a, # > now().Unix())`: false,
	} {
		if got := open(t, e).Deterministic(); got != want {
			t.Errorf("%s: got %v, want %v", e, got, want)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	f := open(b, `status >= 200 && path startsWith "/presentations"`)
	data := []byte(`{"timestamp":"2026-08-01T10:00:00.123Z","host":"web-17.example.com","status":200,"bytes":203023,"method":"GET","path":"/presentations/logstash-monitorama-2013/images/kibana-search.png","referer":"http://semicomplete.com/presentations/logstash-monitorama-2013/","agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36","duration":0.0123,"cache":{"hit":true,"key":"abc"},"tags":["a","b"]}`)
	run := func(b *testing.B, forget bool) {
		in := make([]transform.Record, 500)
		for i := range in {
			in[i].SetData(data)
			if _, err := in[i].Value(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if forget {
				for i := range in {
					in[i].Forget()
				}
			}
			out, err := f.Transform(b.Context(), in)
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
