package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firehosed/firehosed/streams"
)

// The state of a delivery stream is three keys of the log's state:
//
//	delivery/<id>/position  where each shard is delivered to
//	delivery/<id>/plan      the object being written, if one is
//	delivery/<id>/format    what the format learned (an inferred schema)
//
// A plan appears in one append; its end, the new position and the format's
// state replace it in another.
func stateKey(id, what string) string { return "delivery/" + id + "/" + what }

// StateKeys returns the keys under which a delivery stream keeps its state, so
// that they can be removed with it.
func StateKeys(id string) []string {
	return []string{stateKey(id, "position"), stateKey(id, "plan"), stateKey(id, "format")}
}

// position is how far each shard of the source is delivered.
type position struct {
	Version  int    `json:"v"`
	StreamID uint64 `json:"stream_id"`
	// Origin is drawn at random once. It stands in the names of objects and the
	// ids of documents, because two daemons with the same configuration and the
	// same sequence numbers may write to the same bucket or index.
	Origin string `json:"origin"`
	// Shards by id; a shard that is missing has not been begun.
	Shards map[streams.ShardID]shardPosition `json:"shards"`
}

type shardPosition struct {
	Next  streams.Sequence `json:"next"`
	Ended bool             `json:"ended,omitempty"` // closed and delivered to its end
}

// plan is one object, or one run of documents: which records, under which
// name, made when. Everything that is not in the plan or the log must not
// influence the bytes.
type plan struct {
	Version  int         `json:"v"`
	ID       string      `json:"id"` // a UUID drawn from the ranges
	StreamID uint64      `json:"stream_id"`
	Ranges   []planRange `json:"ranges"`
	Records  int64       `json:"records"`
	Bytes    int64       `json:"bytes"`
	Oldest   time.Time   `json:"oldest"` // arrival of the oldest record
	Now      time.Time   `json:"now"`    // when the plan was made
	Key      string      `json:"key,omitempty"`
	Backup   string      `json:"backup,omitempty"`
	Reason   string      `json:"reason"`
	After    *position   `json:"after"` // the position once it is done
}

// planRange is the records [From, To) of a shard.
type planRange struct {
	Shard   streams.ShardID  `json:"shard"`
	Created time.Time        `json:"created"` // of the shard, for sequence numbers
	From    streams.Sequence `json:"from"`
	To      streams.Sequence `json:"to"`
}

// namespace is the UUID space of plans; the value has no meaning.
var namespace = uuid.MustParse("6f6f0c0a-4a3c-4e58-9a0b-7d2b1f5b0c11")

// planID draws a UUID from what is delivered, so that the same ranges of the
// same delivery stream always have the same one.
func planID(stateID string, pos *position, ranges []planRange) string {
	b := fmt.Appendf(nil, "%s\x00%s\x00%d", stateID, pos.Origin, pos.StreamID)
	for _, r := range ranges {
		b = fmt.Appendf(b, " %d:%d-%d", r.Shard, r.From, r.To)
	}
	return uuid.NewSHA1(namespace, b).String()
}

// partID draws the UUID of a part of a plan: its error output, a batch.
func partID(plan, part string) string {
	return uuid.NewSHA1(namespace, []byte(plan+"/"+part)).String()
}

const stateVersion = 1

// errNewerState means that a newer release wrote the state.
var errNewerState = errors.New("state was written by a newer version of firehosed")

func decodeState[T any](raw []byte, what string, version func(*T) int) (*T, error) {
	if raw == nil {
		return nil, nil //nolint:nilnil // no state is a normal case
	}
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("%s in the log's state: %w", what, err)
	}
	if version(v) > stateVersion {
		return nil, fmt.Errorf("%s: %w", what, errNewerState)
	}
	return v, nil
}

func (s *Stream) load() error {
	pos, err := decodeState(s.opt.Log.State(stateKey(s.opt.StateID, "position")), "position", func(p *position) int { return p.Version })
	if err != nil {
		return err
	}
	if pos != nil {
		if pos.Shards == nil {
			pos.Shards = map[streams.ShardID]shardPosition{}
		}
		s.setPosition(pos)
	}
	s.pending, err = decodeState(s.opt.Log.State(stateKey(s.opt.StateID, "plan")), "plan", func(p *plan) int { return p.Version })
	if err != nil {
		return err
	}
	if s.pending != nil && s.pending.After == nil {
		return fmt.Errorf("plan %s in the log's state has no position after it", s.pending.ID)
	}
	s.formatState = s.opt.Log.State(stateKey(s.opt.StateID, "format"))
	return nil
}

// logPlan makes the plan durable. Only then may anything be written.
func (s *Stream) logPlan(ctx context.Context, p *plan) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return s.appendState(ctx, streams.StateUpdate{Key: stateKey(s.opt.StateID, "plan"), Value: raw})
}

// logDone is the acknowledgement of a delivery: every output has confirmed
// what it got of the plan, and from here on the records are not read again.
// Guarded by TestKillAtEveryAppend.
func (s *Stream) logDone(ctx context.Context, p *plan, formatState []byte) error {
	raw, err := json.Marshal(p.After)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	updates := []streams.StateUpdate{
		{Key: stateKey(s.opt.StateID, "plan")},
		{Key: stateKey(s.opt.StateID, "position"), Value: raw},
	}
	if formatState != nil {
		updates = append(updates, streams.StateUpdate{Key: stateKey(s.opt.StateID, "format"), Value: formatState})
	}
	if err := s.appendState(ctx, updates...); err != nil {
		return err
	}
	if formatState != nil {
		s.formatState = formatState
	}
	s.setPosition(p.After)
	return nil
}

func (s *Stream) appendState(ctx context.Context, updates ...streams.StateUpdate) error {
	_, err := s.opt.Log.Append(ctx, "", &streams.Batch{State: updates})
	if err != nil {
		return fmt.Errorf("delivery state: %w", err)
	}
	return nil
}

func (p *position) clone() *position {
	c := &position{Version: stateVersion, StreamID: p.StreamID, Origin: p.Origin, Shards: make(map[streams.ShardID]shardPosition, len(p.Shards))}
	for id, at := range p.Shards {
		c.Shards[id] = at
	}
	return c
}
