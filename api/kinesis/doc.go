// Package kinesis serves the API of Kinesis Data Streams from a
// streams.Engine: streams, shards, puts, iterators and reads.
//
// The package turns names, limits, errors and texts of that API into calls of
// the engine and back. It keeps no records and no state of its own: iterators
// and page tokens carry what they stand for, sealed with a key, and attributes
// of a stream that the engine does not know (its mode, its record size, its
// tags) lie in the engine's state. Internal streams, whose names begin with
// '$', do not exist here.
//
// It does not do signatures, encodings or checks of single values; package
// wire does, by the table in operations.go.
package kinesis
