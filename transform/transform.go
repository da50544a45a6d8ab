// Package transform is the contract of transforms and their kinds: parse,
// filter, jq, lambda and exec.
//
// A transform maps a batch of records to a batch of verdicts of the same
// length. It does not know where records come from or go, it does not buffer
// between calls, and it does not decide what happens to a record that failed.
package transform

import (
	"context"
	"time"
)

// Transformer changes records. Transform may be called concurrently.
type Transformer interface {
	// Transform returns one Outcome for each record, in their order. It may
	// change the records it was given. An error means that no verdict could be
	// reached although the records may be fine (the context ended, credentials
	// are wrong, a function does not exist): the caller keeps the batch and
	// tries again later.
	Transform(ctx context.Context, in []Record) ([]Outcome, error)
	// Deterministic reports whether the same records always give the same
	// outcomes, so that a batch can be computed again instead of being kept.
	Deterministic() bool
	// Close releases what the transform holds and waits for it.
	Close() error
}

// Record is one record on its way.
type Record struct {
	// Data is the record as bytes. A record that a step decoded keeps the value
	// beside it, see Value.
	Data []byte

	// Where the record comes from; transforms do not change these.
	ID             string // unique and stable, for example shard and sequence number
	Arrival        time.Time
	PartitionKey   string
	ShardID        string
	SequenceNumber string

	value   any
	decoded bool
}

// Verdict is what became of a record.
type Verdict uint8

// The verdicts, as in the Firehose Lambda contract.
const (
	OK      Verdict = iota
	Dropped         // on purpose: a filter said no
	Failed          // goes to the error output
)

// Outcome is the verdict on one record.
type Outcome struct {
	Verdict Verdict
	Record  Record // if OK
	// If Failed: a code for machines ("Lambda.FunctionError", "Parse.NoMatch"),
	// a sentence for people without the record's content in full, and how often
	// it was tried (at least 1).
	Code     string
	Message  string
	Attempts int
}
