package kinesis

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/firehosed/firehosed/streams"
)

// statePrefix begins the keys of the engine's state that belong to this
// package: the attributes of a stream under its name.
const statePrefix = "kinesis/stream/"

// attributes are what the API knows of a stream and the engine does not. A
// stream without attributes has the zero value.
type attributes struct {
	OnDemand  bool              `json:"onDemand,omitempty"`
	RecordKiB int               `json:"recordKiB,omitempty"` // 0 means 1024
	WarmMiBps int               `json:"warmMiBps,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

func (a attributes) mode() string {
	if a.OnDemand {
		return "ON_DEMAND"
	}
	return "PROVISIONED"
}

// recordBytes is the most a record of the stream may have.
func (a attributes) recordBytes() int {
	if a.RecordKiB == 0 {
		return defaultRecordBytes
	}
	return a.RecordKiB << 10
}

func (a attributes) isZero() bool {
	return !a.OnDemand && a.RecordKiB == 0 && a.WarmMiBps == 0 && len(a.Tags) == 0
}

// attributesOf reads the attributes of a stream.
func (s *Service) attributesOf(stream string) (attributes, error) {
	raw := s.engine.State(statePrefix + stream)
	if raw == nil {
		return attributes{}, nil
	}
	var a attributes
	if err := json.Unmarshal(raw, &a); err != nil {
		return attributes{}, fmt.Errorf("attributes of stream %s: %w", stream, err)
	}
	return a, nil
}

// setAttributes keeps the attributes of a stream, or forgets them if they are
// zero. It writes only if that changes something.
func (s *Service) setAttributes(ctx context.Context, stream string, a attributes) error {
	update := streams.StateUpdate{Key: statePrefix + stream}
	if a.isZero() {
		if s.engine.State(update.Key) == nil {
			return nil
		}
	} else {
		raw, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("attributes of stream %s: %w", stream, err)
		}
		update.Value = raw
	}
	_, err := s.engine.Append(ctx, "", &streams.Batch{State: []streams.StateUpdate{update}})
	if err != nil {
		return fmt.Errorf("attributes of stream %s: %w", stream, err)
	}
	return nil
}
