package lambda_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/backoff"
	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/lambda"
	"github.com/firehosed/firehosed/transform/transformtest"
)

type request struct {
	InvocationID           string
	DeliveryStreamArn      string
	SourceKinesisStreamArn *string
	Region                 string
	Records                []struct {
		RecordID                    string
		ApproximateArrivalTimestamp int64
		Data                        []byte
		KinesisRecordMetadata       *struct {
			ShardID, PartitionKey, SequenceNumber string
			SubsequenceNumber                     int64
			ApproximateArrivalTimestamp           int64
		}
	}
}

type answerRecord struct {
	RecordID string          `json:"recordId"`
	Result   string          `json:"result"`
	Data     *string         `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// upper is the function of these tests: it drops "drop...", fails "fail..." and
// makes the rest upper case.
func upper(q request) []byte {
	var a struct {
		Records []answerRecord `json:"records"`
	}
	for _, r := range q.Records {
		data := base64.StdEncoding.EncodeToString(bytes.ToUpper(r.Data))
		o := answerRecord{RecordID: r.RecordID, Result: "Ok", Data: &data}
		switch {
		case bytes.HasPrefix(r.Data, []byte("drop")):
			o.Result = "Dropped"
		case bytes.HasPrefix(r.Data, []byte("fail")):
			o.Result = "ProcessingFailed"
		}
		a.Records = append(a.Records, o)
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return b
}

func decode(t testing.TB, r *http.Request) request {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	if len(b) > lambda.MaxRequest {
		t.Errorf("a request has %d bytes", len(b))
	}
	var q request
	if err := json.Unmarshal(b, &q); err != nil {
		t.Errorf("request: %v", err)
	}
	return q
}

// fast tries again at once.
var fast = backoff.Policy{Initial: time.Nanosecond, Max: time.Nanosecond}

// server answers with h and ends with the test.
func server(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func open(t testing.TB, opt lambda.Options) *lambda.Transformer {
	t.Helper()
	if opt.Backoff == (backoff.Policy{}) {
		opt.Backoff = fast
	}
	l, err := lambda.New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func records(data ...string) []transform.Record {
	in := make([]transform.Record, len(data))
	for i, d := range data {
		in[i] = transform.Record{
			ID: fmt.Sprintf("id-%d", i), Data: []byte(d), Arrival: time.UnixMilli(1495072949453),
			PartitionKey: "k\"", ShardID: "shardId-000000000000", SequenceNumber: "49590338271490256608559692538361571095921575989136588898",
		}
	}
	return in
}

func show(out []transform.Outcome) string {
	var s []string
	for _, o := range out {
		switch o.Verdict {
		case transform.OK:
			s = append(s, string(o.Record.Data))
		case transform.Dropped:
			s = append(s, "dropped")
		case transform.Failed:
			s = append(s, fmt.Sprintf("%s after %d", o.Code, o.Attempts))
		}
	}
	return strings.Join(s, ", ")
}

func TestContractOverHTTP(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(upper(decode(t, r))) })
	transformtest.Run(t, transformtest.Case{
		Open:    func(t *testing.T) transform.Transformer { return open(t, lambda.Options{URL: url, BatchRecords: 7}) },
		OK:      []string{"a", "", "\x00\xff", "long " + strings.Repeat("x", 10_000)},
		Dropped: []string{"drop"},
		Failed:  []string{"fail"},
		Slow:    true,
	})
}

func TestRequestShape(t *testing.T) {
	var bodies []string
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer x" {
			t.Errorf("header %v", r.Header)
		}
		var q request
		if err := json.Unmarshal(b, &q); err != nil {
			t.Error(err)
		}
		_, _ = w.Write(upper(q))
	})
	in := records("hé", "")
	opt := lambda.Options{
		URL: url, Region: "us-east-1", DeliveryStreamARN: "arn:aws:firehose:us-east-1:000000000000:deliverystream/d",
		Header: http.Header{"Authorization": {"Bearer x"}},
	}
	if _, err := open(t, opt).Transform(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	opt.SourceStreamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
	if _, err := open(t, opt).Transform(t.Context(), in[:1]); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`"deliveryStreamArn":"arn:aws:firehose:us-east-1:000000000000:deliverystream/d","region":"us-east-1","records":[` +
			`{"recordId":"id-0","approximateArrivalTimestamp":1495072949453,"data":"aMOp"},` +
			`{"recordId":"id-1","approximateArrivalTimestamp":1495072949453,"data":""}]}`,
		`"deliveryStreamArn":"arn:aws:firehose:us-east-1:000000000000:deliverystream/d","sourceKinesisStreamArn":"arn:aws:kinesis:us-east-1:000000000000:stream/s",` +
			`"region":"us-east-1","records":[{"recordId":"id-0","approximateArrivalTimestamp":1495072949453,"data":"aMOp",` +
			`"kinesisRecordMetadata":{"shardId":"shardId-000000000000","partitionKey":"k\"","sequenceNumber":"49590338271490256608559692538361571095921575989136588898",` +
			`"subsequenceNumber":0,"approximateArrivalTimestamp":1495072949453}}]}`,
	} {
		// {"invocationId":"8-4-4-4-12",
		const id = len(`{"invocationId":"00000000-0000-4000-8000-000000000000",`)
		if got := bodies[i]; got[id:] != want {
			t.Errorf("request %d\ngot  %s\nwant %s", i, got[id:], want)
		}
	}
	if bodies[0][:60] == bodies[1][:60] {
		t.Error("two calls have the same invocationId")
	}
}

func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name, answer string
		want         string
		message      string
	}{
		{"ok", `{"records":[{"recordId":"id-1","result":"Ok","data":"Yg=="},{"recordId":"id-0","result":"Ok","data":""}]}`, ", b", ""},
		{"more in it", `{"x":[{}],"records":[{"recordId":"id-0","result":"Ok","data":"YQ==","y":1},{"recordId":"id-1","result":"Dropped","data":null}],"z":null} `, "a, dropped", ""},
		{
			"failed", `{"records":[{"recordId":"id-0","result":"ProcessingFailed","data":"YQ=="},{"recordId":"id-1","result":"Ok","data":"YQ=="}]}`,
			"Lambda.ProcessingFailedStatus after 1, a", "ProcessingFailed status set for record",
		},
		{
			"unknown result", `{"records":[{"recordId":"id-0","result":"ok","data":"YQ=="},{"recordId":"id-1","result":"Ok","data":"YQ=="}]}`,
			"Lambda.InvalidReturnFormat after 1, a", `the result "ok" is not Ok, Dropped or ProcessingFailed`,
		},
		{
			"no result", `{"records":[{"recordId":"id-0","data":"YQ=="},{"recordId":"id-1","result":"` + long + `","data":"YQ=="}]}`,
			"Lambda.InvalidReturnFormat after 1, Lambda.InvalidReturnFormat after 1", "the result is missing",
		},
		{
			"no data", `{"records":[{"recordId":"id-0","result":"Ok"},{"recordId":"id-1","result":"Ok","data":"YQ=="}]}`,
			"Lambda.InvalidReturnFormat after 1, a", "the result is Ok, but data is missing",
		},
		{
			"no base64", `{"records":[{"recordId":"id-0","result":"Ok","data":"YQ"},{"recordId":"id-1","result":"Ok","data":"%%%"}]}`,
			"Lambda.InvalidReturnFormat after 1, Lambda.InvalidReturnFormat after 1", "data is no base64: illegal base64 data at input byte",
		},
		{
			"one missing", `{"records":[{"recordId":"id-0","result":"Ok","data":"YQ=="}]}`,
			"Lambda.MissingRecordId after 1, Lambda.MissingRecordId after 1", "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids. 1 of 2 are missing.",
		},
		{"no records", `{}`, "Lambda.MissingRecordId after 1, Lambda.MissingRecordId after 1", "One or more record Ids were not returned."},
		{"empty records", `{"records":[]}`, "Lambda.MissingRecordId after 1, Lambda.MissingRecordId after 1", "2 of 2 are missing."},
		{
			"twice", `{"records":[{"recordId":"id-0","result":"Ok","data":"YQ=="},{"recordId":"id-0","result":"Ok","data":"YQ=="},{"recordId":"id-1","result":"Ok","data":"YQ=="}]}`,
			"Lambda.DuplicatedRecordId after 1, Lambda.DuplicatedRecordId after 1", "Multiple records were returned with the same record Id.",
		},
		{
			"unknown id", `{"records":[{"recordId":"id-0","result":"Ok","data":"YQ=="},{"recordId":"id-1","result":"Ok","data":"YQ=="},{"recordId":"id-7","result":"Ok","data":"YQ=="}]}`,
			"Lambda.MissingRecordId after 1, Lambda.MissingRecordId after 1", "records[2] has one that was not in the request.",
		},
		{"no id", `{"records":[{"result":"Ok","data":"YQ=="}]}`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "records[0] of the answer has no recordId"},
		{"records twice", `{"records":[],"records":[]}`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "the answer has records twice"},
		{"records is a string", `{"records":"x"}`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "records of the answer is no array"},
		{"data is a number", `{"records":[{"recordId":"id-0","result":"Ok","data":5}]}`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "data of records in the answer is a JSON number"},
		{"element is a number", `{"records":[7]}`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "an element of records in the answer is a JSON number"},
		{"array", `[]`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "the answer is no JSON object"},
		{"null", `null`, "Lambda.JsonMappingException after 1, Lambda.JsonMappingException after 1", "the answer is no JSON object"},
		{"empty", ``, "Lambda.JsonProcessingException after 1, Lambda.JsonProcessingException after 1", "the answer is no JSON: byte 0: unexpected EOF"},
		{"page", `<html>` + long, "Lambda.JsonProcessingException after 1, Lambda.JsonProcessingException after 1", "the answer is no JSON: byte 0: invalid character '<'"},
		{"cut", `{"records":[{"recordId":"id-0","res`, "Lambda.JsonProcessingException after 1, Lambda.JsonProcessingException after 1", "unexpected EOF"},
		{
			"two answers", `{"records":[{"recordId":"id-0","result":"Dropped"},{"recordId":"id-1","result":"Dropped"}]} {}`,
			"Lambda.JsonProcessingException after 1, Lambda.JsonProcessingException after 1", "the answer goes on after its end at byte 9",
		},
		{"deep", `{"a":` + strings.Repeat("[", 20_000), "Lambda.JsonProcessingException after 1, Lambda.JsonProcessingException after 1", "exceeded max depth"},
		{
			"too many keys", `{"records":[{"recordId":"id-0","result":"Ok","data":"","metadata":{"partitionKeys":{` + manyKeys(51) + `}}},{"recordId":"id-1","result":"Dropped"}]}`,
			"Lambda.InvalidReturnFormat after 1, dropped", "metadata.partitionKeys: 51 keys, the limit is 50",
		},
		{
			"huge metadata", `{"records":[{"recordId":"id-0","result":"Ok","data":"","metadata":{"partitionKeys":{` + manyKeys(9000) + `}}},{"recordId":"id-1","result":"Dropped"}]}`,
			"Lambda.InvalidReturnFormat after 1, dropped", "the limit is 65536",
		},
		{
			"nested keys", `{"records":[{"recordId":"id-0","result":"Ok","data":"","metadata":{"partitionKeys":{"a":{}}}},{"recordId":"id-1","result":"Ok","data":"","metadata":7}]}`,
			"Lambda.InvalidReturnFormat after 1, Lambda.InvalidReturnFormat after 1", `metadata.partitionKeys: the value of "a" is neither text nor a number`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			url := server(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_ = decode(t, r)
				_, _ = io.WriteString(w, tt.answer)
			})
			out, err := open(t, lambda.Options{URL: url, Retries: 3}).Transform(t.Context(), records("1", "2"))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(out); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !strings.Contains(out[0].Message, tt.message) || len(out[1].Message) > 500 {
				t.Errorf("message %q, want %q", out[0].Message, tt.message)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls: an answer is final", n)
			}
		})
	}
}

func manyKeys(n int) string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return strings.Join(s, ",")
}

func TestPartitionKeys(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"records":[{"recordId":"id-0","result":"Ok","data":"","metadata":{"partitionKeys":{"a":"x\u00e9","n":1.50,"b":true},"otfMetadata":{}}}]}`)
	})
	out, err := open(t, lambda.Options{URL: url}).Transform(t.Context(), records("1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out[0].Record.PartitionKeys); got != "map[a:xé b:true n:1.50]" {
		t.Errorf("got %s", got)
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   string // of the outcome, or of the error behind "error: "
		calls  int64
	}{
		{500, "Lambda.FunctionError after 3", 3},
		{502, "Lambda.InvocationFailure after 3", 3},
		{503, "Lambda.InvokeLimitExceeded after 3", 3},
		{429, "Lambda.InvokeLimitExceeded after 3", 3},
		{504, "Lambda.FunctionTimeout after 3", 3},
		{400, "Lambda.InvocationFailure after 1", 1},
		{413, "Lambda.RequestTooLarge after 1", 1},
		{302, "error: redirects are not followed, set url to where the function is", 1},
		{307, "error: redirects are not followed, set url to where the function is", 1},
		{204, "error: a function must answer 200", 1},
		{401, "error: check url, path and credentials", 1},
		{403, "error: check url, path and credentials", 1},
		{404, "error: check url, path and credentials", 1},
		{405, "error: check url, path and credentials", 1},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			var calls atomic.Int64
			url := server(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
			})
			url = strings.Replace(url, "http://", "http://user:secret@", 1) + "/f?token=secret"
			out, err := open(t, lambda.Options{URL: url, Retries: 2}).Transform(t.Context(), records("1"))
			got := show(out)
			if err != nil {
				got = "error: " + err.Error()
				if strings.Contains(got, "secret") {
					t.Errorf("the error tells a secret: %s", got)
				}
			} else if strings.Contains(out[0].Message, "secret") || !strings.Contains(out[0].Message, fmt.Sprint(tt.status)) {
				t.Errorf("message %q", out[0].Message)
			}
			if w := strings.TrimPrefix(tt.want, "error: "); !strings.Contains(got, w) || (w != tt.want) != (err != nil) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if n := calls.Load(); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

func TestSecondCallHelps(t *testing.T) {
	var calls atomic.Int64
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write(upper(decode(t, r)))
	})
	out, err := open(t, lambda.Options{URL: url, Retries: 3}).Transform(t.Context(), records("a", "fail"))
	if err != nil || show(out) != "A, Lambda.ProcessingFailedStatus after 3" {
		t.Errorf("got %s, %v", show(out), err)
	}
}

// A request that is too large for the server is cut in halves, and only what is
// too large alone fails.
func TestTooLargeIsSplit(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		q := decode(t, r)
		size := 0
		for _, x := range q.Records {
			size += len(x.Data)
		}
		if size > 10 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		_, _ = w.Write(upper(q))
	})
	out, err := open(t, lambda.Options{URL: url}).Transform(t.Context(), records("aaaa", "bbbb", "cccc", "ddddddddddddd", "eeee"))
	if want := "AAAA, BBBB, CCCC, Lambda.RequestTooLarge after 4, EEEE"; err != nil || show(out) != want {
		t.Errorf("got %s, %v; want %s", show(out), err, want)
	}
}

func TestBatches(t *testing.T) {
	var mu sync.Mutex
	sizes := map[int]int{}
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		q := decode(t, r)
		mu.Lock()
		sizes[len(q.Records)]++
		mu.Unlock()
		_, _ = w.Write(upper(q))
	})
	run := func(opt lambda.Options, in []transform.Record, want map[int]int) {
		t.Helper()
		clear(sizes)
		opt.URL = url
		out, err := open(t, opt).Transform(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			if o.Verdict != transform.OK || o.Record.ID != in[i].ID || len(o.Record.Data) != len(in[i].Data) {
				t.Fatalf("record %d: %v %s %s", i, o.Verdict, o.Code, o.Message)
			}
		}
		if fmt.Sprint(sizes) != fmt.Sprint(want) {
			t.Errorf("requests by number of records: %v, want %v", sizes, want)
		}
	}
	many := records(strings.Split(strings.Repeat("x,", 1000)+"x", ",")...)
	run(lambda.Options{}, many, map[int]int{500: 2, 1: 1})
	run(lambda.Options{BatchRecords: 1001}, many, map[int]int{1001: 1})
	run(lambda.Options{BatchBytes: 100}, many, map[int]int{100: 10, 1: 1})
	run(lambda.Options{BatchBytes: 10}, records("123456", "1234", strings.Repeat("x", 100), "1"), map[int]int{2: 1, 1: 2})
	full := make([]byte, lambda.MaxRecord)
	run(lambda.Options{BatchBytes: lambda.MaxRecord}, []transform.Record{{ID: "a", Data: full}, {ID: "b", Data: full}}, map[int]int{1: 2})

	out, err := open(t, lambda.Options{URL: url}).Transform(t.Context(), []transform.Record{{ID: "a", Data: make([]byte, 5<<20)}, {ID: "b", Data: []byte("b")}})
	if err != nil || show(out) != "Lambda.RequestTooLarge after 1, B" {
		t.Errorf("got %s, %v", show(out), err)
	}
}

func TestIDsThatAreNotUnique(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(upper(decode(t, r))) })
	in := []transform.Record{{ID: "a", Data: []byte("1")}, {ID: "a", Data: []byte("2")}, {Data: []byte("3")}, {ID: "a-1", Data: []byte("4")}, {ID: "\xff", Data: []byte("5")}, {ID: "\xfe", Data: []byte("6")}}
	out, err := open(t, lambda.Options{URL: url}).Transform(t.Context(), in)
	if err != nil || show(out) != "1, 2, 3, 4, 5, 6" {
		t.Errorf("got %s, %v", show(out), err)
	}
	for i := range out {
		if out[i].Record.ID != in[i].ID {
			t.Errorf("record %d: id %q became %q", i, in[i].ID, out[i].Record.ID)
		}
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	var running, most atomic.Int64
	arrived := make(chan struct{}, 100)
	release := make(chan struct{})
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		q := decode(t, r)
		arrived <- struct{}{}
		<-release
		_, _ = w.Write(upper(q))
	})
	l := open(t, lambda.Options{URL: url, BatchRecords: 1, Concurrency: 3})
	var g sync.WaitGroup
	for range 4 { // batches at a time share the limit
		g.Go(func() {
			if out, err := l.Transform(t.Context(), records("a", "b", "c", "d")); err != nil || show(out) != "A, B, C, D" {
				t.Errorf("got %s, %v", show(out), err)
			}
		})
	}
	for range 3 {
		<-arrived
	}
	close(release)
	g.Wait()
	if m := most.Load(); m != 3 {
		t.Errorf("%d calls at a time, want 3", m)
	}
}

// hang answers the head and then nothing until the client has gone.
func hang(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, `{"records":[`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// In a bubble both calls begin before their time is over, however slow the
// machine is.
func TestSlowAnswerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		url := pipeServer(t, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); hang(w, r) })
		start := time.Now()
		out, err := open(t, lambda.Options{URL: url, Timeout: time.Minute, Retries: 1}).Transform(t.Context(), records("a", "b"))
		if err != nil || show(out) != "Lambda.FunctionTimeout after 2, Lambda.FunctionTimeout after 2" {
			t.Errorf("got %s, %v", show(out), err)
		}
		if out[0].Message != "no answer within 1m0s" || calls.Load() != 2 {
			t.Errorf("message %q, %d calls", out[0].Message, calls.Load())
		}
		if took := time.Since(start); took < 2*time.Minute || took > 2*time.Minute+time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// pipes is a listener whose connections are pipes, so that their time is that of
// a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeServer is server over pipes. It takes the place of the default transport,
// of which the step makes its own, until the test ends.
func pipeServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	srv, ended := &http.Server{Handler: h}, make(chan error, 1) //nolint:gosec // The client is this test.
	go func() { ended <- srv.Serve(p) }()
	before := http.DefaultTransport
	http.DefaultTransport = &http.Transport{DialContext: p.dial}
	t.Cleanup(func() {
		http.DefaultTransport = before
		_ = srv.Close()
		<-ended
	})
	return "http://" + p.Addr().String()
}

func TestCancelDuringACall(t *testing.T) {
	started := make(chan struct{})
	url := server(t, func(w http.ResponseWriter, r *http.Request) { close(started); hang(w, r) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if out, err := open(t, lambda.Options{URL: url, Retries: 300}).Transform(ctx, records("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %s, %v", show(out), err)
	}
}

func TestCancelDuringAPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		time.AfterFunc(time.Millisecond, cancel)
	})
	if out, err := open(t, lambda.Options{URL: url, Retries: 1, Backoff: backoff.Policy{Initial: time.Hour}}).Transform(ctx, records("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %s, %v", show(out), err)
	}
}

// endless counts what a client took before it went.
func endless(taken *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"records":"`)
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for taken.Load() < 1<<30 {
			n, err := w.Write(chunk)
			taken.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

func TestHugeAnswer(t *testing.T) {
	for name, opt := range map[string]func(url string) lambda.Options{
		"http":   func(url string) lambda.Options { return lambda.Options{URL: url} },
		"invoke": invokeOptions,
	} {
		t.Run(name, func(t *testing.T) {
			var taken atomic.Int64
			o := opt(server(t, endless(&taken)))
			o.Retries = 3
			o.MaxResponse = 1 << 20
			out, err := open(t, o).Transform(t.Context(), records("a"))
			if err != nil || show(out) != "Lambda.FunctionError after 1" || !strings.Contains(out[0].Message, "the answer is longer than 1048576 bytes") {
				t.Errorf("got %s, %v, %s", show(out), err, out[0].Message)
			}
			// What is beyond the limit sits in buffers of the network.
			if n := taken.Load(); n > 1<<28 {
				t.Errorf("the server could write %d bytes", n)
			}
		})
	}
}

func TestAnswerAtTheLimit(t *testing.T) {
	answer := upper(request{Records: []struct {
		RecordID                    string
		ApproximateArrivalTimestamp int64
		Data                        []byte
		KinesisRecordMetadata       *struct {
			ShardID, PartitionKey, SequenceNumber string
			SubsequenceNumber                     int64
			ApproximateArrivalTimestamp           int64
		}
	}{{RecordID: "id-0", Data: []byte("a")}}})
	url := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })
	for limit, want := range map[int64]string{int64(len(answer)): "A", int64(len(answer)) - 1: "Lambda.FunctionError after 1"} {
		out, err := open(t, lambda.Options{URL: url, MaxResponse: limit}).Transform(t.Context(), records("a"))
		if err != nil || show(out) != want {
			t.Errorf("limit %d of %d: got %s, %v; want %s", limit, len(answer), show(out), err, want)
		}
	}
}

func TestCompressedAnswerIsRefused(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("accepts %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte{0x1f, 0x8b})
	})
	out, err := open(t, lambda.Options{URL: url, Retries: 3}).Transform(t.Context(), records("a"))
	if err != nil || show(out) != "Lambda.JsonProcessingException after 1" || !strings.Contains(out[0].Message, `encoded as "gzip"`) {
		t.Errorf("got %s, %v, %s", show(out), err, out[0].Message)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	for name, opt := range map[string]lambda.Options{"http": {URL: url + "/?token=secret"}, "invoke": invokeOptions(url)} {
		opt.Retries = 2
		out, err := open(t, opt).Transform(t.Context(), records("a"))
		if err == nil || !strings.Contains(err.Error(), "connection refused (3 attempts)") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %s, %v", name, show(out), err)
		}
	}
}

// A connection that breaks during a call may be the record's fault.
func TestConnectionBreaks(t *testing.T) {
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	for name, opt := range map[string]lambda.Options{"http": {URL: url}, "invoke": invokeOptions(url)} {
		opt.Retries = 1
		out, err := open(t, opt).Transform(t.Context(), records("a"))
		if err != nil || show(out) != "Lambda.InvocationFailure after 2" {
			t.Errorf("%s: got %s, %v", name, show(out), err)
		}
	}
}

func TestWrongCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	s.Config.ErrorLog = nil
	out, err := open(t, lambda.Options{URL: s.URL, Retries: 1}).Transform(t.Context(), records("a"))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %s, %v", show(out), err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		opt  lambda.Options
		want string
	}{
		{lambda.Options{}, "lambda: exactly one of url and function must be set"},
		{lambda.Options{URL: "http://x/", Function: "f"}, "lambda: exactly one of url and function must be set"},
		{lambda.Options{URL: "127.0.0.1:80"}, "lambda: url is no address such as http://127.0.0.1:8080/"},
		{lambda.Options{URL: "ftp://u:secret@x/"}, `lambda: url "ftp://u:xxxxx@x/" is no address such as http://127.0.0.1:8080/`},
		{lambda.Options{URL: "http://x/", Retries: 301}, "lambda: retries 301 is outside 0 to 300"},
		{lambda.Options{URL: "http://x/", BatchBytes: 5 << 20}, "lambda: batch size 5242880 is outside 1 to 4194304 bytes"},
		{lambda.Options{URL: "http://x/", BatchRecords: -1}, "lambda: batch records -1 is outside 1 to 10000"},
		{lambda.Options{URL: "http://x/", Concurrency: -1}, "lambda: concurrency -1 is outside 1 to 1000"},
		{lambda.Options{URL: "http://x/", Timeout: -1}, "lambda: timeout and size of the answer must not be negative"},
		{lambda.Options{Function: "f", AccessKey: "a"}, "lambda: access key and secret key belong together"},
		{lambda.Options{URL: "http://x/", Profile: "p"}, "lambda: endpoint, keys and profile are for function, not for url"},
		{lambda.Options{Function: "f", Region: "r", Endpoint: "x"}, `lambda: endpoint "x" is no address such as http://127.0.0.1:8080/`},
	} {
		if _, err := lambda.New(t.Context(), tt.opt); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: got %v, want %s", tt.opt, err, tt.want)
		}
	}
}

func TestClosed(t *testing.T) {
	l, err := lambda.New(t.Context(), lambda.Options{URL: "http://127.0.0.1:1/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Transform(t.Context(), records("a")); !errors.Is(err, lambda.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
