package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/api/kinesis"
)

// shardCollector reads the shard-level metrics that calls have enabled.
type shardCollector struct {
	kinesis *kinesis.Service
	metrics map[string]shardMetric // by the name in the API
	hidden  *prometheus.Desc
}

type shardMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	unit float64
}

func newShardCollector(k *kinesis.Service) *shardCollector {
	c := &shardCollector{kinesis: k, metrics: map[string]shardMetric{}}
	add := func(name, metric, help string, kind prometheus.ValueType, unit float64) {
		desc := prometheus.NewDesc("firehosed_kinesis_shard_"+metric, help, []string{"stream", "shard"}, nil)
		c.metrics[name] = shardMetric{desc, kind, unit}
	}
	add("IncomingBytes", "incoming_bytes_total", "Bytes of data and keys put into the shard.", prometheus.CounterValue, 1)
	add("IncomingRecords", "incoming_records_total", "Records put into the shard.", prometheus.CounterValue, 1)
	add("OutgoingBytes", "outgoing_bytes_total", "Bytes of data and keys that GetRecords returned.", prometheus.CounterValue, 1)
	add("OutgoingRecords", "outgoing_records_total", "Records that GetRecords returned.", prometheus.CounterValue, 1)
	add("WriteProvisionedThroughputExceeded", "throttled_records_total", "Records refused because the shard was over a limit.", prometheus.CounterValue, 1)
	add("ReadProvisionedThroughputExceeded", "throttled_reads_total", "GetRecords refused because the shard was over a limit.", prometheus.CounterValue, 1)
	add("IteratorAgeMilliseconds", "iterator_age_seconds", "Age of the record that the last GetRecords goes on with, 0 if it read all.", prometheus.GaugeValue, 1e-3)
	c.hidden = prometheus.NewDesc("firehosed_kinesis_shards_not_shown", "Shards with enabled metrics beyond the first 1,000, which are not shown.", nil, nil)
	return c
}

// Describe implements prometheus.Collector.
func (c *shardCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
	ch <- c.hidden
}

// Collect implements prometheus.Collector.
func (c *shardCollector) Collect(ch chan<- prometheus.Metric) {
	shown, more := c.kinesis.ShardMetrics()
	for _, v := range shown {
		m := c.metrics[v.Name]
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(v.Value)*m.unit, v.Stream, v.Shard.String())
	}
	ch <- prometheus.MustNewConstMetric(c.hidden, prometheus.GaugeValue, float64(more))
}
