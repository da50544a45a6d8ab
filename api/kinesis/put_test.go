package kinesis_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// Each entry of an answer names the place of its record, however the records of
// a batch are spread over shards.
func TestPutRecordsEntries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		shard func(i int) streams.ShardID
		step  func() streams.Sequence
	}{
		{"one shard", func(int) streams.ShardID { return 7 }, func() streams.Sequence { return 1 }},
		{"one shard with gaps", func(int) streams.ShardID { return 7 }, func() streams.Sequence { return 1 + streams.Sequence(random.IntN(2)) }},
		{"a few shards", func(i int) streams.ShardID { return streams.ShardID(i % 5) }, func() streams.Sequence { return 1 }},
		{"many shards", func(int) streams.ShardID { return streams.ShardID(random.Int32N(1000)) }, func() streams.Sequence { return 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const records = 500
			engine := &placing{}
			last := map[streams.ShardID]streams.Sequence{}
			for i := range records {
				id := tt.shard(i)
				if last[id] == 0 {
					last[id] = 123_456_789 * streams.Sequence(id)
				}
				last[id] += tt.step()
				engine.placed = append(engine.placed, streams.Placed{
					Shard: id, ShardCreated: time.UnixMilli(1772366000000 + 1000*int64(id)), Sequence: last[id],
				})
			}
			f := open(t, t.TempDir(), func(o *kinesis.Options) {
				engine.Engine = o.Engine
				o.Engine = engine
			})
			for _, format := range []wire.Format{wire.JSON, wire.CBOR} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(recordsBody(format, records, 10))))
				r.Header.Set("Content-Type", format.ContentType())
				r.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
				w := httptest.NewRecorder()
				f.handler.ServeHTTP(w, r)
				var answer struct {
					FailedRecordCount int
					Records           []struct{ SequenceNumber, ShardId string } //nolint:revive // the names of the API
				}
				unmarshal := json.Unmarshal
				if format == wire.CBOR {
					unmarshal = cbor.Unmarshal
				}
				if err := unmarshal(w.Body.Bytes(), &answer); err != nil {
					t.Fatalf("%s: %v", w.Body, err)
				}
				if len(answer.Records) != records || answer.FailedRecordCount != 0 {
					t.Fatalf("%d entries, %d failed", len(answer.Records), answer.FailedRecordCount)
				}
				for i, got := range answer.Records {
					p := engine.placed[i]
					number := streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, time.UnixMilli(1772366400250)).String()
					if got.SequenceNumber != number || got.ShardId != p.Shard.String() {
						t.Fatalf("%s, record %d: got %+v, want %s in %s", format.ContentType(), i, got, number, p.Shard)
					}
				}
			}
		})
	}
}
