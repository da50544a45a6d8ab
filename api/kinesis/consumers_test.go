package kinesis_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func streamARN(name string) string { return "arn:aws:kinesis:us-east-1:123456789012:stream/" + name }

// register makes a consumer and returns its ARN.
func (f *fixture) register(stream, name string) string {
	f.t.Helper()
	out, err := f.client.RegisterStreamConsumer(f.t.Context(), &sdk.RegisterStreamConsumerInput{
		StreamARN: aws.String(streamARN(stream)), ConsumerName: &name,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return *out.Consumer.ConsumerARN
}

// TestConsumers goes through the life of a consumer with the real client.
func TestConsumers(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	f.create("s", 1)
	f.create("other", 1)
	arn := aws.String(streamARN("s"))
	made, err := f.client.RegisterStreamConsumer(ctx, &sdk.RegisterStreamConsumerInput{
		StreamARN: arn, ConsumerName: aws.String("app.1"), Tags: map[string]string{"team": "blue"},
	})
	if err != nil {
		t.Fatal(err)
	}
	second := f.clock.now().Truncate(time.Second)
	want := fmt.Sprintf("%s/consumer/app.1:%d", *arn, second.Unix())
	if c := made.Consumer; *c.ConsumerARN != want || *c.ConsumerName != "app.1" || c.ConsumerStatus != types.ConsumerStatusActive ||
		!c.ConsumerCreationTimestamp.Equal(second) {
		t.Errorf("registered %+v, want ARN %s", c, want)
	}
	f.register("other", "app.1")
	for _, in := range []sdk.DescribeStreamConsumerInput{
		{ConsumerARN: &want},
		{StreamARN: arn, ConsumerName: aws.String("app.1")},
		{StreamARN: arn, ConsumerName: aws.String("app.1"), ConsumerARN: &want},
	} {
		got, err := f.client.DescribeStreamConsumer(ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.ConsumerDescription; *d.ConsumerARN != want || *d.StreamARN != *arn || d.ConsumerStatus != types.ConsumerStatusActive {
			t.Errorf("described %+v", d)
		}
	}
	sum, err := f.client.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamARN: arn})
	if err != nil || *sum.StreamDescriptionSummary.ConsumerCount != 1 {
		t.Errorf("summary: %+v, %v", sum, err)
	}

	_, err = f.client.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: aws.String("s")})
	if inUse := new(types.ResourceInUseException); !errors.As(err, &inUse) {
		t.Errorf("deleting a stream with a consumer: %v", err)
	}
	if _, err := f.client.DeregisterStreamConsumer(ctx, &sdk.DeregisterStreamConsumerInput{ConsumerARN: &want}); err != nil {
		t.Fatal(err)
	}
	// Registered again in the same second it is another one, and the old name
	// of it leads nowhere.
	again := f.register("s", "app.1")
	if again == want {
		t.Errorf("registered again with the same ARN %s", again)
	}
	_, err = f.client.DescribeStreamConsumer(ctx, &sdk.DescribeStreamConsumerInput{ConsumerARN: &want})
	if gone := new(types.ResourceNotFoundException); !errors.As(err, &gone) || gone.ErrorMessage() != "Consumer "+want+", account 123456789012 not found." {
		t.Errorf("the old ARN: %v", err)
	}
	if _, err := f.client.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: aws.String("s"), EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	f.create("s", 1)
	if got := f.ok("ListStreamConsumers", `{"StreamARN":"`+*arn+`"}`); got != `{"Consumers":[]}` {
		t.Errorf("consumers of a stream that was made again: %s", got)
	}
	if status, got := f.raw("DescribeStreamConsumer", jsonType, `{"ConsumerARN":"`+again+`"}`); status != 400 || !strings.Contains(got, "ResourceNotFoundException") {
		t.Errorf("consumer of the deleted stream: %d %s", status, got)
	}
	if third := f.register("s", "app.1"); third == again || third == want {
		t.Errorf("a third consumer has the ARN of an earlier one: %s", third)
	}
	// What only kept ARNs apart goes when time has passed.
	f.clock.advance(time.Minute)
	f.register("s", "late")
	for key := range f.engine.StateAll("kinesis/gone-consumer/") {
		t.Errorf("%s is kept", key)
	}
	if n := len(f.engine.StateAll("kinesis/consumer/")); n != 3 {
		t.Errorf("%d consumers are kept, want 3", n)
	}
}

// TestConsumersAcrossRestart finds consumers in the log again, and none that a
// crash left over of a deleted stream.
func TestConsumersAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, nil)
	f.create("s", 1)
	f.create("cut", 1)
	arn, left := f.register("s", "a"), f.register("cut", "a")
	// A crash between the end of a stream and that of its consumers.
	if err := f.engine.Delete(t.Context(), "cut"); err != nil {
		t.Fatal(err)
	}
	if err := f.engine.Close(); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir, nil)
	f.ok("DescribeStreamConsumer", `{"ConsumerARN":"`+arn+`"}`)
	f.create("cut", 1)
	if got := f.ok("ListStreamConsumers", `{"StreamARN":"`+streamARN("cut")+`"}`); got != `{"Consumers":[]}` {
		t.Errorf("consumers of a stream that was made again: %s", got)
	}
	f.ok("DeleteStream", `{"StreamName":"cut"}`)
	if n := len(f.engine.StateAll("kinesis/consumer/cut/")); n != 0 {
		t.Errorf("%d consumers are left over", n)
	}
	f.create("cut", 1)
	if again := f.register("cut", "a"); again == left {
		t.Errorf("a consumer has the ARN of an earlier one: %s", again)
	}
}

func TestListConsumers(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	f.create("s2", 1)
	f.register("s2", "x")
	for i := range 20 {
		f.register("s", fmt.Sprintf("c%02d", i))
	}
	var names []string
	pages := sdk.NewListStreamConsumersPaginator(f.client, &sdk.ListStreamConsumersInput{StreamARN: aws.String(streamARN("s")), MaxResults: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Consumers {
			names = append(names, *c.ConsumerName)
		}
	}
	if len(names) != 20 || names[0] != "c00" || names[7] != "c07" || names[19] != "c19" {
		t.Errorf("listed %v", names)
	}
	if got := strings.Count(f.ok("ListStreamConsumers", `{"StreamARN":"`+streamARN("s")+`","StreamCreationTimestamp":`+fmt.Sprint(f.clock.now().Unix())+`}`), "ConsumerARN"); got != 20 {
		t.Errorf("listed %d consumers by creation time", got)
	}
}

// TestConsumerTexts compares the answers to what is wrong, byte for byte.
func TestConsumerTexts(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	f.create("full", 1)
	arn := f.register("s", "a")
	f.register("s", "b")
	for i := range 20 {
		f.register("full", fmt.Sprint("c", i))
	}
	page := f.ok("ListStreamConsumers", `{"StreamARN":"`+streamARN("s")+`","MaxResults":1}`)
	_, token, _ := strings.Cut(page, `"NextToken":"`)
	token = strings.TrimSuffix(token, `"}`)
	s, other := streamARN("s"), streamARN("none")
	listing := strings.Split(f.ok("ListStreams", `{"Limit":1}`), `"NextToken":"`)[1]
	listing = strings.TrimSuffix(listing, `"}`)

	const pattern = `failed to satisfy constraint: Member must satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`
	for _, tt := range []struct{ operation, body, code, message string }{
		{"RegisterStreamConsumer", `{}`, "ValidationException", "2 validation errors detected: Value null at 'streamARN' failed to satisfy constraint: Member must not be null; Value null at 'consumerName' failed to satisfy constraint: Member must not be null"},
		{"RegisterStreamConsumer", `{"StreamARN":"` + s + `","ConsumerName":"a b"}`, "ValidationException", "1 validation error detected: Value 'a b' at 'consumerName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
		{"RegisterStreamConsumer", `{"StreamARN":"` + other + `","ConsumerName":"a"}`, "ResourceNotFoundException", "Stream " + other + " under account 123456789012 not found."},
		{"RegisterStreamConsumer", `{"StreamARN":"` + s + `","ConsumerName":"a"}`, "ResourceInUseException", "Consumer a under stream " + s + " under account 123456789012 already exists."},
		{"RegisterStreamConsumer", `{"StreamARN":"` + streamARN("full") + `","ConsumerName":"a"}`, "LimitExceededException", "Stream " + streamARN("full") + " under account 123456789012 has 20 consumers, which is the most a stream may have."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"x"}`, "ValidationException", "1 validation error detected: Value 'x' at 'consumerARN' " + pattern},
		{"DescribeStreamConsumer", `{}`, "InvalidArgumentException", "Either ConsumerARN, or both StreamARN and ConsumerName should be provided."},
		{"DescribeStreamConsumer", `{"StreamARN":"` + s + `"}`, "InvalidArgumentException", "Either ConsumerARN, or both StreamARN and ConsumerName should be provided."},
		{"DescribeStreamConsumer", `{"ConsumerName":"a"}`, "InvalidArgumentException", "Either ConsumerARN, or both StreamARN and ConsumerName should be provided."},
		{"DescribeStreamConsumer", `{"StreamARN":"` + s + `","ConsumerName":"none"}`, "ResourceNotFoundException", "Consumer none, account 123456789012 not found."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + arn + `1"}`, "ResourceNotFoundException", "Consumer " + arn + "1, account 123456789012 not found."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + s + `/consumer/a:99999999999999999999"}`, "ResourceNotFoundException", "Consumer " + s + "/consumer/a:99999999999999999999, account 123456789012 not found."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + other + `/consumer/a:1"}`, "ResourceNotFoundException", "Stream none under account 123456789012 not found."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + arn + `","ConsumerName":"b"}`, "InvalidArgumentException", "ConsumerARN " + arn + " and ConsumerName b are not of the same consumer."},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + arn + `","StreamARN":"` + other + `"}`, "InvalidArgumentException", "ConsumerARN " + arn + " and StreamARN " + other + " are not of the same stream."},
		{"DeregisterStreamConsumer", `{"ConsumerARN":"` + arn + `1"}`, "ResourceNotFoundException", "Consumer " + arn + "1, account 123456789012 not found."},
		{"ListStreamConsumers", `{"StreamARN":"` + other + `"}`, "ResourceNotFoundException", "Stream " + other + " under account 123456789012 not found."},
		{"ListStreamConsumers", `{"StreamARN":"` + s + `","StreamCreationTimestamp":7}`, "ResourceNotFoundException", "Stream " + s + " under account 123456789012 not found."},
		{"ListStreamConsumers", `{"StreamARN":"` + s + `","NextToken":"x"}`, "InvalidArgumentException", "Invalid NextToken."},
		{"ListStreamConsumers", `{"StreamARN":"` + s + `","NextToken":"` + listing + `"}`, "InvalidArgumentException", "Invalid NextToken."},
		{"ListStreamConsumers", `{"StreamARN":"` + s + `","NextToken":"` + token + `","StreamCreationTimestamp":7}`, "InvalidArgumentException", "NextToken and StreamCreationTimestamp cannot be provided together."},
		{"ListStreamConsumers", `{"StreamARN":"` + streamARN("full") + `","NextToken":"` + token + `"}`, "InvalidArgumentException", "NextToken and StreamARN are not of the same stream."},
		{"DeleteStream", `{"StreamName":"s"}`, "ResourceInUseException", "Stream s under account 123456789012 has 2 registered consumers. Deregister them, or set EnforceConsumerDeletion."},
	} {
		if status, got := f.raw(tt.operation, jsonType, tt.body); status != http.StatusBadRequest || got != answer(tt.code, tt.message) {
			t.Errorf("%s %s:\ngot  %d %s\nwant %s", tt.operation, tt.body, status, got, answer(tt.code, tt.message))
		}
	}
	f.clock.advance(5*time.Minute + time.Millisecond)
	want := answer("ExpiredNextTokenException", "NextToken expired. The token was created at time Sun Mar 01 12:00:00 UTC 2026 while right now it is "+
		"Sun Mar 01 12:05:00 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds.")
	if _, got := f.raw("ListStreamConsumers", jsonType, `{"StreamARN":"`+s+`","NextToken":"`+token+`"}`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A token of a stream that was made again is of no use.
	page = f.ok("ListStreamConsumers", `{"StreamARN":"`+s+`","MaxResults":1}`)
	_, token, _ = strings.Cut(page, `"NextToken":"`)
	token = strings.TrimSuffix(token, `"}`)
	f.ok("DeleteStream", `{"StreamName":"s","EnforceConsumerDeletion":true}`)
	f.create("s", 1)
	if _, got := f.raw("ListStreamConsumers", jsonType, `{"StreamARN":"`+s+`","NextToken":"`+token+`"}`); got != answer("ResourceNotFoundException", "Stream "+s+" under account 123456789012 not found.") {
		t.Errorf("token of a deleted stream: %s", got)
	}
}

// TestRegisterRace registers more than a stream takes, and deletes it, at the
// same time: nobody gets over the limit, and nothing is left over.
func TestRegisterRace(t *testing.T) {
	f := setup(t)
	f.create("s", 1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 25 {
		wg.Go(func() {
			if status, _ := f.raw("RegisterStreamConsumer", jsonType, `{"StreamARN":"`+streamARN("s")+`","ConsumerName":"`+fmt.Sprint("c", i)+`"}`); status == http.StatusOK {
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if made != 20 {
		t.Errorf("%d consumers were registered, want 20", made)
	}
	for i := range 4 {
		wg.Go(func() {
			f.raw("DeleteStream", jsonType, `{"StreamName":"s","EnforceConsumerDeletion":true}`)
			f.raw("RegisterStreamConsumer", jsonType, `{"StreamARN":"`+streamARN("s")+`","ConsumerName":"`+fmt.Sprint("d", i)+`"}`)
		})
	}
	wg.Wait()
	if n := len(f.engine.StateAll("kinesis/consumer/")); n != 0 {
		t.Errorf("%d consumers are left over of a deleted stream", n)
	}
}
