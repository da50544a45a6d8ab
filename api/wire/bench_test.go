package wire_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

// batchService has one operation shaped like PutRecords that answers with as
// many results.
func batchService() wire.Service {
	return wire.Service{Target: "Test_1", SigningName: "test", CBOR: true, Operations: []wire.Operation{{
		Name: "PutRecords",
		Input: wire.Structure(
			wire.Required("Records", wire.List(wire.Structure(
				wire.Required("PartitionKey", wire.String().Between(1, 256)),
				wire.Optional("ExplicitHashKey", wire.String()),
				wire.Required("Data", wire.Blob().AtMost(10<<20)),
			)).Between(1, 500)),
			wire.Required("StreamName", wire.String().Between(1, 128)),
		),
		Handle: func(_ context.Context, r *wire.Request, out *wire.Encoder) error {
			out.BeginObject()
			out.IntMember("FailedRecordCount", 0)
			out.Key("Records")
			out.BeginList()
			for rec := range r.Input.Get("Records").Items() {
				if len(rec.Get("Data").Bytes()) != 1024 || rec.Get("PartitionKey").Text() == "" {
					return wire.Errorf("Wrong", "record has %d bytes", len(rec.Get("Data").Bytes()))
				}
				out.BeginObject()
				out.StringMember("SequenceNumber", "49594189147623985939251953501666965394405037144469929986")
				out.StringMember("ShardId", "shardId-000000000000")
				out.EndObject()
			}
			out.EndList()
			out.EndObject()
			return nil
		},
	}}}
}

func batchBody(format wire.Format, records int) []byte {
	data := bytes.Repeat([]byte("0123456789abcdef"), 64)
	e := wire.NewEncoder(format, nil)
	e.BeginObject()
	e.StringMember("StreamName", "clicks")
	e.Key("Records")
	e.BeginList()
	for i := range records {
		e.BeginObject()
		e.Key("Data")
		e.Blob(data)
		e.StringMember("PartitionKey", "key-"+strconv.Itoa(i))
		e.EndObject()
	}
	e.EndList()
	e.EndObject()
	return e.Output()
}

// sink is a ResponseWriter that keeps only the status.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkPutRecords is the protocol's share of a PutRecords of 500 records
// of 1 KiB: body in, checked values, response out.
func BenchmarkPutRecords(b *testing.B) {
	for name, format := range map[string]wire.Format{"json": wire.JSON, "cbor": wire.CBOR} {
		b.Run(name, func(b *testing.B) {
			h, err := wire.NewHandler(wire.Options{Services: []wire.Service{batchService()}, Access: access.Anyone{}})
			if err != nil {
				b.Fatal(err)
			}
			body := batchBody(format, 500)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
				r.Header.Set("Content-Type", format.ContentType())
				r.Header.Set("X-Amz-Target", "Test_1.PutRecords")
				w := &sink{header: http.Header{}}
				h.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

// BenchmarkBase64Floor decodes the same amount with the standard library.
func BenchmarkBase64Floor(b *testing.B) {
	text := base64.StdEncoding.EncodeToString(make([]byte, 500*1024))
	out := make([]byte, 500*1024+8)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := base64.StdEncoding.Decode(out, []byte(text)); err != nil {
			b.Fatal(err)
		}
	}
}
