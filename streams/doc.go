// Package streams is the model of a durable shard-log: streams of shards,
// shards of records, sequence numbers, positions, split and merge, and the
// Engine that keeps them.
//
// Everything that enters the daemon is appended to a stream and acknowledged
// only when Engine.Append has returned. Everything that leaves it, by the
// Kinesis API or by a delivery stream, is read from a stream. Small keyed
// state (delivery positions, plans, offsets of tailed files, definitions made
// through an API) rides in the same append as the records it belongs to, see
// StateUpdate.
//
// The package knows no HTTP, no YAML, no AWS JSON and no content of records.
// Package streams/wal implements Engine on one machine; the suite in
// streams/enginetest holds every engine to the contract written here. Both
// packages are meant to be imported by other programs: docs/guide/library.md.
package streams
