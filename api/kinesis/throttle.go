package kinesis

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/firehosed/firehosed/streams"
)

// Limits of the real service for one shard.
const (
	shardBytesPerSec   = 1 << 20
	shardRecordsPerSec = 1000
)

// throttle holds puts to the limits of the real service, for streams that ask
// for it. It keeps two buckets a shard, of the shards that were open at the
// last put.
type throttle struct {
	limited func(stream string) bool
	clock   func() time.Time

	mu      sync.Mutex
	streams map[string]*streamBuckets
}

type streamBuckets struct {
	id     uint64
	shards map[streams.ShardID]*shardBuckets
}

type shardBuckets struct{ bytes, records *rate.Limiter }

func newThrottle(limited func(string) bool, clock func() time.Time) *throttle {
	return &throttle{limited: limited, clock: clock, streams: map[string]*streamBuckets{}}
}

// throttled takes the records out of b that are over a limit, and returns
// their places in the request with their shards. Nil means none.
func (s *Service) throttled(t target, b *streams.Batch) (map[int]streams.ShardID, error) {
	if s.throttle == nil || !s.throttle.limited(t.name) {
		return nil, nil
	}
	info, err := s.describe(t)
	if err != nil {
		return nil, err
	}
	return s.throttle.take(info, b), nil
}

func (t *throttle) take(info streams.StreamInfo, b *streams.Batch) map[int]streams.ShardID {
	t.mu.Lock()
	defer t.mu.Unlock()
	buckets := t.bucketsOf(info)
	now := t.clock()
	var refused map[int]streams.ShardID
	kept := b.Records[:0]
	for i, rec := range b.Records {
		at := rec.HashKey
		if !rec.Explicit {
			at = streams.HashOf(rec.PartitionKey)
		}
		shard := slices.IndexFunc(info.Shards, func(sh streams.ShardInfo) bool { return !sh.Closed && sh.Range.Contains(at) })
		if shard < 0 || buckets[info.Shards[shard].ID].take(now, len(rec.Data)+len(rec.PartitionKey)) {
			kept = append(kept, rec)
			continue
		}
		if refused == nil {
			refused = map[int]streams.ShardID{}
		}
		refused[i] = info.Shards[shard].ID
	}
	b.Records = kept
	return refused
}

// bucketsOf returns the buckets of the open shards of a stream, and forgets
// those of closed shards and of an earlier stream of the name.
func (t *throttle) bucketsOf(info streams.StreamInfo) map[streams.ShardID]*shardBuckets {
	sb := t.streams[info.Name]
	if sb == nil || sb.id != info.ID {
		sb = &streamBuckets{id: info.ID, shards: map[streams.ShardID]*shardBuckets{}}
		t.streams[info.Name] = sb
	}
	for i := range info.Shards {
		sh := &info.Shards[i]
		switch have := sb.shards[sh.ID]; {
		case sh.Closed:
			delete(sb.shards, sh.ID)
		case have == nil:
			sb.shards[sh.ID] = &shardBuckets{
				bytes:   rate.NewLimiter(shardBytesPerSec, shardBytesPerSec),
				records: rate.NewLimiter(shardRecordsPerSec, shardRecordsPerSec),
			}
		}
	}
	return sb.shards
}

// take takes one record of n bytes out of both buckets, or none of either. A
// record larger than a whole second's share takes the whole.
func (b *shardBuckets) take(now time.Time, n int) bool {
	n = min(n, shardBytesPerSec)
	if b.bytes.TokensAt(now) < float64(n) || !b.records.AllowN(now, 1) {
		return false
	}
	return b.bytes.AllowN(now, n)
}

// rateExceeded is the text of the real service for a record over a limit.
func (s *Service) rateExceeded(shard streams.ShardID, t target) string {
	return fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", shard, t.label, s.account)
}
