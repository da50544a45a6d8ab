package streams

import "fmt"

// Durability says when the records of a stream are acknowledged, and what a
// loss of power may cost. Nothing of it concerns a process that is killed: what
// was acknowledged is found again.
type Durability string

// The kinds of durability.
const (
	// Fsync acknowledges when the disk has confirmed to hold the records. Readers
	// see them then. Nothing that was acknowledged or read is lost.
	Fsync Durability = "fsync"
	// Interval acknowledges, and shows to readers, when the records were written
	// to the operating system. The disk is told to keep them a short time later,
	// which the engine's options set. A loss of power may lose the records that
	// were acknowledged in that time, and sequences that readers saw may then be
	// given again, to other records.
	Interval Durability = "interval"
	// None is like Interval without a time of its own: the records are kept by
	// what else the engine has the disk keep, such as its checkpoints.
	None Durability = "none"
)

// Valid reports whether d is one of the kinds.
func (d Durability) Valid() bool { return d == Fsync || d == Interval || d == None }

// UnmarshalText accepts the kinds by name.
func (d *Durability) UnmarshalText(b []byte) error {
	if v := Durability(b); v.Valid() {
		*d = v
		return nil
	}
	return fmt.Errorf("%w: durability %q is none of fsync, interval, none", ErrInvalid, b)
}
