// Package delivery moves records from the log to destinations.
//
// A Stream reads the shards of one stream, counts what it reads until a buffer
// closes, logs a plan (ranges of sequence numbers, the key of the object, the
// time), and only then reads the ranges again, transforms, encodes, compresses
// and writes them, straight from the log into the sink. When the destination,
// the error output and the backup have confirmed, the end of the plan and the
// new position are appended to the log as one unit. A plan without an end is
// run again after a crash and makes the same object.
//
// What happens when a destination is down is in run.go, what happens to a
// record that fails in failures.go, what is logged in state.go.
//
// The package does not know what a sink's client looks like, how a transform
// computes, or any wire protocol.
package delivery
