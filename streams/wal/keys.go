package wal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// KeyBytes is the length of a master key.
const KeyBytes = 32

// KeyID names a master key and tells nothing about it: the files that need the
// key carry it. The zero value stands for no encryption.
type KeyID [8]byte

// String returns the id as 16 hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

func parseKeyID(s string) (id KeyID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || KeyID(b).none() {
		return id, fmt.Errorf("key id %q: it has 16 hexadecimal digits, not all 0", s)
	}
	return KeyID(b), nil
}

func (id KeyID) none() bool { return id == KeyID{} }

// Key is a master key. It never prints: whatever formats it shows its id. It may
// be used by any number of goroutines.
type Key struct {
	id     KeyID
	secret *[KeyBytes]byte // behind a pointer, so that a print of a copy shows an address at most
}

// NewKey makes a key of 32 random bytes, which it copies.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != KeyBytes {
		return nil, fmt.Errorf("key has %d bytes; a master key has %d random bytes", len(secret), KeyBytes)
	}
	k := &Key{secret: new([KeyBytes]byte)}
	copy(k.secret[:], secret)
	if *k.secret == [KeyBytes]byte{} {
		return nil, errors.New("key is all zeros; a master key has 32 random bytes")
	}
	sum := sha256.Sum256(append([]byte("firehosed master key id\n"), k.secret[:]...))
	copy(k.id[:], sum[:])
	return k, nil
}

// ID returns what files that need the key carry.
func (k Key) ID() KeyID { return k.id }

// String returns the id.
func (k Key) String() string { return "key " + k.id.String() }

// Format prints String for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue logs the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.id.String()) }

// Keys are the master keys of a log. The zero value stands for no encryption.
type Keys struct {
	// Current is the key that new files are encrypted with. Without it new files
	// are not encrypted.
	Current *Key
	// Old keys are those that files from before may need still. A log that lacks
	// one that it needs does not open, names it, and changes nothing.
	Old []*Key
}

func (k Keys) validate() error {
	for i, o := range k.Old {
		if o == nil {
			return fmt.Errorf("option Keys: old key %d is nil", i)
		}
	}
	return nil
}

// ErrKey means that a directory holds files that are encrypted with a key that
// was not given to Open. Nothing was changed.
var ErrKey = errors.New("encryption key is missing")
