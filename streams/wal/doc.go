// Package wal is a streams.Engine on the files of one directory.
//
// Every append, of whatever shard, goes into one shared journal. A single
// goroutine writes it in whole 4 KiB blocks, syncs, and only then are records
// acknowledged and visible; while one sync runs, the next group of appends
// fills. Records then wait in memory, within a stated limit, until they are
// written in larger pieces to the segment files of their shards. A checkpoint
// syncs those, writes a snapshot of everything that is not records, and lets
// journal files be used again. The files are described in docs/formats, what
// survives which fault in docs/durability.md.
//
// The package promises: an acknowledged append is on the disk and comes back
// unaltered, in order and once, also after a crash at any moment; a batch is
// found whole or not at all; readers see nothing that could still vanish;
// damaged bytes are reported by name, never skipped or cut off in silence;
// files it does not know are moved aside, never removed.
//
// It does not replicate, and knows nothing of what records contain.
package wal
