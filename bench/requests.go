package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/fxamacker/cbor/v2"
)

const (
	benchStream = "bench" // that requests go to

	recordBytes = 1024
	batchSize   = 500
	// bodyCount is how many different bodies are sent in turn.
	bodyCount = 8

	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

// putRecord is the input of PutRecord, and without StreamName an entry of
// PutRecords. Both encoders write Data as the protocols want it: base64 text
// in JSON, a byte string in CBOR.
type putRecord struct {
	StreamName   string `json:",omitempty" cbor:",omitempty"`
	Data         []byte
	PartitionKey string
}

type putRecords struct {
	StreamName string
	Records    []putRecord
}

// newPutRecord returns requests with one record of 1 KiB.
func newPutRecord() (*request, error) {
	q := &request{
		operation: "PutRecord", contentType: typeJSON, records: 1, data: recordBytes,
		stored: func(answer []byte) bool { return bytes.Contains(answer, []byte(`"SequenceNumber":"`)) },
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range bodyCount {
		r := randomRecord(rng)
		r.StreamName = benchStream
		body, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		q.bodies = append(q.bodies, body)
	}
	return q, nil
}

// newPutRecords returns requests with 500 records of 1 KiB.
func newPutRecords(contentType string) (*request, error) {
	// Each protocol writes the number of failures in its own way.
	none, marshal := []byte(`"FailedRecordCount":0,`), json.Marshal
	if contentType == typeCBOR {
		none, marshal = []byte("FailedRecordCount\x00"), cbor.Marshal
	}
	q := &request{
		operation: "PutRecords", contentType: contentType, records: batchSize, data: batchSize * recordBytes,
		stored: func(answer []byte) bool { return bytes.Contains(answer[:min(100, len(answer))], none) },
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for range bodyCount {
		in := putRecords{StreamName: benchStream}
		for range batchSize {
			in.Records = append(in.Records, randomRecord(rng))
		}
		body, err := marshal(in)
		if err != nil {
			return nil, err
		}
		q.bodies = append(q.bodies, body)
	}
	return q, nil
}

func randomRecord(rng *rand.Rand) putRecord {
	r := putRecord{Data: make([]byte, recordBytes), PartitionKey: fmt.Sprintf("device-%06d", rng.IntN(1e6))}
	for i := range r.Data {
		r.Data[i] = byte(rng.Uint32())
	}
	return r
}
