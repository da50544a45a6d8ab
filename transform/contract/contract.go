// Package contract speaks the data transformation contract of Amazon Data
// Firehose: a JSON request with a batch of records in base64, a JSON answer
// with one result for each recordId. Kinds of transforms that hand records to
// someone else bring a Caller; the Dispatcher cuts batches, keeps to a number
// of calls at a time, tries again and turns answers into outcomes.
//
// The package does not know how a request travels.
//
// Shapes and codes follow the Firehose developer guide ("Transform source
// data", "Data transformation failure handling") and aws-lambda-go
// events/firehose.go. One answer judges its whole batch: when a recordId is
// missing, unknown or there twice, every record of the request fails.
package contract

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/firehosed/firehosed/transform"
)

// The codes of failed outcomes behind the name of the kind, "Lambda." for
// example.
const (
	FunctionError      = "FunctionError"
	FunctionTimeout    = "FunctionTimeout"
	InvocationFailure  = "InvocationFailure"
	InvokeLimit        = "InvokeLimitExceeded"
	JSONProcessing     = "JsonProcessingException" // the answer is no JSON
	JSONMapping        = "JsonMappingException"    // it is, but of another shape
	MissingRecordID    = "MissingRecordId"
	DuplicatedRecordID = "DuplicatedRecordId"
	ProcessingFailed   = "ProcessingFailedStatus" // the function says so
	InvalidReturn      = "InvalidReturnFormat"    // one result of the answer is wrong
	RequestTooLarge    = "RequestTooLarge"
)

// Messages of Firehose, word for word, since people search for them.
const (
	MessageFunctionError = "The Lambda function was successfully invoked but it returned an error result."
	messageMissing       = "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids."
	messageDuplicated    = "Multiple records were returned with the same record Id. Ensure that the Lambda function returns a unique record Id for each record."
	messageFailed        = "ProcessingFailed status set for record"
)

const (
	maxPartitionKeys = 50 // as in Firehose
	maxMetadata      = 64 << 10
	maxMessage       = 300 // bytes of a message that quotes what a function said
)

// Origin is what a request says about where its records come from.
type Origin struct {
	DeliveryStreamARN string
	// SourceStreamARN is set if the records come from a stream. Then each has
	// kinesisRecordMetadata.
	SourceStreamARN string
	Region          string
}

// appendRequest appends the request for records, without a line break in it.
func appendRequest(dst []byte, invocation string, o Origin, records []transform.Record, ids []string) []byte {
	dst = append(dst, `{"invocationId":`...)
	dst = transform.AppendString(dst, invocation)
	dst = append(dst, `,"deliveryStreamArn":`...)
	dst = transform.AppendString(dst, o.DeliveryStreamARN)
	if o.SourceStreamARN != "" {
		dst = append(dst, `,"sourceKinesisStreamArn":`...)
		dst = transform.AppendString(dst, o.SourceStreamARN)
	}
	dst = append(dst, `,"region":`...)
	dst = transform.AppendString(dst, o.Region)
	dst = append(dst, `,"records":[`...)
	for i := range records {
		r := &records[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"recordId":`...)
		dst = transform.AppendString(dst, ids[i])
		dst = append(dst, `,"approximateArrivalTimestamp":`...)
		dst = strconv.AppendInt(dst, r.Arrival.UnixMilli(), 10)
		dst = append(dst, `,"data":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Data)
		dst = append(dst, '"')
		if o.SourceStreamARN != "" {
			dst = append(dst, `,"kinesisRecordMetadata":{"shardId":`...)
			dst = transform.AppendString(dst, r.ShardID)
			dst = append(dst, `,"partitionKey":`...)
			dst = transform.AppendString(dst, r.PartitionKey)
			dst = append(dst, `,"sequenceNumber":`...)
			dst = transform.AppendString(dst, r.SequenceNumber)
			dst = append(dst, `,"subsequenceNumber":0,"approximateArrivalTimestamp":`...)
			dst = strconv.AppendInt(dst, r.Arrival.UnixMilli(), 10)
			dst = append(dst, '}')
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// requestBytes bounds what a record takes in a request, and what the frame
// around the records takes if r is nil.
func requestBytes(o Origin, r *transform.Record) int {
	const escaped = 6 // a byte of text may become \u0000
	if r == nil {
		return 256 + escaped*(len(o.DeliveryStreamARN)+len(o.SourceStreamARN)+len(o.Region))
	}
	n := 128 + base64.StdEncoding.EncodedLen(len(r.Data)) + escaped*len(r.ID)
	if o.SourceStreamARN != "" {
		n += 192 + escaped*(len(r.ShardID)+len(r.PartitionKey)+len(r.SequenceNumber))
	}
	return n
}

// recordIDs are the IDs of the records, made unique where they are not.
func recordIDs(records []transform.Record) ([]string, map[string]int) {
	ids := make([]string, len(records))
	index := make(map[string]int, len(records))
	for i := range records {
		id := records[i].ID
		if id == "" || !utf8.ValidString(id) {
			id = "record-" + strconv.Itoa(i)
		}
		for base, n := id, 1; ; n++ {
			if _, taken := index[id]; !taken {
				break
			}
			id = base + "-" + strconv.Itoa(n)
		}
		ids[i] = id
		index[id] = i
	}
	return ids, index
}

// result is one element of records in an answer.
type result struct {
	RecordID *string         `json:"recordId"`
	Result   *string         `json:"result"`
	Data     *string         `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
}

// decode turns an answer into outcomes for the records, which stay as they are.
// The fault, if any, has a code without the name of the kind.
func decode(name string, answer []byte, records []transform.Record, index map[string]int) ([]transform.Outcome, *Fault) {
	out := make([]transform.Outcome, len(records))
	seen := make([]bool, len(records))
	d := json.NewDecoder(bytes.NewReader(answer))
	if f := expect(d, '{', "the answer is no JSON object"); f != nil {
		return nil, f
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, badJSON(d, err)
		}
		if key != "records" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return nil, badJSON(d, err)
			}
			continue
		}
		if found {
			return nil, mapping("the answer has records twice")
		}
		found = true
		if f := expect(d, '[', "records of the answer is no array"); f != nil {
			return nil, f
		}
		for n := 0; d.More(); n++ {
			var r result
			if err := d.Decode(&r); err != nil {
				return nil, badJSON(d, err)
			}
			if r.RecordID == nil {
				return nil, mapping(fmt.Sprintf("records[%d] of the answer has no recordId", n))
			}
			i, ok := index[*r.RecordID]
			if !ok {
				return nil, &Fault{Class: Refused, Code: MissingRecordID, Message: messageMissing + fmt.Sprintf(" records[%d] has one that was not in the request.", n)}
			}
			if seen[i] {
				return nil, &Fault{Class: Refused, Code: DuplicatedRecordID, Message: messageDuplicated}
			}
			seen[i] = true
			out[i] = r.outcome(name, records[i])
		}
		if f := expect(d, ']', ""); f != nil {
			return nil, f
		}
	}
	if f := expect(d, '}', ""); f != nil {
		return nil, f
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &Fault{Class: Refused, Code: JSONProcessing, Message: fmt.Sprintf("the answer goes on after its end at byte %d", d.InputOffset())}
	}
	missing := 0
	for _, ok := range seen {
		if !ok {
			missing++
		}
	}
	if missing > 0 {
		return nil, &Fault{Class: Refused, Code: MissingRecordID, Message: messageMissing + fmt.Sprintf(" %d of %d are missing.", missing, len(records))}
	}
	return out, nil
}

// expect passes one delimiter.
func expect(d *json.Decoder, delim json.Delim, why string) *Fault {
	t, err := d.Token()
	if err != nil {
		return badJSON(d, err)
	}
	if t != delim {
		return mapping(why)
	}
	return nil
}

func mapping(why string) *Fault { return &Fault{Class: Refused, Code: JSONMapping, Message: why} }

func badJSON(d *json.Decoder, err error) *Fault {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		what := "an element"
		if wrong.Field != "" {
			what = wrong.Field
		}
		return mapping(fmt.Sprintf("%s of records in the answer is a JSON %s", what, Clip(wrong.Value)))
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Fault{Class: Refused, Code: JSONProcessing, Message: fmt.Sprintf("the answer is no JSON: byte %d: %s", d.InputOffset(), Clip(err.Error()))}
}

func (r *result) outcome(name string, in transform.Record) transform.Outcome {
	fail := func(code, msg string) transform.Outcome { return transform.Fail(name+"."+code, msg) }
	if r.Result == nil {
		return fail(InvalidReturn, "the result is missing; it must be Ok, Dropped or ProcessingFailed")
	}
	switch *r.Result {
	case "Ok":
	case "Dropped":
		return transform.Outcome{Verdict: transform.Dropped}
	case "ProcessingFailed":
		return fail(ProcessingFailed, messageFailed)
	default:
		return fail(InvalidReturn, fmt.Sprintf("the result %q is not Ok, Dropped or ProcessingFailed", Clip(*r.Result)))
	}
	if r.Data == nil {
		return fail(InvalidReturn, "the result is Ok, but data is missing")
	}
	data, err := base64.StdEncoding.DecodeString(*r.Data)
	if err != nil {
		return fail(InvalidReturn, "data is no base64: "+err.Error())
	}
	keys, err := partitionKeys(r.Metadata)
	if err != nil {
		return fail(InvalidReturn, "metadata.partitionKeys: "+err.Error())
	}
	in.SetData(data)
	if keys != nil {
		in.PartitionKeys = keys
	}
	return transform.Outcome{Record: in}
}

// partitionKeys takes strings, and numbers and booleans as they are written.
func partitionKeys(metadata json.RawMessage) (map[string]string, error) {
	if len(metadata) == 0 {
		return nil, nil
	}
	if len(metadata) > maxMetadata {
		return nil, fmt.Errorf("%d bytes of metadata, the limit is %d", len(metadata), maxMetadata)
	}
	var m struct {
		PartitionKeys map[string]json.RawMessage `json:"partitionKeys"`
	}
	if err := json.Unmarshal(metadata, &m); err != nil {
		return nil, errors.New("no object")
	}
	if len(m.PartitionKeys) > maxPartitionKeys {
		return nil, fmt.Errorf("%d keys, the limit is %d", len(m.PartitionKeys), maxPartitionKeys)
	}
	if len(m.PartitionKeys) == 0 {
		return nil, nil
	}
	keys := make(map[string]string, len(m.PartitionKeys))
	for k, raw := range m.PartitionKeys {
		switch raw[0] {
		case '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, err
			}
			keys[k] = s
		case '{', '[', 'n':
			return nil, fmt.Errorf("the value of %q is neither text nor a number", Clip(k))
		default:
			keys[k] = string(raw)
		}
	}
	return keys, nil
}

// Clip bounds what a function said about itself for a message.
func Clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
