package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // UUID version 5, not a secret.
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/firehosed/firehosed/sinks"
)

// PutDocuments sends one batch; its ID must be set. See the package for how.
func (s *Sink) PutDocuments(ctx context.Context, b sinks.Batch) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if len(b.Documents) == 0 {
		return nil
	}
	if b.ID == "" {
		return &sinks.Error{Class: sinks.Fix, Code: "HttpEndpoint.InvalidBatch", Err: errors.New("the batch has no ID")}
	}
	c := &call{s: s, id: b.ID, docs: b.Documents, stored: make([]bool, len(b.Documents)), failed: map[int]*sinks.Error{}}
	err := c.run(ctx)
	if err != nil {
		if !c.anyStored {
			return err
		}
		var classed *sinks.Error
		if !errors.As(err, &classed) {
			classed = &sinks.Error{Class: sinks.Retry, Err: err}
		}
		for i := range c.docs {
			if !c.stored[i] && c.failed[i] == nil {
				c.failed[i] = classed
			}
		}
	}
	if len(c.failed) > 0 {
		return &sinks.PartialError{Failed: c.failed}
	}
	return nil
}

// call is one PutDocuments.
type call struct {
	s         *Sink
	id        string
	docs      []sinks.Document
	stored    []bool
	anyStored bool
	failed    map[int]*sinks.Error
}

// run sends the documents in as many requests as the limits ask for: one, if
// the batch keeps them.
func (c *call) run(ctx context.Context) error {
	var group []int
	var size int64
	for i, d := range c.docs {
		if n := len(d.Data); n > c.s.opt.MaxDocumentBytes {
			c.failed[i] = &sinks.Error{
				Class: sinks.Refuse, Code: "HttpEndpoint.RecordTooLarge",
				Err: fmt.Errorf("the record has %d bytes; the limit is %d", n, c.s.opt.MaxDocumentBytes),
			}
			continue
		}
		n := int64(len(d.Data))
		if len(group) == c.s.opt.MaxDocuments || len(group) > 0 && (size+n > c.s.opt.MaxBytes || bodySize(len(group)+1, int(size+n)) > MaxBody) {
			if err := c.send(ctx, group); err != nil {
				return err
			}
			group, size = nil, 0
		}
		group = append(group, i)
		size += n
	}
	if len(group) == 0 {
		return nil
	}
	return c.send(ctx, group)
}

// bodySize bounds the size of a request with n documents of so many bytes.
func bodySize(n, size int) int {
	const envelope, each = 150, len(`{"data":""},`) + 3 // base64 fills up to 4 characters
	return envelope + n*each + size/3*4 + 4
}

// send sends the documents at the given places of the batch, in halves if the
// endpoint asks for it.
func (c *call) send(ctx context.Context, at []int) error {
	err := c.s.post(ctx, c.requestID(at), c.body(at))
	var e *sinks.Error
	switch {
	case err == nil:
		c.anyStored = true
		for _, i := range at {
			c.stored[i] = true
		}
		return nil
	case !errors.As(err, &e) || e.Class != sinks.Refuse:
		return err
	case len(at) == 1:
		c.failed[at[0]] = e
		return nil
	}
	c.s.log.Debug("request was too large; sending halves", "documents", len(at))
	half := len(at) / 2
	if err := c.send(ctx, at[:half]); err != nil {
		return err
	}
	return c.send(ctx, at[half:])
}

// requestID returns the ID of the batch, or, for a part of it, a UUID (version
// 5) made from it and from the places of the part: the same in each try.
func (c *call) requestID(at []int) string {
	if len(at) == len(c.docs) {
		return c.id
	}
	h := sha1.New() //nolint:gosec // See the import.
	fmt.Fprint(h, c.id)
	for _, i := range at {
		fmt.Fprint(h, " ", i)
	}
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	x := hex.EncodeToString(u)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// body returns the JSON of a request.
func (c *call) body(at []int) []byte {
	size := 0
	for _, i := range at {
		size += len(c.docs[i].Data)
	}
	b := make([]byte, 0, bodySize(len(at), size))
	b = append(b, `{"requestId":`...)
	b = append(b, quoted(c.requestID(at))...)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, c.s.opt.Now().UnixMilli(), 10)
	b = append(b, `,"records":[`...)
	for n, i := range at {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"data":"`...)
		b = base64.StdEncoding.AppendEncode(b, c.docs[i].Data)
		b = append(b, `"}`...)
	}
	return append(b, "]}"...)
}

// post sends one request and judges the answer. An error of class Refuse means
// that the request was too large.
func (s *Sink) post(ctx context.Context, id string, body []byte) error {
	if s.opt.Gzip {
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestSpeed) // a level that there is
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		body = z.Bytes()
	}
	rctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(rctx, http.MethodPost, s.opt.URL, bytes.NewReader(body))
	if err != nil {
		return s.unsent(ctx, err)
	}
	req.Header = s.header.Clone()
	req.Header.Set("X-Amz-Firehose-Request-Id", id)
	resp, err := s.client.Do(req)
	if err != nil {
		return s.unsent(ctx, err)
	}
	defer resp.Body.Close()
	return s.judge(ctx, id, resp)
}
