package opensearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/firehosed/firehosed/sinks"
)

// maxID is the server's limit on the _id of a document; one longer makes it
// refuse the whole request.
const maxID = 512

// call is one PutDocuments.
type call struct {
	s      *Sink
	docs   []sinks.Document
	action [][]byte             // the line before each document, nil if it is not sent
	data   [][]byte             // each document on one line
	stored []bool               // confirmed
	failed map[int]*sinks.Error // not taken
}

// PutDocuments writes one batch; see the package for how.
func (s *Sink) PutDocuments(ctx context.Context, b sinks.Batch) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	n := len(b.Documents)
	c := &call{
		s: s, docs: b.Documents, action: make([][]byte, n), data: make([][]byte, n),
		stored: make([]bool, n), failed: map[int]*sinks.Error{},
	}
	var err error
	if groups := c.prepare(); len(groups) > 0 {
		err = s.learn(ctx)
		for _, g := range groups {
			if err != nil {
				break
			}
			err = c.send(ctx, g)
		}
	}
	if err != nil {
		if !c.anyStored() {
			return err
		}
		var classed *sinks.Error
		if !errors.As(err, &classed) {
			classed = &sinks.Error{Class: sinks.Retry, Err: err}
		}
		for i := range b.Documents {
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

func (c *call) anyStored() bool {
	for _, ok := range c.stored {
		if ok {
			return true
		}
	}
	return false
}

// prepare tests the documents, and groups those that can be sent so that each
// group keeps the limits of a request.
func (c *call) prepare() (groups [][]int) {
	var group []int
	var size int64
	for i, d := range c.docs {
		line, err := oneLine(d)
		if err == nil && c.s.opt.Rotation != RotateNone && d.Arrival.IsZero() {
			err = errors.New("the document has no arrival time")
		}
		if err != nil {
			c.failed[i] = &sinks.Error{Class: sinks.Refuse, Code: "OpenSearch.InvalidDocument", Err: err}
			continue
		}
		c.action[i], c.data[i] = c.s.actionLine(d), line
		add := int64(len(c.action[i]) + len(line) + 2)
		if len(group) == c.s.opt.MaxDocuments || len(group) > 0 && size+add > c.s.opt.MaxBytes {
			groups = append(groups, group)
			group, size = nil, 0
		}
		group = append(group, i)
		size += add
	}
	if len(group) > 0 {
		groups = append(groups, group)
	}
	return groups
}

// oneLine tests that a document is one JSON object in UTF-8 and returns it
// without line breaks. Outside of tokens JSON takes a space for a line break,
// inside it allows none.
func oneLine(d sinks.Document) ([]byte, error) {
	if d.ID == "" || len(d.ID) > maxID {
		return nil, fmt.Errorf("the id of the document has %d bytes; it must have 1 to %d", len(d.ID), maxID)
	}
	data := bytes.TrimSpace(d.Data)
	switch {
	case len(data) == 0:
		return nil, errors.New("the document is empty")
	case !utf8.Valid(data):
		return nil, errors.New("the document is not valid UTF-8")
	case data[0] != '{':
		return nil, errors.New("the document is no JSON object")
	case !json.Valid(data):
		return nil, errors.New("the document is not valid JSON")
	}
	if !bytes.ContainsAny(data, "\r\n") {
		return data, nil
	}
	return bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, data), nil
}

// actionLine returns the line that says where a document goes.
func (s *Sink) actionLine(d sinks.Document) []byte {
	type where struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	index := s.opt.Index + rotations[s.opt.Rotation](d.Arrival.UTC())
	line, _ := json.Marshal(map[string]where{string(s.opt.OpType): {index, d.ID}}) // strings always encode
	return line
}

// send writes the documents at the given places of the batch, in halves if the
// server asks for it. An error means all of them that are neither stored nor
// failed.
func (c *call) send(ctx context.Context, at []int) error {
	err := c.request(ctx, at)
	var e *sinks.Error
	if !errors.As(err, &e) || e.Code != codeTooLarge {
		return err
	}
	if len(at) == 1 {
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

// request sends one _bulk request.
func (c *call) request(ctx context.Context, at []int) error {
	const what = "store documents"
	s := c.s
	size := 0
	for _, i := range at {
		size += len(c.action[i]) + len(c.data[i]) + 2
	}
	// Not from a pool: the transport may go on reading after an error.
	body := make([]byte, 0, size)
	for _, i := range at {
		body = append(append(body, c.action[i]...), '\n')
		body = append(append(body, c.data[i]...), '\n')
	}
	rctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	resp, err := esapi.BulkRequest{
		Body: bytes.NewReader(body), Pipeline: s.opt.Pipeline,
		FilterPath: []string{"items.*._id", "items.*.status", "items.*.error"},
		Header:     http.Header{"Content-Type": {"application/x-ndjson"}},
	}.Do(rctx, s.client)
	if err != nil {
		return s.failed(ctx, what, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return s.answer(what, resp.StatusCode, resp.Header, resp.Body)
	}
	items, err := decodeBulk(resp.Body, len(at))
	if err != nil {
		if ctx.Err() != nil {
			return s.failed(ctx, what, err)
		}
		return &sinks.Error{Class: sinks.Retry, Code: "OpenSearch.InvalidResponse", Err: fmt.Errorf("%s: %s: %w", s, what, err)}
	}
	after := sinks.RetryAfter(resp.Header, time.Now())
	for n, i := range at {
		if items[n].ID != c.docs[i].ID {
			return &sinks.Error{
				Class: sinks.Retry, Code: "OpenSearch.InvalidResponse",
				Err: fmt.Errorf("%s: %s: result %d is of document %q, not %q", s, what, n, items[n].ID, c.docs[i].ID),
			}
		}
	}
	for n, i := range at {
		if e := items[n].verdict(s.opt.OpType); e == nil {
			c.stored[i] = true
		} else {
			e.After = after
			c.failed[i] = e
		}
	}
	return nil
}
