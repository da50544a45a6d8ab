package kinesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/firehosed/firehosed/streams"
)

// statePrefix begins the keys of the engine's state under which the attributes
// of streams lie, by their name.
const statePrefix = "kinesis/stream/"

// attributes are what the API knows of a stream and the engine does not. A
// stream without attributes has the zero value. Values are shared and not
// changed: a change makes a new one.
type attributes struct {
	OnDemand  bool              `json:"onDemand,omitempty"`
	RecordKiB int               `json:"recordKiB,omitempty"` // 0 means 1024
	WarmMiBps int               `json:"warmMiBps,omitempty"`
	Spread    bool              `json:"spread,omitempty"` // records go to any shard
	Tags      map[string]string `json:"tags,omitempty"`
	Policy    string            `json:"policy,omitempty"`  // JSON
	Metrics   []string          `json:"metrics,omitempty"` // shard-level ones, in the order of metricNames

	Encryption *encryption `json:"encryption,omitempty"`

	// When UpdateShardCount and UpdateStreamMode were used, in milliseconds.
	Scalings []int64 `json:"scalings,omitempty"`
	Switches []int64 `json:"switches,omitempty"`

	// Counters, the same over all changes.
	traffic *traffic // of a stream on demand
	meters  *meters  // of a stream with Metrics
}

// Modes of a stream, and the strategies by which its records find a shard.
const (
	provisionedMode = "PROVISIONED"
	onDemandMode    = "ON_DEMAND"
	keyStrategy     = "USER_PARTITION_KEY"
	spreadStrategy  = "AUTO"
)

func (a *attributes) mode() string {
	if a.OnDemand {
		return onDemandMode
	}
	return provisionedMode
}

func (a *attributes) strategy() string {
	if a.Spread {
		return spreadStrategy
	}
	return keyStrategy
}

// setRecordKiB sets the most a record may have, 1024 to 10240 KiB; 0 means the
// default.
func (a *attributes) setRecordKiB(n int64) {
	a.RecordKiB = int(n)
	if n == defaultRecordBytes>>10 {
		a.RecordKiB = 0
	}
}

// recordBytes is the most a record of the stream may have.
func (a *attributes) recordBytes() int {
	if a.RecordKiB == 0 {
		return defaultRecordBytes
	}
	return a.RecordKiB << 10
}

// attributesOf returns the attributes of a stream, which are not to be
// changed. It is called for every request and costs a look into a map.
func (s *Service) attributesOf(stream string) *attributes {
	if a := (*s.attributes.Load())[stream]; a != nil {
		return a
	}
	return &noAttributes
}

var noAttributes attributes

// loadAttributes reads the attributes of all streams. Those of streams that
// are not there were left by a crash in the middle of a change, and are
// overwritten when a stream of the name is made.
func (s *Service) loadAttributes() error {
	all := map[string]*attributes{}
	for key, raw := range s.engine.StateAll(statePrefix) {
		stream := strings.TrimPrefix(key, statePrefix)
		if _, err := s.engine.Describe(stream); errors.Is(err, streams.ErrNotFound) {
			continue
		}
		a := new(attributes)
		if err := json.Unmarshal(raw, a); err != nil {
			return fmt.Errorf("attributes of stream %s: %w", stream, err)
		}
		a.measure()
		all[stream] = a
	}
	s.attributes.Store(&all)
	return nil
}

// setAttributes keeps the attributes of a stream, or forgets them if a is nil.
// What they say is durable when it returns. s.changes is held.
func (s *Service) setAttributes(ctx context.Context, stream string, a *attributes) error {
	update := streams.StateUpdate{Key: statePrefix + stream}
	if a != nil {
		raw, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("attributes of stream %s: %w", stream, err)
		}
		if string(raw) != "{}" {
			update.Value = raw
		}
	}
	if update.Value != nil || s.engine.State(update.Key) != nil {
		if _, err := s.engine.Append(ctx, "", &streams.Batch{State: []streams.StateUpdate{update}}); err != nil {
			return fmt.Errorf("attributes of stream %s: %w", stream, err)
		}
	}
	before := *s.attributes.Load()
	if update.Value == nil && before[stream] == nil {
		return nil
	}
	all := maps.Clone(before)
	delete(all, stream)
	if update.Value != nil {
		a.measure()
		all[stream] = a
	}
	s.attributes.Store(&all)
	return nil
}

// change changes the attributes of a stream as one step with what change reads
// and does: it gets the stream as it is and a copy of its attributes, whose
// maps and slices it replaces and does not write into. The stream must be
// ACTIVE. If change fails nothing is kept.
func (s *Service) change(ctx context.Context, t target, change func(info streams.StreamInfo, a *attributes) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	if err := s.active(info, t); err != nil {
		return err
	}
	a := *s.attributesOf(t.name)
	if err := change(info, &a); err != nil {
		return err
	}
	return s.translateDone(s.setAttributes(ctx, t.name, &a), t)
}
