package opensearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/firehosed/firehosed/sinks"
)

const (
	// maxBulkBody bounds the answer to a _bulk request; an item that was stored
	// takes about 60 bytes, an error up to a few KiB.
	maxBulkBody = 64 << 20
	maxReason   = 1 << 10
)

// item is the result of one document.
type item struct {
	ID     string    `json:"_id"`
	Status int       `json:"status"`
	Error  *apiError `json:"error"`
}

// apiError is how the server tells of an error.
type apiError struct {
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	CausedBy *apiError `json:"caused_by"`
}

// UnmarshalJSON takes the short form, a string, too.
func (e *apiError) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.Reason)
	}
	type plain apiError
	return json.Unmarshal(b, (*plain)(e))
}

func (e *apiError) text() string {
	if e == nil {
		return "no reason given"
	}
	t := e.Reason
	if e.Type != "" {
		t = e.Type + ": " + t
	}
	// The cause next to the root says what is wrong with the document.
	for c, depth := e.CausedBy, 0; c != nil && depth < 4; c, depth = c.CausedBy, depth+1 {
		t += "; caused by " + c.Type + ": " + c.Reason
	}
	if len(t) > maxReason {
		t = strings.ToValidUTF8(t[:maxReason], "") + "..."
	}
	return t
}

// decodeBulk reads the results of n documents, in their order, item by item.
func decodeBulk(r io.Reader, n int) ([]item, error) {
	limited := &io.LimitedReader{R: r, N: maxBulkBody}
	items, err := decodeItems(json.NewDecoder(limited), n)
	if err != nil && limited.N <= 0 {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxBulkBody)
	}
	return items, err
}

func decodeItems(dec *json.Decoder, n int) ([]item, error) {
	if err := expect(dec, json.Delim('{')); err != nil {
		return nil, err
	}
	var items []item
	seen := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, malformed(err)
		}
		if key != "items" || seen {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				return nil, malformed(err)
			}
			continue
		}
		seen = true
		if err := expect(dec, json.Delim('[')); err != nil {
			return nil, err
		}
		for dec.More() {
			if len(items) == n {
				return nil, fmt.Errorf("the answer has more than %d results", n)
			}
			var byAction map[string]item
			if err := dec.Decode(&byAction); err != nil {
				return nil, malformed(err)
			}
			if len(byAction) != 1 {
				return nil, fmt.Errorf("result %d names %d actions", len(items), len(byAction))
			}
			for _, it := range byAction {
				if it.Status < 100 || it.Status > 599 {
					return nil, fmt.Errorf("result %d has the status %d", len(items), it.Status)
				}
				items = append(items, it)
			}
		}
		if err := expect(dec, json.Delim(']')); err != nil {
			return nil, err
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return nil, err
	}
	if len(items) != n {
		return nil, fmt.Errorf("the answer has %d results, not %d", len(items), n)
	}
	return items, nil
}

func expect(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err != nil {
		return malformed(err)
	}
	if got != want {
		return fmt.Errorf("the answer has %v where %v is due", got, want)
	}
	return nil
}

func malformed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the answer is no bulk result: %w", err)
}

// verdict says what became of a document; nil means that it is stored.
func (it item) verdict(op OpType) *sinks.Error {
	if it.Status >= 200 && it.Status < 300 && it.Error == nil {
		return nil
	}
	if it.Status == http.StatusConflict && op == OpCreate {
		return nil // the ID is ours: an earlier try stored it
	}
	return &sinks.Error{Class: it.class(), Code: strconv.Itoa(it.Status), Err: errors.New(it.Error.text())}
}

func (it item) class() sinks.Class {
	if c, ok := it.Error.class(); ok {
		return c
	}
	switch it.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return sinks.Refuse
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return sinks.Fix
	default:
		return sinks.Retry
	}
}

// fixTypes are the types of errors that an operator must see to, whatever their
// status.
var fixTypes = map[string]bool{
	"security_exception":                true,
	"index_not_found_exception":         true,
	"index_closed_exception":            true,
	"invalid_index_name_exception":      true,
	"alias_not_found_exception":         true,
	"validation_exception":              true, // no room for more shards
	"resource_already_exists_exception": false,
	"index_create_block_exception":      true,
	"circuit_breaking_exception":        false,
}

// fixReasons are parts of reasons that an operator must see to though the type
// of the error is that of a bad document.
var fixReasons = []string{
	"pipeline with id",                             // does not exist
	"no write index is defined for alias",          //
	"has more than one index associated with it",   // an alias
	"only write ops with an op_type of create are", // a data stream
	"op_type of create are allowed in data streams",
	"maximum normal shards open",
	"maximum shards open",
	"explicit index in bulk is not allowed",
	"action.auto_create_index",
}

// class returns what an error asks for if its type or words say so.
func (e *apiError) class() (c sinks.Class, ok bool) {
	if e == nil {
		return 0, false
	}
	if e.Type == "cluster_block_exception" || e.Type == "index_create_block_exception" {
		// A block set by an operator or by the flood-stage watermark of the
		// disks stays; one of a cluster that is starting goes.
		if strings.Contains(e.Reason, "SERVICE_UNAVAILABLE") {
			return sinks.Retry, true
		}
		return sinks.Fix, true
	}
	if fixTypes[e.Type] {
		return sinks.Fix, true
	}
	for _, part := range fixReasons {
		if strings.Contains(e.Reason, part) {
			return sinks.Fix, true
		}
	}
	return 0, false
}
