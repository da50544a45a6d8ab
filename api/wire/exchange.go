package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Answers of the layer in front of the protocol, byte for byte.
const (
	accessDeniedXML = "<AccessDeniedException>\n" +
		"  <Message>Unable to determine service/operation name to be authorized</Message>\n" +
		"</AccessDeniedException>\n"
	unknownOperationXML = "<UnknownOperationException/>\n"
)

const exposedHeaders = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"

// headers sets what every response has.
func (x *exchange) headers() {
	h := x.w.Header()
	// Not by Set: the real service writes these names in this case.
	h["x-amzn-RequestId"] = []string{x.id}
	if x.r.Method != http.MethodOptions || x.r.Header.Get("Origin") == "" {
		h["x-amz-id-2"] = []string{newExtendedID()}
	}
}

// crossOrigin sets the headers a browser asks for. It answers a preflight and
// then returns true.
func (x *exchange) crossOrigin() bool {
	if x.r.Header.Get("Origin") == "" {
		return false
	}
	h := x.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if x.r.Method != http.MethodOptions {
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
		return false
	}
	if v := x.r.Header.Get("Access-Control-Request-Headers"); v != "" {
		h.Set("Access-Control-Allow-Headers", v)
	}
	if v := x.r.Header.Get("Access-Control-Request-Method"); v != "" {
		h.Set("Access-Control-Allow-Methods", v)
	}
	h.Set("Access-Control-Max-Age", "172800")
	x.raw(http.StatusOK, "")
	return true
}

// raw answers without a content type.
func (x *exchange) raw(status int, body string) {
	x.w.Header()["Content-Type"] = nil // keeps net/http from guessing one
	x.scratch.out = append(x.scratch.out[:0], body...)
	x.respond(status, "", x.scratch.out)
}

// legacy answers a request of type application/json.
func (x *exchange) legacy(status int, code string) {
	x.event.Code = code
	x.scratch.out = append(x.scratch.out[:0], `{"Output":{"__type":"com.amazon.coral.service#`+code+`"},"Version":"1.0"}`...)
	x.respond(status, "application/json", x.scratch.out)
}

// respond sends a whole response within the time it may take.
func (x *exchange) respond(status int, contentType string, body []byte) {
	h := x.w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if x.service != nil && x.service.Checksum {
		h["x-amz-crc32"] = []string{strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)}
	}
	x.event.Status = status
	x.event.BytesOut = int64(len(body))
	timed := x.control.SetWriteDeadline(x.deadline(time.Now(), int64(len(body)))) == nil
	x.w.WriteHeader(status)
	_, err := x.w.Write(body)
	if err == nil {
		if err = x.control.Flush(); errors.Is(err, errors.ErrUnsupported) {
			err = nil
		}
	}
	if err != nil {
		x.h.log.Debug("response not sent", "id", x.id, "error", err)
		// An HTTP/2 stream that its client resets ends Write at once, while the
		// connection may still be sending from this memory: no other response
		// may ever be written into it.
		x.scratch.out = nil
	}
	if timed {
		// The connection may serve others next, which set no deadline.
		_ = x.control.SetWriteDeadline(time.Time{})
	}
}

// deadline is when a transfer of n bytes that began at start must be over.
func (x *exchange) deadline(start time.Time, n int64) time.Time {
	return start.Add(x.h.opt.BodyTimeout + time.Duration(n)*time.Second/time.Duration(x.h.opt.MinBytesPerSec))
}

// Steps in which a body of unknown or doubtful size takes memory. What a
// client promises in Content-Length is believed up to believed bytes; beyond,
// memory follows the bytes that came.
const (
	firstBytes = 32 << 10
	believed   = 1 << 20
)

// readBody reads the body into the scratch. A refusal is for sending with the
// connection closed after it; the deadline stays then, since the server goes on
// to read what is left of a small body after the answer.
func (x *exchange) readBody() (body []byte, refusal *Error) {
	limit := x.h.opt.MaxBodyBytes
	length := x.r.ContentLength
	if length == 0 {
		return nil, nil
	}
	start := time.Now()
	_ = x.control.SetReadDeadline(x.deadline(start, 0))
	defer func() {
		if refusal == nil {
			_ = x.control.SetReadDeadline(time.Time{})
		}
	}()
	if length > limit {
		return nil, x.tooLarge(start)
	}
	size := int64(firstBytes)
	if length > 0 {
		size = min(length+1, believed) // one more, to see the end
	}
	buf, ok := x.room(x.scratch.body[:0], size)
	extended := int64(0)
	for ok {
		n, err := x.r.Body.Read(buf[len(buf):size])
		buf = buf[:len(buf)+n]
		x.scratch.body = buf
		got := int64(len(buf))
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if got > limit {
				return nil, x.tooLarge(start)
			}
			return buf, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &Error{
				Code: CodeRequestTimeout, Status: http.StatusRequestTimeout,
				Message: "The body did not arrive in time.",
			}
		default:
			return nil, &Error{Code: CodeSerialization, capital: true, Message: "The body ended early.", Cause: err}
		}
		if got > limit {
			return nil, x.tooLarge(start)
		}
		if got-extended >= x.h.opt.MinBytesPerSec {
			extended = got
			_ = x.control.SetReadDeadline(x.deadline(start, got))
		}
		if got == size {
			// Doubling, so that moving costs little. One byte more than the limit
			// tells "at" from "over".
			size = min(2*size, limit+1)
			if length > 0 {
				size = min(size, length+1)
			}
			buf, ok = x.room(buf, size)
		}
	}
	return nil, Unavailable("Slow down.")
}

// room returns buf with a capacity of at least size, and size bytes held in
// the budget, or false if there is no room.
func (x *exchange) room(buf []byte, size int64) ([]byte, bool) {
	if !x.share.grow(x.r.Context(), size) {
		return buf, false
	}
	if int64(cap(buf)) >= size {
		return buf, true
	}
	grown := make([]byte, len(buf), size)
	copy(grown, buf)
	return grown, true
}

// tooLarge is the answer to a body over the limit. It first reads as much
// again, into nothing, so that a client that is still sending a body a little
// too large gets to read the answer.
func (x *exchange) tooLarge(start time.Time) *Error {
	limit := x.h.opt.MaxBodyBytes
	_ = x.control.SetReadDeadline(x.deadline(start, limit))
	if x.r.ContentLength <= 2*limit {
		_, _ = io.CopyN(io.Discard, x.r.Body, limit)
	}
	return &Error{
		Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge,
		Message: "The body is larger than " + strconv.FormatInt(limit, 10) + " bytes.",
	}
}

// newRequestID returns a random UUID (version 4). It names a request and
// guards nothing.
func newRequestID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var t [36]byte
	hex.Encode(t[0:8], b[0:4])
	hex.Encode(t[9:13], b[4:6])
	hex.Encode(t[14:18], b[6:8])
	hex.Encode(t[19:23], b[8:10])
	hex.Encode(t[24:36], b[10:16])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(t[:])
}

// newExtendedID returns 72 random bytes in base64, for x-amz-id-2.
func newExtendedID() string {
	var b [72]byte
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rand.Uint64())
	}
	return base64.StdEncoding.EncodeToString(b[:])
}
