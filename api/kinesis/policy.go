package kinesis

import (
	"context"
	"encoding/json"

	"github.com/firehosed/firehosed/api/wire"
)

// maxPolicyBytes bounds a resource policy.
const maxPolicyBytes = 20 << 10

// putResourcePolicy keeps the policy of a stream or a consumer. It is kept and
// shown, and nothing is allowed or refused by it.
func (s *Service) putResourcePolicy(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	policy := r.Input.Get("Policy").Text()
	return s.changeLabels(ctx, res, func(l *labels) error {
		if len(policy) > maxPolicyBytes {
			return wire.Errorf(codeArgument, "The policy has %d bytes, more than %d.", len(policy), maxPolicyBytes)
		}
		if err := checkPolicy(policy); err != nil {
			return err
		}
		l.Policy = policy
		return nil
	})
}

// checkPolicy checks the outer form of a policy: a JSON object with statements.
func checkPolicy(policy string) error {
	var document struct {
		Statement json.RawMessage `json:"Statement"`
	}
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		return wire.Errorf(codeArgument, "The policy is not a JSON object: %s.", err.Error())
	}
	var one map[string]json.RawMessage
	many := []map[string]json.RawMessage{}
	switch {
	case json.Unmarshal(document.Statement, &one) == nil && one != nil:
		many = append(many, one)
	case json.Unmarshal(document.Statement, &many) != nil || len(many) == 0:
		return wire.Errorf(codeArgument, "The policy has no Statement, which is an object or a list of objects.")
	}
	for i, statement := range many {
		var effect string
		if json.Unmarshal(statement["Effect"], &effect) != nil || effect != "Allow" && effect != "Deny" {
			return wire.Errorf(codeArgument, "The Effect of statement %d of the policy is neither Allow nor Deny.", i+1)
		}
	}
	return nil
}

// getResourcePolicy returns the policy as it was put, or an empty object if
// there is none.
func (s *Service) getResourcePolicy(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	l, err := s.labels(res)
	if err != nil {
		return err
	}
	if l.Policy == "" {
		l.Policy = "{}"
	}
	out.BeginObject()
	out.StringMember("Policy", l.Policy)
	out.EndObject()
	return nil
}

func (s *Service) deleteResourcePolicy(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	return s.changeLabels(ctx, res, func(l *labels) error {
		if l.Policy == "" {
			return wire.Errorf(codeNotFound, "No resource policy found for resource ARN %s.", res.label)
		}
		l.Policy = ""
		return nil
	})
}
