// Package kinesis serves the API of Kinesis Data Streams from a
// streams.Engine: streams, shards, puts, iterators and reads.
//
// The package turns names, limits, errors and texts of that API into calls of
// the engine and back. It keeps no records and no files of its own: iterators
// and page tokens carry what they stand for, sealed with a key, and what the
// engine does not know of a stream (its mode, its record size, its tags, its
// policy) lies in the engine's state. Internal streams, whose names begin with
// '$', do not exist here.
//
// It does not do signatures, encodings or checks of single values; package
// wire does, by the tables in operations_*.go.
package kinesis
