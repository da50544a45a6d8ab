// Package transform is the contract of transforms; the kinds are its
// sub-packages parse, filter, jq, lambda and exec, and Chain runs several of
// them one after the other.
//
// A transform maps a batch of records to a batch of verdicts of the same
// length. It does not know where records come from or go, it does not buffer
// between calls, and it does not decide what happens to a record that failed.
package transform

import (
	"context"
)

// Transformer changes records. Transform may be called concurrently.
type Transformer interface {
	// Transform returns one Outcome for each record, in their order. It may
	// change the records of the slice it was given, but never the bytes that
	// their Data points at nor a value that Record.Value returned: it replaces
	// them, so that the caller can keep a copy of the slice and try again. An
	// error means that no verdict could be reached although the records may be
	// fine (the context ended, credentials are wrong, a function does not
	// exist): the caller keeps the batch and tries again later.
	Transform(ctx context.Context, in []Record) ([]Outcome, error)
	// Deterministic reports whether the same records always give the same
	// outcomes, so that a batch can be computed again instead of being kept.
	Deterministic() bool
	// Close releases what the transform holds and waits for it.
	Close() error
}

// Verdict is what became of a record.
type Verdict uint8

// The verdicts, as in the Firehose Lambda contract.
const (
	OK      Verdict = iota
	Dropped         // on purpose: a filter said no
	Failed          // goes to the error output
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case OK:
		return "ok"
	case Dropped:
		return "dropped"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Outcome is the verdict on one record.
type Outcome struct {
	Verdict Verdict
	Record  Record // if OK
	// Step names the step of a Chain that dropped the record or that it failed
	// in; empty if OK, and in outcomes that no chain made.
	Step string
	// If Failed: a code for machines ("Lambda.FunctionError", "Parse.NoMatch"),
	// a sentence for people without the record's content in full, and how often
	// it was tried (at least 1).
	Code     string
	Message  string
	Attempts int
}

// Fail returns the outcome of a record that failed at the first attempt.
func Fail(code, message string) Outcome {
	return Outcome{Verdict: Failed, Code: code, Message: message, Attempts: 1}
}
