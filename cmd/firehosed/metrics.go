package main

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/streams/wal"
)

// requestMetrics count requests by operation. The parts of the daemon know
// nothing of Prometheus: they are read when /metrics is asked for.
type requestMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytesIn  *prometheus.CounterVec
	bytesOut *prometheus.CounterVec

	handshakes prometheus.Counter // of TLS that failed
}

func newRequestMetrics() *requestMetrics {
	labels := []string{"service", "operation"}
	return &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firehosed_requests_total", Help: "Requests by operation and error code (empty for success).",
		}, append(labels, "code")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "firehosed_request_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, labels),
		bytesIn: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firehosed_request_bytes_total", Help: "Bytes of request bodies.",
		}, labels),
		bytesOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firehosed_response_bytes_total", Help: "Bytes of response bodies.",
		}, labels),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firehosed_tls_handshake_failures_total", Help: "TLS handshakes that failed: clients that do not trust the certificate, that are too old, or that stopped halfway.",
		}),
	}
}

func (m *requestMetrics) observe(e wire.Event) {
	m.requests.WithLabelValues(e.Service, e.Operation, e.Code).Inc()
	m.seconds.WithLabelValues(e.Service, e.Operation).Observe(e.Duration.Seconds())
	m.bytesIn.WithLabelValues(e.Service, e.Operation).Add(float64(e.BytesIn))
	m.bytesOut.WithLabelValues(e.Service, e.Operation).Add(float64(e.BytesOut))
}

// gauge names one number of a part and how to read it.
type gauge[T any] struct {
	name, help string
	kind       prometheus.ValueType
	read       func(T) float64
}

var logGauges = []gauge[wal.Stats]{
	{"log_appends_total", "Batches acknowledged.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Appends) }},
	{"log_records_total", "Records acknowledged.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Records) }},
	{"log_bytes_total", "Bytes of data and keys acknowledged.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Bytes) }},
	{"log_read_records_total", "Records read.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.ReadRecords) }},
	{"log_read_bytes_total", "Bytes read.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.ReadBytes) }},
	{"log_checkpoints_total", "Checkpoints of the journal.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Checkpoints) }},
	{"log_checkpoint_age_seconds", "Time since the last checkpoint, 0 if nothing waits for one.", prometheus.GaugeValue, func(s wal.Stats) float64 { return s.CheckpointAge.Seconds() }},
	{"log_journal_bytes", "Bytes in the journal since the last checkpoint; what a start has to replay.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.JournalBytes) }},
	{"log_tail_bytes", "Durable records in memory that wait for their segment.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.TailBytes) }},
	{"log_disk_free_bytes", "Free space of the data directory.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.DiskFree) }},
	{"log_disk_low", "1 if less than a tenth of the disk is free.", prometheus.GaugeValue, func(s wal.Stats) float64 { return truth(s.DiskLow) }},
	{"log_ballast_bytes", "Space kept for a full disk, 0 while it is in use.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.Ballast) }},
	{"log_full", "1 if records are refused because the disk is full.", prometheus.GaugeValue, func(s wal.Stats) float64 { return truth(s.Full) }},
	{"log_read_only", "1 if a failed write stopped the log.", prometheus.GaugeValue, func(s wal.Stats) float64 { return truth(s.ReadOnly) }},
	{"log_clock_jumped", "1 if the clock jumped: nothing expires by it until it was steady for a day.", prometheus.GaugeValue, func(s wal.Stats) float64 { return truth(s.ClockJumped) }},
	{"log_damaged_shards", "Shards with ranges that cannot be read.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.Damaged) }},
	{"log_damaged_places_total", "Places in files where reads or the scrubber met damage, each counted once.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.DamageFound) }},
	{"log_damaged_reads_total", "Reads answered with an error because records cannot be read.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.DamagedReads) }},
	{"log_skipped_records_total", "Lost records that reads passed over: given up by repair, or storage.on_damage is skip.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Skipped) }},
	{"log_scrubbed_bytes_total", "Bytes of sealed segments compared with their checksums in the background.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.ScrubbedBytes) }},
	{"log_scrub_damage_total", "Damaged places the scrubber met, again in each pass.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.ScrubDamage) }},
	{"log_scrub_passes_total", "Passes of the scrubber over all sealed segments.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.ScrubPasses) }},
	{"log_compressed_segments_total", "Segment files compressed in the background.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.Compressed) }},
	{"log_compressed_from_bytes_total", "Bytes of these files before.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.CompressedFrom) }},
	{"log_compressed_to_bytes_total", "Bytes of these files after.", prometheus.CounterValue, func(s wal.Stats) float64 { return float64(s.CompressedTo) }},
	{"log_open_files", "Segment files open.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.OpenFiles) }},
	{"log_streams", "Streams, internal ones included.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.Streams) }},
	{"log_unsynced_bytes", "Bytes of the journal that were acknowledged before a sync and wait for one: what a loss of power would cost.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.Unsynced) }},
	{"log_shards", "Shards, closed ones included.", prometheus.GaugeValue, func(s wal.Stats) float64 { return float64(s.Shards) }},
}

// delivered is what is read of a delivery stream for one scrape.
type delivered struct {
	delivery.Status
	*delivery.Metrics
}

var deliveryGauges = []gauge[delivered]{
	{"delivery_lag_records", "Records that are in the log and not delivered.", prometheus.GaugeValue, func(d delivered) float64 { return float64(d.LagRecords) }},
	{"delivery_lag_bytes", "Bytes that are in the log and not delivered.", prometheus.GaugeValue, func(d delivered) float64 { return float64(d.LagBytes) }},
	{"delivery_oldest_age_seconds", "Age of the oldest record that is not delivered, 0 if there is none: the number to alert on.", prometheus.GaugeValue, func(d delivered) float64 {
		if d.Oldest.IsZero() {
			return 0
		}
		return max(time.Since(d.Oldest).Seconds(), 0)
	}},
	{"delivery_buffer_records", "Records in the open buffer.", prometheus.GaugeValue, func(d delivered) float64 { return float64(d.BufferRecords) }},
	{"delivery_buffer_bytes", "Bytes in the open buffer.", prometheus.GaugeValue, func(d delivered) float64 { return float64(d.BufferBytes) }},
	{"delivery_stalled", "1 while a destination does not take what it is given.", prometheus.GaugeValue, func(d delivered) float64 { return truth(d.State == delivery.Stalled) }},
	{"delivery_records_delivered_total", "Records delivered.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Delivered.Load()) }},
	{"delivery_records_dropped_total", "Records dropped by a transform.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Dropped.Load()) }},
	{"delivery_records_expired_total", "Records that expired before they were delivered.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Expired.Load()) }},
	{"delivery_objects_total", "Objects written.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Objects.Load()) }},
	{"delivery_object_bytes_total", "Bytes of objects written, after compression.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Bytes.Load()) }},
	{"delivery_retries_total", "Tries that failed.", prometheus.CounterValue, func(d delivered) float64 { return float64(d.Retries.Load()) }},
}

// collector reads the parts of the daemon for each scrape.
type collector struct {
	n          *node
	log        []*prometheus.Desc
	syncs      *prometheus.Desc
	durability *prometheus.Desc
	deliveries []*prometheus.Desc
	failed     *prometheus.Desc
	sources    map[string]*prometheus.Desc
	budget     map[string]*prometheus.Desc
	throttled  map[string]*prometheus.Desc
	pushed     *prometheus.Desc
}

var sourceHelp = map[string]string{
	"records_total":    "Records made of lines.",
	"bytes_total":      "Bytes of records made of lines.",
	"cut_lines_total":  "Lines that were longer than max_line and were cut.",
	"truncated_total":  "Files found truncated or rewritten.",
	"vanished_total":   "Files that were gone before their end was read.",
	"unreadable_files": "Files that cannot be read now.",
	"open_files":       "Files open.",
	"behind_bytes":     "Bytes of open files that are not read yet.",
}

func newCollector(n *node) *collector {
	c := &collector{
		n: n, sources: map[string]*prometheus.Desc{}, budget: map[string]*prometheus.Desc{}, throttled: map[string]*prometheus.Desc{},
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("firehosed_"+name, help, labels, nil)
	}
	for _, g := range logGauges {
		c.log = append(c.log, desc(g.name, g.help))
	}
	c.syncs = desc("log_sync_seconds", "Time to make a write of the journal durable.")
	c.durability = desc("log_durability_streams", "Streams by when their records are acknowledged: fsync, or with interval and none before they are durable.", "durability")
	for _, g := range deliveryGauges {
		c.deliveries = append(c.deliveries, desc(g.name, g.help, "delivery_stream"))
	}
	c.failed = desc("delivery_records_failed_total", "Records sent to the error output, by its folder.", "delivery_stream", "reason")
	for name, help := range sourceHelp {
		c.sources[name] = desc("source_file_"+name, help, "delivery_stream")
	}
	c.budget["size"] = desc("buffer_budget_bytes", "Memory that writing may take, over all delivery streams.")
	c.budget["used"] = desc("buffer_budget_used_bytes", "Memory that writing takes now.")
	c.throttled["records"] = desc("throttled_records_total", "Records refused because their shard was over a limit of its stream.", "stream")
	c.throttled["reads"] = desc("throttled_reads_total", "GetRecords refused because the shard was over a limit of its stream.", "stream")
	c.pushed = desc("subscriptions", "SubscribeToShard calls under way.")
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	st := c.n.engine.Stats()
	for i, g := range logGauges {
		emit(c.log[i], g.kind, g.read(st))
	}
	for d, count := range st.ByDurability {
		emit(c.durability, prometheus.GaugeValue, float64(count), string(d))
	}
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, bound := range wal.SyncBuckets {
		sum += uint64(st.SyncLatency[i])
		buckets[bound.Seconds()] = sum
	}
	ch <- prometheus.MustNewConstHistogram(c.syncs, uint64(st.Syncs), st.SyncTime.Seconds(), buckets)
	emit(c.budget["size"], prometheus.GaugeValue, float64(c.n.budget.Size()))
	emit(c.budget["used"], prometheus.GaugeValue, float64(c.n.budget.Used()))
	if k := c.n.kinesis; k != nil {
		emit(c.pushed, prometheus.GaugeValue, float64(k.Subscriptions()))
	}
	for _, t := range c.n.limits.Counts() {
		emit(c.throttled["records"], prometheus.CounterValue, float64(t.Records), t.Stream)
		emit(c.throttled["reads"], prometheus.CounterValue, float64(t.Reads), t.Stream)
	}
	for _, s := range c.n.deliveries.All() {
		d := delivered{Status: s.Status(), Metrics: s.Metrics()}
		for i, g := range deliveryGauges {
			emit(c.deliveries[i], g.kind, g.read(d), s.Name())
		}
		for reason, n := range d.Failed() {
			emit(c.failed, prometheus.CounterValue, float64(n), s.Name(), reason)
		}
	}
	for name, src := range c.n.sources {
		m := src.Metrics()
		for what, v := range map[string]int64{
			"records_total": m.Records.Load(), "bytes_total": m.Bytes.Load(), "cut_lines_total": m.Cut.Load(),
			"truncated_total": m.Truncated.Load(), "vanished_total": m.Vanished.Load(), "unreadable_files": m.Unread.Load(),
			"open_files": m.Open.Load(), "behind_bytes": m.Behind.Load(),
		} {
			kind := prometheus.GaugeValue
			if strings.HasSuffix(what, "_total") {
				kind = prometheus.CounterValue
			}
			emit(c.sources[what], kind, float64(v), name)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// newMetrics gathers everything that /metrics shows.
func newMetrics(n *node) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firehosed_build_info", Help: "Always 1."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, newCollector(n), newClientCollector(n.clients), newShardCollector(n.kinesis),
		n.requests.requests, n.requests.seconds, n.requests.bytesIn, n.requests.bytesOut)
	reg.MustRegister(n.tlsMetrics()...)
	reg.MustRegister(n.leaseMetrics()...)
	return reg
}
