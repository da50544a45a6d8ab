package firehose

import (
	"context"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// putRecord takes one record. The answer is sent when the record is durable.
func (s *Service) putRecord(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	name := r.Input.Get("DeliveryStreamName").Text()
	record := [1][]byte{r.Input.Get("Record").Get("Data").Bytes()}
	res, err := s.streams.Put(ctx, name, record[:])
	if err != nil {
		return s.translate(err, name)
	}
	// The record is durable: from here on the client may be told so.
	out.BeginObject()
	encodeRecordID(out, &res.Placed[0], res)
	out.BoolMember("Encrypted", false)
	out.EndObject()
	return nil
}

// putRecordBatch takes up to 500 records as one durable unit. All are taken,
// or the request fails as a whole and SDKs try again by themselves; results
// for single records, which many clients do not look at, never fail.
func (s *Service) putRecordBatch(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	name := r.Input.Get("DeliveryStreamName").Text()
	buf := s.records.Get().(*[][]byte)
	records := (*buf)[:0]
	defer func() {
		clear(records)
		*buf = records
		s.records.Put(buf)
	}()
	total := 0
	for v := range r.Input.Get("Records").Items() {
		data := v.Get("Data").Bytes()
		if total += len(data); total > maxBatchBytes {
			return wire.Errorf(codeArgument, "Records size exceeds 4 MB limit")
		}
		records = append(records, data)
	}
	res, err := s.streams.Put(ctx, name, records)
	if err != nil {
		return s.translate(err, name)
	}
	// The records are durable: from here on the client may be told so.
	out.Grow(64 + 80*len(res.Placed))
	out.BeginObject()
	out.IntMember("FailedPutCount", 0)
	out.BoolMember("Encrypted", false)
	out.Key("RequestResponses")
	out.BeginList()
	for i := range res.Placed {
		out.BeginObject()
		encodeRecordID(out, &res.Placed[i], res)
		out.EndObject()
	}
	out.EndList()
	out.EndObject()
	return nil
}

// encodeRecordID writes the id of a record: its sequence number and six zeros,
// which is also the id that a Lambda transform sees.
func encodeRecordID(out *wire.Encoder, p *streams.Placed, res streams.Result) {
	n := streams.NumberOf(p.ShardCreated, p.Shard, p.Sequence, res.Arrival)
	out.Key("RecordId")
	out.Text(func(b []byte) []byte { return append(n.Append(b), "000000"...) })
}
