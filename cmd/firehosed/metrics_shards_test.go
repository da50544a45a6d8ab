package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams/wal"
)

// TestShardCollector: every metric of the API has a name in /metrics.
func TestShardCollector(t *testing.T) {
	log, err := wal.Open(t.TempDir(), wal.Options{MinFreeBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	k, err := kinesis.New(kinesis.Options{Engine: log, Region: "us-east-1", AccountID: "000000000000", TokenKey: make([]byte, kinesis.MinTokenKeyBytes)})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := wire.NewHandler(wire.Options{Services: []wire.Service{k.Wire()}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range [][2]string{
		{"CreateStream", `{"StreamName":"s","ShardCount":1}`},
		{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QUJD"}`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(call[1]))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "Kinesis_20131202."+call[0])
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", call[0], w.Code, w.Body)
		}
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newShardCollector(k))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.Metric {
			labels := ""
			for _, l := range m.Label {
				labels += " " + l.GetValue()
			}
			got = append(got, fmt.Sprintf("%s%s %v", f.GetName(), labels, m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	shard := " shardId-000000000000 s "
	want := []string{
		"firehosed_kinesis_shard_incoming_bytes_total" + shard + "4",
		"firehosed_kinesis_shard_incoming_records_total" + shard + "1",
		"firehosed_kinesis_shard_iterator_age_seconds" + shard + "0",
		"firehosed_kinesis_shard_outgoing_bytes_total" + shard + "0",
		"firehosed_kinesis_shard_outgoing_records_total" + shard + "0",
		"firehosed_kinesis_shard_throttled_reads_total" + shard + "0",
		"firehosed_kinesis_shard_throttled_records_total" + shard + "0",
		"firehosed_kinesis_shards_not_shown 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
