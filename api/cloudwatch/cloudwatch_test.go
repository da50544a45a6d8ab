package cloudwatch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

type fixture struct {
	*Metrics
	handler *wire.Handler
	now     time.Time
}

func newFixture(t *testing.T, opt Options) *fixture {
	t.Helper()
	f := &fixture{now: time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)}
	opt.Clock = func() time.Time { return f.now }
	var err error
	if f.Metrics, err = NewMetrics(opt); err != nil {
		t.Fatal(err)
	}
	f.handler, err = wire.NewHandler(wire.Options{Services: []wire.Service{New(f.Metrics).Wire()}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put sends a body of JSON and returns the code and message of the error.
func (f *fixture) put(t *testing.T, body string) (code, message string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if w.Code == 200 {
		if w.Body.Len() != 0 {
			t.Errorf("answer %q", w.Body)
		}
		return "", ""
	}
	var e struct {
		Type             string `json:"__type"`
		Message, message string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	return e.Type, e.Message
}

// series are all series, in the order of their keys.
func (f *fixture) all() []Series {
	all := f.Series()
	slices.SortFunc(all, func(a, b Series) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

func TestPutMetricData(t *testing.T) {
	f := newFixture(t, Options{})
	for _, body := range []string{
		`{"Namespace":"app","MetricData":[
			{"MetricName":"Time","Unit":"Milliseconds","Value":5,"Timestamp":1795417082.48,"Dimensions":[{"Name":"Shard","Value":"s-1"},{"Name":"Op","Value":"Read"}]},
			{"MetricName":"Time","Unit":"Milliseconds","Value":-2.5,"Dimensions":[{"Name":"Op","Value":"Read"},{"Name":"Shard","Value":"s-1"}],"StorageResolution":1},
			{"MetricName":"Time","Value":1}]}`,
		`{"Namespace":"app","MetricData":[{"MetricName":"Set","StatisticValues":{"SampleCount":4,"Sum":10,"Minimum":1,"Maximum":6}}]}`,
		`{"Namespace":"app","MetricData":[{"MetricName":"Many","Unit":"Count","Values":[1,2,7],"Counts":[2,0.5,0]},{"MetricName":"Many","Unit":"Count","Values":[3]}]}`,
		`{"Namespace":"app","EntityMetricData":[{"Entity":{"KeyAttributes":{"Type":"Service"}},"MetricData":[{"MetricName":"Entity","Value":2}]}],"StrictEntityValidation":false}`,
	} {
		if code, message := f.put(t, body); code != "" {
			t.Fatalf("%s: %s", code, message)
		}
	}
	want := []Series{
		{Namespace: "app", Metric: "Entity", Unit: "None", Count: 1, Sum: 2, Min: 2, Max: 2},
		{Namespace: "app", Metric: "Many", Unit: "Count", Count: 3.5, Sum: 6, Min: 1, Max: 3},
		{Namespace: "app", Metric: "Set", Unit: "None", Count: 4, Sum: 10, Min: 1, Max: 6},
		{Namespace: "app", Metric: "Time", Unit: "Milliseconds", Count: 2, Sum: 2.5, Min: -2.5, Max: 5, Dimensions: []Dimension{{"Op", "Read"}, {"Shard", "s-1"}}},
		{Namespace: "app", Metric: "Time", Unit: "None", Count: 1, Sum: 1, Min: 1, Max: 1},
	}
	if got := f.all(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := f.Counts(), (Counts{Series: 5, Data: 7}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestQueryForm sends the form that the AWS SDK for Java 1.12 makes.
func TestQueryForm(t *testing.T) {
	f := newFixture(t, Options{})
	form := url.Values{
		"Action": {"PutMetricData"}, "Version": {"2010-08-01"}, "Namespace": {"my app"},
		"MetricData.member.1.MetricName": {"Time"}, "MetricData.member.1.Timestamp": {"2026-11-23T06:59:00.125Z"}, "MetricData.member.1.Unit": {"Milliseconds"},
		"MetricData.member.1.Dimensions.member.1.Name": {"Op"}, "MetricData.member.1.Dimensions.member.1.Value": {"a b"},
		"MetricData.member.1.StatisticValues.SampleCount": {"2.0"}, "MetricData.member.1.StatisticValues.Sum": {"3.5"},
		"MetricData.member.1.StatisticValues.Minimum": {"1.0"}, "MetricData.member.1.StatisticValues.Maximum": {"2.5"},
		"MetricData.member.2.MetricName": {"Many"}, "MetricData.member.2.Values.member.1": {"1.0"}, "MetricData.member.2.Counts.member.1": {"3.0"},
	}
	put := func(form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w
	}
	if w := put(form); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `<PutMetricDataResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := []Series{
		{Namespace: "my app", Metric: "Many", Unit: "None", Count: 3, Sum: 3, Min: 1, Max: 1},
		{Namespace: "my app", Metric: "Time", Unit: "Milliseconds", Count: 2, Sum: 3.5, Min: 1, Max: 2.5, Dimensions: []Dimension{{"Op", "a b"}}},
	}
	if got := f.all(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	form.Del("Namespace")
	w := put(form)
	for _, part := range []string{"<Type>Sender</Type>", "<Code>MissingParameter</Code>", "<Message>The parameter Namespace is required.</Message>"} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%d, no %s in %s", w.Code, part, w.Body)
		}
	}
}

func TestRefused(t *testing.T) {
	datum := func(members string) string {
		return `{"Namespace":"app","MetricData":[{"MetricName":"a",` + members + `}]}`
	}
	many := func(n int, item string) string { return strings.Repeat(item+",", n-1) + item }
	unitSet := "Seconds, Microseconds, Milliseconds, Bytes, Kilobytes, Megabytes, Gigabytes, Terabytes, Bits, Kilobits, Megabits, Gigabits, Terabits, Percent, Count, " +
		"Bytes/Second, Kilobytes/Second, Megabytes/Second, Gigabytes/Second, Terabytes/Second, Bits/Second, Kilobits/Second, Megabits/Second, Gigabits/Second, Terabits/Second, Count/Second, None"
	for _, tt := range []struct{ name, body, code, message string }{
		{"no namespace", `{"MetricData":[{"MetricName":"a","Value":1}]}`, codeMissing, "The parameter Namespace is required."},
		{"blank namespace", `{"Namespace":" ","MetricData":[{"MetricName":"a","Value":1}]}`, codeMissing, "The parameter Namespace is required."},
		{"reserved namespace", `{"Namespace":"AWS/Kinesis","MetricData":[{"MetricName":"a","Value":1}]}`, codeValue, "The value AWS/Kinesis for parameter Namespace is invalid."},
		{"namespace with a colon", `{"Namespace":":a","MetricData":[{"MetricName":"a","Value":1}]}`, codeValue, "The value :a for parameter Namespace is invalid."},
		{"long namespace", `{"Namespace":"` + strings.Repeat("n", 256) + `","MetricData":[{"MetricName":"a","Value":1}]}`, codeValue, "The parameter Namespace must be shorter than 256 characters."},
		{"no data", `{"Namespace":"app"}`, codeMissing, "The parameter MetricData is required."},
		{"empty data", `{"Namespace":"app","MetricData":[]}`, codeMissing, "The parameter MetricData is required."},
		{"1001 data", `{"Namespace":"app","MetricData":[` + many(1001, `{"MetricName":"a","Value":1}`) + `]}`, codeValue, "The collection MetricData must not have a size greater than 1000."},
		{"no name", `{"Namespace":"app","MetricData":[{"MetricName":"a","Value":1},{"Value":1}]}`, codeMissing, "The parameter MetricData.member.2.MetricName is required."},
		{"null", `{"Namespace":"app","MetricData":[null]}`, "ValidationException", "1 validation error detected: Value null at 'metricData.1.member' failed to satisfy constraint: Member must not be null"},
		{"two without a name", `{"Namespace":"app","MetricData":[{"Value":1},{"Value":1}]}`, codeMissing, "The parameter MetricData.member.1.MetricName is required.\nThe parameter MetricData.member.2.MetricName is required."},
		{"long name", `{"Namespace":"app","MetricData":[{"MetricName":"` + strings.Repeat("a", 256) + `","Value":1}]}`, codeValue, "The parameter MetricData.member.1.MetricName must be shorter than 256 characters."},
		{"name of no ASCII", `{"Namespace":"app","MetricData":[{"MetricName":"ä","Value":1}]}`, codeValue, "The value for parameter MetricData.member.1.MetricName contains non-ASCII characters."},
		{"control character", `{"Namespace":"app","MetricData":[{"MetricName":"a\u0000b","Value":1}]}`, codeValue, "The value for parameter MetricData.member.1.MetricName contains control characters."},
		{"31 dimensions", datum(`"Value":1,"Dimensions":[` + many(31, `{"Name":"n","Value":"v"}`) + `]`), codeValue, "The collection MetricData.member.1.Dimensions must not have a size greater than 30."},
		{"dimension without a value", datum(`"Value":1,"Dimensions":[{"Name":"n"}]`), codeMissing, "The parameter MetricData.member.1.Dimensions.member.1.Value is required."},
		{"dimension with a colon", datum(`"Value":1,"Dimensions":[{"Name":":n","Value":"v"}]`), codeValue, "The value :n for parameter MetricData.member.1.Dimensions.member.1.Name is invalid."},
		{"long dimension", datum(`"Value":1,"Dimensions":[{"Name":"n","Value":"` + strings.Repeat("v", 1025) + `"}]`), codeValue, "The parameter MetricData.member.1.Dimensions.member.1.Value must be shorter than 1025 characters."},
		{"too old", datum(`"Value":1,"Timestamp":1794000000`), codeValue, "The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks."},
		{"too new", datum(`"Value":1,"Timestamp":1795428100`), codeValue, "The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks."},
		{"unit", datum(`"Value":1,"Unit":"seconds"`), codeValue, "The parameter MetricData.member.1.Unit must be a value in the set [ " + unitSet + " ]."},
		{"resolution", datum(`"Value":1,"StorageResolution":300`), codeValue, "The parameter MetricData.member.1.StorageResolution must be a value in the set [ 1, 60 ]."},
		{"NaN", datum(`"Value":"NaN"`), codeValue, "The value NaN for parameter MetricData.member.1.Value is invalid."},
		{"infinity", datum(`"Value":"-Infinity"`), codeValue, "The value -Inf for parameter MetricData.member.1.Value is invalid."},
		{"too large", datum(`"Value":2.4e108`), codeValue, "The value 2.4e+108 for parameter MetricData.member.1.Value is invalid."},
		{"no value", datum(`"Unit":"Count"`), codeMissing, "At least one of the parameters MetricData.member.1.Value, MetricData.member.1.Values or MetricData.member.1.StatisticValues must be specified."},
		{"value and statistics", datum(`"Value":1,"StatisticValues":{"SampleCount":1,"Sum":1,"Minimum":1,"Maximum":1}`), codeCombination, "The parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues are mutually exclusive and you have specified both."},
		{"value and values", datum(`"Value":1,"Values":[1]`), codeCombination, "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have specified both."},
		{"statistics without a sum", datum(`"StatisticValues":{"SampleCount":1,"Minimum":1,"Maximum":1}`), codeMissing, "The parameter MetricData.member.1.StatisticValues.Sum is required."},
		{"statistics without samples", datum(`"StatisticValues":{"SampleCount":0,"Sum":0,"Minimum":1,"Maximum":1}`), codeValue, "The parameter MetricData.member.1.StatisticValues.SampleCount must be greater than 0."},
		{"extremes the wrong way", datum(`"StatisticValues":{"SampleCount":1,"Sum":1,"Minimum":2,"Maximum":1}`), codeValue, "The parameter MetricData.member.1.StatisticValues.Maximum must be greater than MetricData.member.1.StatisticValues.Minimum."},
		{"151 values", datum(`"Values":[` + many(151, "1") + `]`), codeValue, "The collection MetricData.member.1.Values must not have a size greater than 150."},
		{"empty values", datum(`"Values":[]`), codeMissing, "The parameter MetricData.member.1.Values is required."},
		{"counts of another number", datum(`"Values":[1,2],"Counts":[1]`), codeValue, "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size."},
		{"negative count", datum(`"Values":[1],"Counts":[-1]`), codeValue, "The parameter MetricData.member.1.Counts.member.1 must be greater than or equal to 0."},
		{"value of an entity", `{"Namespace":"app","EntityMetricData":[{"MetricData":[{"MetricName":"a"}]}]}`, codeMissing, "At least one of the parameters EntityMetricData.member.1.MetricData.member.1.Value, EntityMetricData.member.1.MetricData.member.1.Values or EntityMetricData.member.1.MetricData.member.1.StatisticValues must be specified."},
		{"three entities", `{"Namespace":"app","EntityMetricData":[` + many(3, `{"MetricData":[{"MetricName":"a","Value":1}]}`) + `]}`, codeValue, "The collection EntityMetricData must not have a size greater than 2."},
		{"type", datum(`"Value":true`), wire.CodeSerialization, "class java.lang.Boolean can not be converted to an Double"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, Options{})
			code, message := f.put(t, tt.body)
			if code != tt.code || message != tt.message {
				t.Errorf("got %s %q\nwant %s %q", code, message, tt.code, tt.message)
			}
			if c := f.Counts(); c != (Counts{}) {
				t.Errorf("counts of a refused request: %+v", c)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	f := newFixture(t, Options{})
	_, message := f.put(t, `{"Namespace":"app","MetricData":[`+strings.Repeat(`{"Value":1},`, 999)+`{"Value":1}]}`)
	if got := strings.Count(message, "\n") + 1; got != maxProblems {
		t.Errorf("%d problems are told, want %d", got, maxProblems)
	}
}

func put(f *fixture, namespace, metric string, value float64) {
	f.add(namespace, &datum{metric: metric, unit: "None", count: 1, sum: value, extremes: extremes{value, value}})
}

func TestSeriesAreBounded(t *testing.T) {
	f := newFixture(t, Options{MaxSeries: 3, Idle: time.Minute})
	for i := range 5 {
		put(f, "app", fmt.Sprint(i), 1)
		f.now = f.now.Add(10 * time.Second)
	}
	put(f, "app", "0", 1)
	if got, want := f.Counts(), (Counts{Series: 3, Data: 4, Refused: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	// Series 1 is idle for a minute now, series 2 not yet; series 0 was used again.
	f.now = f.now.Add(20 * time.Second)
	put(f, "app", "9", 1)
	if got, want := f.Counts(), (Counts{Series: 3, Data: 5, Refused: 2, Expired: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	var names []string
	for _, s := range f.all() {
		names = append(names, s.Metric)
	}
	if want := []string{"0", "2", "9"}; !slices.Equal(names, want) {
		t.Errorf("series %v, want %v", names, want)
	}
	f.now = f.now.Add(time.Hour)
	if got := f.Series(); len(got) != 0 {
		t.Errorf("idle series: %v", got)
	}
	if f.bytes != 0 || f.recent.Len() != 0 {
		t.Errorf("%d bytes, %d entries are left", f.bytes, f.recent.Len())
	}
}

func TestNamesAreBounded(t *testing.T) {
	f := newFixture(t, Options{MaxNamesBytes: 30})
	put(f, "app", "0123456789", 1) // 20 bytes with its unit and separators
	put(f, "app", "9876543210", 1)
	put(f, "app", "0123456789", 1)
	if got, want := f.Counts(), (Counts{Series: 1, Data: 2, Refused: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestExtremesAreOfTheLastMinutes(t *testing.T) {
	f := newFixture(t, Options{})
	begin := f.now
	for _, step := range []struct {
		at       time.Duration
		value    float64
		min, max float64
	}{
		{0, 5, 5, 5},
		{30 * time.Second, 1, 1, 5},
		{70 * time.Second, 3, 1, 5},  // the window before still counts
		{119 * time.Second, 4, 1, 5}, // and still does
		{120 * time.Second, 4, 3, 4}, // now it is gone
		{10 * time.Minute, 9, 9, 9},  // a pause
		{5 * time.Minute, 2, 2, 2},   // the clock was set back
	} {
		f.now = begin.Add(step.at)
		put(f, "app", "m", step.value)
		if s := f.Series()[0]; s.Min != step.min || s.Max != step.max {
			t.Errorf("at %v: %v to %v, want %v to %v", step.at, s.Min, s.Max, step.min, step.max)
		}
	}
}

func TestClockIsRequired(t *testing.T) {
	if _, err := NewMetrics(Options{}); err == nil {
		t.Error("metrics without a clock are taken")
	}
}
