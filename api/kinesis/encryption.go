package kinesis

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

const encryptionKMS = "KMS"

const (
	// maxKeyChanges is how often a key can be set within any 24 hours.
	maxKeyChanges = 25
	// maxSpans bounds what is kept of when a stream was encrypted. Beyond it the
	// records of the earliest spans are shown as not encrypted.
	maxSpans = 256
)

// encryption is what calls said of the encryption of a stream. It is shown,
// and nothing is encrypted by it: what is on the disk is encrypted by the
// engine, or not, for all streams alike.
type encryption struct {
	KeyID   string  `json:"keyId,omitempty"` // empty: not on
	Spans   []span  `json:"spans,omitempty"` // when it was on, in order
	Changes []int64 `json:"changes,omitempty"`
}

// span is from one instant to before another, in milliseconds. A To of 0 is
// now.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to,omitempty"`
}

// at reports whether a record that arrived at an instant counts as encrypted.
func (e *encryption) at(arrival time.Time) bool {
	if e == nil {
		return false
	}
	ms := arrival.UnixMilli()
	for _, sp := range slices.Backward(e.Spans) {
		if ms >= sp.From {
			return sp.To == 0 || ms < sp.To
		}
	}
	return false
}

// keyID is the key of a stream, empty if it is not encrypted.
func (e *encryption) keyID() string {
	if e == nil {
		return ""
	}
	return e.KeyID
}

// keyIDPattern is the forms of a key: its id, its ARN, that of an alias, or an
// alias.
var keyIDPattern = regexp.MustCompile(`^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|mrk-[0-9a-f]{32}` +
	`|arn:aws[a-z-]*:kms:[^:]+:\d{12}:(key|alias)/[a-zA-Z0-9/_-]+|alias/[a-zA-Z0-9/_-]+)$`)

func (s *Service) startStreamEncryption(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	return s.setEncryption(ctx, r.Input, func(t target, e *encryption, key string, now time.Time) error {
		if e.KeyID == key {
			return nil
		}
		before, withNow := recent(e.Changes, now)
		if len(before) >= maxKeyChanges {
			return wire.Errorf(codeLimit, "The key of stream %s under account %s was set %d times within the last 24 hours. The limit is %d.",
				t.label, s.account, len(before), maxKeyChanges)
		}
		e.Changes = withNow
		if e.KeyID == "" {
			e.Spans = append(e.Spans[max(0, len(e.Spans)+1-maxSpans):len(e.Spans):len(e.Spans)], span{From: now.UnixMilli()})
		}
		e.KeyID = key
		return nil
	})
}

func (s *Service) stopStreamEncryption(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	return s.setEncryption(ctx, r.Input, func(_ target, e *encryption, _ string, now time.Time) error {
		if e.KeyID == "" {
			return nil
		}
		e.Spans = slices.Clone(e.Spans)
		last := &e.Spans[len(e.Spans)-1]
		last.To = max(now.UnixMilli(), last.From+1)
		e.KeyID = ""
		return nil
	})
}

func (s *Service) setEncryption(ctx context.Context, in wire.Value, set func(t target, e *encryption, key string, now time.Time) error) error {
	t, err := s.target(in)
	if err != nil {
		return err
	}
	key := in.Get("KeyId").Text()
	return s.change(ctx, t, func(_ streams.StreamInfo, a *attributes) error {
		if kind := in.Get("EncryptionType").View(); kind != encryptionKMS {
			return wire.Errorf(codeArgument, "EncryptionType %s is not valid for stream %s under account %s. The only valid value is KMS.", kind, t.label, s.account)
		}
		if !keyIDPattern.MatchString(key) {
			return wire.Errorf("KMSNotFoundException", "Invalid keyId %s", key)
		}
		var e encryption
		if a.Encryption != nil {
			e = *a.Encryption
		}
		if err := set(t, &e, key, s.clock()); err != nil {
			return err
		}
		a.Encryption = &e
		return nil
	})
}
