package kinesis

import (
	"sync/atomic"

	"github.com/firehosed/firehosed/streams"
)

// traffic counts what is put into a stream on demand. A nil one counts
// nothing.
type traffic struct{ bytes, records atomic.Int64 }

// measure begins to count what a stream on demand takes and what metrics are
// enabled for, or ends it.
func (a *attributes) measure() {
	if len(a.Metrics) == 0 {
		a.meters = nil
	} else if a.meters == nil {
		a.meters = &meters{shards: map[streams.ShardID]*[len(metricNames)]int64{}}
	}
	if !a.OnDemand {
		a.traffic = nil
	} else if a.traffic == nil {
		a.traffic = new(traffic)
	}
}

// add counts the records of a batch.
func (t *traffic) add(b *streams.Batch) {
	if t == nil {
		return
	}
	n := 0
	for i := range b.Records {
		n += len(b.Records[i].Data) + len(b.Records[i].PartitionKey)
	}
	t.bytes.Add(int64(n))
	t.records.Add(int64(len(b.Records)))
}

// take returns what was counted since the last call.
func (t *traffic) take() (bytes, records int64) { return t.bytes.Swap(0), t.records.Swap(0) }
