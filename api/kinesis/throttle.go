package kinesis

import (
	"fmt"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// throttled takes the records out of b that are over a limit of their shard,
// and returns their places in the request with their shards. Nil means none.
func (s *Service) throttled(t target, b *streams.Batch) (map[int]streams.ShardID, error) {
	if s.limits == nil {
		return nil, nil
	}
	refused, err := s.limits.Put(t.name, b)
	if err != nil {
		return nil, s.translate(err, t)
	}
	return refused, nil
}

// mayRead refuses a read of a shard that is over a limit.
func (s *Service) mayRead(ref streams.ShardRef, t target) error {
	if s.limits == nil || s.limits.Read(ref) {
		return nil
	}
	s.attributesOf(t.name).meters.refuse(ref.Shard)
	return wire.Errorf(codeThroughput, "%s", s.rateExceeded(ref.Shard, t))
}

// wasRead counts what a read returned.
func (s *Service) wasRead(ref streams.ShardRef, records []streams.Record) {
	if s.limits == nil {
		return
	}
	n := int64(0)
	for i := range records {
		n += int64(len(records[i].Data) + len(records[i].PartitionKey))
	}
	s.limits.Done(ref, n)
}

// rateExceeded is the text of the real service for what is over a limit.
func (s *Service) rateExceeded(shard streams.ShardID, t target) string {
	return fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", shard, t.label, s.account)
}
