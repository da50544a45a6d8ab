package kinesis

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// State keys of consumers: a consumer under its stream and name, and, for as
// long as it could be confused with a later one, the second a consumer that is
// gone was made in. Names of streams and consumers have no slash.
const (
	consumerPrefix     = "kinesis/consumer/"
	goneConsumerPrefix = "kinesis/gone-consumer/"
)

const (
	maxConsumers       = 20  // of a stream
	maxPageConsumers   = 100 // of a ListStreamConsumers
	consumerActive     = "ACTIVE"
	arnConsumer        = "/consumer/"
	missingConsumerRef = "Either ConsumerARN, or both StreamARN and ConsumerName should be provided."
)

// consumer is a registered consumer of a stream. It belongs to one stream by
// its id: a stream that is made again has no consumers.
type consumer struct {
	stream string
	name   string

	StreamID uint64            `json:"streamID"`
	Created  int64             `json:"created"` // seconds since 1970, as in the ARN
	Tags     map[string]string `json:"tags,omitempty"`
	Policy   string            `json:"policy,omitempty"` // JSON
}

func consumerKey(stream, name string) string { return consumerPrefix + stream + "/" + name }

// consumerARN returns the ARN of a consumer. The second it was made in is a
// part of it: a consumer registered again has another.
func (s *Service) consumerARN(c consumer) string {
	return s.StreamARN(c.stream) + arnConsumer + c.name + ":" + strconv.FormatInt(c.Created, 10)
}

// parseConsumerARN returns what an ARN says of a consumer. Region and account
// are not looked at, as in target.
func parseConsumerARN(arn string) (c consumer, ok bool) {
	resource := strings.LastIndex(arn, arnConsumer)
	second := strings.LastIndexByte(arn, ':')
	if resource < 0 || second < resource {
		return consumer{}, false
	}
	var err error
	if c.Created, err = strconv.ParseInt(arn[second+1:], 10, 64); err != nil {
		return consumer{}, false
	}
	c.name = arn[resource+len(arnConsumer) : second]
	stream := arn[:resource]
	c.stream = stream[strings.LastIndexByte(stream, '/')+1:]
	return c, c.name != "" && c.stream != "" && c.stream[0] != '$'
}

// decodeConsumer reads a value of the state.
func decodeConsumer(stream, name string, raw []byte) (consumer, error) {
	c := consumer{stream: stream, name: name}
	if err := json.Unmarshal(raw, &c); err != nil {
		return consumer{}, fmt.Errorf("consumer %s of stream %s: %w", name, stream, err)
	}
	return c, nil
}

func (c consumer) update() (streams.StateUpdate, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return streams.StateUpdate{}, fmt.Errorf("consumer %s of stream %s: %w", c.name, c.stream, err)
	}
	return streams.StateUpdate{Key: consumerKey(c.stream, c.name), Value: raw}, nil
}

// consumers returns the consumers of a stream by name, and apart from them
// those of an earlier stream of its name, left over by a crash.
func (s *Service) consumers(info streams.StreamInfo) (live, stale []consumer, err error) {
	prefix := consumerKey(info.Name, "")
	for key, raw := range s.engine.StateAll(prefix) {
		c, err := decodeConsumer(info.Name, key[len(prefix):], raw)
		if err != nil {
			return nil, nil, err
		}
		if c.StreamID == info.ID {
			live = append(live, c)
		} else {
			stale = append(stale, c)
		}
	}
	slices.SortFunc(live, func(a, b consumer) int { return strings.Compare(a.name, b.name) })
	return live, stale, nil
}

// consumer returns a consumer of a stream by its name.
func (s *Service) consumer(info streams.StreamInfo, name string) (c consumer, ok bool, err error) {
	raw := s.engine.State(consumerKey(info.Name, name))
	if raw == nil {
		return consumer{}, false, nil
	}
	c, err = decodeConsumer(info.Name, name, raw)
	return c, err == nil && c.StreamID == info.ID, err
}

// consumerByARN returns the consumer that an ARN names, with its stream. One
// that was registered again is not found by its earlier ARN.
func (s *Service) consumerByARN(arn string) (consumer, streams.StreamInfo, error) {
	named, ok := parseConsumerARN(arn)
	if !ok {
		return consumer{}, streams.StreamInfo{}, s.consumerNotFound(arn)
	}
	info, err := s.describe(target{name: named.stream, label: named.stream})
	if err != nil {
		return consumer{}, info, err
	}
	c, ok, err := s.consumer(info, named.name)
	if err == nil && (!ok || c.Created != named.Created) {
		err = s.consumerNotFound(arn)
	}
	return c, info, err
}

// changeConsumer changes the consumer that an ARN names, and makes that
// durable. No other change of a consumer or stream happens meanwhile. It writes
// nothing if change returns an error.
func (s *Service) changeConsumer(ctx context.Context, arn string, change func(c *consumer) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	c, _, err := s.consumerByARN(arn)
	if err != nil {
		return err
	}
	if err := change(&c); err != nil {
		return err
	}
	u, err := c.update()
	if err != nil {
		return err
	}
	return s.writeConsumers(ctx, u)
}

func (s *Service) writeConsumers(ctx context.Context, updates ...streams.StateUpdate) error {
	if len(updates) == 0 {
		return nil
	}
	if _, err := s.engine.Append(ctx, "", &streams.Batch{State: updates}); err != nil {
		return fmt.Errorf("consumers: %w", err)
	}
	return nil
}

func (s *Service) consumerNotFound(label string) error {
	return wire.Errorf(codeNotFound, "Consumer %s, account %s not found.", label, s.account)
}

// removal returns the updates that make consumers go, and keep their ARNs from
// being given again.
func (s *Service) removal(gone ...consumer) []streams.StateUpdate {
	now := s.clock().Unix()
	var updates []streams.StateUpdate
	for _, c := range gone {
		updates = append(updates, streams.StateUpdate{Key: consumerKey(c.stream, c.name)})
		if c.Created >= now {
			updates = append(updates, streams.StateUpdate{
				Key: goneConsumerPrefix + c.stream + "/" + c.name, Value: strconv.AppendInt(nil, c.Created, 10),
			})
		}
	}
	return updates
}

// creationSecond returns the second of a consumer that is registered now, not
// one that an earlier consumer of the name has in its ARN, and the updates
// that forget earlier ones which no longer matter.
func (s *Service) creationSecond(stream, name string) (int64, []streams.StateUpdate) {
	now := s.clock().Unix()
	second := now
	var updates []streams.StateUpdate
	for key, raw := range s.engine.StateAll(goneConsumerPrefix) {
		made, err := strconv.ParseInt(string(raw), 10, 64)
		same := key[len(goneConsumerPrefix):] == stream+"/"+name
		if same && err == nil {
			second = max(second, made+1)
		}
		if same || err != nil || made < now {
			updates = append(updates, streams.StateUpdate{Key: key})
		}
	}
	return second, updates
}

// registerStreamConsumer makes a consumer. It is ACTIVE, and survives a crash,
// when the call returns.
func (s *Service) registerStreamConsumer(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, err := s.target(in)
	if err != nil {
		return err
	}
	name := in.Get("ConsumerName").Text()
	s.changes.Lock()
	defer s.changes.Unlock()
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	live, stale, err := s.consumers(info)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(live, func(c consumer) bool { return c.name == name }):
		return wire.Errorf(codeInUse, "Consumer %s under stream %s under account %s already exists.", name, t.label, s.account)
	case len(live) >= maxConsumers:
		return wire.Errorf(codeLimit, "Stream %s under account %s has %d consumers, which is the most a stream may have.", t.label, s.account, len(live))
	}
	second, updates := s.creationSecond(info.Name, name)
	for _, c := range stale {
		if c.name == name {
			second = max(second, c.Created+1)
		}
	}
	updates = append(s.removal(stale...), updates...)
	c := consumer{stream: info.Name, name: name, StreamID: info.ID, Created: second}
	if c.Tags, err = s.tags(in, nil, t); err != nil {
		return err
	}
	made, err := c.update()
	if err != nil {
		return err
	}
	if err := s.writeConsumers(ctx, append(updates, made)...); err != nil {
		return s.translate(err, t)
	}
	out.BeginObject()
	out.Key("Consumer")
	s.encodeConsumer(out, c, false)
	out.EndObject()
	return nil
}

func (s *Service) encodeConsumer(out *wire.Encoder, c consumer, withStream bool) {
	out.BeginObject()
	out.StringMember("ConsumerName", c.name)
	out.StringMember("ConsumerARN", s.consumerARN(c))
	out.StringMember("ConsumerStatus", consumerActive)
	out.TimeMember("ConsumerCreationTimestamp", time.Unix(c.Created, 0))
	if withStream {
		out.StringMember("StreamARN", s.StreamARN(c.stream))
	}
	out.EndObject()
}

// findConsumer returns the consumer of a request that names it by its ARN, by
// its stream and name, or by all three.
func (s *Service) findConsumer(in wire.Value) (consumer, error) {
	arn, name := in.Get("ConsumerARN").Text(), in.Get("ConsumerName").Text()
	if arn != "" {
		named, _ := parseConsumerARN(arn)
		if in.Get("StreamARN").Present() {
			t, err := s.target(in)
			if err != nil {
				return consumer{}, err
			}
			if t.name != named.stream {
				return consumer{}, wire.Errorf(codeArgument, "ConsumerARN %s and StreamARN %s are not of the same stream.", arn, t.label)
			}
		}
		if name != "" && name != named.name {
			return consumer{}, wire.Errorf(codeArgument, "ConsumerARN %s and ConsumerName %s are not of the same consumer.", arn, name)
		}
		c, _, err := s.consumerByARN(arn)
		return c, err
	}
	if name == "" || !in.Get("StreamARN").Present() {
		return consumer{}, wire.Errorf(codeArgument, missingConsumerRef)
	}
	t, err := s.target(in)
	if err != nil {
		return consumer{}, err
	}
	info, err := s.describe(t)
	if err != nil {
		return consumer{}, err
	}
	c, ok, err := s.consumer(info, name)
	if err == nil && !ok {
		err = s.consumerNotFound(name)
	}
	return c, err
}

func (s *Service) describeStreamConsumer(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	c, err := s.findConsumer(r.Input)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.Key("ConsumerDescription")
	s.encodeConsumer(out, c, true)
	out.EndObject()
	return nil
}

func (s *Service) deregisterStreamConsumer(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	c, err := s.findConsumer(r.Input)
	if err != nil {
		return err
	}
	return s.translateDone(s.removeConsumers(ctx, c), target{name: c.stream, label: c.stream})
}

// removeConsumers makes consumers go, and ends their subscriptions. s.changes
// is held.
func (s *Service) removeConsumers(ctx context.Context, gone ...consumer) error {
	if err := s.writeConsumers(ctx, s.removal(gone...)...); err != nil {
		return err
	}
	for _, c := range gone {
		arn := s.consumerARN(c)
		s.subscribed.endConsumer(arn, s.consumerNotFound(arn))
	}
	return nil
}

// listStreamConsumers lists a page of the consumers of a stream by name, up to
// 100.
func (s *Service) listStreamConsumers(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	t, err := s.target(in)
	if err != nil {
		return err
	}
	info, err := s.describe(t)
	if err != nil {
		return err
	}
	after := ""
	created := in.Get("StreamCreationTimestamp")
	switch token := in.Get("NextToken"); {
	case token.Present() && created.Present():
		return wire.Errorf(codeArgument, "NextToken and StreamCreationTimestamp cannot be provided together.")
	case token.Present():
		if after, err = s.openConsumerToken(token.Text(), info, t); err != nil {
			return err
		}
	case created.Present() && created.Millis()/1000 != info.Created.Unix():
		return s.notFound(t)
	}
	all, _, err := s.consumers(info)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(c consumer) bool { return c.name <= after })
	limit := min(int(in.Get("MaxResults").Int(maxPageConsumers)), maxPageConsumers)
	more := len(all) > limit
	if more {
		all = all[:limit]
	}
	out.BeginObject()
	out.Key("Consumers")
	out.BeginList()
	for _, c := range all {
		s.encodeConsumer(out, c, false)
	}
	out.EndList()
	if more {
		out.StringMember("NextToken", s.sealConsumerToken(info, all[limit-1].name))
	}
	out.EndObject()
	return nil
}

// sealConsumerToken returns a token for what follows the consumer of a name.
func (s *Service) sealConsumerToken(info streams.StreamInfo, after string) string {
	b := appendText(nil, info.Name)
	b = binary.AppendUvarint(b, info.ID)
	b = appendText(b, after)
	b = binary.AppendVarint(b, s.clock().UnixMilli())
	return s.tokens.seal(tokenListConsumers, b)
}

func (s *Service) openConsumerToken(token string, info streams.StreamInfo, t target) (after string, err error) {
	contents, ok := s.tokens.open(tokenListConsumers, token)
	f := fields{b: contents}
	stream, id := f.text(), f.uint()
	after = f.text()
	issued := f.int()
	switch {
	case !ok || !f.done():
		return "", wire.Errorf(codeArgument, "Invalid NextToken.")
	case stream != info.Name:
		return "", wire.Errorf(codeArgument, "NextToken and StreamARN are not of the same stream.")
	case id != info.ID:
		return "", s.notFound(t)
	}
	return after, s.expired(issued)
}
