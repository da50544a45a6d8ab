// Package leases keeps small tables of items that change by conditional
// writes: what Kinesis consumers need to share out shards, which the real
// service has them keep in DynamoDB. It is a store of leases, not a database:
// everything is in memory, bounded, and every acknowledged write is durable.
//
// Tables and items are keys of the engine's state, so they lie in the same
// journal as the records that the leases are about and survive what the
// records survive. A write holds the locks of the items it is about, has its
// caller decide on the items as they are, appends one batch, and shows the
// result to readers when the batch is on the disk. Writes of different items
// share one sync of the disk.
//
// The package knows items, keys and indexes. What a condition or an update
// says, and how a client is told, is the business of the caller.
package leases
