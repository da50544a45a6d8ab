package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/buger/jsonparser"
	"github.com/bytedance/sonic"
	goccy "github.com/goccy/go-json"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/valyala/fastjson"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

// The body of a PutRecords: 500 records of 1 KiB.
const (
	scanRecords = 500
	scanBytes   = 1 << 10
)

type putRecords struct {
	StreamName string
	Records    []putRecord
}

type putRecord struct {
	PartitionKey string
	Data         []byte
}

func putRecordsBody(b *testing.B) []byte {
	b.Helper()
	in := putRecords{StreamName: "clicks"}
	data := make([]byte, scanBytes)
	for i := range data {
		data[i] = byte(i * 37)
	}
	for i := range scanRecords {
		in.Records = append(in.Records, putRecord{"key-" + strconv.Itoa(i), data})
	}
	body, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

var errWrong = errors.New("not what was sent")

func (p *putRecords) check() error {
	if len(p.Records) != scanRecords {
		return errWrong
	}
	for i := range p.Records {
		if len(p.Records[i].Data) != scanBytes || p.Records[i].PartitionKey == "" {
			return errWrong
		}
	}
	return nil
}

// BenchmarkScanners reads the body of a PutRecords to keys and raw data with the
// parser of the wire, its checks and its response included, and with libraries.
// Decision 8 has the figures.
func BenchmarkScanners(b *testing.B) {
	body := putRecordsBody(b)
	structs := func(unmarshal func([]byte, any) error) func([]byte) error {
		return func(body []byte) error {
			var p putRecords
			if err := unmarshal(body, &p); err != nil {
				return err
			}
			return p.check()
		}
	}
	for _, c := range []struct {
		name string
		read func([]byte) error
	}{
		{"api-wire", wireReader(b)},
		{"sonic", structs(sonic.Unmarshal)},
		{"sonic-fastest", structs(sonic.ConfigFastest.Unmarshal)},
		{"jsonparser", readJSONParser},
		{"fastjson", readFastJSON},
		{"goccy", structs(func(b []byte, v any) error { return goccy.Unmarshal(b, v) })},
		{"segmentio", structs(segmentio.Unmarshal)},
		{"encoding-json", structs(func(b []byte, v any) error { return json.Unmarshal(b, v) })},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.read(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readJSONParser(body []byte) error {
	p := putRecords{Records: make([]putRecord, 0, scanRecords)}
	var bad error
	_, err := jsonparser.ArrayEach(body, func(value []byte, _ jsonparser.ValueType, _ int, _ error) {
		key, kerr := jsonparser.GetString(value, "PartitionKey")
		text, _, _, derr := jsonparser.Get(value, "Data")
		data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, berr := base64.StdEncoding.Decode(data, text)
		bad = errors.Join(bad, kerr, derr, berr)
		p.Records = append(p.Records, putRecord{key, data[:n]})
	}, "Records")
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	return p.check()
}

var fastPool fastjson.ParserPool

func readFastJSON(body []byte) error {
	parser := fastPool.Get()
	defer fastPool.Put(parser)
	v, err := parser.ParseBytes(body)
	if err != nil {
		return err
	}
	p := putRecords{Records: make([]putRecord, 0, scanRecords)}
	for _, r := range v.GetArray("Records") {
		text := r.GetStringBytes("Data")
		data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(data, text)
		if err != nil {
			return err
		}
		p.Records = append(p.Records, putRecord{string(r.GetStringBytes("PartitionKey")), data[:n]})
	}
	return p.check()
}

// answered is a ResponseWriter that keeps the status.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(b []byte) (int, error) { return len(b), nil }
func (a *answered) WriteHeader(status int)      { a.status = status }

// wireReader sends the body through the handler that the daemon has: request
// body, types, constraints, response.
func wireReader(b *testing.B) func([]byte) error {
	b.Helper()
	h, err := wire.NewHandler(wire.Options{Access: access.Anyone{}, Services: []wire.Service{{
		Target: "Test_1", SigningName: "test", Operations: []wire.Operation{{
			Name: "PutRecords",
			Input: wire.Structure(
				wire.Required("Records", wire.List(wire.Structure(
					wire.Required("PartitionKey", wire.String().Between(1, 256)),
					wire.Required("Data", wire.Blob().AtMost(10<<20)),
				)).Between(1, scanRecords)),
				wire.Required("StreamName", wire.String().Between(1, 128)),
			),
			Handle: func(_ context.Context, r *wire.Request, out *wire.Encoder) error {
				for rec := range r.Input.Get("Records").Items() {
					if len(rec.Get("Data").Bytes()) != scanBytes || rec.Get("PartitionKey").View() == "" {
						return errWrong
					}
				}
				out.BeginObject()
				out.EndObject()
				return nil
			},
		}},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return func(body []byte) error {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "Test_1.PutRecords")
		w := &answered{header: http.Header{}}
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			return errWrong
		}
		return nil
	}
}
