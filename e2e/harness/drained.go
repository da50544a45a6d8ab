package harness

import (
	"fmt"
	"testing"
	"time"
)

// AwaitDrained waits until nothing is in the log that the delivery streams have
// not delivered. Only what was in the log before the call counts: a source that
// goes on adds more.
func (d *Daemon) AwaitDrained(t testing.TB, limit time.Duration, streams ...string) {
	t.Helper()
	Eventually(t, limit, "delivery of everything", func() error {
		m, err := d.scrape(t)
		if err != nil {
			return err
		}
		for _, s := range streams {
			if lag := m.Delivery(t, "lag_records", s); lag != 0 {
				return fmt.Errorf("%s has %.0f records to deliver, stalled %.0f, %.0f tries failed", s, lag,
					m.Delivery(t, "stalled", s), m.Delivery(t, "retries_total", s))
			}
		}
		return nil
	})
}

// AwaitFilesRead waits until the file sources of delivery streams have read the
// files they know to their ends. A file that was not found yet does not count.
func (d *Daemon) AwaitFilesRead(t testing.TB, limit time.Duration, streams ...string) {
	t.Helper()
	Eventually(t, limit, "reading of files", func() error {
		m, err := d.scrape(t)
		if err != nil {
			return err
		}
		for _, s := range streams {
			if n := m.get(t, fmt.Sprintf("firehosed_source_file_behind_bytes{delivery_stream=%q}", s)); n != 0 {
				return fmt.Errorf("%s has %.0f bytes of files to read", s, n)
			}
		}
		return nil
	})
}
