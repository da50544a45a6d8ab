package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// eventStreamType is the content type of a response that is a stream of
// events.
const eventStreamType = "application/vnd.amazon.eventstream"

// A frame of an event stream is, all numbers big-endian,
//
//	length of the frame u32 | length of the headers u32 | CRC-32 of these 8 bytes |
//	headers | payload | CRC-32 of all before
//
// and a header is
//
//	length of the name u8 | name | 7 (text) | length of the value u16 | value
//
// as in https://smithy.io/2.0/aws/amazon-eventstream.html.
const (
	preludeBytes  = 12
	trailerBytes  = 4
	headerText    = 7
	jsonEventType = "application/json"
)

// beginFrame appends the begin of a frame: room for the prelude, and headers
// as pairs of name and value, each shorter than 256 and 65,536 bytes.
func beginFrame(b []byte, headers ...string) []byte {
	at := len(b)
	b = append(b, make([]byte, preludeBytes)...)
	for i := 0; i < len(headers); i += 2 {
		name, value := headers[i], headers[i+1]
		b = append(b, byte(len(name)))
		b = append(b, name...)
		b = append(b, headerText)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value))) //nolint:gosec // Names of this package and of a service's table.
		b = append(b, value...)
	}
	binary.BigEndian.PutUint32(b[at+4:], uint32(len(b)-at-preludeBytes)) //nolint:gosec // A few short headers.
	return b
}

// endFrame completes the frame that lies in b from at on: its headers, and a
// payload that was appended to them.
func endFrame(b []byte, at int) []byte {
	frame := b[at:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)+trailerBytes)) //nolint:gosec // Payloads are bounded by the operations, far below.
	binary.BigEndian.PutUint32(frame[8:], crc32.ChecksumIEEE(frame[:8]))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(frame))
}

// beginEvent appends the begin of the frame of an event.
func beginEvent(b []byte, kind string) []byte {
	return beginFrame(b, ":message-type", "event", ":event-type", kind, ":content-type", jsonEventType)
}

// appendException appends the frame of an error that ends a stream.
func appendException(b []byte, e *Error) []byte {
	at := len(b)
	b = beginFrame(b, ":message-type", "exception", ":exception-type", e.Code, ":content-type", jsonEventType)
	b = append(b, `{"message":`...)
	b = appendJSONString(b, e.Message)
	b = append(b, '}')
	return endFrame(b, at)
}
