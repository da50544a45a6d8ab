package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/firehosed/firehosed/api/cloudwatch"
)

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
