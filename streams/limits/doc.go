// Package limits holds the shards of streams to rates: bytes and records a
// second in, bytes and reads a second out, as Kinesis Data Streams does.
//
// A Limiter stands beside an Engine, not around it. An append is one durable
// unit that is taken or refused, while a limit refuses some records of a
// request and lets the others through; and what reads and writes inside the
// daemon, deliveries and sources, is not limited at all. So whoever serves
// clients asks a Limiter first, and hands the engine what is left. A stream
// without limits costs one call of Options.Rates.
//
// Each rate is a bucket of one second's share. What a single large record or
// read takes beyond that is owed, and nothing passes until it is paid back: a
// shard never gives or takes more than its rate over time.
//
// The package keeps memory for the shards that were used within the last
// seconds, and runs no goroutine. It knows no HTTP and no texts of errors.
package limits
