package kinesis_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/firehosed/firehosed/api/kinesis"
)

// TestHostileIterators sends iterators that are not, not any more, or not of
// what the call names. None shows a record, and each gets the real answer.
func TestHostileIterators(t *testing.T) {
	f := setup(t)
	f.create("s", 3)
	f.create("other", 1)
	f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"QQ==","ExplicitHashKey":"0"}`)
	f.ok("PutRecord", `{"StreamName":"other","PartitionKey":"k","Data":"Qg=="}`)
	iterator := func(f *fixture, stream string) string {
		t.Helper()
		got := f.ok("GetShardIterator", `{"StreamName":"`+stream+`","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)
		return strings.TrimSuffix(strings.TrimPrefix(got, `{"ShardIterator":"`), `"}`)
	}
	mine := iterator(f, "s")
	raw, err := base64.RawURLEncoding.DecodeString(mine)
	if err != nil {
		t.Fatal(err)
	}
	page := f.ok("ListShards", `{"StreamName":"s","MaxResults":1}`)
	page = page[strings.Index(page, `"NextToken":"`)+len(`"NextToken":"`):]
	page = page[:strings.Index(page, `"`)]
	elsewhere := open(t, t.TempDir(), func(o *kinesis.Options) { o.TokenKey = []byte("another key, of another server..") })
	elsewhere.create("s", 3)

	const invalid = `{"__type":"InvalidArgumentException","message":"Invalid ShardIterator."}`
	for _, tt := range []struct{ name, token, want string }{
		{"no base64", "!!!!", invalid},
		{"some text", "AAAAAAAAAAHsW8zCWf9164uy8Epue6WS3w6wmj4a4USt", invalid}, // the shape of the real service
		{"zeros", base64.RawURLEncoding.EncodeToString(make([]byte, len(raw))), invalid},
		{"the first half", mine[:len(mine)/2], invalid},
		{"with more behind it", mine + "AAAA", invalid},
		{"twice", mine + mine, invalid},
		{"in capitals", strings.ToUpper(mine), invalid},
		{"a changed bit", base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), raw[:len(raw)-1]...), raw[len(raw)-1]^1)), invalid},
		{"a token for pages", page, invalid},
		{"of another server", iterator(elsewhere, "s"), invalid},
		{
			"too long", strings.Repeat("A", 513), `{"__type":"ValidationException","message":"1 validation error detected: Value '` + strings.Repeat("A", 513) +
				`' at 'shardIterator' failed to satisfy constraint: Member must have length less than or equal to 512"}`,
		},
		{"empty", "", `{"__type":"ValidationException","message":"1 validation error detected: Value '' at 'shardIterator' failed to satisfy constraint: Member must have length greater than or equal to 1"}`},
	} {
		if status, got := f.raw("GetRecords", jsonType, `{"ShardIterator":"`+tt.token+`"}`); status != 400 || got != tt.want {
			t.Errorf("%s: got %d %s\nwant %s", tt.name, status, got, tt.want)
		}
	}
	// One of ours, in quotes or with its stream named, is good, and not for
	// another stream.
	for _, in := range []string{
		`{"ShardIterator":"` + mine + `"}`,
		`{"ShardIterator":"\"` + mine + `\""}`,
		`{"ShardIterator":"` + mine + `","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/s"}`,
	} {
		if got := f.ok("GetRecords", in); strings.Count(got, `"SequenceNumber"`) != 1 || !strings.Contains(got, `"Data":"QQ=="`) {
			t.Errorf("%s: %s", in, got)
		}
	}
	status, got := f.raw("GetRecords", jsonType, `{"ShardIterator":"`+mine+`","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/other"}`)
	if status != 400 || got != answer("InvalidArgumentException", "ShardIterator and StreamARN are not of the same stream.") {
		t.Errorf("with the name of another stream: %d %s", status, got)
	}
	status, got = f.raw("GetRecords", jsonType, `{"ShardIterator":"`+mine+`","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/gone"}`)
	if status != 400 || strings.Contains(got, "Records") {
		t.Errorf("with the name of no stream: %d %s", status, got)
	}

	// One whose stream came back under its name is of the stream before.
	f.ok("DeleteStream", `{"StreamName":"s"}`)
	f.create("s", 3)
	f.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"Qw==","ExplicitHashKey":"0"}`)
	status, got = f.raw("GetRecords", jsonType, `{"ShardIterator":"`+mine+`"}`)
	if status != 400 || got != answer("ResourceNotFoundException", "Shard shardId-000000000000 in stream s under account 123456789012 does not exist") {
		t.Errorf("of the stream before: %d %s", status, got)
	}

	// One that is too old says when it was made, and one of a server whose clock
	// is ahead is not held against anybody.
	fresh := iterator(f, "s")
	f.clock.advance(-time.Hour)
	if status, got := f.raw("GetRecords", jsonType, `{"ShardIterator":"`+fresh+`"}`); status != 200 {
		t.Errorf("of an hour ahead: %d %s", status, got)
	}
	f.clock.advance(time.Hour + 5*time.Minute + time.Second)
	if status, got := f.raw("GetRecords", jsonType, `{"ShardIterator":"`+fresh+`"}`); status != 400 || got != answer("ExpiredIteratorException",
		"Iterator expired. The iterator was created at time Sun Mar 01 12:00:00 UTC 2026 while right now it is Sun Mar 01 12:05:01 UTC 2026 "+
			"which is further in the future than the tolerated delay of 300000 milliseconds.") {
		t.Errorf("of 5 minutes and a second ago: %d %s", status, got)
	}
}
