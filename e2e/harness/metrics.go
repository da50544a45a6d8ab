package harness

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Metrics are the samples of one scrape, by name with labels as Prometheus
// prints them: firehosed_delivery_lag_records{delivery_stream="a"}.
type Metrics map[string]float64

// Metrics scrapes the daemon.
func (d *Daemon) Metrics(t testing.TB) Metrics {
	t.Helper()
	m, err := d.scrape(t)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (d *Daemon) scrape(t testing.TB) (Metrics, error) {
	status, body, err := d.Get(t.Context(), "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("/metrics: status %d: %s", status, body)
	}
	m := Metrics{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("/metrics: line %q", line)
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("/metrics: line %q: %w", line, err)
		}
		m[line[:at]] = v
	}
	return m, nil
}

// Delivery is firehosed_delivery_NAME of a delivery stream. A sample that is
// not there fails the test: a misspelled name must not read as 0.
func (m Metrics) Delivery(t testing.TB, name, stream string) float64 {
	t.Helper()
	return m.get(t, fmt.Sprintf("firehosed_delivery_%s{delivery_stream=%q}", name, stream))
}

// Log is firehosed_log_NAME.
func (m Metrics) Log(t testing.TB, name string) float64 {
	t.Helper()
	return m.get(t, "firehosed_log_"+name)
}

// Failed is how many records of a delivery stream went to a folder of the error
// output; none have no sample.
func (m Metrics) Failed(stream, reason string) float64 {
	return m[fmt.Sprintf("firehosed_delivery_records_failed_total{delivery_stream=%q,reason=%q}", stream, reason)]
}

func (m Metrics) get(t testing.TB, sample string) float64 {
	t.Helper()
	v, ok := m[sample]
	if !ok {
		t.Fatalf("/metrics has no %s", sample)
	}
	return v
}
