package kinesis

import (
	"slices"

	"github.com/firehosed/firehosed/api/wire"
)

// Limits of the API.
const (
	maxBlobBytes       = 10 << 20 // of one record, for any stream
	defaultRecordBytes = 1 << 20  // of one record, unless the stream says more
	maxPutRecords      = 500
	maxPutBytes        = 10 << 20 // of one PutRecords, keys included
	maxGetRecords      = 10_000
	maxGetBytes        = 10 << 20 // of one GetRecords
	maxPageDescribe    = 100      // shards of a DescribeStream, names of a ListStreams
	maxPageShards      = 1000     // shards of a ListShards
	onDemandShards     = 4
)

var (
	namePattern = wire.PatternFunc(`[a-zA-Z0-9_.-]+`, func(b []byte) bool {
		for _, c := range b {
			if !(c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '.' || c == '-') {
				return false
			}
		}
		return len(b) > 0
	})
	sequencePattern = wire.PatternFunc(`0|([1-9]\d{0,128})`, func(b []byte) bool { return isDecimal(b, 129) })
	hashKeyPattern  = wire.PatternFunc(`0|([1-9]\d{0,38})`, func(b []byte) bool { return isDecimal(b, 39) })
)

// isDecimal reports whether b is a number without leading zeros of at most
// digits digits.
func isDecimal(b []byte, digits int) bool {
	if len(b) == 0 || len(b) > digits || b[0] == '0' && len(b) > 1 {
		return false
	}
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// shapes of values that several operations take.
func streamName() *wire.Shape   { return wire.String().Match(namePattern).Between(1, 128) }
func shardID() *wire.Shape      { return wire.String().Match(namePattern).Between(1, 128) }
func nextToken() *wire.Shape    { return wire.String().Between(1, 1<<20) }
func hashKey() *wire.Shape      { return wire.String().Match(hashKeyPattern) }
func partitionKey() *wire.Shape { return wire.String().Between(1, 256) }
func data() *wire.Shape         { return wire.Blob().AtMost(maxBlobBytes) }

func streamARN() *wire.Shape {
	return wire.String().Match(streamARNPattern).Between(1, 2048)
}

var (
	streamARNPattern = wire.Regexp(`arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	streamIDPattern  = wire.Regexp(`[a-z0-9]{20}-[a-z0-9]{3}`)
)

// input returns the structure of an operation on one stream: its own members,
// and the ways to name the stream.
func input(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own,
		wire.Optional("StreamName", streamName()),
		wire.Optional("StreamARN", streamARN()),
		streamID(),
	)...)
}

// streamID is reserved by the service; no client sets it.
func streamID() wire.Member {
	return wire.Optional("StreamId", wire.String().Match(streamIDPattern).Between(1, 24))
}

// Wire returns the table of operations.
func (s *Service) Wire() wire.Service {
	return wire.Service{
		Target:      "Kinesis_20131202",
		SigningName: "kinesis",
		CBOR:        true,
		Operations: slices.Concat(s.streamOperations(), s.recordOperations(), s.consumerOperations(),
			s.controlOperations(), s.labelOperations(), s.accountOperations()),
	}
}
