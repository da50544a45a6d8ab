package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// isPacked reports whether the body of a request is compressed with gzip, as
// clients do with large requests of operations that allow it.
func isPacked(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("Content-Encoding")), "gzip")
}

// unpack returns the body without its compression, or the body itself if it has
// none. The body as it was sent stays as it is, for its signature. What comes
// out is bounded by the limit for bodies and counts as bytes in flight.
func (x *exchange) unpack(body []byte) ([]byte, *Error) {
	if !isPacked(x.r) || len(body) == 0 {
		return body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, serialization("The body is not compressed with gzip: " + err.Error() + ".")
	}
	limit, held := x.h.opt.MaxBodyBytes, x.share.held
	buf := x.scratch.inflated[:0]
	for size := int64(firstBytes); ; size = min(2*size, limit+1) {
		if !x.share.grow(x.r.Context(), held+size) {
			return nil, Unavailable("Slow down.")
		}
		if int64(cap(buf)) < size {
			buf = append(make([]byte, 0, size), buf...)
		}
		for int64(len(buf)) < size {
			n, err := z.Read(buf[len(buf):size])
			buf = buf[:len(buf)+n]
			x.scratch.inflated = buf
			if int64(len(buf)) > limit {
				return nil, &Error{
					Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge,
					Message: "The body is larger than " + strconv.FormatInt(limit, 10) + " bytes when it is not compressed.",
				}
			}
			if errors.Is(err, io.EOF) {
				return buf, nil
			}
			if err != nil {
				return nil, serialization("The compressed body is damaged: " + err.Error() + ".")
			}
		}
	}
}

// content returns the body of a request to a service that is known, without
// its compression if the service allows one.
func (x *exchange) content(body []byte) ([]byte, *Error) {
	if refusal := x.service.fits(x.event.BytesIn); refusal != nil {
		return nil, refusal
	}
	if !x.service.Compressed {
		return body, nil
	}
	return x.unpack(body)
}

// fits refuses a body over the limit of the service itself.
func (s *service) fits(size int64) *Error {
	if s.MaxBodyBytes == 0 || size <= s.MaxBodyBytes {
		return nil
	}
	return &Error{
		Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge,
		Message: "The body is larger than " + strconv.FormatInt(s.MaxBodyBytes, 10) + " bytes.",
	}
}
