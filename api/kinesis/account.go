package kinesis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// account counts what the limits of the account are about.
type accountUse struct {
	openShards int
	onDemand   int // streams
}

func (s *Service) use() accountUse {
	var u accountUse
	for _, info := range s.engine.List() {
		if full, err := s.engine.Describe(info.Name); err == nil {
			u.openShards += openShards(full)
		}
		if s.attributesOf(info.Name).OnDemand {
			u.onDemand++
		}
	}
	return u
}

// onDemandLimit is how many streams may be on demand: each has shards to begin
// with.
func (s *Service) onDemandLimit() int { return max(s.shards/onDemandShards, 1) }

// roomForShards refuses more open shards than the account may have.
func (s *Service) roomForShards(more int) error {
	if more <= 0 {
		return nil
	}
	open := s.use().openShards
	if open+more <= s.shards {
		return nil
	}
	return wire.Errorf(codeLimit, "This request would exceed the shard limit for the account %s in %s. "+
		"Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d. "+
		"Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) "+
		"for current limits and how to request higher limits.", s.account, s.region, open, s.shards, more)
}

// roomForOnDemand refuses more streams on demand than the account may have.
func (s *Service) roomForOnDemand() error {
	if n := s.use().onDemand; n >= s.onDemandLimit() {
		return wire.Errorf(codeLimit, "This request would exceed the limit of streams in On-Demand mode for the account %s in %s. "+
			"Current count: %d. Limit: %d.", s.account, s.region, n, s.onDemandLimit())
	}
	return nil
}

func (s *Service) describeLimits(_ context.Context, _ *wire.Request, out *wire.Encoder) error {
	u := s.use()
	out.BeginObject()
	out.IntMember("ShardLimit", int64(s.shards))
	out.IntMember("OpenShardCount", int64(u.openShards))
	out.IntMember("OnDemandStreamCount", int64(u.onDemand))
	out.IntMember("OnDemandStreamCountLimit", int64(s.onDemandLimit()))
	out.EndObject()
	return nil
}

// accountKey is where the settings of the account lie in the engine's state.
const accountKey = "kinesis/account"

// commitmentTerm is the least time the minimum throughput billing commitment
// lasts.
const commitmentTerm = 24 * time.Hour

// commitment is the minimum throughput billing commitment of the account, in
// milliseconds. Nobody bills anything here; clients see what they set.
type commitment struct {
	Started int64 `json:"started,omitempty"` // 0: never
	Ended   int64 `json:"ended,omitempty"`   // 0: it goes on; may lie ahead
}

// status is what the commitment is at an instant.
func (c commitment) status(now int64) string {
	switch {
	case c.Started == 0 || c.Ended != 0 && c.Ended <= now:
		return "DISABLED"
	case c.Ended != 0:
		return "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
	}
	return "ENABLED"
}

func (s *Service) commitment() (commitment, error) {
	var c commitment
	raw := s.engine.State(accountKey)
	if raw == nil {
		return c, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("settings of the account: %w", err)
	}
	return c, nil
}

func (s *Service) describeAccountSettings(_ context.Context, _ *wire.Request, out *wire.Encoder) error {
	c, err := s.commitment()
	if err != nil {
		return err
	}
	s.encodeCommitment(out, c)
	return nil
}

// updateAccountSettings begins the commitment, or ends it once its least time
// is over.
func (s *Service) updateAccountSettings(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	c, err := s.commitment()
	if err != nil {
		return err
	}
	before, now := c, s.clock().UnixMilli()
	enabled := c.status(now) != "DISABLED"
	switch wanted := r.Input.Get("MinimumThroughputBillingCommitment").Get("Status").Text(); {
	case wanted == "ENABLED" && enabled:
		c.Ended = 0
	case wanted == "ENABLED":
		c = commitment{Started: now}
	case enabled && c.Ended == 0:
		c.Ended = max(now, c.Started+commitmentTerm.Milliseconds())
	}
	if c != before {
		raw, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("settings of the account: %w", err)
		}
		if _, err := s.engine.Append(ctx, "", &streams.Batch{State: []streams.StateUpdate{{Key: accountKey, Value: raw}}}); err != nil {
			return fmt.Errorf("settings of the account: %w", err)
		}
	}
	s.encodeCommitment(out, c)
	return nil
}

func (s *Service) encodeCommitment(out *wire.Encoder, c commitment) {
	now := s.clock().UnixMilli()
	status := c.status(now)
	out.BeginObject()
	out.Key("MinimumThroughputBillingCommitment")
	out.BeginObject()
	out.StringMember("Status", status)
	if c.Started != 0 {
		out.TimeMember("StartedAt", time.UnixMilli(c.Started).UTC())
		if status == "DISABLED" {
			out.TimeMember("EndedAt", time.UnixMilli(c.Ended).UTC())
		} else {
			out.TimeMember("EarliestAllowedEndAt", time.UnixMilli(c.Started).Add(commitmentTerm).UTC())
		}
	}
	out.EndObject()
	out.EndObject()
}
