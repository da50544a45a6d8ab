package kinesis

import (
	"maps"
	"slices"
	"sync"

	"github.com/firehosed/firehosed/streams"
)

// maxShownShards bounds how many shards ShardMetrics tells of.
const maxShownShards = 1000

// ShardMetric is one of the shard-level metrics that calls have enabled.
type ShardMetric struct {
	Stream string
	Shard  streams.ShardID
	// Name is one of IncomingBytes, IncomingRecords, OutgoingBytes,
	// OutgoingRecords, WriteProvisionedThroughputExceeded (records) and
	// ReadProvisionedThroughputExceeded (calls), which count from when the first
	// metric of the stream was enabled or the daemon was started, or
	// IteratorAgeMilliseconds, which is that of the last read.
	Name  string
	Value int64
}

// meters are the metrics of the shards of a stream. Nil ones count nothing.
type meters struct {
	mu     sync.Mutex
	shards map[streams.ShardID]*[len(metricNames)]int64 // in the order of metricNames
}

// Places in metricNames.
const (
	incomingBytes = iota
	incomingRecords
	outgoingBytes
	outgoingRecords
	writeExceeded
	readExceeded
	iteratorAge
)

// shard returns the metrics of a shard. m.mu is held.
func (m *meters) shard(id streams.ShardID) *[len(metricNames)]int64 {
	s := m.shards[id]
	if s == nil {
		s = new([len(metricNames)]int64)
		m.shards[id] = s
	}
	return s
}

// put counts records that were appended, and those that were refused with
// their shards.
func (m *meters) put(records []streams.NewRecord, placed []streams.Placed, refused map[int]streams.ShardID) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range placed {
		s := m.shard(placed[i].Shard)
		s[incomingBytes] += int64(len(records[i].Data) + len(records[i].PartitionKey))
		s[incomingRecords]++
	}
	for _, id := range refused {
		m.shard(id)[writeExceeded]++
	}
}

// read counts a read.
func (m *meters) read(id streams.ShardID, page streams.Page) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shard(id)
	for i := range page.Records {
		s[outgoingBytes] += int64(len(page.Records[i].Data) + len(page.Records[i].PartitionKey))
	}
	s[outgoingRecords] += int64(len(page.Records))
	s[iteratorAge] = max(page.Behind, 0).Milliseconds()
}

// refuse counts a read that was refused.
func (m *meters) refuse(id streams.ShardID) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shard(id)[readExceeded]++
}

// keep forgets the shards that are there no more.
func (m *meters) keep(info streams.StreamInfo) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.shards, func(id streams.ShardID, _ *[len(metricNames)]int64) bool {
		_, found := slices.BinarySearchFunc(info.Shards, id, func(s streams.ShardInfo, id streams.ShardID) int { return int(int64(s.ID) - int64(id)) })
		return !found
	})
}

// ShardMetrics returns the enabled metrics of the shards that were used, by
// stream and shard, of up to 1,000 shards, and how many shards more there are.
func (s *Service) ShardMetrics() (shown []ShardMetric, more int) {
	all := *s.attributes.Load()
	n := 0
	for _, stream := range slices.Sorted(maps.Keys(all)) {
		a := all[stream]
		if a.meters == nil {
			continue
		}
		a.meters.mu.Lock()
		for _, id := range slices.Sorted(maps.Keys(a.meters.shards)) {
			if n++; n > maxShownShards {
				more++
				continue
			}
			for i, name := range metricNames {
				if slices.Contains(a.Metrics, name) {
					shown = append(shown, ShardMetric{stream, id, name, a.meters.shards[id][i]})
				}
			}
		}
		a.meters.mu.Unlock()
	}
	return shown, more
}
