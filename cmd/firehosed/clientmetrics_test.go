package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/cloudwatch"
	"github.com/firehosed/firehosed/api/wire"
)

// TestClientCollector: series with other labels, and such that would have the
// same ones, live side by side in one registry.
func TestClientCollector(t *testing.T) {
	metrics, err := cloudwatch.NewMetrics(cloudwatch.Options{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	h, err := wire.NewHandler(wire.Options{Services: []wire.Service{cloudwatch.New(metrics).Wire()}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"Namespace":"app","MetricData":[
		{"MetricName":"m","Value":1},
		{"MetricName":"m","Value":1,"Dimensions":[{"Name":"a-b","Value":"x"}]},
		{"MetricName":"m","Value":1,"Dimensions":[{"Name":"a_b","Value":"x"}]},
		{"MetricName":"m","Value":1,"Dimensions":[{"Name":"a b","Value":"x"}]},
		{"MetricName":"m","Value":1,"Dimensions":[{"Name":"a","Value":"x"},{"Name":"a","Value":"y"}]},
		{"MetricName":"m","Value":1,"Dimensions":[{"Name":"a","Value":"x"},{"Name":"a_2","Value":"y"}]},
		{"MetricName":"none","Values":[5],"Counts":[0]}]}`))
	r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newClientCollector(metrics))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		got[strings.TrimPrefix(f.GetName(), "firehosed_client_metric_")] = len(f.GetMetric())
	}
	want := map[string]int{
		"sum": 6, "count": 7, "min": 6, "max": 6, "series": 1, "data_total": 1, "data_refused_total": 1, "series_idle_total": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("samples %v, want %v", got, want)
	}
}

func TestClientLabels(t *testing.T) {
	for _, tt := range []struct {
		name       string
		dimensions []cloudwatch.Dimension
		want       map[string]string
	}{
		{"none", nil, map[string]string{}},
		{"plain", []cloudwatch.Dimension{{Name: "Op", Value: "a b"}, {Name: "Shard_1", Value: "x"}}, map[string]string{"dimension_Op": "a b", "dimension_Shard_1": "x"}},
		{"no label", []cloudwatch.Dimension{{Name: "Shard Id", Value: "x"}}, map[string]string{"dimension_Shard_Id": "x", "dimensions": "Shard Id"}},
		{"two that become one", []cloudwatch.Dimension{{Name: "a-b", Value: "1"}, {Name: "a_b", Value: "2"}}, map[string]string{"dimension_a_b": "1", "dimension_a_b_2": "2", "dimensions": "a-b,a_b"}},
		{"the same twice", []cloudwatch.Dimension{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, map[string]string{"dimension_a": "1", "dimension_a_2": "2", "dimensions": "a,a"}},
		{"a number that is taken", []cloudwatch.Dimension{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}, {Name: "a_2", Value: "3"}}, map[string]string{"dimension_a": "1", "dimension_a_2": "2", "dimension_a_2_2": "3", "dimensions": "a,a,a_2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			names, values := clientLabels(cloudwatch.Series{Namespace: "n", Metric: "m", Unit: "u", Dimensions: tt.dimensions})
			if want := []string{"namespace", "metric", "unit"}; !slices.Equal(names[:3], want) || !slices.Equal(values[:3], []string{"n", "m", "u"}) {
				t.Errorf("labels %v, values %v", names, values)
			}
			got := map[string]string{}
			for i := 3; i < len(names); i++ {
				got[names[i]] = values[i]
			}
			if !maps.Equal(got, tt.want) || len(got) != len(names)-3 {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
