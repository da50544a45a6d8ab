package transform

import (
	"fmt"
	"time"
)

// Record is one record on its way. Copies of a Record share its bytes and its
// decoded value; neither is ever changed in place. A Record is not for
// concurrent use, its copies are.
type Record struct {
	// Data is the record as bytes. A record that a step decoded keeps the value
	// beside it, see Value. Use SetData or SetValue to change it; assigning
	// another slice works as well, writing into the bytes does not.
	Data []byte

	// Where the record comes from; transforms do not change these.
	ID             string // unique and stable, for example shard and sequence number
	Arrival        time.Time
	PartitionKey   string
	ShardID        string
	SequenceNumber string

	// PartitionKeys are the keys that a transform computed for the destination's
	// prefix: metadata.partitionKeys of the Lambda contract. Nil if none did.
	PartitionKeys map[string]string

	value any
	from  []byte // the bytes value was decoded from; nil means not decoded
	big   bool   // value holds a *big.Int somewhere
}

// Value returns the record's content as one JSON value and remembers it, so
// that the steps of a chain decode only once. The value is made of nil, bool,
// int, *big.Int (integers outside int), float64, string, []any and
// map[string]any; of keys that occur twice the last wins. It is shared: do not
// change it. The error, if the content is not exactly one JSON value nested
// at most MaxDepth deep, is a *SyntaxError.
func (r *Record) Value() (any, error) {
	if r.fresh() {
		return r.value, nil
	}
	d := decoder{s: string(r.Data)}
	v, err := d.decode()
	if err != nil {
		return nil, err
	}
	r.value, r.from, r.big = v, r.Data, d.big
	return v, nil
}

// HasBig reports whether the value holds integers outside int, which Value
// gives as *big.Int. It is meaningful after Value or SetValue returned nil.
func (r *Record) HasBig() bool { return r.fresh() && r.big }

func (r *Record) fresh() bool {
	return len(r.from) > 0 && len(r.from) == len(r.Data) && &r.from[0] == &r.Data[0]
}

// SetData replaces the content with bytes that the record keeps from now on.
func (r *Record) SetData(b []byte) {
	r.Data = b
	r.Forget()
}

// SetEncoding replaces the bytes by others that stand for the same JSON value,
// and keeps the value if it was decoded.
func (r *Record) SetEncoding(b []byte) {
	if r.fresh() {
		r.from = b
	}
	r.Data = b
}

// SetValue replaces the content with v, encoded as AppendJSON does. The record
// keeps v. If v cannot be encoded the record stays as it was.
func (r *Record) SetValue(v any) error {
	e := encoder{b: make([]byte, 0, len(r.Data)+64)} // a guess: most values come from what is here
	if err := e.value(v, 0); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	r.Data, r.value, r.from, r.big = e.b, v, e.b, e.big
	return nil
}

// Forget drops the decoded value, which takes a multiple of the memory of the
// bytes. Value decodes it again.
func (r *Record) Forget() {
	r.value, r.from, r.big = nil, nil, false
}
