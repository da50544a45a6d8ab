// Package sinks is the contract of destinations.
//
// A sink is handed one finished object, or one batch of documents, and either
// makes all of it durable at the destination or returns an error that says
// what to do next. Sinks never retry, keep no state between calls and never
// read streams: package delivery owns those. Each kind of destination lives in
// a package of its own below this one and passes the suite in sinks/sinktest.
package sinks

import (
	"context"
	"io"
	"time"
)

// Sink is what every destination is. Its methods may be called concurrently.
type Sink interface {
	// Check tests that the destination is there and lets us in, at the cost of
	// one cheap request. Its error is classed like one of Put.
	Check(ctx context.Context) error
	// String names the destination for logs and messages, without secrets:
	// "s3://lake/logs", "dir:/var/out".
	String() string
	Close() error
}

// ObjectSink stores objects: a bucket, a directory.
type ObjectSink interface {
	Sink
	// Put stores one object under its key. When it returns nil the object is
	// whole and survives a crash of either side. When it returns an error no
	// part of the object can be seen under its key, unless the answer was lost
	// after the object was stored. A second Put of the same key with the same
	// ID is the same object again: it succeeds, and the destination then holds
	// it once. An error that Object.Write returned comes back as it was
	// (errors.Is), unclassed.
	Put(ctx context.Context, o Object) (Stored, error)
}

// Object is one object to store.
type Object struct {
	// Key is the name of the object below the sink's own root or bucket, parts
	// separated by '/'. Never empty.
	Key string
	// ID identifies the plan that made the object; it is the same each time the
	// object is tried again.
	ID string
	// ContentType and ContentEncoding, if the destination can keep them.
	ContentType     string
	ContentEncoding string
	// Metadata is kept with the object where the destination can: short ASCII.
	Metadata map[string]string
	// Write writes the bytes of the object. The sink calls it at most once for
	// each Put. It is called on the goroutine of Put.
	Write func(w io.Writer) error
}

// Stored tells what a destination confirmed.
type Stored struct {
	Bytes int64
	ETag  string // empty where there is none
	// Existed is true if the object was there already and was left alone. Write
	// may then not have been called.
	Existed bool
}

// DocumentSink takes batches of documents: a search index, an HTTP endpoint.
type DocumentSink interface {
	Sink
	// Limits says how large a batch may be.
	Limits() BatchLimits
	// PutDocuments hands over one batch. A *PartialError names the documents
	// that were not taken; the others are stored. Any other error means that
	// none is known to be stored.
	PutDocuments(ctx context.Context, b Batch) error
}

// BatchLimits bounds a batch; 0 means no limit. A single document that is
// larger than Bytes is sent alone.
type BatchLimits struct {
	Documents int
	Bytes     int64
}

// Batch is one batch of documents.
type Batch struct {
	// ID is a UUID, the same each time the batch is tried again.
	ID        string
	Documents []Document
}

// Document is one document.
type Document struct {
	// ID is unique to the source record, and the same in each try.
	ID      string
	Data    []byte
	Arrival time.Time
}
