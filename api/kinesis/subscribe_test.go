package kinesis_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams/limits"
)

const shard0 = "shardId-000000000000"

// patience is how long a test waits for what must come.
const patience = time.Minute

// serve listens with the server of the daemon and returns its address.
func (f *fixture) serve() string {
	f.t.Helper()
	l, err := new(net.ListenConfig).Listen(f.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	srv := wire.NewServer(f.handler, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	f.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// speak returns a client of one version of HTTP, 1 or 2.
func speak(t testing.TB, version int) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(version == 1)
	tr.Protocols.SetUnencryptedHTTP2(version == 2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// frame is a message of an event stream.
type frame struct {
	kind    string // of the message, a dot, and of the event or exception
	payload string
	event
}

// event is the payload of a SubscribeToShardEvent.
type event struct {
	Records []struct {
		SequenceNumber, PartitionKey string
		Data                         []byte
		ApproximateArrivalTimestamp  float64
	}
	ContinuationSequenceNumber *string
	MillisBehindLatest         *int64
	ChildShards                []struct {
		ShardID      string `json:"ShardId"`
		ParentShards []string
		HashKeyRange struct{ StartingHashKey, EndingHashKey string }
	}
}

// feed is a response that is being read.
type feed struct {
	t    testing.TB
	resp *http.Response
	dec  *eventstream.Decoder
	stop func()
}

// subscribe opens a subscription and reads the initial response.
func (f *fixture) subscribe(c *http.Client, url, body string) *feed {
	f.t.Helper()
	resp, stop := f.post(c, url, "SubscribeToShard", jsonType, body)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" {
		b, _ := io.ReadAll(resp.Body)
		f.t.Fatalf("subscribe %s: %s %s", body, resp.Status, b)
	}
	s := &feed{f.t, resp, eventstream.NewDecoder(), stop}
	if first := s.next(); first.kind != "event.initial-response" || first.payload != "{}" {
		f.t.Fatalf("first frame: %+v", first)
	}
	return s
}

func (f *fixture) post(c *http.Client, url, operation, media, body string) (*http.Response, func()) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	resp, err := c.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	stop := func() {
		cancel()
		_ = resp.Body.Close()
	}
	f.t.Cleanup(stop)
	return resp, stop
}

// next reads a frame. At the end of the stream it returns the kind "end".
func (s *feed) next() frame {
	s.t.Helper()
	m, err := s.dec.Decode(s.resp.Body, nil)
	if errors.Is(err, io.EOF) {
		return frame{kind: "end"}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	header := func(name string) string {
		v := m.Headers.Get(name)
		if v == nil {
			return ""
		}
		return v.String()
	}
	if got := header(":content-type"); got != "application/json" {
		s.t.Errorf("content type %q of a frame", got)
	}
	out := frame{kind: header(":message-type") + "." + header(":event-type") + header(":exception-type"), payload: string(m.Payload)}
	if out.kind == "event.SubscribeToShardEvent" {
		if err := json.Unmarshal(m.Payload, &out.event); err != nil {
			s.t.Fatal(err)
		}
		if out.MillisBehindLatest == nil || (out.ContinuationSequenceNumber == nil) != (len(out.ChildShards) > 0) || !strings.HasPrefix(out.payload, `{"Records":[`) {
			s.t.Errorf("event without what clients need: %.500s", out.payload)
		}
	}
	return out
}

// data reads frames until n records have come, and returns their data with the
// last frame.
func (s *feed) data(n int) ([]string, frame) {
	s.t.Helper()
	var got []string
	for {
		f := s.next()
		if f.kind != "event.SubscribeToShardEvent" {
			s.t.Fatalf("after %d of %d records: %s %s", len(got), n, f.kind, f.payload)
		}
		for _, r := range f.Records {
			got = append(got, string(r.Data))
		}
		if len(got) >= n {
			return got, f
		}
	}
}

// until reads frames until one is of another kind than events without records.
func (s *feed) until() frame {
	s.t.Helper()
	for {
		if f := s.next(); f.kind != "event.SubscribeToShardEvent" || len(f.Records) > 0 || f.ChildShards != nil {
			return f
		}
	}
}

func (f *fixture) put(stream string, data ...string) []string {
	f.t.Helper()
	var numbers []string
	for _, d := range data {
		var out struct{ SequenceNumber string }
		answer := f.ok("PutRecord", `{"StreamName":"`+stream+`","PartitionKey":"k","ExplicitHashKey":"0","Data":"`+base64.StdEncoding.EncodeToString([]byte(d))+`"}`)
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			f.t.Fatal(err)
		}
		numbers = append(numbers, out.SequenceNumber)
	}
	return numbers
}

func from(arn, position string) string {
	return `{"ConsumerARN":"` + arn + `","ShardId":"` + shard0 + `","StartingPosition":` + position + `}`
}

const (
	latest  = `{"Type":"LATEST"}`
	horizon = `{"Type":"TRIM_HORIZON"}`
)

// TestSubscribe follows a shard over both versions of HTTP, from all five
// kinds of positions, with what was there and what comes.
func TestSubscribe(t *testing.T) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint("HTTP ", version), func(t *testing.T) {
			f := setup(t)
			f.create("s", 1)
			early := f.put("s", "a", "b")
			f.clock.advance(time.Minute)
			middle := f.clock.now()
			late := f.put("s", "c")
			f.clock.advance(time.Minute)
			url, client := f.serve(), speak(t, version)
			positions := []struct{ at, want string }{
				{horizon, "abc"},
				{latest, ""},
				{`{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"` + early[1] + `"}`, "bc"},
				{`{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"` + early[1] + `"}`, "c"},
				{`{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"` + late[0] + `"}`, ""},
				{fmt.Sprintf(`{"Type":"AT_TIMESTAMP","Timestamp":%d.%03d}`, middle.Unix(), middle.Nanosecond()/1e6), "c"},
				{fmt.Sprintf(`{"Type":"AT_TIMESTAMP","Timestamp":%d}`, middle.Add(time.Second).Unix()), ""},
			}
			var feeds []*feed
			for i, p := range positions {
				s := f.subscribe(client, url, from(f.register("s", fmt.Sprint("c", i)), p.at))
				feeds = append(feeds, s)
				if p.want == "" {
					// Where it stands is told at once, and can be gone on from.
					first := s.next()
					if len(first.Records) != 0 || *first.MillisBehindLatest != 0 || len(*first.ContinuationSequenceNumber) != 56 {
						t.Errorf("%s: first event %s", p.at, first.payload)
					}
					if number, ok := new(big.Int).SetString(*first.ContinuationSequenceNumber, 10); !ok || number.BitLen() != 186 {
						t.Errorf("%s: continuation %s", p.at, number)
					}
					continue
				}
				got, last := s.data(len(p.want))
				if strings.Join(got, "") != p.want || *last.ContinuationSequenceNumber != late[0] || last.Records[0].PartitionKey != "k" {
					t.Errorf("%s: got %q, last %s", p.at, got, last.payload)
				}
			}
			f.put("s", "live")
			for i, s := range feeds {
				if got, _ := s.data(1); got[0] != "live" {
					t.Errorf("%s: got %q live", positions[i].at, got)
				}
			}
		})
	}
}

// TestSubscribeWithSDK reads with the real client, and goes on where it was.
func TestSubscribeWithSDK(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	arn := f.register("s", "app")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	position := &types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	for round := range 3 {
		// All streams of a client share a codec with fields that they set (smithy-go
		// v1.28.8, internal/eventstream/codec.go), also one that was closed until its
		// goroutine has ended, for which nobody can wait.
		client := sdk.New(f.client.Options())
		out, err := client.SubscribeToShard(ctx, &sdk.SubscribeToShardInput{ConsumerARN: &arn, ShardId: aws.String(shard0), StartingPosition: position})
		if err != nil {
			t.Fatal(err)
		}
		stream := out.GetStream()
		next := func() types.SubscribeToShardEvent {
			for e := range stream.Events() {
				if e := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value; len(e.Records) > 0 || round == 0 {
					return e
				}
			}
			t.Fatalf("round %d: ended: %v", round, stream.Err())
			panic("unreachable")
		}
		if round == 0 {
			if e := next(); len(e.Records) != 0 || *e.MillisBehindLatest != 0 {
				t.Errorf("first event: %+v", e)
			}
			f.put("s", "record 0")
		}
		e := next()
		if len(e.Records) != 1 || string(e.Records[0].Data) != fmt.Sprint("record ", round) || !e.Records[0].ApproximateArrivalTimestamp.Equal(f.clock.now()) {
			t.Fatalf("round %d: %+v", round, e)
		}
		position = &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: e.ContinuationSequenceNumber}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(5 * time.Second)
		f.put("s", fmt.Sprint("record ", round+1)) // while nobody listens
	}
}

// TestContinueIdle goes on from the number of an event without records: nothing
// is lost or comes twice, whatever the number stands for.
func TestContinueIdle(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	url, client := f.serve(), speak(t, 2)
	arn := f.register("s", "app")
	for i, position := range []string{horizon, latest, ""} {
		if position == "" {
			f.put("s", "before")
			position = latest
		}
		s := f.subscribe(client, url, from(arn, position))
		number := *s.next().ContinuationSequenceNumber
		s.stop()
		f.put("s", fmt.Sprint("after ", i))
		for _, kind := range []string{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
			f.clock.advance(5 * time.Second)
			s = f.subscribe(client, url, from(arn, `{"Type":"`+kind+`","SequenceNumber":"`+number+`"}`))
			want := fmt.Sprint("after ", i)
			if i > 0 && kind == "AT_SEQUENCE_NUMBER" {
				want = map[int]string{1: "after 0", 2: "before"}[i] // the record at the place itself
			}
			if got, _ := s.data(1); got[0] != want {
				t.Errorf("%d: continued %s: got %q, want %q", i, kind, got, want)
			}
			s.stop()
		}
		f.clock.advance(5 * time.Second)
	}
}

// TestShardEnd splits a shard and merges two under their subscribers.
func TestShardEnd(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	url, client := f.serve(), speak(t, 2)
	arn := f.register("s", "app")
	live := f.subscribe(client, url, from(arn, horizon))
	f.put("s", "a", "b")
	if got, _ := live.data(2); strings.Join(got, "") != "ab" {
		t.Errorf("got %q", got)
	}
	f.ok("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"170141183460469231731687303715884105728"}`)
	end := live.until()
	if end.ContinuationSequenceNumber != nil || len(end.ChildShards) != 2 || strings.Contains(end.payload, "Continuation") {
		t.Fatalf("end of a split shard: %s", end.payload)
	}
	for i, c := range end.ChildShards {
		if c.ShardID != fmt.Sprintf("shardId-%012d", i+1) || !slices.Equal(c.ParentShards, []string{shard0}) || c.HashKeyRange.EndingHashKey == "" {
			t.Errorf("child %d: %+v", i, c)
		}
	}
	if f := live.next(); f.kind != "end" {
		t.Errorf("after the end of the shard: %s %s", f.kind, f.payload)
	}

	// Whoever comes later reads to the same end.
	f.clock.advance(5 * time.Second)
	late := f.subscribe(client, url, from(arn, horizon))
	if got, last := late.data(2); strings.Join(got, "") != "ab" || last.ContinuationSequenceNumber == nil {
		t.Errorf("closed shard: %q, then %s", got, last.payload)
	}
	if end := late.until(); len(end.ChildShards) != 2 {
		t.Errorf("end of a closed shard: %s", end.payload)
	}

	lower := f.subscribe(client, url, `{"ConsumerARN":"`+arn+`","ShardId":"shardId-000000000001","StartingPosition":`+latest+`}`)
	f.ok("MergeShards", `{"StreamName":"s","ShardToMerge":"1","AdjacentShardToMerge":"2"}`)
	end = lower.until()
	if len(end.ChildShards) != 1 || !slices.Equal(end.ChildShards[0].ParentShards, []string{"shardId-000000000001", "shardId-000000000002"}) {
		t.Errorf("end of a merged shard: %s", end.payload)
	}
}

// TestTakeover subscribes a second time: too soon, and then for good.
func TestTakeover(t *testing.T) {
	f := setup(t)
	f.create("s", 2)
	url, client := f.serve(), speak(t, 2)
	arn, other := f.register("s", "app"), f.register("s", "other")
	first := f.subscribe(client, url, from(arn, latest))
	inUse := "Another active subscription exists for this consumer: 123456789012:s:app:1772366400 and shard: " + shard0
	f.clock.advance(5*time.Second - time.Millisecond)
	if status, got := f.raw("SubscribeToShard", jsonType, from(arn, latest)); status != http.StatusBadRequest || got != answer("ResourceInUseException", inUse) {
		t.Errorf("a second subscription too soon: %d %s", status, got)
	}
	// Others are others.
	f.subscribe(client, url, from(other, latest))
	f.subscribe(client, url, strings.Replace(from(arn, latest), shard0, "1", 1))
	f.clock.advance(time.Millisecond)
	if status, got := f.raw("SubscribeToShard", jsonType, strings.TrimSuffix(from(arn, latest), "}")+`,"DryRun":true}`); status != http.StatusBadRequest || !strings.Contains(got, "DryRunOperationException") {
		t.Errorf("dry run: %d %s", status, got)
	}
	f.put("s", "before")
	if got, _ := first.data(1); got[0] != "before" {
		t.Errorf("got %q after a dry run", got)
	}
	second := f.subscribe(client, url, from(arn, latest))
	if got := first.until(); got.kind != "exception.ResourceInUseException" || got.payload != `{"message":"`+inUse+`"}` {
		t.Errorf("the first subscription ended with %s %s", got.kind, got.payload)
	}
	if got := first.next(); got.kind != "end" {
		t.Errorf("after the exception: %s", got.kind)
	}
	f.put("s", "after")
	if got, _ := second.data(1); got[0] != "after" {
		t.Errorf("got %q", got)
	}
	// One that has ended still holds the next one off for its time.
	second.stop()
	if status, got := f.raw("SubscribeToShard", jsonType, from(arn, latest)); status != http.StatusBadRequest || got != answer("ResourceInUseException", inUse) {
		t.Errorf("right after the end: %d %s", status, got)
	}
}

// TestSubscriptionEnds takes away what a subscription is on.
func TestSubscriptionEnds(t *testing.T) {
	f := setup(t)
	for _, name := range []string{"deregistered", "deleted", "stopped"} {
		f.create(name, 1)
	}
	url, client := f.serve(), speak(t, 2)
	arn := f.register("deregistered", "app")
	s := f.subscribe(client, url, from(arn, latest))
	f.ok("DeregisterStreamConsumer", `{"ConsumerARN":"`+arn+`"}`)
	if got := s.until(); got.kind != "exception.ResourceNotFoundException" || got.payload != `{"message":"Consumer `+arn+`, account 123456789012 not found."}` {
		t.Errorf("deregistered: %s %s", got.kind, got.payload)
	}
	s = f.subscribe(client, url, from(f.register("deleted", "app"), latest))
	f.ok("DeleteStream", `{"StreamName":"deleted","EnforceConsumerDeletion":true}`)
	if got := s.until(); got.kind != "exception.ResourceNotFoundException" {
		t.Errorf("deleted: %s %s", got.kind, got.payload)
	}
	arn = f.register("stopped", "app")
	s = f.subscribe(client, url, from(arn, latest))
	if n := f.service.Subscriptions(); n != 1 {
		t.Errorf("%d subscriptions are active, want 1", n)
	}
	f.service.EndSubscriptions()
	if got := s.until(); got.kind != "end" {
		t.Errorf("stopped: %s %s", got.kind, got.payload)
	}
	f.clock.advance(time.Minute)
	if status, got := f.raw("SubscribeToShard", jsonType, from(arn, latest)); status != http.StatusServiceUnavailable {
		t.Errorf("after the stop: %d %s", status, got)
	}
}

// TestSubscriptionLife lets subscriptions live and beat for milliseconds, as
// often as it takes a busy machine to see a record and a heartbeat in one.
func TestSubscriptionLife(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) {
		o.SubscriptionLife, o.Heartbeat = 50*time.Millisecond, 5*time.Millisecond
	})
	f.create("s", 1)
	f.put("s", "a")
	arn, url, client := f.register("s", "app"), f.serve(), speak(t, 2)
	for beats, begun := 0, time.Now(); beats == 0; {
		if time.Since(begun) > patience {
			t.Fatal("no subscription had a record and a heartbeat")
		}
		f.clock.advance(5 * time.Second)
		s := f.subscribe(client, url, from(arn, horizon))
		place := ""
		for got := s.next(); got.kind != "end"; got = s.next() {
			switch {
			case got.kind != "event.SubscribeToShardEvent":
				t.Fatalf("%s %s", got.kind, got.payload)
			case len(got.Records) > 0:
				place = *got.ContinuationSequenceNumber
			case place != "" && *got.ContinuationSequenceNumber != place:
				t.Errorf("idle at %s, want %s", *got.ContinuationSequenceNumber, place)
			case place != "":
				beats++
			}
		}
		s.stop()
	}
	f = open(t, t.TempDir(), func(o *kinesis.Options) { o.Heartbeat = time.Millisecond })
	f.create("s", 1)
	s := f.subscribe(speak(t, 1), f.serve(), from(f.register("s", "app"), horizon))
	for range 5 {
		if got := s.next(); got.kind != "event.SubscribeToShardEvent" || len(got.Records) != 0 {
			t.Errorf("idle: %s %s", got.kind, got.payload)
		}
	}
}

// TestSubscribeTexts compares the answers before a stream begins, byte for
// byte. They are plain ones, and JSON whatever was asked in.
func TestSubscribeTexts(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	f.create("six", 6)
	arn := f.register("s", "app")
	number := f.put("s", "a")[0]
	f.clock.advance(time.Minute)
	f.create("late", 1)
	foreign := f.put("late", "a")[0]
	const mustSpecify = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified "
	for _, tt := range []struct{ body, code, message string }{
		{`{}`, "ValidationException", "3 validation errors detected: Value null at 'consumerARN' failed to satisfy constraint: Member must not be null; Value null at 'shardId' failed to satisfy constraint: Member must not be null; Value null at 'startingPosition' failed to satisfy constraint: Member must not be null"},
		{from(arn, `{}`), "ValidationException", "1 validation error detected: Value null at 'startingPosition.type' failed to satisfy constraint: Member must not be null"},
		{from(arn, `{"Type":"FOO"}`), "ValidationException", "1 validation error detected: Value 'FOO' at 'startingPosition.type' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"},
		{from(arn, `{"Type":"LATEST","SequenceNumber":"12x"}`), "ValidationException", `1 validation error detected: Value '12x' at 'startingPosition.sequenceNumber' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,128})`},
		{from(streamARN("s"), latest), "ValidationException", "1 validation error detected: Value '" + streamARN("s") + `' at 'consumerARN' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`},
		{from(arn+"0", latest), "ResourceNotFoundException", "Consumer " + arn + "0, account 123456789012 not found."},
		{from(streamARN("none")+"/consumer/app:1", latest), "ResourceNotFoundException", "Stream none under account 123456789012 not found."},
		{strings.Replace(from(arn, latest), shard0, "x", 1), "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{strings.Replace(from(arn, latest), shard0, "7", 1), "ResourceNotFoundException", "Shard shardId-000000000007 in stream s under account 123456789012 does not exist"},
		{from(arn, `{"Type":"AFTER_SEQUENCE_NUMBER"}`), "InvalidArgumentException", mustSpecify + "AFTER_SEQUENCE_NUMBER and no StartingSequenceNumber."},
		{from(arn, `{"Type":"LATEST","SequenceNumber":"1"}`), "InvalidArgumentException", mustSpecify + "LATEST and also a StartingSequenceNumber."},
		{from(arn, `{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"1"}`), "InvalidArgumentException", "StartingSequenceNumber 1 used in SubscribeToShard on shard " + shard0 + " in stream s under account 123456789012 is invalid."},
		{from(arn, `{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"`+foreign+`"}`), "InvalidArgumentException", "StartingSequenceNumber " + foreign + " used in SubscribeToShard on shard " + shard0 + " in stream s under account 123456789012 is invalid because it did not come from this stream."},
		{from(arn, `{"Type":"AT_TIMESTAMP"}`), "InvalidArgumentException", "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter."},
		{from(arn, `{"Type":"AT_TIMESTAMP","Timestamp":1e10}`), "InvalidArgumentException", "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: 10000000000000, currentTimestampInMillis: " + fmt.Sprint(f.clock.now().UnixMilli())},
		{strings.TrimSuffix(from(arn, `{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"`+number+`"}`), "}") + `,"DryRun":true}`, "DryRunOperationException", "The request would have succeeded, but the DryRun flag is set."},
	} {
		if status, got := f.raw("SubscribeToShard", jsonType, tt.body); status != http.StatusBadRequest || got != answer(tt.code, tt.message) {
			t.Errorf("%s:\ngot  %d %s\nwant %s", tt.body, status, got, answer(tt.code, tt.message))
		}
	}
	resp, _ := f.post(speak(t, 1), f.serve(), "SubscribeToShard", cborType, "\xa0")
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != jsonType || !strings.HasPrefix(string(b), `{"__type":"ValidationException"`) {
		t.Errorf("asked in CBOR: %s %s", resp.Status, b)
	}
}

// TestSubscribeInCBOR is answered by the same stream of JSON events.
func TestSubscribeInCBOR(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	arn := f.register("s", "app")
	f.put("s", "a")
	text := func(s string) string { return string([]byte{0x78, byte(len(s))}) + s }
	body := "\xa3" + text("ConsumerARN") + text(arn) + text("ShardId") + text(shard0) +
		text("StartingPosition") + "\xa1" + text("Type") + text("TRIM_HORIZON")
	resp, stop := f.post(speak(t, 2), f.serve(), "SubscribeToShard", cborType, body)
	s := &feed{t, resp, eventstream.NewDecoder(), stop}
	if first := s.next(); first.kind != "event.initial-response" {
		t.Errorf("first frame: %+v", first)
	}
	if got, _ := s.data(1); got[0] != "a" {
		t.Errorf("got %q", got)
	}
}

// TestBacklog reads more than an event holds: events stay small, but a record
// that is larger than that comes whole.
func TestBacklog(t *testing.T) {
	f := setup(t)
	f.ok("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
	large := strings.Repeat("x", 10<<20-1)
	sizes := []int{200 << 10, 200 << 10, 200 << 10, len(large), 1, 0, 700 << 10, 1}
	var want []string
	for i, n := range sizes {
		want = append(want, strings.Repeat(string(rune('a'+i)), n))
	}
	f.put("s", want...)
	var many []string
	for i := range 450 {
		many = append(many, fmt.Sprintf(`{"PartitionKey":"k","Data":"%s"}`, base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(i)))))
		want = append(want, fmt.Sprint(i))
	}
	for range 10 {
		f.ok("PutRecords", `{"StreamName":"s","Records":[`+strings.Join(many, ",")+`]}`)
	}
	for range 9 {
		want = append(want, want[len(sizes):len(sizes)+450]...)
	}
	s := f.subscribe(speak(t, 2), f.serve(), from(f.register("s", "app"), horizon))
	var got []string
	for len(got) < len(want) {
		e := s.next()
		if len(e.payload) > 1200<<10 && len(e.Records) > 1 {
			t.Errorf("an event of %d records has %d bytes", len(e.Records), len(e.payload))
		}
		for _, r := range e.Records {
			got = append(got, string(r.Data))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %d records that differ from the %d put", len(got), len(want))
	}
}

// TestSubscribeWithinLimits reads a shard at its rate of bytes: after one
// record the next is 49 seconds away, and silence is broken meanwhile.
func TestSubscribeWithinLimits(t *testing.T) {
	f := open(t, t.TempDir(), func(o *kinesis.Options) {
		o.Limits = limits.New(limits.Options{
			Rates:    func(string) limits.Rates { return limits.Rates{OutBytes: 10} },
			Describe: o.Engine.Describe, Clock: o.Clock,
		})
		o.Heartbeat = time.Millisecond
	})
	f.create("s", 1)
	data := strings.Repeat("x", 499)
	f.put("s", data, data, data, data, data)
	s := f.subscribe(speak(t, 2), f.serve(), from(f.register("s", "app"), horizon))
	if got, last := s.data(1); len(got) != 1 {
		t.Errorf("got %d records at once: %s", len(got), last.payload)
	}
	for range 3 {
		if beat := s.next(); len(beat.Records) != 0 || beat.kind != "event.SubscribeToShardEvent" {
			t.Errorf("got more than the rate of the shard: %s %s", beat.kind, beat.payload)
		}
	}
}

// TestSlowReader does not read what a subscription sends. It holds up no
// other, and the end of its consumer.
func TestSlowReader(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	url, client := f.serve(), speak(t, 2)
	slow := f.register("s", "slow")
	lazy := f.subscribe(client, url, from(slow, horizon))
	keen := f.subscribe(speak(t, 2), url, from(f.register("s", "keen"), horizon))
	data := strings.Repeat("x", 1<<20-1)
	for range 12 {
		f.put("s", data)
	}
	got, _ := keen.data(12)
	for _, d := range got {
		if d != data {
			t.Fatalf("a record of %d bytes", len(d))
		}
	}
	f.ok("DeregisterStreamConsumer", `{"ConsumerARN":"`+slow+`"}`)
	// What was on the way comes, and then the reason.
	for {
		e := lazy.next()
		if e.kind == "exception.ResourceNotFoundException" {
			break
		}
		if e.kind == "end" {
			t.Fatal("ended without a word")
		}
	}
}

// FuzzSubscribe sends anything to a subscription that has lived as soon as it
// begins: whatever comes back is whole frames or a plain error.
func FuzzSubscribe(f *testing.F) {
	fix := open(f, f.TempDir(), func(o *kinesis.Options) { o.SubscriptionLife = time.Nanosecond })
	fix.create("s", 1)
	fix.put("s", "a")
	arn := fix.register("s", "app")
	f.Add([]byte(from(arn, horizon)))
	f.Add([]byte(from(arn, `{"Type":"AT_TIMESTAMP","Timestamp":1}`)))
	f.Add([]byte(from(arn, `{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"49594189147623985939251953501666965394405037144469929986"}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		fix.clock.advance(5 * time.Second)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.SubscribeToShard")
		w := httptest.NewRecorder()
		fix.handler.ServeHTTP(w, r)
		status, got := w.Code, w.Body.String()
		if status != http.StatusOK {
			if status >= 500 || !json.Valid([]byte(got)) {
				t.Fatalf("%q: got %d %q", body, status, got)
			}
			return
		}
		for r := bytes.NewReader([]byte(got)); r.Len() > 0; {
			m, err := eventstream.NewDecoder().Decode(r, nil)
			if err != nil || !json.Valid(m.Payload) || m.Headers.Get(":message-type").String() != "event" {
				t.Fatalf("%q: got %q: %v", body, got, err)
			}
		}
	})
}
