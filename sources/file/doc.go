// Package file follows files and appends their lines to a stream.
//
// The place up to which a file was read is appended in the same durable unit
// as the records that were read up to there, so that a restart, also after a
// kill at any moment, neither loses nor repeats a line. A file is known by its
// device, inode and birth time together with its first bytes: renaming it
// changes nothing, and another file in its place is another file, also when it
// got the same inode.
//
// What happens when a file is renamed, removed, truncated or replaced is in
// follow.go; how lines become records is in split.go. The package does not
// know delivery or destinations.
package file
