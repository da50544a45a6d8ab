package main

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/api/cloudwatch"
)

// clientCollector shows the metrics that clients sent with PutMetricData.
type clientCollector struct {
	metrics *cloudwatch.Metrics
	data    map[string]*prometheus.Desc
}

func newClientCollector(m *cloudwatch.Metrics) *clientCollector {
	c := &clientCollector{metrics: m, data: map[string]*prometheus.Desc{}}
	for name, help := range map[string]string{
		"series":             "Series of metrics that clients sent with PutMetricData.",
		"data_total":         "Data that clients sent and that were added to a series.",
		"data_refused_total": "Data that clients sent and that were not added, because there were too many series.",
		"series_idle_total":  "Series that went away because nothing came for 15 minutes.",
	} {
		c.data[name] = prometheus.NewDesc("firehosed_client_metric_"+name, help, nil, nil)
	}
	return c
}

// Describe says nothing: the labels of the series are up to the clients.
func (c *clientCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *clientCollector) Collect(ch chan<- prometheus.Metric) {
	counts := c.metrics.Counts()
	for name, v := range map[string]int64{
		"data_total": counts.Data, "data_refused_total": counts.Refused, "series_idle_total": counts.Expired,
	} {
		ch <- prometheus.MustNewConstMetric(c.data[name], prometheus.CounterValue, float64(v))
	}
	ch <- prometheus.MustNewConstMetric(c.data["series"], prometheus.GaugeValue, float64(counts.Series))
	// Most series share their label names, and so their descriptions.
	known := map[string]*clientDescs{}
	for _, s := range c.metrics.Series() {
		names, values := clientLabels(s)
		key := strings.Join(names, ",")
		if known[key] == nil {
			known[key] = newClientDescs(names)
		}
		known[key].emit(ch, s, values)
	}
}

// clientDescs describe what is shown of series with the same label names.
type clientDescs struct{ sum, count, min, max *prometheus.Desc }

func newClientDescs(labels []string) *clientDescs {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("firehosed_client_metric_"+name, help, labels, nil)
	}
	return &clientDescs{
		sum:   desc("sum", "Sum of the values that clients sent, by namespace, name, unit and dimensions."),
		count: desc("count", "Number of these values."),
		min:   desc("min", "Smallest of the last one to two minutes with values."),
		max:   desc("max", "Largest of the last one to two minutes with values."),
	}
}

func (d *clientDescs) emit(ch chan<- prometheus.Metric, s cloudwatch.Series, labels []string) {
	ch <- prometheus.MustNewConstMetric(d.count, prometheus.CounterValue, s.Count, labels...)
	if s.Count == 0 {
		return // all values had a count of 0: there is neither a sum nor an extreme
	}
	ch <- prometheus.MustNewConstMetric(d.sum, prometheus.UntypedValue, s.Sum, labels...)
	ch <- prometheus.MustNewConstMetric(d.min, prometheus.GaugeValue, s.Min, labels...)
	ch <- prometheus.MustNewConstMetric(d.max, prometheus.GaugeValue, s.Max, labels...)
}

// clientLabels returns the labels of a series. A dimension becomes a label
// dimension_NAME, with an underscore for what a label cannot hold; if two of a
// series become the same that way, the later ones get a number. Such a series
// has its names as they were sent in a label more, which tells it from others
// that end up with the same ones.
func clientLabels(s cloudwatch.Series) (names, values []string) {
	names = append(make([]string, 0, 4+len(s.Dimensions)), "namespace", "metric", "unit")
	values = append(make([]string, 0, cap(names)), s.Namespace, s.Metric, s.Unit)
	taken, changed := map[string]bool{}, false
	var sent []string
	for _, d := range s.Dimensions {
		name := "dimension_" + strings.Map(labelRune, d.Name)
		for n, plain := 2, name; taken[name]; n++ {
			name = plain + "_" + strconv.Itoa(n)
		}
		taken[name] = true
		changed = changed || name != "dimension_"+d.Name
		sent = append(sent, d.Name)
		names, values = append(names, name), append(values, d.Value)
	}
	if changed {
		names, values = append(names, "dimensions"), append(values, strings.Join(sent, ","))
	}
	return names, values
}

func labelRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return r
	}
	return '_'
}
